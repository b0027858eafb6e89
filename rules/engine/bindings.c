/* Which rules apply to a resource: found out at its first request under a compiled ruleset, and kept as a list. */
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/limiters.h"

static bool in_list(const struct compiled *compiled, const struct rule *rule, const char *name) {
    const uint32_t *list = ruleset_list(compiled->ruleset) + rule->list_first;
    for (uint32_t i = 0; !rule->canary && i < rule->list_count; i++)
        if (strcmp(ruleset_text(compiled->ruleset, list[i]), name) == 0)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------- names that share an entry */

/* "{other}:A|B" is the entry of names that the rules of the ids A and B apply to; rules about everything do anyway. */
enum { GROUP_ID_MOST = 40 };
static size_t group_id(const struct compiled *compiled, const struct rule *rule, char ret_id[static GROUP_ID_MOST]) {
    const char *id = ruleset_text(compiled->ruleset, rule->id);
    size_t length = strlen(id);
    bool usable = length && length <= GROUP_ID_MOST && !strchr(id, '|') && *id != '#';
    for (unsigned i = 0; !usable && i < 16; i++)
        ret_id[1 + i] = "0123456789abcdef"[rule->id_hash >> (60 - 4 * i) & 15];
    if (usable)
        memcpy(ret_id, id, length);
    else
        ret_id[0] = '#';
    return usable ? length : 17;
}

static bool in_group(const struct compiled *compiled, const struct rule *rule, const char *ids) {
    char id[GROUP_ID_MOST];
    size_t length = group_id(compiled, rule, id);
    for (; *ids; ids += strcspn(ids, "|"), ids += *ids == '|')
        if (strcspn(ids, "|") == length && memcmp(ids, id, length) == 0)
            return true;
    return false;
}

static const char *group_ids(const char *name) {
    size_t length = sizeof(RESOURCE_GROUP) - 1;
    return strncmp(name, RESOURCE_GROUP, length) == 0 ? name + length : NULL;
}

/* ----------------------------------------------------------------------------------------------- what applies */

static bool pattern_applies(struct engine *engine, struct compiled *compiled, const struct rule *rule,
                            const struct limiter *limiter, const char *name, size_t length, bool *ret_undecided) {
    const char *pattern = ruleset_text(compiled->ruleset, rule->resource);
    const char *ids = group_ids(name);
    if (strcmp(pattern, "*") == 0)
        return true;
    if (ids)
        return strcmp(name, RESOURCE_GROUP_ALL) == 0 || in_group(compiled, rule, ids);
    switch (rule->match) {
    case MATCH_PREFIX: return strncmp(name, pattern, strlen(pattern)) == 0;
    case MATCH_GLOB: return pattern_glob(pattern, name, length);
    case MATCH_REGEX: return compiled_regex(engine, limiter->pattern, name, length, ret_undecided) != PATTERN_NO;
    default: return false;
    }
}

/* "*" for circuits: all resources of its side that have no circuit rule of their own and are not excepted. */
static bool is_default_breaker(const struct compiled *compiled, const struct rule *rule) {
    return rule->kind == RULE_DEGRADE && strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") == 0;
}

static uint32_t first_exact(const struct compiled *compiled, const char *name) {
    for (uint32_t at = (uint32_t)compiled_name_hash(name) & compiled->index_mask; compiled->exact[at];
         at = (at + 1) & compiled->index_mask)
        if (strcmp(ruleset_text(compiled->ruleset, compiled->rules[compiled->exact[at] - 1].resource), name) == 0)
            return compiled->exact[at];
    return 0;
}

bool compiled_speaks_of(struct engine *engine, struct compiled *compiled, const char *name, size_t length) {
    bool undecided = false;
    if (first_exact(compiled, name))
        return true;
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        const struct rule *rule = &compiled->rules[compiled->general[k]];
        if (strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") != 0 && !compiled_is_exact(compiled, rule) &&
            pattern_applies(engine, compiled, rule, &compiled->limiters[compiled->general[k]], name, length,
                            &undecided))
            return true;
    }
    return false;
}

bool compiled_misses(void *context, const char *name, size_t length, const char *other, size_t other_length) {
    struct compiled *compiled = context;
    struct engine *engine = compiled->engine;
    bool undecided = false;
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        const struct rule *rule = &compiled->rules[compiled->general[k]];
        const struct limiter *limiter = &compiled->limiters[compiled->general[k]];
        if (limiter->in_force && !compiled_is_exact(compiled, rule) &&
            pattern_applies(engine, compiled, rule, limiter, name, length, &undecided) &&
            !pattern_applies(engine, compiled, rule, limiter, other, other_length, &undecided))
            return true;
    }
    return false;
}

static bool exact_applies(const struct compiled *compiled, const struct rule *rule, const char *name) {
    const char *ids = group_ids(name);
    return ids ? in_group(compiled, rule, ids) : strcmp(ruleset_text(compiled->ruleset, rule->resource), name) == 0;
}

