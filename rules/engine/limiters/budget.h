/* Overload protection by the use of the CPU: a virtual queue, served at the rate that keeps the CPU at its target.
 *
 * What is admitted joins the queue; a request is rejected while the queue is longer than its place in it, which is the
 * further back the more important the request is.  So the queue settles where just enough requests find their place,
 * whatever the load is, and within a fraction of a second when it changes (the adaptive virtual queue of Kunniyur and
 * Srikant, 2001).  The CPU's samples, which come twice a second and late, set no more than its rate: requests and the
 * CPU that they use are proportional; and where the CPU is used up, so that its use says nothing any more, what is
 * completed is what the application can do.
 *
 * The deciding parts, pure; by_cpu.c asks them.  Any number of threads and processes at once; each word is read once.
 */
#ifndef WEIR_RULES_ENGINE_LIMITERS_BUDGET_H
#define WEIR_RULES_ENGINE_LIMITERS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

struct budget { /* LIMITER_BUDGET */
    struct limiter_state base;
    uint64_t stepped_ns; /* of the last control step; who swaps it does the step */
    uint64_t free_ns;    /* when the virtual queue will be empty */
    uint64_t rate;       /* double: requests a second that it is served at; 0 = no limit */
    uint64_t capacity;   /* double: completions a second while the CPU was used up */
    uint64_t done_rate;  /* double: completions a second of late; 0 = unknown */
    uint64_t since_ns;   /* since when there has been a limit; 0 = there is none */
    uint32_t done;       /* requests completed, asked while there was a limit, and rejected; and at the last step */
    uint32_t asked, rejected, done_before, asked_before, rejected_before;
    uint32_t share;     /* rejected of those asked in the last step, of 2^32 */
    uint32_t used_up;   /* steps in a row with the CPU used up */
    uint32_t above;     /* steps in a row with the CPU above its target */
    uint32_t spare;     /* steps in a row in which nothing had to be rejected */
    uint32_t waited_us; /* how long requests waited to be read, of late */
    uint32_t reserved;
};
_Static_assert(sizeof(struct budget) == 128, "budget");

void budget_done(struct budget *);                       /* a request completed */
void budget_waited(struct budget *, uint64_t waited_ns); /* one that waited so long was read */
struct budget_sample {
    double cpu, target; /* what the application uses of what it can use, 0…1, since the last step; < 0: unknown */
    double cpus_used;   /* of the time of the CPUs that it may use, by all programs, 0…1; 0: unknown */
    bool backlog;       /* more is in flight than it can work on; requests that wait to be read are known already */
    bool simulated;     /* what is rejected is admitted all the same, so that no backlog can be made to go */
};
/* A control step, if one is due: about every 500 ms.  False: it was not. */
bool budget_step(struct budget *, uint64_t now_ns, const struct budget_sample *);
/* `place`: 0…1, how far back in the queue the request may stand.  `exempt`: it joins whatever its length. */
bool budget_admits(struct budget *, uint64_t now_ns, double place, bool exempt);
double budget_rejected_share(const struct budget *); /* of the last step */
double budget_rate(const struct budget *);           /* requests a second; 0 = no limit */
uint64_t budget_since_ns(const struct budget *);     /* 0 = no limit */
bool budget_is_used_up(const struct budget *);       /* the CPU was used up at the last step */
bool budget_is_above(const struct budget *);         /* there is a limit, and the CPU was above its target */

#endif
