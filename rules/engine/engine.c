/* The engine's outside: memory, views, threads that use them.  What a request goes through is in decide.c. */
#include <errno.h>
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/hot_param.h"
#include "rules/alone.h"
#include "rules/engine/sentinel/compat.h"
#include "rules/hash.h"

enum { NO_VIEW = 2, HOST_SEED = 0x686f7374 };

__thread unsigned engine_thread_number __attribute__((tls_model("initial-exec")));

unsigned engine_thread_new(void) {
    static unsigned threads;
    engine_thread_number = add_relaxed(&threads, 1u) % INT32_MAX + 1;
    return engine_thread_number - 1;
}

/* ---------------------------------------------------------------------------------------------------------- memory */

struct part { /* one stretch of the private memory */
    size_t at, size;
};
enum {
    PART_ENGINE,
    PART_COUNTERS,
    PART_AREA,
    PART_INDEX,
    PART_VIEW_0,
    PART_VIEW_1,
    PART_PATTERNS_0,
    PART_PATTERNS_1,
    PART_SCRATCHES,
    PART_CELLS,
    PART_COMPAT,
    PARTS
};

static size_t lay_out(struct part parts[PARTS]) {
    const size_t sizes[PARTS] = {
        [PART_ENGINE] = sizeof(struct engine),
        [PART_COUNTERS] = LAYOUT_AT_AREAS,
        [PART_AREA] = sizeof(struct layout_area),
        [PART_INDEX] = ENGINE_CELL_INDEX * sizeof(uint32_t),
        [PART_VIEW_0] = ENGINE_VIEW_BYTES,
        [PART_VIEW_1] = ENGINE_VIEW_BYTES,
        [PART_PATTERNS_0] = ENGINE_PATTERN_BYTES,
        [PART_PATTERNS_1] = ENGINE_PATTERN_BYTES,
        [PART_SCRATCHES] = ENGINE_SCRATCHES * PATTERN_SCRATCH,
        [PART_CELLS] = ENGINE_CELL_BYTES,
        [PART_COMPAT] = compat_memory_size(),
    };
    size_t at = 0;
    for (unsigned i = 0; i < PARTS; i++) {
        parts[i] = (struct part){at, sizes[i]};
        at += LAYOUT_ALIGN(sizes[i]);
    }
    return at;
}

size_t engine_memory_size(void) {
    struct part parts[PARTS];
    return lay_out(parts);
}

/* Without an app's file: counters of the same layout, in our own memory. */
static void private_counters(struct layout_counters_header *counters) {
    static const char other[] = "{other}";
    char *base = (char *)counters;
    counters->resources_allocated = LAYOUT_RESOURCES;
    counters->resources_used = 1;
    struct layout_resource *entry = (struct layout_resource *)(base + LAYOUT_AT_RESOURCES);
    entry->hash = hash_bytes(counters->hash_seed, other, sizeof(other) - 1);
    entry->length = sizeof(other) - 1;
    memcpy(entry->name, other, sizeof(other));
    ((uint32_t *)(base + LAYOUT_AT_INDEX))[entry->hash % LAYOUT_RESOURCE_INDEX] = ENGINE_OTHER + 1;
}

static void point_into(struct engine *engine, struct layout_counters_header *counters, bool shared) {
    char *base = (char *)counters;
    engine->counters = counters;
    engine->processes = (struct layout_process *)(base + LAYOUT_AT_PROCESSES);
    engine->index = (uint32_t *)(base + LAYOUT_AT_INDEX);
    engine->hits = (struct layout_hit *)(base + LAYOUT_AT_HITS);
    engine->events = (struct layout_event *)(base + LAYOUT_AT_EVENTS);
    engine->rejections = (struct layout_rejection *)(base + LAYOUT_AT_REJECTIONS);
    engine->siblings = (uint64_t *)(base + LAYOUT_AT_SIBLINGS);
    engine->resources = (struct layout_resource *)(base + LAYOUT_AT_RESOURCES);
    engine->stats = (struct layout_stats *)(base + LAYOUT_AT_STATS);
    engine->areas = shared ? (struct layout_area *)(base + LAYOUT_AT_AREAS) : NULL;
    engine->hot = shared ? (struct layout_hot *)(base + LAYOUT_AT_HOT) : NULL;
    engine->app = (struct cell_space){.roots = &counters->cells,
                                      .index = (uint32_t *)(base + LAYOUT_AT_CELL_INDEX),
                                      .half = LAYOUT_CELL_INDEX / 2,
                                      .arena = base + LAYOUT_AT_CELLS,
                                      .bytes = shared ? LAYOUT_CELL_BYTES_MAX : 0,
                                      .allocated = &counters->cell_bytes_allocated,
                                      .used = &counters->cell_bytes_used,
                                      .shared = true};
}

