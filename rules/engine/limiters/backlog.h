/* Requests that wait within the application, which has read them: in the queue of a thread pool, for a lock, for the
 * CPU.  Their latency, to the first byte of the response, is then a multiple of the resource's own best.
 *
 * While more than half of them take twice their best and some time (`slack_ns`) longer, for an interval, what is in
 * flight is limited to what the application needs to be busy, by Little's law: its throughput times the best latency,
 * and the target of queueing beside it (the estimate of BBR: N. Cardwell et al., "BBR: Congestion-Based Congestion
 * Control", ACM Queue 14(5), 2016).  The best of a resource is the least mean of BACKLOG_WINDOW successes in the last
 * minutes; it is not learnt while there is overload.  Latency that stays when half of what was in flight is gone is no
 * queueing, but a dependency that has become slow, or long polls: then the limit is lifted, and what is best is learnt
 * again.
 *
 * Pure.  Any number of threads and processes at once, as in waiting.h. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_BACKLOG_H
#define WEIR_RULES_ENGINE_LIMITERS_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKLOG_RESOURCES = 256, /* whose best is known: those of the same number modulo that share it */
    BACKLOG_WINDOW = 16,     /* completions that a mean is of */
};

struct backlog {
    uint64_t step_ns; /* atomic; begin of the present interval; who swaps it does the step */
    uint32_t done, late;
    uint64_t best_us;   /* atomic; of what is done, sum of their bests */
    uint64_t late_ns;   /* atomic; since then more than half are late; 0: they are not */
    uint64_t since_ns;  /* atomic; overload since then; 0: none */
    uint64_t over_ns;   /* atomic; when the limit was last reached */
    uint64_t limit;     /* atomic; double: in flight */
    uint64_t rate;      /* atomic; double: completions a second, the best of late */
    uint64_t mean_ns;   /* atomic; mean of the bests, of what was done in the last interval */
    uint64_t begun;     /* atomic; double: in flight when it began */
    uint64_t halved_ns; /* atomic; since then no more than half of that is in flight; 0: more */
    uint64_t trust_ns;  /* atomic; before that time it does not begin again */
    uint32_t refuted;   /* atomic; how often in a row latency was no queueing */
    uint32_t half;      /* atomic; which of `best` is being learnt */
    uint64_t turned_ns; /* atomic; since when */
    struct {
        uint64_t sum; /* atomic; of a window: latencies in us << 32 | how many */
        uint32_t best[2];
    } of[BACKLOG_RESOURCES];
};

/* A request has its response's first byte, after so long since it was read; `success`: and no error.  True: an interval
 * is over, and a step is due. */
bool backlog_done(struct backlog *, uint64_t now_ns, uint32_t resource, uint64_t rt_ns, bool success, uint64_t slack_ns,
                  uint64_t interval_ns);
void backlog_step(struct backlog *, uint64_t now_ns, uint32_t in_flight, uint64_t target_ns, uint64_t interval_ns);
/* What may be in flight; 0: no limit. */
double backlog_limit(struct backlog *, uint64_t now_ns);
/* A request was over the limit.  It ends a second after the last that was. */
void backlog_over(struct backlog *, uint64_t now_ns);
/* The part of the limit that is a request's, by priority and luck as in waiting.h. */
double backlog_part(unsigned priority, double luck);

#endif
