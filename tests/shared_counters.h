/* An app's counters file in memory that forked children share: what the agent makes, for tests that have none. */
#ifndef WEIR_TESTS_SHARED_COUNTERS_H
#define WEIR_TESTS_SHARED_COUNTERS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rules/counters.h"
#include "rules/engine/engine.h"
#include "rules/pages.h"

/* How many records of each section may be used; all of them, unless a test says less. */
__attribute__((unused)) static uint32_t shared_allocated[LAYOUT_SECTIONS_MAX];

static inline struct layout_counters_header *shared_counters(uint64_t hash_seed) {
    void *base = mmap(NULL, counters_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                      0);
    if (base == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    memcpy(shared_allocated, counters_all, sizeof shared_allocated);
    counters_format(base, "test", hash_seed, 0, 0);
    return base;
}

static inline void shared_free(struct layout_counters_header *header) {
    munmap(header, counters_bytes());
}

static inline struct counters shared_map(struct layout_counters_header *header) {
    struct counters map;
    if (!counters_open_whole(&map, header, counters_bytes(), "test", shared_allocated))
        abort();
    return map;
}

static inline void *shared_at(struct layout_counters_header *header, enum layout_section_id id, uint32_t index) {
    struct counters map = shared_map(header);
    return counters_at(&map, id, index);
}

static inline struct engine *shared_engine(struct layout_counters_header *header, uint32_t slot) {
    struct counters map;
    if (header)
        map = shared_map(header);
    struct engine *engine = engine_new(&pages_memory, header ? &map : NULL, slot);
    if (!engine)
        abort();
    return engine;
}

static inline void shared_reclaim(struct layout_counters_header *header, uint32_t slot, uint64_t owner) {
    struct counters map = shared_map(header);
    engine_reclaim(&map, slot, owner);
}

#endif
