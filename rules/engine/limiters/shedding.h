/* What system rules and adaptive protection have in common: they are about the inbound traffic as a whole. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SHEDDING_H
#define WEIR_RULES_ENGINE_LIMITERS_SHEDDING_H

#include "rules/engine/decision.h"
#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/vitals.h"

/* Which of the compiled ruleset's shedders a binding is. */
static inline unsigned shedding_number(const struct decision *decision, const struct binding *binding) {
    return (unsigned)(binding - decision->compiled->shedder);
}
/* Who is shed first: a number in [0, 1) by the caller, the same for all its requests as long as the salt is, so that
 * whole sessions survive.  The caller is its origin's name, or else its address; one that is not known is another each
 * time. */
double shedding_luck(const struct decision *, uint64_t salt);
/* A health check is exempt: an application that is overloaded is not to be restarted for it.  But only a few a second.
 */
bool shedding_health(struct decision *, unsigned i);

struct vitals *shedding_vitals(struct decision *, unsigned i);
struct adaptive *shedding_state(struct decision *, unsigned i); /* NULL: there is no room */
/* What was to pass, or not, does all the same where it is needed for a minimum a second (adaptive.h). */
bool shedding_minimum(struct decision *, unsigned i, uint32_t least, bool pass);
/* For the response's headers: the threshold, and what is left of it. */
void shedding_say(struct decision *, double limit, double left);
/* In flight, and `waiting` to be read, against what the application can carry (0: no limit).  The request is held
 * either way: rejected ones give it back. */
bool shedding_capacity(struct decision *, unsigned i, double capacity, double waiting, bool exempt);

/* Is a request that the application has not read yet to be rejected for how long it waits?  Not where another one might
 * not be, in its place: by mode, by priority, or as one of the few that always pass. */
bool overload_door(struct decision *, struct binding *);
/* The latency of an inbound request is known: where the rule compares what is in flight with what latency makes of it,
 * the request is in flight no longer. */
void shed_done(struct decision *, unsigned i, uint64_t rt_ns, bool success);
/* New CPU and load figures of the host. */
void shed_sample(struct decision *, unsigned i);

#endif
