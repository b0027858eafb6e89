/* Hot parameters: a limiter for each value of a parameter, in bounded memory (at most 64 bytes a value).
 *
 * A table of values in sets of seven, each with a sliding window (slide.h) in one word, or, of rules with a queue or a
 * burst, a turn or token bucket (queue.h).  When a set is full, a newcomer
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

#include "rules/engine/limiters/in_flight_by_key.h"
#include "rules/engine/limiters/slide.h"
#include "rules/engine/state.h"
#include "rules/engine/engine.h"

enum {
    HOT_WAYS = 7,
    HOT_TEXT = 20,            /* bytes kept of a value, to show it: type, length, text */
    HOT_COMMON_VALUES = 4000, /* capacity of a table that resources share, at most */
    HOT_HEADER_BYTES = 128    /* of the state, at least */
};

struct hot; /* the state */

struct hot_shape { /* from the rule, never from the table: that may lie in memory that others can write to */
    uint32_t sets, lines, buckets; /* lines: of the sketch; buckets: of one of two rows of coarse ones */
    bool slides;                   /* its words are sliding windows (slide.h); else times (queue.h) */
    uint32_t calls;                /* words that count what is in flight (in_flight_by_key.h); 0: a rule about rates */
};
struct hot_shape hot_shape(uint32_t capacity, bool in_flight);
struct hot_shape hot_shape_of(const struct rule *);     /* about hot parameters */
struct hot_shape hot_shape_common(const struct rule *); /* of the table that resources without room share */
uint64_t hot_mark(const struct hot_shape *);            /* distinguishes tables of different shapes */
size_t hot_bytes(const struct hot_shape *);             /* of a state, which begins as zeros */
size_t hot_room(const struct hot_shape *);              /* so many bytes of the memory for states: as they are cut */

struct hot_value {
    uint64_t key; /* hash of type and value; never 0 */
    const char *text;
    size_t length;
    size_t shown; /* at most so much of the text is kept, to be shown */
    uint8_t type;
    bool address; /* may be an IPv6 address, which is kept whole */
};
struct hot_limit {
    struct slide slide; /* of a table that slides, and what it takes; the rest is for those that do not */
    uint32_t n;
    uint64_t cost_ns;     /* of this request */
    uint64_t capacity_ns; /* of the bucket */
    uint64_t patience_ns; /* queueing: the longest wait, */
    uint64_t credit_ns;   /* and what may be ahead of its turn: a burst */
    bool queue;
};

/* The value's place will be needed soon. */
void hot_prefetch(struct hot *, const struct hot_shape *, uint64_t key);

enum hot_answer { HOT_PASS, HOT_BLOCK };
/* `ret_state` (NULL for a value outside of the table), before and after are for queue_return. */
enum hot_answer hot_take(struct hot *, const struct hot_shape *, const struct hot_value *, const struct hot_limit *,
                         uint64_t now_ns, uint64_t *ret_wait_ns, uint64_t **ret_state, uint64_t *ret_before,
                         uint64_t *ret_after);

enum { HOT_ALONE = UINT8_MAX + 1 };
/* Concurrency per value; a table is used for one or the other.  `who` is the process's slot in shared memory, or in its
 * own memory HOT_ALONE + its incarnation: a forked child starts from nothing.  `ret_place` goes to
 * hot_leave. */
enum hot_answer hot_enter(struct hot *, const struct hot_shape *, const struct hot_value *, uint32_t who,
                          uint32_t limit, uint32_t n, uint64_t now_ns, uint32_t *ret_place, uint32_t *ret_left);
void hot_leave(struct limiter_state *, size_t bytes, uint32_t who, uint32_t place, uint32_t n);
/* `bytes` of the state may be used.  Nothing in flight?  And: the process is dead, which had so much in flight. */
bool hot_is_idle(const struct limiter_state *, size_t bytes);
void hot_reclaim(struct limiter_state *, size_t bytes, uint32_t slot);

/* Is it time to show the table's most frequent values?  About once a second one caller is asked to. */
bool hot_show_due(struct hot *, uint64_t now_ns);
/* The most frequent values, most frequent first, in a few memory accesses: those that were noticed as they were
 * counted. Returns how many; `ret_span_ns` is the time that they are about. */
size_t hot_show(struct hot *, const struct hot_shape *, uint64_t now_ns,
                struct layout_hot_value ret_values[static LAYOUT_HOT_VALUES], uint64_t *ret_span_ns);

/* The same from the whole table, however long that takes. */
size_t hot_top(const struct limiter_state *, const struct hot_shape *, struct engine_hot_key *ret_values, size_t max);
bool hot_tracks(struct hot *, const struct hot_shape *, uint64_t key); /* for tests */

#endif
