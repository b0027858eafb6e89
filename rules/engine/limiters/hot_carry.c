#include "rules/engine/limiters/hot_carry.h"

#include "rules/engine/limiters/hot_table.h"

/* The shape in two words; then entries: a word with a number, and a set, or, of numbers from COARSE on, a coarse word.
 */
enum { SHAPE_WORDS = 2, SET_WORDS = sizeof(struct set) / sizeof(uint64_t) };
static const uint64_t COARSE = 1ull << 32;

static bool in_use(const struct set *set) {
    for (unsigned i = 0; i < HOT_WAYS; i++)
        if (load_relaxed(&set->keys[i]) && load_relaxed(&set->states[i]))
            return true;
    return false;
}

static bool add(uint64_t *to, size_t *at, size_t room, uint64_t number, const void *what, size_t words) {
    if (room - *at < words + 1)
        return false;
    to[(*at)++] = number;
    memcpy(to + *at, what, words * sizeof(uint64_t));
    *at += words;
    return true;
}

size_t hot_save(const struct limiter_state *state, const struct hot_shape *shape, void *to, size_t size,
                bool *ret_room) {
    const struct hot *hot = (const struct hot *)state;
    size_t at = SHAPE_WORDS, room = size / sizeof(uint64_t);
    uint64_t *words = to;
    *ret_room = room >= SHAPE_WORDS;
    for (uint32_t i = 0; *ret_room && i < shape->sets; i++)
        if (in_use(&sets_of(hot, shape)[i]))
            *ret_room = add(words, &at, room, i, &sets_of(hot, shape)[i], SET_WORDS);
    for (uint32_t i = 0; *ret_room && i < 2 * shape->buckets; i++)
        if (load_relaxed(&coarse_of(hot, shape)[i]))
            *ret_room = add(words, &at, room, COARSE + i, &coarse_of(hot, shape)[i], 1);
    if (!*ret_room || at == SHAPE_WORDS)
        return 0;
    words[0] = pack(shape->sets, shape->lines);
    words[1] = pack(shape->buckets, shape->slides);
    return at * sizeof(uint64_t);
}

bool hot_saved_shape(const void *from, size_t size, struct hot_shape *ret_shape) {
    const uint64_t *words = from;
    if (size < SHAPE_WORDS * sizeof(uint64_t))
        return false;
    *ret_shape = (struct hot_shape){.sets = high_of(words[0]),
                                    .lines = low_of(words[0]),
                                    .buckets = high_of(words[1]),
                                    .slides = low_of(words[1]) == 1};
    uint32_t most = LAYOUT_CELL_BYTES_MAX / SKETCH_LINE;
    return ret_shape->sets && ret_shape->sets < most && ret_shape->lines && ret_shape->lines < most &&
           ret_shape->buckets && ret_shape->buckets < most && hot_bytes(ret_shape) <= LAYOUT_CELL_BYTES_MAX;
}

static uint64_t moved(uint64_t word, const struct hot_shape *shape, uint64_t interval_ns,
                      const struct carry_clock *clock) {
    if (!shape->slides && word >> 63)
        return 0;
    return slide_moved(word, interval_ns, clock->saved_ns, clock->elapsed_ns, clock->now_ns);
}

bool hot_restore(struct limiter_state *state, const struct hot_shape *shape, const void *from, size_t size,
                 uint64_t interval_ns, const struct carry_clock *clock) {
    struct hot *hot = (struct hot *)state;
    const uint64_t *words = from;
    size_t count = size / sizeof(uint64_t), at = SHAPE_WORDS;
    while (at < count) {
        uint64_t number = words[at++];
        bool single = number >= COARSE;
        if (count - at < (single ? 1 : (size_t)SET_WORDS) ||
            (single ? number - COARSE >= 2 * shape->buckets : number >= shape->sets))
            return false;
        if (single) {
            coarse_of(hot, shape)[number - COARSE] = moved(words[at++], shape, interval_ns, clock);
            continue;
        }
        struct set *set = &sets_of(hot, shape)[number];
        memcpy(set, words + at, sizeof(*set));
        at += SET_WORDS;
        set->age = clock->now_ns >> AGE_SHIFT;
        for (unsigned i = 0; i < HOT_WAYS; i++)
            set->states[i] = moved(set->states[i], shape, interval_ns, clock);
    }
    return true;
}
