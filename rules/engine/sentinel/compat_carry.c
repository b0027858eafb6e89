/* What becomes of the state when rules are loaded: what starts again, what goes on. */
#include <string.h>

#include "rules/engine/sentinel/compat_group.h"

static struct compat_resource *resource_find(const struct compat *compat, struct compat_text name) {
    return compat_map_find(&compat->resources, hash_bytes(compat->seed, name.bytes, name.length), name.bytes,
                           name.length);
}

static bool none(const struct compat_rules *rules) {
    bool none = true;
    for (const struct compat_group *group = rules->patterns; group; group = group->next)
        none &= compat_group_absent(group);
    return none && !rules->plain_list;
}

static void forget_hot_of(struct compat *compat, const struct compat_rules *rules, const struct compat_group *old) {
    struct compat_text name = {old->item.name, old->item.length};
    const struct compat_group *plain = compat_group_find(compat, &rules->plain, name);
    const struct compat_group *pattern = compat_group_find(compat, &rules->pattern, name);
    struct compat_resource *resource = resource_find(compat, name);
    if (!resource || compat_group_absent(old))
        return;
    if (compat_group_absent(plain) && compat_group_absent(pattern) && old->rules[0]->kind == RULE_PARAM)
        compat_metric_free(compat, resource);
    for (uint32_t i = 0; i < old->count; i++)
        if (!compat_group_holds(plain, old->rules[i]) && !compat_group_holds(pattern, old->rules[i]))
            compat_metric_forget(compat, resource, old->rules[i]->digest, old->rules[i]->hot.param_idx);
}

/* The values of equal rules stay.  A pattern's values are looked for under its own text, and so they stay, too (sic).
 */
static void carry_hot(struct compat *compat, enum compat_family family, const struct compat_rules *rules) {
    const struct compat_rules *old = &compat->rules[family];
    if (family == FAMILY_PARAM && none(rules) && none(&compat->rules[FAMILY_GATEWAY])) {
        for (struct compat_resource *resource = compat->resource_list; resource; resource = resource->next)
            compat_metric_free(compat, resource);
        return;
    }
    for (const struct compat_group *group = old->plain_list; group; group = group->next)
        forget_hot_of(compat, rules, group);
    for (const struct compat_group *group = old->patterns; group; group = group->next)
        forget_hot_of(compat, rules, group);
}

static void carry_breakers(struct compat_rules *rules) {
    for (struct compat_group *group = rules->plain_list; group; group = group->next)
        for (uint32_t i = group->count; i-- > 0;) /* the first of two equal rules gives it its name */
            group->breakers[i]->rule = group->rules[i];
}

/* New default circuits for one resource, with a share in those of `star` whose rule is the same. */
static void renew_defaults(struct compat *compat, struct compat_resource *resource, const struct compat_group *group,
                           const struct compat_resource *star) {
    struct compat_breaker **made = group ? compat_take(&compat->arena, group->count * sizeof *made) : NULL;
    for (uint32_t i = 0; made && i < group->count; i++) {
        for (uint32_t j = 0; star && !made[i] && j < star->default_breakers_count; j++)
            if (compat_digest_equal(star->default_breakers[j]->rule->digest, group->rules[i]->digest)) {
                made[i] = star->default_breakers[j];
                made[i]->references++;
                made[i]->rule = group->rules[i];
            }
        if (!made[i] && !(made[i] = compat_breaker_new(compat, group->rules[i]))) {
            compat_breakers_drop(compat, made, group->count);
            made = NULL;
        }
    }
    compat_breakers_drop(compat, resource->default_breakers, resource->default_breakers_count);
    resource->shown = false;
    resource->default_breakers = made;
    resource->default_breakers_count = made ? group->count : 0;
}

/* Default circuits all start again, but for those of a resource that is really called "*": then all get a share in
 * those (sic). */
static void carry_defaults(struct compat *compat, const struct compat_rules *rules) {
    struct compat_resource *star = resource_find(compat, (struct compat_text){"*", 1});
    for (struct compat_resource *resource = compat->resource_list; resource; resource = resource->next)
        if (resource != star && resource->default_breakers)
            renew_defaults(compat, resource, rules->plain_list, star);
    if (star && star->default_breakers)
        renew_defaults(compat, star, rules->plain_list, star);
}

void compat_carry(struct compat *compat, struct compat_rules *built, const bool *changed) {
    if (changed[FAMILY_PARAM])
        carry_hot(compat, FAMILY_PARAM, &built[FAMILY_PARAM]);
    if (changed[FAMILY_GATEWAY])
        carry_hot(compat, FAMILY_GATEWAY, &built[FAMILY_GATEWAY]);
    if (changed[FAMILY_DEGRADE])
        carry_breakers(&built[FAMILY_DEGRADE]);
    if (changed[FAMILY_DEFAULT_DEGRADE])
        carry_defaults(compat, &built[FAMILY_DEFAULT_DEGRADE]);
}
