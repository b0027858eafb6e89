/* From a record of the ruleset to a rule that can be asked: validity as Sentinel's rule managers see it, equality as
 * its rule beans define it. */
#include <string.h>

#include "rules/engine/sentinel/compat_private.h"
#include "rules/engine/sentinel/compat_compile.h"

enum { NS_PER_MS = 1000000, IDENTITY_MARK = 1 };

/* ---------------------------------------------------------------------------------------------------- equality */

static void digest_bytes(struct compat_digest *digest, const void *bytes, size_t size) {
    digest->a = hash_bytes(digest->a, bytes, size);
    digest->b = hash_bytes(digest->b ^ 0x9e3779b97f4a7c15ull, bytes, size);
}
static void digest_number(struct compat_digest *digest, uint64_t number) {
    digest_bytes(digest, &number, sizeof number);
}
static void digest_text(struct compat_digest *digest, const char *text) {
    digest_bytes(digest, text, strlen(text));
}

static bool blank(const char *text) {
    return text[strspn(text, " \t\n\v\f\r")] == 0;
}

const char *compat_origin_text(const void *ruleset, const struct rule *rule) { /* limitApp: none is "default" */
    const char *origin = ruleset_text(ruleset, rule->origin);
    return blank(origin) ? "default" : origin;
}

/* Everything equals() looks at but the parameter's index, which a call may still change.  The text of the id
 * distinguishes rules apart only where it begins with a mark: that is how a reader keeps invalid rules of a list
 * distinct. */
struct compat_digest compat_digest_of(const void *ruleset, const struct rule *rule) {
    struct compat_digest digest = {rule->kind + 1u, rule->kind + 101u};
    const char *id = ruleset_text(ruleset, rule->id);
    const uint64_t numbers[] = {
        rule->mode,
        rule->match,
        rule->side,
        rule->grade,
        rule->strategy,
        rule->behavior,
        rule->cluster_mode,
        rule->threshold_type,
        rule->fallback_local,
        rule->authority,
        java_bits(rule->count),
        rule->interval_ns,
        java_bits(rule->burst),
        rule->max_queue_ns,
        rule->warm_up_ns,
        java_bits(rule->slow_ratio),
        rule->min_requests,
        rule->stat_interval_ns,
        rule->open_ns,
        rule->flow_id,
        rule->sample_count,
        rule->window_interval_ns,
        rule->params_count,
        rule->items_count,
    };
    digest_text(&digest, ruleset_text(ruleset, rule->resource));
    digest_text(&digest, compat_origin_text(ruleset, rule));
    digest_text(&digest, ruleset_text(ruleset, rule->ref_resource));
    digest_text(&digest, *id == IDENTITY_MARK ? id : "");
    digest_bytes(&digest, numbers, sizeof numbers);
    for (uint32_t i = 0; i < rule->items_count; i++) {
        const struct rule_item *item = &ruleset_items(ruleset)[rule->items_first + i];
        digest_text(&digest, ruleset_text(ruleset, item->object));
        digest_number(&digest, item->type);
        digest_number(&digest, java_bits(item->count));
    }
    for (uint32_t i = 0; i < rule->params_count; i++) {
        const struct rule_param *param = &ruleset_params(ruleset)[rule->params_first + i];
        digest_text(&digest, ruleset_text(ruleset, param->field));
        digest_text(&digest, ruleset_text(ruleset, param->pattern));
        digest_number(&digest, (uint64_t)param->source << 32 | (uint32_t)param->match << 16 | param->segment);
    }
    if (rule->kind == RULE_FLOW)
        digest_number(&digest, ruleset_head(ruleset)->options.cold_factor);
    return digest;
}

/* ---------------------------------------------------------------------------------------------------- validity */

static bool cluster_valid(const struct rule *rule) {
    if (!rule->cluster_mode)
        return true;
    uint64_t interval_ms = rule->window_interval_ns / NS_PER_MS;
    return rule->flow_id > 0 && rule->sample_count > 0 && interval_ms > 0 && interval_ms % rule->sample_count == 0;
}

static bool flow_valid(const void *ruleset, const struct rule *rule) {
    bool warm = rule->behavior == BEHAVIOR_WARM_UP || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    if (rule->match != MATCH_EXACT && (rule->cluster_mode || rule->behavior != BEHAVIOR_REJECT))
        return false;
    if (!cluster_valid(rule))
        return false;
    if (rule->grade == GRADE_THREAD)
        return true;
    if (rule->strategy != STRATEGY_DIRECT && blank(ruleset_text(ruleset, rule->ref_resource)))
        return false;
    return (!warm || rule->warm_up_ns > 0) && (!queue || rule->max_queue_ns / NS_PER_MS > 0);
}

