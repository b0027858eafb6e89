/* Groups of rules: those of a family that are for one text, a name or a pattern. */
#ifndef WEIR_RULES_COMPAT_GROUP_H
#define WEIR_RULES_COMPAT_GROUP_H

#include "rules/engine/sentinel/compat_private.h"

struct compat_group *compat_group_find(const struct compat *, const struct compat_map *, struct compat_text name);
/* NULL without memory. */
struct compat_group *compat_group_new(struct compat *, struct compat_rules *, const struct compat_rule *,
                                      uint8_t match);
bool compat_group_add(struct compat *, struct compat_group *, struct compat_rule *); /* false without memory */
/* A group without rules is one whose text is no valid expression: as if it were not there. */
bool compat_group_absent(const struct compat_group *);
bool compat_group_holds(const struct compat_group *, const struct compat_rule *); /* the same rule, or its twin */
bool compat_group_matches(const struct compat_group *, const char *name, size_t length); /* of a pattern */
void compat_groups_free(struct compat *, struct compat_rules *);                         /* all of a family */
void compat_breakers_drop(struct compat *, struct compat_breaker **, uint32_t count);

/* compat_carry.c: from the families in force to those built, where they changed. */
void compat_carry(struct compat *, struct compat_rules *built, const bool *changed);

#endif
