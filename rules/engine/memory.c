/* The engine's private memory: what it is made of, and where it comes from. */
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/hash.h"
#include "rules/when.h"

struct part { /* one stretch of the engine's first block */
    size_t at, size;
};
enum {
    PART_ENGINE,
    PART_AREA,
    PART_INDEX,
    PART_COUNTERS, /* only without an app's */
    PARTS
};

static size_t lay_out(struct part parts[PARTS], bool shared) {
    const size_t sizes[PARTS] = {
        [PART_ENGINE] = sizeof(struct engine),
        [PART_AREA] = sizeof(struct layout_area),
        [PART_INDEX] = ENGINE_STATE_INDEX * sizeof(uint32_t),
        [PART_COUNTERS] = shared ? 0 : counters_offset(LAYOUT_AREAS),
    };
    size_t at = 0;
    for (unsigned i = 0; i < PARTS; i++) {
        parts[i] = (struct part){at, sizes[i]};
        at += LAYOUT_ALIGN(sizes[i]);
    }
    return at;
}

/* Without an app's file: counters of the same layout, in our own memory, but for what others than oneself would look
 * at. */
static void private_counters(struct engine *engine, struct layout_counters_header *header) {
    counters_format(header, "", 0, 0, 0);
    counters_open_whole(&engine->map, header, counters_bytes(), "", counters_all);
}

static void make_spaces(struct engine *engine, uint32_t *index) {
    engine->chunks.memory = engine->memory;
    engine->own = (struct state_space){.roots = &engine->own_roots,
                                       .index = index,
                                       .half = ENGINE_STATE_INDEX / 2,
                                       .chunks = &engine->chunks,
                                       .used = &engine->own_used};
    engine->app = state_space_shared(&engine->map);
}

struct engine *engine_new(const struct engine_memory *memory, const struct counters *shared, uint32_t slot) {
    struct part parts[PARTS];
    size_t size = lay_out(parts, shared != NULL);
    char *base = memory->take(memory->context, size);
    struct engine *engine = (struct engine *)base;
    if (!engine)
        return NULL;
    engine->memory = *memory;
    engine->bytes = size;
    engine->shared = shared != NULL;
    if (shared)
        engine->map = *shared;
    else
        private_counters(engine, (struct layout_counters_header *)(base + parts[PART_COUNTERS].at));
    engine->counters = engine->map.header;
    engine->private_area = (struct layout_area *)(base + parts[PART_AREA].at);
    make_spaces(engine, (uint32_t *)(base + parts[PART_INDEX].at));
    for (unsigned i = 0; i < 2; i++)
        engine->compiled[i].chunks.memory = engine->memory;
    engine->current = ENGINE_NO_RULES;
    engine->slot = engine->area = UINT32_MAX;
    engine->incarnation = 1;
    engine->wall_s = WHEN_NEVER;              /* beyond all moments: in force */
    engine->cpu = engine->load1 = UINT64_MAX; /* NaN: unknown */
    engine_set_slot(engine, slot, 0);
    return engine;
}

void engine_free(struct engine *engine) {
    struct engine_memory memory = engine->memory;
    for (unsigned i = 0; i < POLICIES; i++)
        policies[i]->end(engine);
    for (unsigned i = 0; i < ENGINE_SCRATCHES; i++)
        if (engine->scratches[i])
            memory.give(memory.context, engine->scratches[i], PATTERN_SCRATCH);
    for (unsigned i = 0; i < 2; i++)
        chunks_free(&engine->compiled[i].chunks);
    chunks_free(&engine->chunks);
    memory.give(memory.context, engine, engine->bytes);
}

struct counters *engine_counters(struct engine *engine) {
    return &engine->map;
}