static bool hot_valid(const struct rule *rule) {
    if (rule->match != MATCH_EXACT && (rule->cluster_mode || rule->behavior != BEHAVIOR_REJECT))
        return false;
    return rule->burst >= 0 && rule->interval_ns / 1000000000 > 0 && cluster_valid(rule);
}

static bool degrade_valid(const struct rule *rule) {
    if (rule->open_ns == 0 || rule->min_requests == 0 || rule->stat_interval_ns / NS_PER_MS == 0)
        return false;
    if (rule->grade == DEGRADE_SLOW)
        return rule->slow_ratio >= 0 && rule->slow_ratio <= 1;
    return rule->grade != DEGRADE_RATIO || rule->count <= 1;
}

bool compat_valid(const void *ruleset, const struct rule *rule) {
    bool known = rule->match == MATCH_EXACT || rule->match == MATCH_REGEX; /* a rules file cannot say more */
    if (rule->mode == MODE_OFF || blank(ruleset_text(ruleset, rule->resource)) || !(rule->count >= 0) || !known)
        return false;
    switch (rule->kind) {
    case RULE_AUTHORITY: return !blank(ruleset_text(ruleset, rule->origin));
    case RULE_PARAM:
    case RULE_GATEWAY: return hot_valid(rule);
    case RULE_FLOW: return flow_valid(ruleset, rule);
    case RULE_DEGRADE: return degrade_valid(rule);
    default: return true;
    }
}

/* Sentinel divides by round(count) while it builds such a rule: the list it stands in is not applied at all. */
bool compat_spoils_list(const struct rule *rule) {
    return rule->kind == RULE_FLOW && rule->grade == GRADE_QPS && rule->behavior == BEHAVIOR_QUEUE && rule->count > 0 &&
           java_round(rule->count) == 0;
}

/* --------------------------------------------------------------------------------------------------- compiling */

static bool copy_text(struct compat_arena *arena, const char *text, struct compat_text *ret_text) {
    size_t length = strlen(text);
    char *copy = compat_take(arena, length + 1);
    if (!copy)
        return false;
    memcpy(copy, text, length);
    *ret_text = (struct compat_text){copy, length};
    return true;
}

static void free_text(struct compat_arena *arena, struct compat_text *text) {
    if (text->bytes)
        compat_give(arena, (void *)(uintptr_t)text->bytes, text->length + 1);
}

void compat_rule_free(struct compat *compat, struct compat_rule *rule) {
    struct compat_arena *arena = &compat->arena;
    if (!rule)
        return;
    if (rule->kind == RULE_PARAM || rule->kind == RULE_GATEWAY) {
        for (uint32_t i = 0; rule->hot.sources && i < rule->hot.sources_count; i++) {
            free_text(arena, &rule->hot.sources[i].field);
            free_text(arena, &rule->hot.sources[i].pattern);
            compat_pattern_free(rule->hot.sources[i].code);
        }
        compat_give(arena, rule->hot.sources, rule->hot.sources_count * sizeof *rule->hot.sources);
        compat_give(arena, rule->hot.items, rule->hot.items_count * sizeof *rule->hot.items);
    }
    compat_give(arena, rule->namesakes, rule->namesakes_count * sizeof(struct compat_rule *));
    free_text(arena, &rule->resource);
    free_text(arena, &rule->origin);
    free_text(arena, &rule->ref);
    compat_give(arena, rule, sizeof *rule);
}

static int compare_items(const struct compat_item_limit *x, const struct compat_item_limit *y) {
    if (x->value.a != y->value.a)
        return x->value.a < y->value.a ? -1 : 1;
    return x->value.b < y->value.b ? -1 : x->value.b > y->value.b;
}

/* Sorted by insertion, the later of two equal values wins; items that cannot match or with a count < 0 are left out.
 * The array keeps its size of items_count; what is left over at its end repeats the last one. */
static bool compile_items(struct compat *compat, const void *ruleset, const struct rule *rule, struct compat_hot *hot) {
    if (!rule->items_count)
        return true;
    struct compat_item_limit *items = compat_take(&compat->arena, rule->items_count * sizeof *items);
    if (!items)
        return false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < rule->items_count; i++) {
        const struct rule_item *item = &ruleset_items(ruleset)[rule->items_first + i];
        const char *object = ruleset_text(ruleset, item->object);
        struct engine_value value = {
            .type = item->type ? item->type : VALUE_STRING, .text = object, .length = strlen(object)};
        struct compat_item_limit limit = {compat_value_key(compat->seed, &value), java_int(item->count)};
        if (value.type > VALUE_BOOLEAN || !(item->count >= 0))
            continue;
        uint32_t at = count;
        while (at > 0 && compare_items(&items[at - 1], &limit) > 0)
            at--;
        if (at > 0 && compare_items(&items[at - 1], &limit) == 0) {
            items[at - 1] = limit;
            continue;
        }
        memmove(&items[at + 1], &items[at], (count - at) * sizeof *items);
        items[at] = limit;
        count++;
    }
    for (uint32_t i = count; count && i < rule->items_count; i++)
        items[i] = items[count - 1];
    if (!count)
        compat_give(&compat->arena, items, rule->items_count * sizeof *items);
    hot->items = count ? items : NULL;
    hot->items_count = count ? rule->items_count : 0;
    return true;
}

