/* Circuit breaking.
 *
 *            bad share in the window above the threshold
 *   CLOSED ───────────────────────────────────────────────► OPEN ◄──────────────┐
 *      ▲                                                     │ timeWindow over   │ the probe was bad,
 *      │  the probe was good, or the last stage judged good  ▼                   │ or a stage judged bad
 *      └────────────────────────────────────────────── HALF_OPEN ───────────────┘
 *
 * Source: Sentinel's circuit breakers, with three differences: a sliding window instead of one bucket; only the probe
 * itself decides about the probe; and it is lent for a time: if it has not come back by then (client gone, process
 * killed), the next request is the probe.  With recovery "gradual" HALF_OPEN has stages 1 … N; stage k lets k / N of
 * the calls through and is judged when stepMinPass calls that it let through have completed.
 *
 * State is one word, swapped as a whole, so that a process killed anywhere leaves a legal state. */
#ifndef WEIR_RULES_ENGINE_BREAKER_H
#define WEIR_RULES_ENGINE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/engine.h"
#include "rules/engine/limiters/window.h"

enum { BREAKER_TICKS = 23, BREAKER_SLOTS = BREAKER_TICKS + 1 };

struct breaker {
    struct limiter_state base;
    /* enum circuit_state (0 counts as closed) 2 bits, stage 6, slot of the probe's process 8, time 48 (100 us) */
    uint64_t state;
    uint64_t stage;    /* stamp << 32 | completed << 16 | bad, of the stage with that stamp */
    uint32_t seen;     /* calls that met this stage */
    uint32_t bad_tick; /* of the last bad call (a hint) */
    uint32_t streak;   /* DEGRADE_AVG_RT: completions in a row with the mean above the threshold */
    uint32_t reserved;
    struct {
        uint64_t total; /* tick << 32 | completed */
        uint64_t bad;   /* tick << 32 | bad ones; DEGRADE_AVG_RT: sum of latencies in 100 us */
    } ring[BREAKER_SLOTS];
};
_Static_assert(sizeof(struct breaker) == 448, "breaker");

struct breaker_change { /* of state; from == to: none */
    uint8_t from, to;
};

enum breaker_answer { BREAKER_PASS, BREAKER_BLOCK, BREAKER_LEND };
/* Looks, and changes nothing.  BREAKER_LEND: passes if breaker_lend() agrees. */
enum breaker_answer breaker_ask(const struct breaker *, uint64_t now_ns, uint64_t *ret_retry_ns);

enum breaker_loan { LOAN_NONE, LOAN_PROBE, LOAN_STAGE };
/* True: the call may go; with a loan it carries `ret_stamp` to its completion. */
bool breaker_lend(struct breaker *, const struct rule *, uint64_t now_ns, uint32_t slot, enum breaker_loan *ret_loan,
                  uint32_t *ret_stamp, struct breaker_change *ret_change);
/* The call with this loan never ran. */
void breaker_return(struct breaker *, uint64_t now_ns, uint32_t stamp);
/* A call completed. */
void breaker_done(struct breaker *, const struct rule *, const struct window_clock *, uint64_t now_ns, uint64_t rt_ns,
                  bool error, enum breaker_loan, uint32_t stamp, struct breaker_change *ret_change);
void breaker_reclaim(struct breaker *, uint32_t slot); /* the process that may hold the probe is dead */
enum circuit_state breaker_state(const struct breaker *);

#endif
