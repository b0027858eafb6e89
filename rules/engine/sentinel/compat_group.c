/* The rules of a family by the text they are for, and the lists of a resource that are made from them. */
#include "rules/engine/sentinel/compat_group.h"

#include <string.h>

#include "rules/engine/sentinel/compat_compile.h"

struct compat_group *compat_group_find(const struct compat *compat, const struct compat_map *map,
                                       struct compat_text name) {
    return compat_map_find(map, hash_bytes(compat->seed, name.bytes, name.length), name.bytes, name.length);
}

bool compat_group_matches(const struct compat_group *group, const char *name, size_t length) {
    return group->code && compat_pattern_matches(group->code, name, length);
}

struct compat_group *compat_group_new(struct compat *compat, struct compat_rules *rules, const struct compat_rule *rule,
                                      uint8_t match) {
    struct compat_map *map = match == MATCH_EXACT ? &rules->plain : &rules->pattern;
    struct compat_group *group = compat_take(&compat->arena, sizeof *group);
    if (!group)
        return NULL;
    group->item.hash = hash_bytes(compat->seed, rule->resource.bytes, rule->resource.length);
    if (!compat_map_add(&compat->arena, map, &group->item, rule->resource.bytes, rule->resource.length)) {
        compat_give(&compat->arena, group, sizeof *group);
        return NULL;
    }
    if (match == MATCH_REGEX)
        group->code = compat_pattern(&compat->arena, rule->resource.bytes, rule->resource.length);
    struct compat_group **at = match == MATCH_EXACT ? &rules->plain_list : &rules->patterns;
    if (match == MATCH_EXACT)
        group->next = *at;
    else
        while (*at)
            at = &(*at)->next;
    *at = group;
    return group;
}

bool compat_group_add(struct compat *compat, struct compat_group *group, struct compat_rule *rule) {
    if (group->count == group->room) {
        uint32_t room = group->room ? group->room * 2 : 2;
        struct compat_rule **larger = compat_take(&compat->arena, room * sizeof *larger);
        if (!larger)
            return false;
        if (group->count)
            memcpy(larger, group->rules, group->count * sizeof *larger);
        compat_give(&compat->arena, group->rules, group->room * sizeof *larger);
        group->rules = larger;
        group->room = room;
    }
    group->rules[group->count++] = rule;
    return true;
}

/* A group without rules is one whose text is no valid expression: as if it were not there. */
bool compat_group_absent(const struct compat_group *group) {
    return !group || !group->count;
}

bool compat_group_holds(const struct compat_group *group, const struct compat_rule *rule) {
    for (uint32_t i = 0; group && i < group->count; i++)
        if (compat_digest_equal(group->rules[i]->digest, rule->digest) &&
            ((rule->kind != RULE_PARAM && rule->kind != RULE_GATEWAY) ||
             group->rules[i]->hot.param_idx == rule->hot.param_idx))
            return true;
    return false;
}

static void group_free(struct compat *compat, struct compat_group *group) {
    for (uint32_t i = 0; group->breakers && i < group->count; i++)
        compat_breaker_release(compat, group->breakers[i]);
    compat_give(&compat->arena, group->breakers, group->count * sizeof *group->breakers);
    compat_give(&compat->arena, group->rules, group->room * sizeof *group->rules);
    compat_pattern_free(group->code);
    compat_item_give_name(&compat->arena, &group->item);
    compat_give(&compat->arena, group, sizeof *group);
}

void compat_groups_free(struct compat *compat, struct compat_rules *rules) {
    struct compat_group *lists[] = {rules->plain_list, rules->patterns};
    for (int i = 0; i < 2; i++)
        for (struct compat_group *group = lists[i], *next; group; group = next) {
            next = group->next;
            group_free(compat, group);
        }
    for (uint32_t i = 0; rules->records && i < rules->count + rules->kept; i++)
        compat_rule_free(compat, rules->records[i].rule);
    compat_map_clear(&compat->arena, &rules->plain);
    compat_map_clear(&compat->arena, &rules->pattern);
    compat_give(&compat->arena, rules->records, (rules->count + rules->kept) * sizeof *rules->records);
    memset(rules, 0, sizeof *rules);
}

/* ------------------------------------------------------------------------------------------ a resource's own lists */

void compat_breakers_drop(struct compat *compat, struct compat_breaker **breakers, uint32_t count) {
    for (uint32_t i = 0; breakers && i < count; i++)
        compat_breaker_release(compat, breakers[i]);
    compat_give(&compat->arena, breakers, count * sizeof *breakers);
}

static uint32_t collect(const struct compat_rules *rules, const struct compat_resource *resource,
                        const struct compat_group *plain, struct compat_rule **to) {
    uint32_t count = 0;
    for (const struct compat_group *group = plain ? plain : rules->patterns; group;
         group = group == plain ? rules->patterns : group->next) {
        if (group != plain && !compat_group_matches(group, resource->item.name, resource->item.length))
            continue;
        if (to)
            memcpy(to + count, group->rules, group->count * sizeof *to);
        count += group->count;
    }
    return count;
}

static void own_breakers(struct compat *compat, struct compat_resource *resource, const struct compat_group *plain) {
    const struct compat_list *list = &resource->list[FAMILY_DEGRADE];
    struct compat_breaker **made = list->count ? compat_take(&compat->arena, list->count * sizeof *made) : NULL;
    for (uint32_t i = 0; made && i < list->count; i++) {
        if (plain && i < plain->count) {
            made[i] = plain->breakers[i];
            made[i]->references++;
        } else if (!(made[i] = compat_breaker_new(compat, list->rules[i]))) {
            compat_breakers_drop(compat, made, list->count);
            made = NULL;
        }
    }
    resource->breakers = made;
    resource->breakers_count = made ? list->count : 0;
}

const struct compat_list *compat_rules_of(struct compat *compat, struct compat_resource *resource,
                                          enum compat_family family) {
    const struct compat_rules *rules = &compat->rules[family];
    struct compat_list *list = &resource->list[family];
    if (__builtin_expect(list->version == rules->version, 1))
        return list;
    const struct compat_group *plain = compat_map_find(&rules->plain, resource->item.hash, resource->item.name,
                                                       resource->item.length);
    compat_give(&compat->arena, list->rules, list->count * sizeof *list->rules);
    list->version = rules->version;
    list->count = collect(rules, resource, plain, NULL);
    list->rules = list->count ? compat_take(&compat->arena, list->count * sizeof *list->rules) : NULL;
    list->chains = 0;
    if (list->rules)
        collect(rules, resource, plain, list->rules);
    else
        list->count = 0;
    for (uint32_t i = 0; i < list->count && family == FAMILY_FLOW; i++)
        list->chains += list->rules[i]->strategy == STRATEGY_CHAIN;
    if (family == FAMILY_DEGRADE) {
        resource->shown = false;
        compat_breakers_drop(compat, resource->breakers, resource->breakers_count);
        own_breakers(compat, resource, plain);
    }
    return list;
}
