/* Loading rules: which lists changed, what starts again, what survives (RuleManager and the property listeners). */
#include <errno.h>
#include <string.h>

#include "rules/engine/sentinel/compat_compile.h"
#include "rules/engine/sentinel/compat_group.h"

/* --------------------------------------------------------------------------------------------- lists as loaded */

static enum compat_family family_of(const void *ruleset, const struct rule *rule) {
    switch (rule->kind) {
    case RULE_AUTHORITY: return FAMILY_AUTHORITY;
    case RULE_PARAM: return FAMILY_PARAM;
    case RULE_GATEWAY: return FAMILY_GATEWAY;
    case RULE_FLOW: return FAMILY_FLOW;
    case RULE_ISOLATION: return FAMILY_ISOLATION;
    case RULE_SYSTEM: return FAMILY_SYSTEM;
    case RULE_DEGRADE: /* "*": each resource without rules of its own; a pattern is just a pattern */
        return rule->match != MATCH_REGEX && !strcmp(ruleset_text(ruleset, rule->resource), "*")
                   ? FAMILY_DEFAULT_DEGRADE
                   : FAMILY_DEGRADE;
    default: return FAMILIES; /* adaptive protection: Sentinel has none */
    }
}

struct cursor { /* over the rules of one family in a ruleset */
    const void *ruleset;
    enum compat_family family;
    uint32_t next;
};
static const struct rule *cursor_next(struct cursor *cursor) {
    const struct rule *rules = ruleset_rules(cursor->ruleset);
    while (cursor->next < ruleset_head(cursor->ruleset)->rules_count) {
        const struct rule *rule = &rules[cursor->next++];
        if (family_of(cursor->ruleset, rule) == cursor->family)
            return rule;
    }
    return NULL;
}

static void fold(struct compat_digest *list, struct compat_digest rule, int32_t param_idx) {
    list->a = hash_mix(list->a ^ rule.a, 0xa0761d6478bd642full ^ (uint32_t)param_idx);
    list->b = hash_mix(list->b ^ rule.b, 0xe7037ed1a0b428dbull ^ (uint32_t)param_idx);
}

static struct compat_digest list_digest(const void *ruleset, enum compat_family family) {
    struct cursor cursor = {ruleset, family, 0};
    struct compat_digest list = {1, 2};
    for (const struct rule *rule; (rule = cursor_next(&cursor));)
        fold(&list, compat_digest_of(ruleset, rule), rule->param_idx);
    return list;
}

/* The list in force, as it is by now: a negative index that a call has resolved makes the rule another one (sic). */
static struct compat_digest loaded_list(const struct compat_rules *rules) {
    struct compat_digest list = {1, 2};
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct compat_record *record = &rules->records[i];
        bool hot = record->rule && (record->rule->kind == RULE_PARAM || record->rule->kind == RULE_GATEWAY);
        fold(&list, record->digest, hot ? record->rule->hot.param_idx : record->param_idx);
    }
    return list;
}

static bool admissible(struct compat_rules *rules, const struct compat *compat, const struct compat_rule *rule) {
    struct compat_group *plain = compat_group_find(compat, &rules->plain, rule->resource);
    struct compat_group *pattern = compat_group_find(compat, &rules->pattern, rule->resource);
    if (rule->kind == RULE_AUTHORITY) /* one rule per resource, the first */
        return compat_group_absent(plain) && compat_group_absent(pattern);
    if (rule->kind == RULE_DEGRADE && !compat_text_is(rule->resource, "*", 1)) /* duplicates stay, each a circuit */
        return true;
    return !compat_group_holds(plain, rule) && !compat_group_holds(pattern, rule);
}

/* One rule into its group; true also when it is not admitted (*ret_kept). */
static bool insert(struct compat *compat, struct compat_rules *rules, const struct rule *from, struct compat_rule *rule,
                   bool *ret_kept) {
    *ret_kept = false;
    uint8_t match = from->kind == RULE_DEGRADE && compat_text_is(rule->resource, "*", 1) ? MATCH_EXACT : from->match;
    if (!admissible(rules, compat, rule))
        return true;
    struct compat_group *group = compat_group_find(compat, match == MATCH_EXACT ? &rules->plain : &rules->pattern,
                                                   rule->resource);
    if (!group && !(group = compat_group_new(compat, rules, rule, match)))
        return false;
    if (match == MATCH_REGEX && !group->code) /* no valid expression */
        return true;
    *ret_kept = true;
    return compat_group_add(compat, group, rule);
}

/* limitApp "default" after the others, rules of a cluster last. */
static int flow_rank(const struct compat_rule *rule) {
    return rule->cluster * 2 + compat_text_is(rule->origin, "default", 7);
}

static void sort_flow(struct compat_group *group) {
    for (; group; group = group->next)
        for (uint32_t i = 1; i < group->count; i++) {
            struct compat_rule *rule = group->rules[i];
            uint32_t at = i;
            for (; at > 0 && flow_rank(group->rules[at - 1]) > flow_rank(rule); at--)
                group->rules[at] = group->rules[at - 1];
            group->rules[at] = rule;
        }
}

