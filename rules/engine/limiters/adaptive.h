/* Overload protection: what its algorithms have in common.  Pure; overload.c and by_cpu.c ask them. */
#ifndef WEIR_RULES_ENGINE_ADAPTIVE_H
#define WEIR_RULES_ENGINE_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

enum { ADAPTIVE_PRIORITIES = 3 };

struct adaptive { /* LIMITER_ADAPTIVE */
    struct limiter_state base;
    uint64_t former[5];   /* older libraries' */
    uint64_t reported_ns; /* of the last event of this episode; 0 = no episode */
    uint64_t former_too[9];
    uint64_t checks;    /* second << 32 | health checks that were let through in it */
    uint64_t passed[2]; /* second << 32 | requests that passed in it, as far as they matter; [1]: critical ones */
};
_Static_assert(sizeof(struct adaptive) == 176, "adaptive");

/* What becomes of a request that is to pass, or not: however loaded it seems, no second goes by without `least`
 * requests that pass, and so many that are critical.  Otherwise wrong measurements could shut an application off. */
bool adaptive_minimum(struct adaptive *, uint64_t now_ns, unsigned priority, uint32_t least, bool pass);

/* Have that many, of all priorities, passed in this second?  Then one that is rejected is not one of the minimum. */
bool adaptive_has_minimum(const struct adaptive *, uint64_t now_ns, uint32_t least);
/* One of the few health checks a second that are let through? */
bool adaptive_health(struct adaptive *, uint64_t now_ns);

/* When a rejected request may try again: what has lasted so long lasts as long again (J. R. Gott's estimate), but 1 s
 * at least and 30 s at most; ± a quarter by the caller's luck (0…1), so that not all of them are back at once. */
uint64_t adaptive_retry_ns(uint64_t now_ns, uint64_t since_ns, double luck);

/* An episode began (1), goes on (2), ended (3), or nothing to say (0). */
enum { EPISODE_NOTHING, EPISODE_BEGINS, EPISODE_GOES_ON, EPISODE_ENDS };
unsigned adaptive_episode(struct adaptive *, uint64_t now_ns, bool shedding);

#endif