static bool compile_sources(struct compat *compat, const void *ruleset, const struct rule *rule,
                            struct compat_hot *hot) {
    if (!rule->params_count)
        return true;
    hot->sources = compat_take(&compat->arena, rule->params_count * sizeof *hot->sources);
    if (!hot->sources)
        return false;
    hot->sources_count = rule->params_count;
    for (uint32_t i = 0; i < rule->params_count; i++) {
        struct compat_source *source = &hot->sources[i];
        source->param = ruleset_params(ruleset)[rule->params_first + i];
        if (!copy_text(&compat->arena, ruleset_text(ruleset, source->param.field), &source->field) ||
            !copy_text(&compat->arena, ruleset_text(ruleset, source->param.pattern), &source->pattern))
            return false;
        if (source->pattern.length && source->param.match == PARAM_REGEX)
            source->code = compat_pattern(&compat->arena, source->pattern.bytes, source->pattern.length);
    }
    return true;
}

static bool compile_hot(struct compat *compat, const void *ruleset, const struct rule *rule, struct compat_rule *to) {
    struct compat_hot *hot = &to->hot;
    hot->param_idx = hot->loaded_idx = rule->param_idx;
    hot->limit = java_long(rule->count);
    hot->burst = java_int(rule->burst);
    hot->duration_s = (int64_t)(rule->interval_ns / 1000000000);
    hot->max_queue_ms = (int64_t)(rule->max_queue_ns / NS_PER_MS);
    hot->constant = rule->kind == RULE_GATEWAY && !rule->params_count;
    return compile_items(compat, ruleset, rule, hot) && compile_sources(compat, ruleset, rule, hot);
}

static void compile_degrade(const struct rule *rule, struct compat_rule *to) {
    struct compat_degrade *degrade = &to->degrade;
    degrade->ratio = rule->slow_ratio;
    degrade->slow_ms = java_round(rule->count);
    degrade->min_requests = rule->min_requests;
    degrade->stat_ms = (int64_t)(rule->stat_interval_ns / NS_PER_MS);
    degrade->open_ms = (int32_t)(uint32_t)(rule->open_ns / NS_PER_MS); /* an int in Sentinel, which may wrap */
    if (rule->grade == DEGRADE_AVG_RT) {                               /* the legacy rule, as Sentinel 1.8 reads it */
        to->grade = DEGRADE_SLOW;
        degrade->ratio = 1.0;
        if (rule->rt_slow_requests)
            degrade->min_requests = rule->rt_slow_requests;
    }
}

struct compat_rule *compat_rule_new(struct compat *compat, const void *ruleset, const struct rule *rule) {
    struct compat_arena *arena = &compat->arena;
    struct compat_rule *to = compat_take(arena, sizeof *to);
    if (!to)
        return NULL;
    to->digest = compat_digest_of(ruleset, rule);
    to->kind = rule->kind;
    to->mode = rule->mode;
    to->side = rule->side;
    to->grade = rule->kind == RULE_ISOLATION ? GRADE_THREAD : rule->grade;
    to->strategy = rule->strategy;
    to->behavior = rule->behavior;
    to->authority = rule->authority;
    to->cluster = rule->cluster_mode;
    to->fallback_local = rule->fallback_local;
    to->regex = rule->match != MATCH_EXACT;
    to->count = rule->count;
    bool done = copy_text(arena, ruleset_text(ruleset, rule->resource), &to->resource) &&
                copy_text(arena, compat_origin_text(ruleset, rule), &to->origin) &&
                copy_text(arena, ruleset_text(ruleset, rule->ref_resource), &to->ref);
    if (rule->kind == RULE_PARAM || rule->kind == RULE_GATEWAY)
        done = done && compile_hot(compat, ruleset, rule, to);
    else if (rule->kind == RULE_DEGRADE)
        compile_degrade(rule, to);
    else if (rule->kind == RULE_FLOW || rule->kind == RULE_ISOLATION) {
        to->flow.max_queue_ms = (int64_t)(rule->max_queue_ns / NS_PER_MS);
        compat_flow_init(to, ruleset_head(ruleset)->options.cold_factor);
        if (to->behavior == BEHAVIOR_WARM_UP || to->behavior == BEHAVIOR_WARM_UP_QUEUE)
            compat_flow_warm_up(to, (int32_t)(rule->warm_up_ns / 1000000000));
    }
    if (done)
        return to;
    compat_rule_free(compat, to);
    return NULL;
}
