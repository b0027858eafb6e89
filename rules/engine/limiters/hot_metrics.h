/* Hot values for those who look at the app from outside: each table writes its most frequent values into the app's file
 * about once a second, by the request that is counted at that moment. */
#ifndef WEIR_RULES_ENGINE_HOT_FIGURES_H
#define WEIR_RULES_ENGINE_HOT_FIGURES_H

#include "rules/engine/attempt.h"

void hot_figures_write(struct attempt *, const struct binding *, uint32_t resource, struct cell *);

#endif
