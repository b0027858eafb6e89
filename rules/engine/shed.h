/* System and adaptive rules: the inbound traffic as a whole. */
#ifndef WEIR_RULES_ENGINE_SHED_H
#define WEIR_RULES_ENGINE_SHED_H

#include "rules/engine/attempt.h"

/* Asks shedder i of the view.  `exempt`: counts, but is not rejected.  False: rejected. */
bool shed_check(struct attempt *, unsigned i, bool exempt);
/* An inbound request completed. */
void shed_done(struct attempt *, unsigned i, uint64_t rt_ns);
/* New figures of the machine. */
void shed_sample(struct attempt *, unsigned i);

#endif
