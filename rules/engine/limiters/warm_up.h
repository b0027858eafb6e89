/* Warm-up: a cold resource starts at 1 / coldFactor of its threshold and reaches it over warmUpPeriodSec; left idle it
 * cools down again. */
#ifndef WEIR_RULES_ENGINE_WARM_UP_H
#define WEIR_RULES_ENGINE_WARM_UP_H

#include <stdbool.h>
#include <stdint.h>

struct limiter;
struct rule;

/* Fills in the curve (limiter->warning, stored_max, slope; stored_max 0: no warm-up). */
void warm_up_init(struct limiter *, const struct rule *, uint32_t cold_factor);
/* Permits per interval at this moment.  `word` is the state, zero at first; `passed` what was admitted in the last
 * interval, `full` whether the limit was met in it. */
double warm_up_rate(uint64_t *word, const struct limiter *, const struct rule *, uint64_t now_ns, uint32_t passed,
                    bool full);
/* n were admitted: warmer by that much. */
void warm_up_spend(uint64_t *word, const struct limiter *, uint32_t n);

#endif
