/* The rules about inbound traffic as a whole, system rules and adaptive protection, for whichever policy decides.
 * `least`: RULE_SYSTEM, all of them; RULE_ADAPTIVE: where system rules are decided elsewhere. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SHEDDERS_H
#define WEIR_RULES_ENGINE_LIMITERS_SHEDDERS_H

#include "rules/engine/decision.h"

/* `lists`: of the request's resources; NULL where there is no room for one.  False: rejected. */
bool shedders_pass(struct decision *, struct binding_list *const lists[], enum rule_kind least);
/* The latency of a request is known. */
void shedders_done(struct decision *, enum rule_kind least, uint64_t rt_ns, bool success);
/* There are new figures of the CPU and the load. */
void shedders_sample(struct engine *, struct compiled *, uint64_t now_ns, enum rule_kind least);

#endif