struct engine *engine_new(void *memory, struct layout_counters_header *shared, uint32_t slot) {
    struct part parts[PARTS];
    char *base = memory;
    struct engine *engine = memory;
    lay_out(parts);
    if (!shared)
        private_counters((struct layout_counters_header *)(base + parts[PART_COUNTERS].at));
    point_into(engine, shared ? shared : (struct layout_counters_header *)(base + parts[PART_COUNTERS].at),
               shared != NULL);
    engine->private_area = (struct layout_area *)(base + parts[PART_AREA].at);
    engine->own_allocated = ENGINE_CELL_BYTES;
    engine->own = (struct cell_space){.roots = &engine->own_roots,
                                      .index = (uint32_t *)(base + parts[PART_INDEX].at),
                                      .half = ENGINE_CELL_INDEX / 2,
                                      .arena = base + parts[PART_CELLS].at,
                                      .bytes = ENGINE_CELL_BYTES,
                                      .allocated = &engine->own_allocated,
                                      .used = &engine->own_used,
                                      .shared = false};
    for (unsigned i = 0; i < 2; i++) {
        engine->views[i].arena = base + parts[PART_VIEW_0 + i].at;
        engine->views[i].patterns = (struct pattern_arena){base + parts[PART_PATTERNS_0 + i].at, ENGINE_PATTERN_BYTES,
                                                           0};
    }
    engine->scratches = base + parts[PART_SCRATCHES].at;
    engine->compat = compat_new(base + parts[PART_COMPAT].at, parts[PART_COMPAT].size, engine->counters->hash_seed);
    engine->current = NO_VIEW;
    engine->slot = engine->area = UINT32_MAX;
    engine->incarnation = 1;
    engine->cpu = engine->load1 = UINT64_MAX; /* NaN: unknown */
    engine_set_slot(engine, slot, 0);
    return engine;
}

/* ---------------------------------------------------------------------------------------------- who this process is */

static void publish_generation(struct engine *engine) {
    uint32_t slot = load_relaxed(&engine->slot);
    if (slot != UINT32_MAX)
        store_relaxed(&engine->processes[slot].rules_generation, engine_generation(engine));
}

static void choose_versions(struct engine *engine) {
    uint32_t token = engine_read_begin(engine);
    if (token < NO_VIEW && engine->views[token].canary)
        view_choose_versions(engine, &engine->views[token]);
    engine_read_end(engine, token);
}

void engine_set_slot(struct engine *engine, uint32_t slot, uint32_t pid) {
    bool usable = engine_shared(engine) && slot < LAYOUT_PROCESSES;
    bool other = pid != engine->pid;
    engine->pid = pid;
    store_release(&engine->slot, usable ? slot : UINT32_MAX);
    stats_find_area(engine);
    publish_generation(engine);
    if (other)
        choose_versions(engine);
}

uint64_t engine_host_hash(const char *name) {
    return hash_bytes(HOST_SEED, name, strlen(name));
}

void engine_set_host(struct engine *engine, const char *name) {
    engine->host = engine_host_hash(name);
    choose_versions(engine);
}

void engine_after_fork(struct engine *engine) {
    store_relaxed(&engine->slot, UINT32_MAX);
    store_relaxed(&engine->area, UINT32_MAX);
    store_relaxed(&engine->scratch_taken, 0u);
    engine->incarnation++;
    memset(engine->readers, 0, sizeof(engine->readers));
    memset(engine->private_area, 0, sizeof(*engine->private_area));
    cell_collector_died(&engine->own, 1); /* if another thread of the parent was at it */
    compat_after_fork(engine->compat);
}

/* ------------------------------------------------------------------------------------------------------------ views */

/* A reader adds itself to the view's count and then looks whether the view is still current; who adopts makes another
 * view current and then looks at the counts.  In one total order, so one of them sees the other. */
uint32_t engine_read_begin(struct engine *engine) {
    struct readers *readers = &engine->readers[engine_thread() % ENGINE_READERS];
    for (;;) {
        uint32_t view = load_acquire(&engine->current);
        if (view >= NO_VIEW)
            return NO_VIEW;
        alone_add32(&readers->count[view], 1);
        if (__builtin_expect(load_total(&engine->current) == view, 1))
            return view;
        sub_floor32(&readers->count[view], 1);
    }
}

void engine_read_end(struct engine *engine, uint32_t token) {
    if (token < NO_VIEW)
        alone_add32(&engine->readers[engine_thread() % ENGINE_READERS].count[token], UINT32_MAX);
}

static bool in_use(const struct engine *engine, uint32_t view) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < ENGINE_READERS; i++)
        sum += load_total(&engine->readers[i].count[view]);
    return sum != 0;
}

const void *engine_ruleset(const struct engine *engine) {
    uint32_t view = load_acquire(&engine->current);
    return view < NO_VIEW ? engine->views[view].ruleset : NULL;
}

const void *engine_ruleset_within(const struct engine *engine, uint32_t token) {
    return token < NO_VIEW ? engine->views[token].ruleset : NULL;
}

