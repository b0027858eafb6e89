/* Circuit breakers of a resource, as a request meets them. */
#ifndef WEIR_RULES_ENGINE_CIRCUIT_H
#define WEIR_RULES_ENGINE_CIRCUIT_H

#include "rules/engine/decision.h"

extern const struct limiter_ops limiter_breaker; /* its check looks only; false: open */
/* Once nothing else can refuse any more: takes the probe of a half-open circuit, if there is one to be had. */
bool circuit_borrow(struct decision *, struct binding_list *, struct binding *, uint32_t resource);
/* What is known of a call: all of it, at its end; as its response begins, its latency, and whether that says that it
 * failed; or how it ended, its latency having been known before. */
enum circuit_known { KNOWN_ALL, KNOWN_BEGUN, KNOWN_END };
void circuit_done(struct decision *, struct binding_list *, struct binding *, uint32_t resource, uint64_t rt_ns,
                  bool error, enum circuit_known);

#endif