/* limitApp "other" of a pattern asks who is named by the rules of the resource called like the pattern itself. */
static bool find_namesakes(struct compat *compat, struct compat_rules *rules, struct compat_rule *rule) {
    struct compat_group *plain = compat_group_find(compat, &rules->plain, rule->resource);
    for (int fill = 0; fill < 2; fill++) {
        uint32_t n = 0;
        for (struct compat_group *group = plain ? plain : rules->patterns; group;
             group = group == plain ? rules->patterns : group->next)
            for (uint32_t i = 0; i < group->count; i++) {
                if (group != plain && !compat_group_matches(group, rule->resource.bytes, rule->resource.length))
                    break;
                if (fill)
                    rule->namesakes[n] = group->rules[i];
                n++;
            }
        if (!fill && n && !(rule->namesakes = compat_take(&compat->arena, n * sizeof *rule->namesakes)))
            return false;
        rule->namesakes_count = n;
    }
    return true;
}

static bool link_flow(struct compat *compat, struct compat_rules *rules) {
    sort_flow(rules->plain_list);
    sort_flow(rules->patterns);
    for (struct compat_group *group = rules->patterns; group; group = group->next)
        for (uint32_t i = 0; i < group->count; i++)
            if (compat_text_is(group->rules[i]->origin, "other", 5) && !find_namesakes(compat, rules, group->rules[i]))
                return false;
    return true;
}

/* A circuit whose rule is the same as before goes on as it is. */
static bool link_breakers(struct compat *compat, struct compat_rules *rules) {
    const struct compat_rules *old = &compat->rules[FAMILY_DEGRADE];
    for (struct compat_group *group = rules->plain_list; group; group = group->next) {
        struct compat_group *before = compat_map_find(&old->plain, group->item.hash, group->item.name,
                                                      group->item.length);
        group->breakers = compat_take(&compat->arena, group->count * sizeof *group->breakers);
        for (uint32_t i = 0; group->breakers && i < group->count; i++) {
            for (uint32_t j = 0; before && !group->breakers[i] && j < before->count; j++)
                if (compat_digest_equal(before->rules[j]->digest, group->rules[i]->digest)) {
                    group->breakers[i] = before->breakers[j];
                    group->breakers[i]->references++;
                }
            if (!group->breakers[i] && !(group->breakers[i] = compat_breaker_new(compat, group->rules[i])))
                return false;
        }
        if (!group->breakers)
            return false;
    }
    return true;
}

/* Builds a family; false without memory, and then nothing is left of it. */
static bool build(struct compat *compat, const void *ruleset, enum compat_family family,
                  struct compat_rules *ret_rules) {
    struct cursor cursor = {ruleset, family, 0};
    struct compat_rules rules = {.version = ++compat->versions};
    const struct rule *from;
    while (cursor_next(&cursor))
        rules.count++;
    if (rules.count && !(rules.records = compat_take(&compat->arena, rules.count * sizeof *rules.records)))
        return false;
    cursor.next = 0;
    for (struct compat_record *record = rules.records; record && (from = cursor_next(&cursor)); record++) {
        bool kept = false;
        record->digest = compat_digest_of(ruleset, from);
        record->param_idx = from->param_idx;
        if (family == FAMILY_SYSTEM || !compat_valid(ruleset, from))
            continue;
        struct compat_rule *rule = compat_rule_new(compat, ruleset, from);
        if (!rule || !insert(compat, &rules, from, rule, &kept)) {
            compat_rule_free(compat, rule);
            goto fail;
        }
        if (kept)
            record->rule = rule;
        else
            compat_rule_free(compat, rule);
    }
    if ((family == FAMILY_FLOW && !link_flow(compat, &rules)) ||
        (family == FAMILY_DEGRADE && !link_breakers(compat, &rules)))
        goto fail;
    *ret_rules = rules;
    return true;
fail:
    compat_groups_free(compat, &rules);
    return false;
}

/* -------------------------------------------------------------------------------------------------------- system */

