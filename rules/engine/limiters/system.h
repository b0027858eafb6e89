/* System and adaptive rules: the inbound traffic as a whole. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H
#define WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H

#include "rules/engine/decision.h"

/* An inbound request completed. */
void shed_done(struct decision *, unsigned i, uint64_t rt_ns);
/* New figures of the machine. */
void shed_sample(struct decision *, unsigned i);

#endif
