/* Loading rules: which lists changed, what starts anew, what survives (RuleManager and the property listeners). */
#include <errno.h>
#include <string.h>

#include "compat_compile.h"
#include "compat_private.h"

/* ------------------------------------------------------------------------------------------------------ groups */

static struct compat_group *group_find(const struct compat *compat, const struct compat_map *map,
                                       struct compat_text name) {
    return compat_map_find(map, hash_bytes(compat->seed, name.bytes, name.length), name.bytes, name.length);
}

static struct compat_resource *resource_find(const struct compat *compat, struct compat_text name) {
    return compat_map_find(&compat->resources, hash_bytes(compat->seed, name.bytes, name.length), name.bytes,
                           name.length);
}

/* A path glob as a regular expression: `**` is anything, `*` and `?` do not cross a slash.  `ret_text` has room for
 * five times the length. */
static size_t glob_to_regex(struct compat_text glob, char *ret_text) {
    size_t n = 0;
    for (size_t i = 0; i < glob.length; i++) {
        char c = glob.bytes[i];
        const char *put = NULL;
        if (c == '*' && i + 1 < glob.length && glob.bytes[i + 1] == '*') {
            put = "(?s:.*)";
            i++;
        } else if (c == '*')
            put = "[^/]*";
        else if (c == '?')
            put = "[^/]";
        if (put) {
            memcpy(ret_text + n, put, strlen(put));
            n += strlen(put);
            continue;
        }
        if (!((unsigned char)c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            ret_text[n++] = '\\';
        ret_text[n++] = c;
    }
    return n;
}

static void *glob_code(struct compat *compat, struct compat_text glob) {
    size_t room = glob.length * 5 + 8;
    char *text = compat_take(&compat->arena, room);
    if (!text)
        return NULL;
    void *code = compat_pattern(&compat->arena, text, glob_to_regex(glob, text), true);
    compat_give(&compat->arena, text, room);
    return code;
}

static bool group_matches(const struct compat_group *group, const char *name, size_t length) {
    if (group->match == MATCH_PREFIX)
        return length >= group->item.length && !memcmp(name, group->item.name, group->item.length);
    return group->code && compat_pattern_matches(group->code, name, length);
}

static struct compat_group *group_new(struct compat *compat, struct compat_rules *rules, const struct compat_rule *rule,
                                      uint8_t match) {
    struct compat_map *map = match == MATCH_EXACT ? &rules->plain : &rules->pattern;
    struct compat_group *group = compat_take(&compat->arena, sizeof *group);
    if (!group)
        return NULL;
    group->match = match;
    group->item.hash = hash_bytes(compat->seed, rule->resource.bytes, rule->resource.length);
    if (!compat_map_add(&compat->arena, map, &group->item, rule->resource.bytes, rule->resource.length)) {
        compat_give(&compat->arena, group, sizeof *group);
        return NULL;
    }
    if (match == MATCH_REGEX)
        group->code = compat_pattern(&compat->arena, rule->resource.bytes, rule->resource.length, true);
    else if (match == MATCH_GLOB)
        group->code = glob_code(compat, rule->resource);
    struct compat_group **at = match == MATCH_EXACT ? &rules->plain_list : &rules->patterns;
    if (match == MATCH_EXACT)
        group->next = *at;
    else
        while (*at)
            at = &(*at)->next;
    *at = group;
    return group;
}

static bool group_add(struct compat *compat, struct compat_group *group, struct compat_rule *rule) {
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
static bool absent(const struct compat_group *group) {
    return !group || !group->count;
}

static bool none(const struct compat_rules *rules) {
    bool none = true;
    for (const struct compat_group *group = rules->patterns; group; group = group->next)
        none &= absent(group);
    return none && !rules->plain_list;
}

static bool group_holds(const struct compat_group *group, const struct compat_rule *rule) {
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

static void rules_free(struct compat *compat, struct compat_rules *rules) {
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

/* --------------------------------------------------------------------------------------------- lists as loaded */

static enum compat_family family_of(const void *image, const struct rule *rule) {
    switch (rule->kind) {
    case RULE_AUTHORITY: return FAMILY_AUTHORITY;
    case RULE_PARAM: return FAMILY_PARAM;
    case RULE_GATEWAY: return FAMILY_GATEWAY;
    case RULE_FLOW: return FAMILY_FLOW;
    case RULE_ISOLATION: return FAMILY_ISOLATION;
    case RULE_SYSTEM: return FAMILY_SYSTEM;
    case RULE_DEGRADE: /* "*": each resource without rules of its own; a pattern is just a pattern */
        return rule->match != MATCH_REGEX && !strcmp(image_text(image, rule->resource), "*") ? FAMILY_DEFAULT_DEGRADE
                                                                                             : FAMILY_DEGRADE;
    default: return FAMILIES; /* adaptive protection: Sentinel has none */
    }
}

struct cursor { /* over the rules of one family in an image */
    const void *image;
    enum compat_family family;
    uint32_t next;
};
static const struct rule *cursor_next(struct cursor *cursor) {
    const struct rule *rules = image_rules(cursor->image);
    while (cursor->next < image_head(cursor->image)->rules_count) {
        const struct rule *rule = &rules[cursor->next++];
        if (family_of(cursor->image, rule) == cursor->family)
            return rule;
    }
    return NULL;
}

static void fold(struct compat_digest *list, struct compat_digest rule, int32_t param_idx) {
    list->a = hash_mix(list->a ^ rule.a, 0xa0761d6478bd642full ^ (uint32_t)param_idx);
    list->b = hash_mix(list->b ^ rule.b, 0xe7037ed1a0b428dbull ^ (uint32_t)param_idx);
}

static struct compat_digest list_digest(const void *image, enum compat_family family) {
    struct cursor cursor = {image, family, 0};
    struct compat_digest list = {1, 2};
    for (const struct rule *rule; (rule = cursor_next(&cursor));)
        fold(&list, compat_digest_of(image, rule), rule->param_idx);
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
    struct compat_group *plain = group_find(compat, &rules->plain, rule->resource);
    struct compat_group *pattern = group_find(compat, &rules->pattern, rule->resource);
    if (rule->kind == RULE_AUTHORITY) /* one rule per resource, the first */
        return absent(plain) && absent(pattern);
    if (rule->kind == RULE_DEGRADE && !compat_text_is(rule->resource, "*", 1)) /* duplicates stay, each a circuit */
        return true;
    return !group_holds(plain, rule) && !group_holds(pattern, rule);
}

/* One rule into its group; true also when it is not admitted (*ret_kept). */
static bool insert(struct compat *compat, struct compat_rules *rules, const struct rule *from, struct compat_rule *rule,
                   bool *ret_kept) {
    *ret_kept = false;
    uint8_t match = from->kind == RULE_DEGRADE && compat_text_is(rule->resource, "*", 1) ? MATCH_EXACT : from->match;
    if (!admissible(rules, compat, rule))
        return true;
    struct compat_group *group = group_find(compat, match == MATCH_EXACT ? &rules->plain : &rules->pattern,
                                            rule->resource);
    if (!group && !(group = group_new(compat, rules, rule, match)))
        return false;
    if ((match == MATCH_REGEX || match == MATCH_GLOB) && !group->code) /* no valid expression */
        return true;
    *ret_kept = true;
    return group_add(compat, group, rule);
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
    struct compat_group *plain = group_find(compat, &rules->plain, rule->resource);
    for (int fill = 0; fill < 2; fill++) {
        uint32_t n = 0;
        for (struct compat_group *group = plain ? plain : rules->patterns; group;
             group = group == plain ? rules->patterns : group->next)
            for (uint32_t i = 0; i < group->count; i++) {
                if (group != plain && !group_matches(group, rule->resource.bytes, rule->resource.length))
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
static bool build(struct compat *compat, const void *image, enum compat_family family, struct compat_rules *ret_rules) {
    struct cursor cursor = {image, family, 0};
    struct compat_rules rules = {.version = ++compat->versions};
    const struct rule *from;
    while (cursor_next(&cursor))
        rules.count++;
    if (rules.count && !(rules.records = compat_take(&compat->arena, rules.count * sizeof *rules.records)))
        return false;
    cursor.next = 0;
    for (struct compat_record *record = rules.records; record && (from = cursor_next(&cursor)); record++) {
        bool kept = false;
        record->digest = compat_digest_of(image, from);
        record->param_idx = from->param_idx;
        if (family == FAMILY_SYSTEM || !compat_valid(image, from))
            continue;
        struct compat_rule *rule = compat_rule_new(compat, image, from);
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
    rules_free(compat, &rules);
    return false;
}

/* ------------------------------------------------------------------------------------ what becomes of the state */

static void forget_hot_of(struct compat *compat, const struct compat_rules *rules, const struct compat_group *old) {
    struct compat_text name = {old->item.name, old->item.length};
    const struct compat_group *plain = group_find(compat, &rules->plain, name);
    const struct compat_group *pattern = group_find(compat, &rules->pattern, name);
    struct compat_resource *resource = resource_find(compat, name);
    if (!resource || absent(old))
        return;
    if (absent(plain) && absent(pattern) && old->rules[0]->kind == RULE_PARAM)
        compat_metric_free(compat, resource);
    for (uint32_t i = 0; i < old->count; i++)
        if (!group_holds(plain, old->rules[i]) && !group_holds(pattern, old->rules[i]))
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

static void drop_defaults(struct compat *compat, struct compat_breaker **breakers, uint32_t count) {
    for (uint32_t i = 0; breakers && i < count; i++)
        compat_breaker_release(compat, breakers[i]);
    compat_give(&compat->arena, breakers, count * sizeof *breakers);
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
            drop_defaults(compat, made, group->count);
            made = NULL;
        }
    }
    drop_defaults(compat, resource->default_breakers, resource->default_breakers_count);
    resource->default_breakers = made;
    resource->default_breakers_count = made ? group->count : 0;
}

/* Default circuits all start anew, but for those of a resource that is really called "*": then all get a share in
 * those (sic). */
static void carry_defaults(struct compat *compat, const struct compat_rules *rules) {
    struct compat_resource *star = resource_find(compat, (struct compat_text){"*", 1});
    for (struct compat_resource *resource = compat->resource_list; resource; resource = resource->next)
        if (resource != star && resource->default_breakers)
            renew_defaults(compat, resource, rules->plain_list, star);
    if (star && star->default_breakers)
        renew_defaults(compat, star, rules->plain_list, star);
}

/* -------------------------------------------------------------------------------------------------------- system */

static void load_system(struct compat *compat, const void *image) {
    struct compat_system *system = &compat->system;
    struct cursor cursor = {image, FAMILY_SYSTEM, 0};
    for (uint32_t i = 0; i < system->exceptions_count; i++)
        compat_give(&compat->arena, (void *)(uintptr_t)system->exceptions[i].bytes, system->exceptions[i].length + 1);
    compat_give(&compat->arena, system->exceptions, system->exceptions_room * sizeof *system->exceptions);
    memset(system, 0, sizeof *system);
    const struct rule *rules = image_rules(image);
    for (const struct rule *rule; (rule = cursor_next(&cursor));) {
        if (rule->mode == MODE_OFF || rule->grade > SYSTEM_LOAD || !(rule->count >= 0) ||
            (rule->grade == SYSTEM_CPU && rule->count > 1))
            continue;
        if (!system->field[rule->grade].set || rule->count < system->field[rule->grade].limit) {
            system->field[rule->grade].limit = rule->count;
            system->field[rule->grade].image_index = (uint32_t)(rule - rules);
            system->field[rule->grade].simulate = rule->mode == MODE_SIMULATE;
        }
        system->field[rule->grade].set = system->on = true;
        if (system->exceptions || !rule->list_count)
            continue;
        system->exceptions = compat_take(&compat->arena, rule->list_count * sizeof *system->exceptions);
        system->exceptions_room = system->exceptions ? rule->list_count : 0;
        for (uint32_t i = 0; i < system->exceptions_room; i++) {
            const char *name = image_text(image, image_list(image)[rule->list_first + i]);
            char *copy = compat_take(&compat->arena, strlen(name) + 1);
            if (copy)
                system->exceptions[system->exceptions_count++] = (struct compat_text){memcpy(copy, name, strlen(name)),
                                                                                      strlen(name)};
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- loading */

static bool spoiled(const void *image, enum compat_family family) {
    struct cursor cursor = {image, family, 0};
    for (const struct rule *rule; (rule = cursor_next(&cursor));)
        if (compat_spoils_list(rule) && compat_valid(image, rule))
            return true;
    return false;
}

/* The rules in force stay, though the list counts as loaded, as it does in Sentinel: they go on behind its records. */
static bool build_spoiled(struct compat *compat, const void *image, struct compat_rules *ret_rules) {
    struct cursor cursor = {image, FAMILY_FLOW, 0};
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
        *record = (struct compat_record){compat_digest_of(image, from), from->param_idx, NULL};
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
            rules->records[rules->count + i].rule->image_index = UINT32_MAX;
}

/* Index in the image of each rule that is in force. */
static void number(struct compat_rules *rules, const void *image, enum compat_family family) {
    struct cursor cursor = {image, family, 0};
    const struct rule *rule;
    for (struct compat_record *record = rules->records; (rule = cursor_next(&cursor)); record++)
        if (record->rule)
            record->rule->image_index = (uint32_t)(rule - image_rules(image));
}

static void give_up(struct compat *compat, struct compat_rules *built, const bool *changed, int families, bool spoilt) {
    for (int family = 0; family < families; family++) {
        if (spoilt && family == FAMILY_FLOW) /* its rules are still those in force */
            compat_give(&compat->arena, built[family].records,
                        (built[family].count + built[family].kept) * sizeof *built[family].records);
        else if (changed[family])
            rules_free(compat, &built[family]);
    }
}

static void carry(struct compat *compat, struct compat_rules *built, const bool *changed) {
    if (changed[FAMILY_PARAM])
        carry_hot(compat, FAMILY_PARAM, &built[FAMILY_PARAM]);
    if (changed[FAMILY_GATEWAY])
        carry_hot(compat, FAMILY_GATEWAY, &built[FAMILY_GATEWAY]);
    if (changed[FAMILY_DEGRADE])
        carry_breakers(&built[FAMILY_DEGRADE]);
    if (changed[FAMILY_DEFAULT_DEGRADE])
        carry_defaults(compat, &built[FAMILY_DEFAULT_DEGRADE]);
}

int compat_rules_load(struct compat *compat, const void *image, uint32_t alone) {
    struct compat_rules built[FAMILIES] = {0};
    bool changed[FAMILIES], spoilt = false;
    for (int family = 0; family < FAMILIES; family++) {
        struct compat_digest list = list_digest(image, family);
        changed[family] = !compat->rules[family].version ||
                          (!(alone & 1u << family) && !compat_digest_equal(list, loaded_list(&compat->rules[family])));
        bool spoils = changed[family] && family == FAMILY_FLOW && spoiled(image, family);
        if (changed[family] &&
            !(spoils ? build_spoiled(compat, image, &built[family]) : build(compat, image, family, &built[family]))) {
            give_up(compat, built, changed, family, spoilt);
            return -ENOSPC;
        }
        spoilt |= spoils;
    }
    carry(compat, built, changed);
    for (int family = 0; family < FAMILIES; family++) {
        if (spoilt && family == FAMILY_FLOW) {
            adopt_spoiled(compat, &built[family]);
        } else if (changed[family]) {
            rules_free(compat, &compat->rules[family]);
            compat->rules[family] = built[family];
        }
        number(&compat->rules[family], image, family);
    }
    load_system(compat, image);
    return 0;
}

/* ------------------------------------------------------------------------------------------ a resource's own lists */

static uint32_t collect(const struct compat_rules *rules, const struct compat_resource *resource,
                        const struct compat_group *plain, struct compat_rule **to) {
    uint32_t count = 0;
    for (const struct compat_group *group = plain ? plain : rules->patterns; group;
         group = group == plain ? rules->patterns : group->next) {
        if (group != plain && !group_matches(group, resource->item.name, resource->item.length))
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
            drop_defaults(compat, made, list->count);
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
    if (list->rules)
        collect(rules, resource, plain, list->rules);
    else
        list->count = 0;
    if (family == FAMILY_DEGRADE) {
        drop_defaults(compat, resource->breakers, resource->breakers_count);
        own_breakers(compat, resource, plain);
    }
    return list;
}