uint32_t compiled_next_rule(struct engine *engine, struct compiled *compiled, const char *name, size_t length,
                            uint32_t from) {
    bool undecided = false;
    for (uint32_t i = from; i < compiled->rules_count; i++) {
        const struct rule *rule = &compiled->rules[i];
        if (rule->kind >= RULE_SYSTEM || !compiled->limiters[i].in_force)
            continue;
        if (compiled_is_exact(compiled, rule)
                ? exact_applies(compiled, rule, name)
                : !in_list(compiled, rule, name) &&
                      pattern_applies(engine, compiled, rule, &compiled->limiters[i], name, length, &undecided))
            return i;
    }
    return UINT32_MAX;
}

size_t compiled_group_name(struct engine *engine, struct compiled *compiled, const char *name, size_t length,
                           char ret_name[LAYOUT_RESOURCE_NAME_MAX]) {
    size_t used = sizeof(RESOURCE_GROUP) - 1;
    memcpy(ret_name, RESOURCE_GROUP, used);
    for (uint32_t i = compiled_next_rule(engine, compiled, name, length, 0); i != UINT32_MAX;
         i = compiled_next_rule(engine, compiled, name, length, i + 1)) {
        char id[GROUP_ID_MOST];
        size_t size = group_id(compiled, &compiled->rules[i], id);
        if (strcmp(ruleset_text(compiled->ruleset, compiled->rules[i].resource), "*") == 0)
            continue;
        if (used + size + 1 >= LAYOUT_RESOURCE_NAME_MAX) {
            memcpy(ret_name, RESOURCE_GROUP_ALL, sizeof(RESOURCE_GROUP_ALL) - 1);
            return sizeof(RESOURCE_GROUP_ALL) - 1;
        }
        if (used > sizeof(RESOURCE_GROUP) - 1)
            ret_name[used++] = '|';
        memcpy(ret_name + used, id, size);
        used += size;
    }
    return used > sizeof(RESOURCE_GROUP) - 1 ? used : 0;
}

uint32_t compiled_missing(struct engine *engine, struct compiled *compiled, uint32_t used) {
    if (load_acquire(&compiled->missing_at) == used)
        return load_relaxed(&compiled->missing);
    uint32_t missing = 0;
    for (uint32_t at = 0; at <= compiled->index_mask; at++)
        missing += compiled->exact[at] &&
                   !resource_known(engine,
                                   ruleset_text(compiled->ruleset, compiled->rules[compiled->exact[at] - 1].resource));
    store_relaxed(&compiled->missing, missing);
    store_release(&compiled->missing_at, used);
    return missing;
}

struct found {              /* rules that apply to one resource */
    uint32_t *rules, count; /* room for ENGINE_BINDINGS_MAX, or for all that may apply */
    bool own_breaker, undecided, too_many;
};

static void found_add(struct found *found, uint32_t rule) {
    if (found->count < ENGINE_BINDINGS_MAX)
        found->rules[found->count++] = rule;
    else
        found->too_many = true;
}

static void find_rules(struct engine *engine, struct compiled *compiled, const char *name, size_t length,
                       struct found *found) {
    for (uint32_t i = first_exact(compiled, name); i; i = compiled->limiters[i - 1].next_exact)
        if (compiled->limiters[i - 1].in_force)
            found_add(found, i - 1);
    for (uint32_t i = 0; group_ids(name) && i < compiled->rules_count; i++)
        if (compiled->limiters[i].in_force && compiled->rules[i].kind < RULE_SYSTEM &&
            compiled_is_exact(compiled, &compiled->rules[i]) && exact_applies(compiled, &compiled->rules[i], name))
            found_add(found, i);
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        uint32_t i = compiled->general[k];
        const struct rule *rule = &compiled->rules[i];
        if (compiled->limiters[i].in_force && !compiled_is_exact(compiled, rule) && !in_list(compiled, rule, name) &&
            pattern_applies(engine, compiled, rule, &compiled->limiters[i], name, length, &found->undecided))
            found_add(found, i);
    }
    for (uint32_t k = 0; k < found->count; k++)
        found->own_breaker |= compiled->rules[found->rules[k]].kind == RULE_DEGRADE &&
                              !is_default_breaker(compiled, &compiled->rules[found->rules[k]]);
    for (uint32_t k = 1; k < found->count; k++) /* rules are sorted by kind, then as written */
        for (uint32_t j = k; j > 0 && found->rules[j - 1] > found->rules[j]; j--) {
            uint32_t swap = found->rules[j];
            found->rules[j] = found->rules[j - 1];
            found->rules[j - 1] = swap;
        }
}

static bool is_plain(const struct rule *rule, enum limiter_kind kind) {
    return kind == LIMITER_WINDOW && rule->side == SIDE_ANY && rule->origin_kind == ORIGIN_DEFAULT &&
           rule->cost_kind == COST_ONE && (rule->kind != RULE_FLOW || rule->strategy == STRATEGY_DIRECT);
}

