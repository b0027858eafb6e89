/* Making it, feeding it with rules, and looking into it. */
#include "rules/engine/sentinel/compat.h"

#include <errno.h>
#include <string.h>

#include "rules/engine/sentinel/compat_call.h"

enum { MEMORY_MAX = sizeof(void *) == 8 ? 256 << 20 : 32 << 20 };

size_t compat_memory_used(const struct compat *compat) {
    return compat->arena.used;
}

static void begin(struct compat *compat, uint32_t limit, uint32_t dirty) {
    compat_arena_init(&compat->arena, limit, dirty);
    compat->max_rt_ms = 5000;
    compat->max_resources = COMPAT_RESOURCES;
    compat->sample = (struct engine_sample){-1, -1, -1, 0};
    compat_context_known(compat, COMPAT_DEFAULT_CONTEXT, sizeof COMPAT_DEFAULT_CONTEXT - 1);
}

struct compat *compat_new(const struct engine_memory *memory, size_t limit, uint64_t seed) {
    struct compat *compat = memory->take(memory->context, sizeof *compat);
    if (!compat)
        return NULL;
    compat->seed = seed;
    compat->epoch = 1;
    compat->arena.chunks.memory = *memory;
    begin(compat, limit && limit < MEMORY_MAX ? (uint32_t)limit : (uint32_t)MEMORY_MAX, 0);
    return compat;
}

void compat_free(struct compat *compat) {
    struct engine_memory memory = compat->arena.chunks.memory;
    chunks_free(&compat->arena.chunks);
    memory.give(memory.context, compat, sizeof *compat);
}

void compat_listen(struct compat *compat, const struct compat_listener *listener, void *owner) {
    compat->listener = listener;
    compat->owner = owner;
}

static int adopt(struct compat *compat, const void *ruleset, size_t size, uint32_t alone) {
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    int error = compat_rules_load(compat, ruleset, alone);
    if (error)
        return error;
    compat->ruleset = ruleset;
    compat->ruleset_size = size;
    if (options->max_rt_ns)
        compat->max_rt_ms = (int64_t)(options->max_rt_ns / 1000000);
    compat->max_resources = options->max_resources ? options->max_resources : COMPAT_RESOURCES;
    return 0;
}

void compat_after_fork(struct compat *compat) {
    const void *ruleset = compat->ruleset;
    size_t ruleset_size = compat->ruleset_size;
    struct compat_arena arena = compat->arena;
    uint64_t seed = compat->seed;
    uint32_t epoch = compat->epoch + 1;
    const struct compat_listener *listener = compat->listener;
    void *owner = compat->owner;
    memset(compat, 0, offsetof(struct compat, pending));
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) /* looked at first: most of these pages were never touched */
        if (compat->pending[i].state)
            compat->pending[i].state = 0;
    compat->seed = seed;
    compat->epoch = epoch ? epoch : 1;
    compat->listener = listener;
    compat->owner = owner;
    compat->arena.chunks = arena.chunks;
    begin(compat, arena.limit, arena.dirty);
    if (ruleset)
        adopt(compat, ruleset, ruleset_size, 0);
}

int compat_adopt_others(struct compat *compat, const void *ruleset, size_t size, uint32_t alone) {
    if (!compat_lock(compat, COMPAT_TRIES_ADOPT))
        return -EAGAIN;
    int error = adopt(compat, ruleset, size, alone);
    compat_unlock(compat);
    return error;
}

int compat_adopt(struct compat *compat, const void *ruleset, size_t size) {
    return compat_adopt_others(compat, ruleset, size, 0);
}

int compat_retire(struct compat *compat) {
    if (!compat_lock(compat, COMPAT_TRIES_ADOPT))
        return -EAGAIN;
    compat->ruleset = NULL;
    compat_unlock(compat);
    return 0;
}

const void *compat_ruleset(const struct compat *compat) {
    return compat->ruleset;
}

void compat_sample(struct compat *compat, uint64_t now_ns, const struct engine_sample *sample) {
    (void)now_ns;
    if (!compat_lock(compat, COMPAT_TRIES_EXIT))
        return;
    compat->sample = *sample;
    compat_unlock(compat);
}

uint64_t compat_undecided(const struct compat *compat) {
    return __atomic_load_n(&compat->undecided, __ATOMIC_RELAXED);
}

bool compat_figures(struct compat *compat, uint64_t now_ns, const char *name, size_t length,
                    struct compat_figures *ret_figures) {
    if (!compat_lock(compat, COMPAT_TRIES_EXIT))
        return false;
    struct compat_moment at = compat_moment_of(compat, now_ns);
    struct compat_resource *resource = compat_map_find(&compat->resources, hash_bytes(compat->seed, name, length), name,
                                                       length);
    if (resource)
        *ret_figures = (struct compat_figures){
            .pass = compat_node_sum(&resource->node, &at, NODE_PASS, compat->max_rt_ms),
            .block = compat_node_sum(&resource->node, &at, NODE_BLOCK, compat->max_rt_ms),
            .success = compat_node_sum(&resource->node, &at, NODE_SUCCESS, compat->max_rt_ms),
            .exception = compat_node_sum(&resource->node, &at, NODE_EXCEPTION, compat->max_rt_ms),
            .rt_ms = compat_node_sum(&resource->node, &at, NODE_RT, compat->max_rt_ms),
            .in_flight = resource->node.in_flight,
        };
    compat_unlock(compat);
    return resource != NULL;
}

enum circuit_state compat_circuit(struct compat *compat, const char *name, size_t length) {
    enum circuit_state worst = CIRCUIT_NONE;
    if (!compat_lock(compat, COMPAT_TRIES_EXIT))
        return worst;
    struct compat_resource *resource = compat_map_find(&compat->resources, hash_bytes(compat->seed, name, length), name,
                                                       length);
    if (resource)
        worst = compat_breakers_worst(compat, resource);
    compat_unlock(compat);
    return worst;
}
