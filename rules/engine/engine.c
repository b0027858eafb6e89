/* The engine's outside: views, threads that use them.  What a request goes through is in request.c. */
#include <errno.h>
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/engine/limiters/param.h"
#include "rules/engine/policy.h"
#include "rules/hash.h"
#include "rules/when.h"

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
    if (token < ENGINE_NO_RULES && engine->compiled[token].canary)
        compiled_choose_versions(engine, &engine->compiled[token]);
    engine_read_end(engine, token);
}

void engine_set_slot(struct engine *engine, uint32_t slot, uint32_t pid) {
    bool usable = engine_shared(engine) && slot < LAYOUT_PROCESSES;
    bool other = pid != engine->pid;
    engine->pid = pid;
    store_release(&engine->slot, usable ? slot : UINT32_MAX);
    metrics_find_area(engine);
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

/* ------------------------------------------------------------------------------------------------------------ compiled
 * rulesets */

static bool in_use(const struct engine *engine, uint32_t compiled) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < ENGINE_READERS; i++)
        sum += load_total(&engine->readers[i].count[compiled]);
    return sum != 0;
}

const void *engine_ruleset(const struct engine *engine) {
    uint32_t compiled = load_acquire(&engine->current);
    return compiled < ENGINE_NO_RULES ? engine->compiled[compiled].ruleset : NULL;
}

void engine_siblings(struct engine *engine, uint32_t token, uint64_t now_ns, uint32_t resource) {
    if (token < ENGINE_NO_RULES)
        metrics_event(engine, now_ns, EVENT_SIBLINGS, NULL, NULL, resource, 0, 0,
                      engine->compiled[token].siblings.limit);
}

void engine_crowded(struct engine *engine, uint32_t token, uint64_t now_ns, uint32_t resource) {
    if (token < ENGINE_NO_RULES && !__atomic_exchange_n(&engine->compiled[token].crowded, true, __ATOMIC_RELAXED))
        metrics_event(engine, now_ns, EVENT_CROWDED, NULL, NULL, resource, 0, 0, ENGINE_RESOURCES_MAX);
}

void engine_unseen(struct engine *engine, uint64_t now_ns, uint32_t resource, enum engine_unseen what, uint64_t count) {
    metrics_event(engine, now_ns, EVENT_UNSEEN, NULL, NULL, resource, (uint8_t)what, 0, (double)count);
}

void engine_set_wall(struct engine *engine, uint64_t unix_s) {
    engine->wall_s = unix_s;
}

uint64_t engine_until(const struct engine *engine) {
    uint32_t compiled = load_acquire(&engine->current);
    return compiled < ENGINE_NO_RULES ? engine->compiled[compiled].until_s : WHEN_NEVER;
}

uint64_t engine_generation(const struct engine *engine) {
    uint32_t compiled = load_acquire(&engine->current);
    return compiled < ENGINE_NO_RULES ? engine->compiled[compiled].generation : 0;
}

const void *engine_release(struct engine *engine) {
    uint32_t current = load_acquire(&engine->current);
    const void *ruleset = engine->released;
    engine->released = NULL;
    if (ruleset || current >= ENGINE_NO_RULES || in_use(engine, !current))
        return ruleset;
    ruleset = engine->compiled[!current].ruleset;
    engine->compiled[!current].ruleset = NULL;
    if (ruleset)
        compiled_free(&engine->compiled[!current]);
    return ruleset;
}

/* --------------------------------------------------------------------------------------------------------- adoption */

static int change_policy(struct engine *engine, const struct compiled *current, const struct compiled *next) {
    int bad = policies[next->policy]->adopt(engine, current, next);
    for (unsigned i = 0; i < POLICIES && !bad; i++)
        bad = i != next->policy ? policies[i]->retire(engine) : 0;
    return bad;
}

int engine_adopt(struct engine *engine, const void *ruleset, size_t size, uint64_t generation) {
    uint32_t current = load_acquire(&engine->current), next = current == 0;
    struct compiled *compiled = &engine->compiled[next];
    if (current >= ENGINE_NO_RULES)
        next = 0, compiled = &engine->compiled[0];
    if (in_use(engine, next) || (compiled->ruleset && engine->released))
        return -EBUSY;
    if (compiled->ruleset)
        engine->released = compiled->ruleset;
    compiled->ruleset = NULL;
    int bad = compile(engine, compiled, ruleset, size, generation) != 0 ? -ENOMEM : 0;
    if (!bad)
        bad = change_policy(engine, current < ENGINE_NO_RULES ? &engine->compiled[current] : NULL, compiled);
    if (bad) {
        compiled->ruleset = NULL;
        compiled_free(compiled);
        return bad;
    }
    store_total(&engine->current, next);
    publish_generation(engine);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- hot keys */

size_t engine_hot(struct engine *engine, uint64_t rule_id_hash, uint32_t resource, struct engine_hot_key *ret_values,
                  size_t max) {
    uint32_t token = engine_read_begin(engine);
    size_t count = 0;
    struct binding_list *list = token < ENGINE_NO_RULES && resource < LAYOUT_RESOURCES
                                    ? compiled_bindings(engine, &engine->compiled[token], resource)
                                    : NULL;
    for (unsigned i = 0; list && i < list->checks; i++) {
        const struct limiter_state *state = load_acquire(&list->items[i].state);
        if (list->items[i].kind == LIMITER_PARAM && list->items[i].rule->id_hash == rule_id_hash && state && max)
            count = hot_top(state, &list->items[i].limiter->hot, ret_values, max);
    }
    engine_read_end(engine, token);
    return count;
}