static void bind(struct compiled *compiled, struct binding_list *list, uint16_t *count, uint32_t i) {
    unsigned at = list->checks + list->breakers + list->feeds;
    const struct rule *rule = &compiled->rules[i];
    enum limiter_kind kind = limiter_of(rule);
    list->items[at] = (struct binding){
        .rule = rule, .limiter = &compiled->limiters[i], .kind = (uint8_t)kind, .plain = is_plain(rule, kind)};
    ++*count;
    if (count != &list->feeds && rule->priority != PRIORITY_NORMAL)
        list->priority = rule->priority;
}

static bool feeds(const struct compiled *compiled, const struct rule *rule, const char *name) {
    return rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE &&
           strcmp(ruleset_text(compiled->ruleset, rule->ref_resource), name) == 0;
}

/* How many rules may apply to a resource, at most. */
static uint32_t candidates(const struct compiled *compiled, const char *name) {
    uint32_t count = group_ids(name) ? compiled->rules_count : compiled->general_count;
    for (uint32_t i = first_exact(compiled, name); i && count < ENGINE_BINDINGS_MAX;
         i = compiled->limiters[i - 1].next_exact)
        count++;
    return count < ENGINE_BINDINGS_MAX ? count : ENGINE_BINDINGS_MAX;
}

static size_t list_size(uint32_t bindings) {
    return sizeof(struct binding_list) + bindings * sizeof(struct binding);
}

/* A path of options.healthChecks, whatever the method; a name does not hold the query. */
static bool is_health_check(const struct compiled *compiled, const char *name) {
    const struct ruleset_options *options = &ruleset_head(compiled->ruleset)->options;
    const uint32_t *paths = ruleset_list(compiled->ruleset) + options->health_first;
    const char *path = strchr(name, ':');
    for (uint32_t i = 0; path && i < options->health_count; i++)
        if (strcmp(path + 1, ruleset_text(compiled->ruleset, paths[i])) == 0)
            return true;
    return false;
}

/* What applies is collected behind the list that is made of it: a stack may be too small for that. */
static struct binding_list *resolve(struct engine *engine, struct compiled *compiled, const char *name, size_t length) {
    uint32_t fed = 0, room = candidates(compiled, name);
    for (uint32_t k = 0; k < compiled->general_count; k++)
        fed += feeds(compiled, &compiled->rules[compiled->general[k]], name);
    if (fed > UINT16_MAX - ENGINE_BINDINGS_MAX)
        fed = UINT16_MAX - ENGINE_BINDINGS_MAX;
    size_t whole_size = list_size(room + fed) + room * sizeof(uint32_t);
    uint32_t place;
    struct binding_list *list = compiled_take(compiled, whole_size, &place);
    if (!list)
        return NULL;
    struct found found = {.rules = (uint32_t *)((char *)list + list_size(room + fed))};
    find_rules(engine, compiled, name, length, &found);
    if (found.undecided || found.too_many) {
        compiled_shorten(compiled, place, whole_size, 0);
        return NULL;
    }
    uint32_t most = found.count + fed;
    memset(list, 0, list_size(most));
    list->priority = route_priority(compiled->ruleset, name, length);
    for (uint32_t k = 0; k < found.count; k++)
        if (compiled->rules[found.rules[k]].kind != RULE_DEGRADE)
            bind(compiled, list, &list->checks, found.rules[k]);
    for (uint32_t k = 0; k < found.count; k++) {
        const struct rule *rule = &compiled->rules[found.rules[k]];
        if (rule->kind == RULE_DEGRADE && !(found.own_breaker && is_default_breaker(compiled, rule)))
            bind(compiled, list, &list->breakers, found.rules[k]);
    }
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        uint32_t i = compiled->general[k];
        if (compiled->limiters[i].in_force && feeds(compiled, &compiled->rules[i], name) &&
            (uint32_t)list->checks + list->breakers + list->feeds < most)
            bind(compiled, list, &list->feeds, i);
    }
    for (uint32_t i = 0; i < compiled->shedders; i++)
        if (in_list(compiled, compiled->shedder[i].rule, name))
            list->exempt |= 1ull << i;
    list->health = compiled->shedders && is_health_check(compiled, name);
    compiled_shorten(compiled, place, whole_size, list_size(most));
    return list;
}

struct binding_list *compiled_resolve(struct engine *engine, struct compiled *compiled, uint32_t resource) {
    struct binding_list *none = NULL;
    size_t length;
    const char *name = engine_resource_name(engine, resource, &length);
    struct binding_list *list = resolve(engine, compiled, name, length);
    if (!list)
        return NULL;
    return __atomic_compare_exchange_n(&compiled->lists[resource], &none, list, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST)
               ? list
               : none;
}