uint64_t engine_generation_within(const struct engine *engine, uint32_t token) {
    return token < NO_VIEW ? engine->views[token].generation : 0;
}

uint64_t engine_generation(const struct engine *engine) {
    uint32_t view = load_acquire(&engine->current);
    return view < NO_VIEW ? engine->views[view].generation : 0;
}

const void *engine_release(struct engine *engine) {
    uint32_t current = load_acquire(&engine->current);
    const void *ruleset = engine->released;
    engine->released = NULL;
    if (ruleset || current >= NO_VIEW || in_use(engine, !current))
        return ruleset;
    ruleset = engine->views[!current].ruleset;
    engine->views[!current].ruleset = NULL;
    return ruleset;
}

/* ------------------------------------------------------------------------------------- cells of rules that are gone */

struct stamp {
    const struct view *view;
};

static void stamp_cell(struct cell *cell, void *context) {
    const struct view *view = ((struct stamp *)context)->view;
    if (view_has_rule(view, load_relaxed(&cell->rule)) && load_relaxed(&cell->generation) < view->generation)
        store_relaxed(&cell->generation, view->generation);
}

/* Cells below it belong to rules that no process that is awake has: a process that slept for long adopts new rules
 * before it decides again. */
static uint64_t app_floor(const struct engine *engine) {
    enum { ASLEEP_NS_SHIFT = 33 /* 8.6 s */ };
    uint64_t floor = UINT64_MAX, now = load_relaxed(&engine->seen_ns);
    for (uint32_t i = 0; i < LAYOUT_PROCESSES; i++) {
        const struct layout_process *process = &engine->processes[i];
        if (!load_acquire(&process->owner) || load_relaxed(&process->seen_ns) + (1ull << ASLEEP_NS_SHIFT) < now)
            continue;
        uint64_t stamped = load_relaxed(&process->cells_generation);
        floor = stamped < floor ? stamped : floor;
    }
    return floor == UINT64_MAX ? 0 : floor;
}

static bool holds_nothing(const struct cell *cell) {
    if (cell_kind(cell) == CELL_COUNT)
        return low_of(load_relaxed(&((const struct count *)cell)->word)) == 0;
    if (cell_kind(cell) == CELL_PARAM)
        return hot_is_idle(cell);
    return cell_kind(cell) != CELL_COUNTS || counts_now((const struct counts *)cell) == 0;
}

static void tidy_space(struct engine *engine, const struct cell_space *space, const struct view *view, uint32_t slot) {
    struct stamp stamp = {view};
    if (!cell_crowded(space))
        return;
    cell_each(space, stamp_cell, &stamp);
    if (space->shared)
        store_release(&engine->processes[slot].cells_generation, view->generation);
    cell_collect(space, space->shared ? app_floor(engine) : view->generation, slot == UINT32_MAX ? 1 : slot + 1,
                 holds_nothing);
}

/* All threads are in this view or have none. */
static void tidy(struct engine *engine, const struct view *view) {
    uint32_t slot = load_relaxed(&engine->slot);
    tidy_space(engine, &engine->own, view, UINT32_MAX);
    if (slot != UINT32_MAX)
        tidy_space(engine, &engine->app, view, slot);
}

/* --------------------------------------------------------------------------------------------------------- adoption */

int engine_adopt(struct engine *engine, const void *ruleset, size_t size, uint64_t generation) {
    uint32_t current = load_acquire(&engine->current), next = current == 0;
    struct view *view = &engine->views[next];
    if (current >= NO_VIEW)
        next = 0, view = &engine->views[0];
    if (in_use(engine, next) || (view->ruleset && engine->released))
        return -EBUSY;
    if (view->ruleset)
        engine->released = view->ruleset;
    view->ruleset = NULL;
    if (current < NO_VIEW)
        tidy(engine, &engine->views[current]);
    int bad = view_build(engine, view, ruleset, size, generation);
    if (!bad && view->compat)
        bad = compat_adopt(engine->compat, ruleset, size);
    if (bad) {
        view->ruleset = NULL;
        return bad == -EAGAIN ? -EBUSY : -ENOSPC;
    }
    store_total(&engine->current, next);
    publish_generation(engine);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- hot values */

size_t engine_hot(struct engine *engine, uint64_t rule_id_hash, uint32_t resource, struct engine_hot_value *ret_values,
                  size_t max) {
    uint32_t token = engine_read_begin(engine);
    size_t count = 0;
    struct binding_list *list = token < NO_VIEW && resource < LAYOUT_RESOURCES
                                    ? view_bindings(engine, &engine->views[token], resource)
                                    : NULL;
    for (unsigned i = 0; list && i < list->checks; i++) {
        const struct cell *cell = load_acquire(&list->items[i].cell);
        if (list->items[i].check == CHECK_PARAM && list->items[i].rule->id_hash == rule_id_hash && cell && max)
            count = hot_top(cell, &list->items[i].limiter->hot, ret_values, max);
    }
    engine_read_end(engine, token);
    return count;
}
