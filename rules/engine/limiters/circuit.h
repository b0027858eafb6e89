/* Circuit breakers of a resource, as a request meets them. */
#ifndef WEIR_RULES_ENGINE_CIRCUIT_H
#define WEIR_RULES_ENGINE_CIRCUIT_H

#include "rules/engine/decision.h"

extern const struct limiter_ops limiter_breaker; /* its check looks only; false: open */
/* Once nothing else can refuse any more: takes the probe of a half-open circuit, if there is one to be had. */
bool circuit_borrow(struct decision *, struct binding_list *, struct binding *, uint32_t resource);
void circuit_done(struct decision *, struct binding_list *, struct binding *, uint32_t resource, uint64_t rt_ns,
                  bool error);

#endif