static void load_system(struct compat *compat, const void *ruleset) {
    struct compat_system *system = &compat->system;
    struct cursor cursor = {ruleset, FAMILY_SYSTEM, 0};
    for (uint32_t i = 0; i < system->exceptions_count; i++)
        compat_give(&compat->arena, (void *)(uintptr_t)system->exceptions[i].bytes, system->exceptions[i].length + 1);
    compat_give(&compat->arena, system->exceptions, system->exceptions_room * sizeof *system->exceptions);
    memset(system, 0, sizeof *system);
    const struct rule *rules = ruleset_rules(ruleset);
    for (const struct rule *rule; (rule = cursor_next(&cursor));) {
        if (rule->mode == MODE_OFF || rule->grade > SYSTEM_LOAD || !(rule->count >= 0) ||
            (rule->grade == SYSTEM_CPU && rule->count > 1))
            continue;
        if (!system->field[rule->grade].set || rule->count < system->field[rule->grade].limit) {
            system->field[rule->grade].limit = rule->count;
            system->field[rule->grade].ruleset_index = (uint32_t)(rule - rules);
            system->field[rule->grade].simulate = rule->mode == MODE_SIMULATE;
        }
        system->field[rule->grade].set = system->on = true;
        if (system->exceptions || !rule->list_count)
            continue;
        system->exceptions = compat_take(&compat->arena, rule->list_count * sizeof *system->exceptions);
        system->exceptions_room = system->exceptions ? rule->list_count : 0;
        for (uint32_t i = 0; i < system->exceptions_room; i++) {
            const char *name = ruleset_text(ruleset, ruleset_list(ruleset)[rule->list_first + i]);
            char *copy = compat_take(&compat->arena, strlen(name) + 1);
            if (copy)
                system->exceptions[system->exceptions_count++] = (struct compat_text){memcpy(copy, name, strlen(name)),
                                                                                      strlen(name)};
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- loading */

static bool spoiled(const void *ruleset, enum compat_family family) {
    struct cursor cursor = {ruleset, family, 0};
    for (const struct rule *rule; (rule = cursor_next(&cursor));)
        if (compat_spoils_list(rule) && compat_valid(ruleset, rule))
            return true;
    return false;
}

/* The rules in force stay, though the list counts as loaded, as it does in Sentinel: they go on behind its records. */
static bool build_spoiled(struct compat *compat, const void *ruleset, struct compat_rules *ret_rules) {
    struct cursor cursor = {ruleset, FAMILY_FLOW, 0};
    const struct compat_rules *old = &compat->rules[FAMILY_FLOW];
    struct compat_rules rules = {0};
    while (cursor_next(&cursor))
        rules.count++;
    rules.records = compat_take(&compat->arena, (rules.count + old->count + old->kept) * sizeof *rules.records);
    if (!rules.records)
        return false;
    cursor.next = 0;
    struct compat_record *record = rules.records;
    for (const struct rule *from; (from = cursor_next(&cursor)); record++)
        *record = (struct compat_record){compat_digest_of(ruleset, from), from->param_idx, NULL};
    for (uint32_t i = 0; i < old->count + old->kept; i++)
        record[i] = old->records[i];
    rules.kept = old->count + old->kept;
    *ret_rules = rules;
    return true;
}

static void adopt_spoiled(struct compat *compat, const struct compat_rules *built) {
    struct compat_rules *rules = &compat->rules[FAMILY_FLOW];
    compat_give(&compat->arena, rules->records, (rules->count + rules->kept) * sizeof *rules->records);
    rules->records = built->records;
    rules->count = built->count;
    rules->kept = built->kept;
    if (!rules->version)
        rules->version = ++compat->versions;
    for (uint32_t i = 0; i < rules->kept; i++)
        if (rules->records[rules->count + i].rule)
            rules->records[rules->count + i].rule->ruleset_index = UINT32_MAX;
}

/* Index in the ruleset of each rule that is in force. */
static void number(struct compat_rules *rules, const void *ruleset, enum compat_family family) {
    struct cursor cursor = {ruleset, family, 0};
    const struct rule *rule;
    for (struct compat_record *record = rules->records; (rule = cursor_next(&cursor)); record++)
        if (record->rule)
            record->rule->ruleset_index = (uint32_t)(rule - ruleset_rules(ruleset));
}

static void give_up(struct compat *compat, struct compat_rules *built, const bool *changed, int families, bool spoilt) {
    for (int family = 0; family < families; family++) {
        if (spoilt && family == FAMILY_FLOW) /* its rules are still those in force */
            compat_give(&compat->arena, built[family].records,
                        (built[family].count + built[family].kept) * sizeof *built[family].records);
        else if (changed[family])
            compat_groups_free(compat, &built[family]);
    }
}

int compat_rules_load(struct compat *compat, const void *ruleset, uint32_t alone) {
    struct compat_rules built[FAMILIES] = {0};
    bool changed[FAMILIES], spoilt = false;
    for (int family = 0; family < FAMILIES; family++) {
        struct compat_digest list = list_digest(ruleset, family);
        changed[family] = !compat->rules[family].version ||
                          (!(alone & 1u << family) && !compat_digest_equal(list, loaded_list(&compat->rules[family])));
        bool spoils = changed[family] && family == FAMILY_FLOW && spoiled(ruleset, family);
        if (changed[family] && !(spoils ? build_spoiled(compat, ruleset, &built[family])
                                        : build(compat, ruleset, family, &built[family]))) {
            give_up(compat, built, changed, family, spoilt);
            return -ENOSPC;
        }
        spoilt |= spoils;
    }
    compat_carry(compat, built, changed);
    for (int family = 0; family < FAMILIES; family++) {
        if (spoilt && family == FAMILY_FLOW) {
            adopt_spoiled(compat, &built[family]);
        } else if (changed[family]) {
            compat_groups_free(compat, &compat->rules[family]);
            compat->rules[family] = built[family];
        }
        number(&compat->rules[family], ruleset, family);
    }
    load_system(compat, ruleset);
    return 0;
}
