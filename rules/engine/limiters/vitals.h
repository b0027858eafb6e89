/* How the application fares: completions and latency of all inbound requests, over the last seconds. */
#ifndef WEIR_RULES_ENGINE_VITALS_H
#define WEIR_RULES_ENGINE_VITALS_H

#include <stdint.h>

#include "rules/engine/state.h"

enum { VITALS_SLOTS = 40 }; /* of 250 ms */

struct vitals {
    struct limiter_state base;
    /* Of the present episode of overload protection (limiters/overload.c); 0: there is none, or it is not known. */
    uint64_t begun_ns;
    uint64_t before;  /* double: completions a second before it */
    uint64_t counted; /* in it: requests << 32 | of which were rejected */
    uint64_t marked;  /* the same, when it was last reported */
    struct {
        uint64_t done; /* tick << 32 | completed */
        uint64_t rt;   /* tick << 32 | sum of latencies in us */
    } ring[VITALS_SLOTS];
};
_Static_assert(sizeof(struct vitals) == 704, "vitals");

void vitals_add(struct vitals *, uint64_t now_ns, uint64_t rt_ns);
/* Mean latency of the last second, ns; 0: nothing completed. */
double vitals_mean_rt_ns(const struct vitals *, uint64_t now_ns);
double vitals_a_second(const struct vitals *, uint64_t now_ns); /* completions, of the last whole second */
/* What the application can have in flight without queueing, by Little's law: its best throughput times its best
 * latency, over the last ten seconds (the estimate of TCP BBR).  Best latency: the least mean of a quarter of a second,
 * not of one request, which may have been a trivial one.  0: unknown. */
double vitals_most_a_second(const struct vitals *, uint64_t now_ns); /* best throughput of the last ten seconds */
/* The best latency: the least mean of a quarter of a second, of the last ten seconds; ns, 0: unknown. */
double vitals_best_rt_ns(const struct vitals *, uint64_t now_ns);
double vitals_capacity(const struct vitals *, uint64_t now_ns);

#endif
