/* Which rules the kernel can enforce for programs without a shim, and in what numbers.  Pure. */
#ifndef WEIR_AGENT_GUARD_RULES_H
#define WEIR_AGENT_GUARD_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "ebpf/guarding.h"
#include "rules/rule.h"

/* Why the kernel cannot enforce the rule, in a word or two; NULL: it can (if its resource is a connection's). */
const char *guard_rules_why_not(const void *ruleset, const struct rule *);

/* Is the rule in force, and about that resource on that side?  (Not by a regular expression.) */
bool guard_rules_concerns(const void *ruleset, const struct rule *, const char *resource, enum rule_side);

/* The limits on a resource, in the order of checks: how many.  `ret_left_out` counts those that found no room. */
size_t guard_rules_compile(const void *ruleset, const char *resource, enum rule_side side,
                           struct guarding_limit ret_limits[static GUARD_LIMITS_MAX], size_t *ret_left_out);

/* "tcp:10.0.0.5:3306", "tcp:[::1]:80": false if the name is none of these. */
bool guard_rules_destination(const char *resource, struct guard_place *ret_place);

#endif
