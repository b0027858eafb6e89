/* The table of hot keys (hot_param.h) as its own files see it. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_HOT_TABLE_H
#define WEIR_RULES_ENGINE_LIMITERS_HOT_TABLE_H

#include <string.h>

#include "rules/atomic.h"
#include "rules/engine/limiters/hot_param.h"

enum {
    TEXT_WORDS = HOT_TEXT / 4,
    TEXT_MOST = HOT_TEXT - 2,
    SKETCH_LINE = 64,
    AGE_SHIFT = 33, /* frequencies are halved every 8.6 s */
    HALVINGS_MOST = 24,
};
_Static_assert(TEXT_MOST <= (int)LAYOUT_HOT_TEXT, "what is kept can be shown");

struct set {
    uint64_t keys[HOT_WAYS];
    uint8_t frequency[8];
    uint64_t states[HOT_WAYS]; /* time the bucket is full again; of rules about requests in flight unused */
    uint64_t age;
    uint32_t hits[HOT_WAYS]; /* what the frequencies cannot hold, carried over in lumps */
    uint32_t texts[HOT_WAYS][TEXT_WORDS];
    uint16_t blocked[HOT_WAYS]; /* low bits, and high ones: how many of them were rejected */
    uint8_t blocked_high[HOT_WAYS];
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct set) == 320, "set");

struct hot {
    struct limiter_state base;
    uint32_t calls;       /* words behind the header, for those who do not know the rule any more */
    uint32_t reach;       /* of a window of them (in_flight_by_key.h) */
    uint32_t incarnation; /* of the process that counts in its own memory */
    uint32_t floor;       /* what is seen no more often is none of the top */
    uint64_t shown_ns, born_ns;
    uint32_t top[LAYOUT_HOT_VALUES]; /* places of the most frequent values, + 1 */
    uint32_t reserved[4];
    uint64_t words[];
};
_Static_assert(sizeof(struct hot) == HOT_HEADER_BYTES, "hot");

static inline struct set *sets_of(const struct hot *hot, const struct hot_shape *shape) {
    return (struct set *)(hot->words + shape->calls);
}

/* The words for values outside of the table: two rows. */
static inline uint64_t *coarse_of(const struct hot *hot, const struct hot_shape *shape) {
    return (uint64_t *)((uint8_t *)(sets_of(hot, shape) + shape->sets) + (size_t)shape->lines * SKETCH_LINE);
}

static inline uint32_t blocked_of(const struct set *set, unsigned way) {
    return (uint32_t)load_relaxed(&set->blocked_high[way]) << 16 | load_relaxed(&set->blocked[way]);
}

static inline unsigned halvings_since(uint64_t then, uint64_t now) {
    return then > now ? 0 : now - then < HALVINGS_MOST ? (unsigned)(now - then) : HALVINGS_MOST;
}

/* How often seen lately, whichever request ages the set. */
static inline uint32_t weight_of(const struct set *set, unsigned way, uint64_t now_ns) {
    if (!load_relaxed(&set->keys[way]))
        return 0;
    return (load_relaxed(&set->frequency[way]) + load_relaxed(&set->hits[way])) >>
           halvings_since(load_relaxed(&set->age), now_ns >> AGE_SHIFT);
}

static inline const struct set *place_at(const struct hot *hot, const struct hot_shape *shape, uint32_t place,
                                         unsigned *ret_way) {
    if (place / HOT_WAYS >= shape->sets)
        return NULL;
    *ret_way = place % HOT_WAYS;
    return &sets_of(hot, shape)[place / HOT_WAYS];
}

static inline struct in_flight_by_key in_flight_of(const struct hot *hot, uint32_t count, uint32_t who) {
    struct hot *table = (struct hot *)hot;
    return (struct in_flight_by_key){
        .words = table->words, .count = count, .reach = &table->reach, .me = (uint8_t)who, .alone = who >= HOT_ALONE};
}

#endif
