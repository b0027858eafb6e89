/* Times of day of a rule ("when"), as moments: when it comes into force and when it ends, found out beforehand by who
 * made the ruleset (rules/text/when.c), so that nobody else needs to know of zones.  Pure; no calls. */
#ifndef WEIR_RULES_WHEN_H
#define WEIR_RULES_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/rule.h"

#define WHEN_NEVER UINT64_MAX

/* Is the rule of a checked ruleset in force at that time (Unix seconds)?  And until when that is so: the moment from
 * which on it is the other way round, WHEN_NEVER if that does not come.  Rules without "when" always are.  What is
 * beyond the moments known is in force: rather too much protection than none. */
bool when_in_force(const void *ruleset, const struct rule *rule, uint64_t unix_s, uint64_t *ret_until_s);

#endif
