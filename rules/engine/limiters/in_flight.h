/* Concurrency: at most `limit` in flight.
 *
 * Scope process: one word.  Scope app: a word for each process, so that what a dead process held can be cleared, and
 * nothing else; who acquires adds to its own word first and then looks at the sum of all: of two who race for
 * the last place at least one sees both, so the limit is never passed (both may see it, then they try again). */
#ifndef WEIR_RULES_ENGINE_LIMITERS_IN_FLIGHT_H
#define WEIR_RULES_ENGINE_LIMITERS_IN_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/state.h"

struct in_flight_local { /* LIMITER_IN_FLIGHT_LOCAL */
    struct limiter_state base;
    uint64_t word; /* incarnation << 32 | in flight: a forked child starts from nothing */
    uint64_t reserved[3];
};
_Static_assert(sizeof(struct in_flight_local) == 64, "in_flight_local");

struct in_flight_shared { /* LIMITER_IN_FLIGHT_SHARED */
    struct limiter_state base;
    uint32_t slots; /* words in use so far: those beyond are 0 */
    uint32_t reserved[7];
    uint32_t words[LAYOUT_PROCESSES];
};
_Static_assert(sizeof(struct in_flight_shared) == 1088, "in_flight");

bool in_flight_local_take(struct in_flight_local *, uint32_t incarnation, uint32_t limit, uint32_t n,
                          uint32_t *ret_left);
void in_flight_local_add(struct in_flight_local *, uint32_t incarnation, uint32_t n); /* without asking */
void in_flight_local_return(struct in_flight_local *, uint32_t incarnation, uint32_t n);
uint32_t in_flight_local_now(const struct in_flight_local *, uint32_t incarnation);

bool in_flight_shared_take(struct in_flight_shared *, uint32_t slot, uint32_t limit, uint32_t n, uint32_t *ret_left);
void in_flight_shared_add(struct in_flight_shared *, uint32_t slot, uint32_t n);
void in_flight_shared_return(struct in_flight_shared *, uint32_t slot, uint32_t n);
uint32_t in_flight_shared_now(const struct in_flight_shared *);

struct decision;
struct binding;
/* Takes n for the request, which holds them until its end; `ask`: only within the limit.  False: rejected.  And looks.
 */
bool in_flight_take(struct decision *, struct binding *, uint32_t resource, uint32_t limit, uint32_t n, bool ask,
                    uint32_t *ret_left);
uint32_t in_flight_now(struct decision *, struct binding *, uint32_t resource);

#endif
