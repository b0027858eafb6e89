/* System and adaptive rules: the inbound traffic as a whole. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H
#define WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H

#include "rules/engine/decision.h"

/* The latency of an inbound request is known: where the rule compares what is in flight with what latency makes of it,
 * the request is in flight no longer. */
void shed_done(struct decision *, unsigned i, uint64_t rt_ns);
/* New CPU and load figures of the host. */
void shed_sample(struct decision *, unsigned i);

#endif
