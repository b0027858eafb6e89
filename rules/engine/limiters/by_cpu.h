/* Overload protection by the use of the CPU: adaptive protection's algorithm "cpu", and system rules about it. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_BY_CPU_H
#define WEIR_RULES_ENGINE_LIMITERS_BY_CPU_H

#include "rules/engine/decision.h"

/* The compiled ruleset's shedder i.  False: rejected; decision->retry_ns says when it may be better. */
bool by_cpu_check(struct decision *, unsigned i, bool exempt);
void by_cpu_done(struct decision *, unsigned i); /* a request completed */
/* A new figure of the CPU.  False: no control step was due.  `ret_share`: what is rejected, 0…1. */
bool by_cpu_sample(struct decision *, unsigned i, double *ret_share);

#endif
