/* Hot keys and what is known of each: a bounded map that forgets the least recently looked-up value
 * (ConcurrentLinkedHashMap as Sentinel uses it). */
#ifndef WEIR_RULES_COMPAT_VALUES_H
#define WEIR_RULES_COMPAT_VALUES_H

#include "rules/engine/sentinel/compat_arena.h"

struct compat_key { /* 128 bits of a value and its type: two keyed hashes, in place of the value itself */
    uint64_t a, b;
};
static inline bool compat_key_equal(struct compat_key x, struct compat_key y) {
    return x.a == y.a && x.b == y.b;
}

struct compat_value {
    struct compat_value *chain, *older, *newer;
    struct compat_key key;
    int64_t time_ms; /* token bucket: last refill; queueing: latest pass */
    int64_t amount;  /* token bucket: rest; concurrency: in flight */
};
struct compat_values {
    struct compat_value **slots;
    struct compat_value *oldest, *newest;
    uint32_t size, count, capacity;
};

/* Looks up and counts as a use; NULL if unknown. */
struct compat_value *compat_values_find(struct compat_values *, struct compat_key);
/* The value, made if it is new (*ret_new) and then the newest; NULL without memory. */
struct compat_value *compat_values_get(struct compat_arena *, struct compat_values *, struct compat_key, bool *ret_new);
void compat_values_remove(struct compat_arena *, struct compat_values *, struct compat_value *);
void compat_values_clear(struct compat_arena *, struct compat_values *);

#endif
