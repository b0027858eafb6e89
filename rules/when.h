/* Times of day of a rule ("when"), as moments: when it comes into force and when it ends, computed when the ruleset
 * is made (rules/text/when.c), so that no other part needs to know of zones.  Pure; no calls. */
#ifndef WEIR_RULES_WHEN_H
#define WEIR_RULES_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/rule.h"

#define WHEN_NEVER UINT64_MAX
#define WHEN_UNKNOWN (UINT64_MAX - 1) /* beyond the moments that are known, unless the clock is set back */

/* Is the rule of a checked ruleset in force at that time (Unix seconds)?  And until when that is so: the moment from
 * which on it is the other way round, WHEN_UNKNOWN behind the last one.  Rules without "when" always are (WHEN_NEVER).
 * What is beyond the moments known is in force: rather too much protection than none. */
bool when_in_force(const void *ruleset, const struct rule *rule, uint64_t unix_s, uint64_t *ret_until_s);

#endif
