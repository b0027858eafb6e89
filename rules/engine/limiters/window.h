/* "At most `limit` per interval, whatever interval": the sliding window of QPS rules.  Lock-free, safe against kill -9.
 *
 * Source: the sliding window log of counters ("sliding window counter" with fine buckets) with a running sum, made
 * lock-free by tagging every word with its tick.  Error bound: time is cut into ticks of interval / WINDOW_TICKS; what
 * was admitted in ticks T - WINDOW_TICKS … T counts at T.  Every interval, at whatever offset, lies within those ticks,
 * so none admits more than the limit; and since at most one tick too much is counted, under steady excess at least
 * WINDOW_TICKS / (WINDOW_TICKS + 1) = 98.86 % of the limit is admitted. */
#ifndef WEIR_RULES_ENGINE_WINDOW_H
#define WEIR_RULES_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

enum { WINDOW_TICKS = 87, WINDOW_SLOTS = WINDOW_TICKS + 1, WINDOW_POTS = 4 };

struct window {
    struct limiter_state base;
    uint64_t head;      /* tick << 32 | what counts at that tick (an upper bound) */
    uint32_t oldest;    /* tick of the oldest slot that counts: when something becomes free again (a hint) */
    uint32_t full_tick; /* last tick at which the limit was met (warm-up) */
    uint64_t warm;      /* warm_up.c */
    uint64_t turn;      /* queue.c: burst of a rule with "burst" */
    struct {
        uint64_t pot; /* tick << 32 | permits taken from the head beforehand, good in that tick only */
        uint64_t pad[7];
    } pots[WINDOW_POTS];
    uint64_t slots[WINDOW_SLOTS]; /* [tick % WINDOW_SLOTS]: tick << 32 | admitted, or lying in a pot, in that tick */
};
_Static_assert(sizeof(struct window) == 1024, "window");

struct window_clock {    /* of one rule, made once */
    uint64_t reciprocal; /* 2^64 / ns of a tick */
    uint64_t tick_ns;
};
void window_clock_init(struct window_clock *, uint64_t interval_ns, unsigned ticks);
static inline __attribute__((always_inline)) uint32_t window_tick(const struct window_clock *clock, uint64_t now_ns) {
    return (uint32_t)((__uint128_t)now_ns * clock->reciprocal >> 64);
}

/* Takes n permits, or none.  `shard` spreads threads over the pots.  `ret_tick` is for window_return;
 * `ret_left` what is left of the limit. */
bool window_take(struct window *, const struct window_clock *, uint64_t now_ns, uint32_t limit, uint32_t n,
                 unsigned shard, uint32_t *ret_tick, uint32_t *ret_left);
/* Gives back what was taken: a later rule refused the request. */
void window_return(struct window *, uint32_t tick, uint32_t n, unsigned shard);
/* Counts without asking (rejected requests of a rule with penalty, a related resource's passes). */
void window_record(struct window *, const struct window_clock *, uint64_t now_ns, uint32_t n);
/* What counts now. */
uint32_t window_sum(struct window *, const struct window_clock *, uint64_t now_ns);
/* How long until something becomes free. */
uint64_t window_retry_ns(struct window *, const struct window_clock *, uint64_t now_ns);

/* The limiter of QPS rules, with warm-up and burst. */
struct decision;
struct binding;
bool window_check(struct decision *, struct binding *, uint32_t resource, uint32_t n);
/* The threshold of this moment: that of the rule, or less while it is cold. */
uint32_t window_limit_now(struct decision *, const struct binding *, struct window *);

#endif
