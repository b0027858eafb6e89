/* System and adaptive rules: the inbound traffic as a whole. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H
#define WEIR_RULES_ENGINE_LIMITERS_SYSTEM_H

#include "rules/engine/attempt.h"

/* An inbound request completed. */
void shed_done(struct attempt *, unsigned i, uint64_t rt_ns);
/* New figures of the machine. */
void shed_sample(struct attempt *, unsigned i);

#endif
