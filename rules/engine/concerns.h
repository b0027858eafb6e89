/* One rule, one request: is it about this one, and what does it take from it? */
#ifndef WEIR_RULES_ENGINE_CONCERNS_H
#define WEIR_RULES_ENGINE_CONCERNS_H

#include "rules/engine/decision.h"

/* By side, origin and entrance.  `list`: the rules of the same resource, for "other".  Notes which of its caller's
 * names it is about. */
bool rule_concerns(struct decision *, const struct binding_list *list, const struct rule *);
/* What the request takes from the rule's threshold. */
uint32_t rule_cost(const struct decision *, const struct rule *);

#endif
