/* Hot parameters: a limiter for each value of a parameter, in bounded memory (at most 64 bytes a value).
 *
 * A table of values in sets of seven, each with a token bucket (queue.h) in one word.  When a set is full, a newcomer
 * is let in only if it has been seen more often than the least frequent of the set: a count-min sketch, aged by its own
 * traffic, estimates that.  So a flood of values seen once cannot wash out those that come again and again.
 * What is not in the table is limited all the same: by a coarse bucket, the lesser of two that it shares with others by
 * hash.  A value that leaves the table leaves its bucket there, and finds it there when it comes back.
 *
 * Sources: W-TinyLFU (Einziger, Friedman, Manes 2017) for admission; count-min with conservative update (Estan,
 * Varghese 2002), for frequencies and, with time of refill in place of counts, for the coarse buckets. */
#ifndef WEIR_RULES_ENGINE_HOT_PARAM_H
#define WEIR_RULES_ENGINE_HOT_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cell.h"
#include "engine.h"

enum { HOT_WAYS = 7, HOT_TEXT = 20 /* bytes kept of a value, to show it: type, length, text */ };

struct hot; /* the cell */

struct hot_shape { /* from the rule, never from the table: that may lie in memory that others can write to */
    uint32_t sets, lines, buckets; /* lines: of the sketch; buckets: of one of two rows of coarse ones */
};
struct hot_shape hot_shape(uint32_t capacity);
size_t hot_bytes(const struct hot_shape *); /* of a cell, which begins as zeros */

struct hot_value {
    uint64_t key; /* hash of type and value; never 0 */
    const char *text;
    size_t length;
    uint8_t type;
};
struct hot_limit {
    uint64_t cost_ns;     /* of this request */
    uint64_t capacity_ns; /* of the bucket */
    uint64_t patience_ns; /* queueing: the longest wait */
    bool queue;
};

/* The value's place will be needed soon. */
void hot_prefetch(struct hot *, const struct hot_shape *, uint64_t key);

enum hot_answer { HOT_PASS, HOT_BLOCK };
/* `ret_state` (NULL for a value outside of the table), before and after are for queue_return. */
enum hot_answer hot_take(struct hot *, const struct hot_shape *, const struct hot_value *, const struct hot_limit *,
                         uint64_t now_ns, uint64_t *ret_wait_ns, uint64_t **ret_state, uint64_t *ret_before,
                         uint64_t *ret_after);
/* Concurrency per value; a table is used for one or the other.  A forked child (another incarnation) starts from
 *  nothing. HOT_PASS with `ret_place` UINT32_MAX: all of the value's set are busy with others, not counted. */
enum hot_answer hot_enter(struct hot *, const struct hot_shape *, const struct hot_value *, uint32_t incarnation,
                          uint32_t limit, uint64_t now_ns, uint32_t *ret_place);
void hot_leave(struct cell *, uint32_t place); /* in the process's own memory only */
bool hot_is_idle(const struct cell *);         /* nothing in flight */

/* The most frequent values, most frequent first; returns how many. */
size_t hot_top(const struct cell *, const struct hot_shape *, struct engine_hot_value *ret_values, size_t max);
bool hot_tracks(struct hot *, const struct hot_shape *, uint64_t key); /* for tests */

#endif
