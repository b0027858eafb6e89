/* Hot keys for those who look at the app from outside: each table writes its most frequent values into the app's file
 * about once a second, by the request that is counted at that moment. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_HOT_METRICS_H
#define WEIR_RULES_ENGINE_LIMITERS_HOT_METRICS_H

#include "rules/engine/decision.h"

void hot_metrics_write(struct decision *, const struct binding *, uint32_t resource, struct limiter_state *,
                       const struct hot_shape *);

#endif
