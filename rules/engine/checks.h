/* The rules of one resource, one at a time; each checks and takes in one step. */
#ifndef WEIR_RULES_ENGINE_CHECKS_H
#define WEIR_RULES_ENGINE_CHECKS_H

#include "rules/engine/attempt.h"

/* By side and origin.  `list`: the rules of the same resource, for "other". */
/* Is the rule about this request?  Notes which of its caller's names it is about. */
bool check_concerns(struct attempt *, const struct binding_list *list, const struct rule *);
/* False: rejected; the decision's figures and attempt->retry_ns say why. */
bool check_one(struct attempt *, struct binding *, uint32_t resource);
/* The request was admitted: a rule of another resource that is related to this one counts it. */
void check_feed(struct attempt *, struct binding *);

#endif
