/* Overload protection: how much of the traffic to shed.  The deciding parts, pure; shed.c asks them. */
#ifndef WEIR_RULES_ENGINE_ADAPTIVE_H
#define WEIR_RULES_ENGINE_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

enum { ADAPTIVE_PRIORITIES = 3 };

struct adaptive { /* LIMITER_ADAPTIVE */
    struct limiter_state base;
    uint64_t sampled_ns;                  /* of the last control step; who swaps it does the step */
    uint64_t admit;                       /* double: logarithm of the admitted share, <= 0 (cpu) */
    uint64_t error;                       /* double: last error (cpu) */
    uint64_t former[2];                   /* older libraries' */
    uint64_t reported_ns;                 /* of the last event of this episode; 0 = no episode */
    uint32_t seen[ADAPTIVE_PRIORITIES];   /* requests by priority */
    uint32_t before[ADAPTIVE_PRIORITIES]; /* the same at the last step */
    uint32_t reject[ADAPTIVE_PRIORITIES]; /* share to be rejected, of 2^32 */
    uint32_t hot;                         /* CPU was above the target at the last step */
    uint32_t used_up;                     /* the CPU was used up at the last step */
    uint32_t reserved;
    uint64_t shed_ns;      /* older libraries' */
    uint64_t passed_ns[2]; /* when a request passed last, to a tenth of a second; [1]: of the critical ones */
};
_Static_assert(sizeof(struct adaptive) == 152, "adaptive");

/* Algorithm cpu.  A step about every 500 ms: the CPU use of the time since the last one, < 0 if unknown. */
bool adaptive_cpu_step(struct adaptive *, uint64_t now_ns, double cpu, double target);
double adaptive_rejected_share(const struct adaptive *);
/* Is this request among the share to be rejected?  The ones that are, are spread evenly. */
bool adaptive_rejects(struct adaptive *, unsigned priority);

/* What becomes of a request that is to pass, or not: however loaded it seems, no second goes by without one that
 * passes, and one that is critical. Otherwise wrong measurements could shut an application off. */
bool adaptive_minimum(struct adaptive *, uint64_t now_ns, unsigned priority, bool pass);

/* An episode began (1), goes on (2), ended (3), or nothing to say (0). */
enum { EPISODE_NOTHING, EPISODE_BEGINS, EPISODE_GOES_ON, EPISODE_ENDS };
unsigned adaptive_episode(struct adaptive *, uint64_t now_ns, bool shedding);

#endif
