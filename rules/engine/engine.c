/* The engine's outside: views, threads that use them.  What a request goes through is in decide.c. */
#include <errno.h>
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/engine/policy.h"
#include "rules/hash.h"

enum { HOST_SEED = 0x686f7374 };

__thread unsigned engine_thread_number __attribute__((tls_model("initial-exec")));

unsigned engine_thread_new(void) {
    static unsigned threads;
    engine_thread_number = add_relaxed(&threads, 1u) % INT32_MAX + 1;
    return engine_thread_number - 1;
}

/* ---------------------------------------------------------------------------------------------- who this process is */

static void publish_generation(struct engine *engine) {
    uint32_t slot = load_relaxed(&engine->slot);
    if (slot != UINT32_MAX)
        store_relaxed(&engine_process(engine, slot)->rules_generation, engine_generation(engine));
}

static void choose_versions(struct engine *engine) {
    uint32_t token = engine_read_begin(engine);
    if (token < ENGINE_NO_VIEW && engine->views[token].canary)
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
    for (unsigned i = 0; i < POLICIES; i++)
        policies[i]->after_fork(engine);
}

/* ------------------------------------------------------------------------------------------------------------ views */

static bool in_use(const struct engine *engine, uint32_t view) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < ENGINE_READERS; i++)
        sum += load_total(&engine->readers[i].count[view]);
    return sum != 0;
}

const void *engine_ruleset(const struct engine *engine) {
    uint32_t view = load_acquire(&engine->current);
    return view < ENGINE_NO_VIEW ? engine->views[view].ruleset : NULL;
}

void engine_siblings(struct engine *engine, uint32_t token, uint64_t now_ns, uint32_t resource) {
    if (token < ENGINE_NO_VIEW)
        stats_event(engine, now_ns, EVENT_SIBLINGS, NULL, NULL, resource, 0, 0, engine->views[token].siblings.limit);
}

void engine_crowded(struct engine *engine, uint32_t token, uint64_t now_ns, uint32_t resource) {
    if (token < ENGINE_NO_VIEW && !__atomic_exchange_n(&engine->views[token].crowded, true, __ATOMIC_RELAXED))
        stats_event(engine, now_ns, EVENT_CROWDED, NULL, NULL, resource, 0, 0, ENGINE_RESOURCES_MAX);
}

uint64_t engine_generation(const struct engine *engine) {
    uint32_t view = load_acquire(&engine->current);
    return view < ENGINE_NO_VIEW ? engine->views[view].generation : 0;
}

const void *engine_release(struct engine *engine) {
    uint32_t current = load_acquire(&engine->current);
    const void *ruleset = engine->released;
    engine->released = NULL;
    if (ruleset || current >= ENGINE_NO_VIEW || in_use(engine, !current))
        return ruleset;
    ruleset = engine->views[!current].ruleset;
    engine->views[!current].ruleset = NULL;
    if (ruleset)
        view_free(&engine->views[!current]);
    return ruleset;
}

/* --------------------------------------------------------------------------------------------------------- adoption */

static int change_policy(struct engine *engine, const struct view *current, const struct view *next) {
    int bad = policies[next->policy]->adopt(engine, current, next);
    for (unsigned i = 0; i < POLICIES && !bad; i++)
        bad = i != next->policy ? policies[i]->retire(engine) : 0;
    return bad;
}

int engine_adopt(struct engine *engine, const void *ruleset, size_t size, uint64_t generation) {
    uint32_t current = load_acquire(&engine->current), next = current == 0;
    struct view *view = &engine->views[next];
    if (current >= ENGINE_NO_VIEW)
        next = 0, view = &engine->views[0];
    if (in_use(engine, next) || (view->ruleset && engine->released))
        return -EBUSY;
    if (view->ruleset)
        engine->released = view->ruleset;
    view->ruleset = NULL;
    int bad = view_build(engine, view, ruleset, size, generation) != 0 ? -ENOMEM : 0;
    if (!bad)
        bad = change_policy(engine, current < ENGINE_NO_VIEW ? &engine->views[current] : NULL, view);
    if (bad) {
        view->ruleset = NULL;
        view_free(view);
        return bad;
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
    struct binding_list *list = token < ENGINE_NO_VIEW && resource < LAYOUT_RESOURCES
                                    ? view_bindings(engine, &engine->views[token], resource)
                                    : NULL;
    for (unsigned i = 0; list && i < list->checks; i++) {
        const struct cell *cell = load_acquire(&list->items[i].cell);
        if (list->items[i].kind == CELL_PARAM && list->items[i].rule->id_hash == rule_id_hash && cell && max)
            count = hot_top(cell, &list->items[i].limiter->hot, ret_values, max);
    }
    engine_read_end(engine, token);
    return count;
}
