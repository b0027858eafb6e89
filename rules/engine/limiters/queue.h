/* Turns: one word that says when the next request may go.  Uniform pacing (queueing rules), and, seen the other way
 * round, the token bucket (bursts, hot keys).
 *
 * Source: the generic cell rate algorithm (ITU-T I.371, virtual scheduling).  Nanoseconds throughout, so that it is
 * exact at any rate up to 10^9 a second (the spacing is rounded up to whole nanoseconds: never early).  One
 * compare-and-swap; a process killed after it leaves a turn unused, which passes by itself. */
#ifndef WEIR_RULES_ENGINE_QUEUE_H
#define WEIR_RULES_ENGINE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

struct queue {
    struct limiter_state base;
    uint64_t turn;    /* engine clock; 0 = never used */
    uint64_t unit_ns; /* the spacing that turn was made with */
    uint64_t warm;    /* warm_up.c */
    uint64_t reserved;
};
_Static_assert(sizeof(struct queue) == 64, "queue");

/* Spacing of `count` per interval. */
uint64_t queue_unit_ns(double count, uint64_t interval_ns);

/* Takes a turn of `cost_ns` that begins at most `patience_ns` from now; `credit_ns` of unused time may be made up for.
 * `ret_wait_ns` is how long until it begins (also on refusal), `ret_before` / `ret_after` for queue_return. */
bool queue_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t patience_ns, uint64_t credit_ns,
                uint64_t *ret_wait_ns, uint64_t *ret_before, uint64_t *ret_after);
/* A token bucket of `capacity_ns`, filled by time: takes `cost_ns` now, or nothing. */
bool queue_bucket_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t capacity_ns, uint64_t *ret_wait_ns,
                       uint64_t *ret_before, uint64_t *ret_after);
/* Gives a turn back, if no other queued up behind it. */
void queue_return(uint64_t *turn, uint64_t before, uint64_t after);
/* The same later, by the low bits of `after` and what the turn had cost. */
void queue_leave(uint64_t *turn, uint32_t after, uint64_t cost_ns);
/* The rule's rate was edited: those who wait in thought now wait at the new one. */
void queue_rescale(struct queue *, uint64_t now_ns, uint64_t unit_ns);

#endif
