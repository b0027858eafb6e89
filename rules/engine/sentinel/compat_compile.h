/* From a record of the ruleset to a rule that can be asked. */
#ifndef WEIR_RULES_COMPAT_COMPILE_H
#define WEIR_RULES_COMPAT_COMPILE_H

#include "rules/engine/sentinel/compat_private.h"

struct compat_digest compat_digest_of(const void *ruleset, const struct rule *);
bool compat_valid(const void *ruleset, const struct rule *);
bool compat_spoils_list(const struct rule *);
const char *compat_origin_text(const void *ruleset, const struct rule *);
struct compat_rule *compat_rule_new(struct compat *, const void *ruleset, const struct rule *); /* NULL: no memory */
void compat_rule_free(struct compat *, struct compat_rule *);

#endif
