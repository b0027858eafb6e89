/* The engine's private memory: which stretches it is made of, and what the engine finds in them. */
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/hash.h"

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
    PART_POLICIES,
    PARTS = PART_POLICIES + POLICIES
};

static size_t lay_out(struct part parts[PARTS]) {
    size_t sizes[PARTS] = {
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
    };
    for (unsigned i = 0; i < POLICIES; i++)
        sizes[PART_POLICIES + i] = policies[i]->memory();
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
    for (unsigned i = 0; i < POLICIES; i++) {
        engine->policy_memory[i].memory = base + parts[PART_POLICIES + i].at;
        engine->policy_memory[i].size = parts[PART_POLICIES + i].size;
    }
    engine->current = ENGINE_NO_VIEW;
    engine->slot = engine->area = UINT32_MAX;
    engine->incarnation = 1;
    engine->cpu = engine->load1 = UINT64_MAX; /* NaN: unknown */
    engine_set_slot(engine, slot, 0);
    return engine;
}
