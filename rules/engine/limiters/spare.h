/* What a rule comes to where there is no memory even for a limiter that several resources share: a rough limit in words
 * that are there already.  It is this process's alone and stricter than the rule; nothing is unlimited for want of
 * memory.  Any number of threads. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SPARE_H
#define WEIR_RULES_ENGINE_LIMITERS_SPARE_H

#include "rules/engine/decision.h"

/* A rate: one token bucket for all that the rule applies to, of its threshold.  False: rejected. */
bool spare_rate(struct decision *, const struct binding *, uint32_t n);
/* Requests in flight: all of the resource's in this process, of any of them (UINT32_MAX: those of the request's
 * resource that has most).  The result says what is left. */
bool spare_in_flight(struct decision *, uint32_t resource, uint32_t limit, uint32_t n);

#endif
