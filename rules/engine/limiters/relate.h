/* Rules with strategy "relate": the counters of the other resource, which its own requests feed. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_RELATE_H
#define WEIR_RULES_ENGINE_LIMITERS_RELATE_H

#include "rules/engine/decision.h"

/* The request was admitted at the other resource, and costs n of that rule. */
void relate_feed(struct decision *, struct binding *, uint32_t n);

#endif
