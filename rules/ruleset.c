/* Is this a ruleset?  Read by every process that received one; calls nothing but memory and string functions. */
#include "rules/ruleset.h"

#include <string.h>

#include "rules/layout.h"
#include "rules/caller.h"

/* One more or less in these would be no danger to memory, but everything a ruleset says is bounded, so that no sum or
 * product of the engine's can overflow. */
static const uint64_t interval_max_ns = 366ull * 86400 * 1000000000;
static const double count_max = 1e15;
enum { PARAMS_MAX = 8, CAPACITY_MAX = 1 << 20, COST_MAX = 1 << 30 };

static bool within(uint32_t first, uint32_t count, uint32_t total) {
    return first <= total && count <= total - first;
}

static bool part_check(uint32_t at, uint32_t count, size_t element, size_t size) {
    return at >= sizeof(struct ruleset_header) && at % 8 == 0 && at <= size && count <= (size - at) / element;
}

static bool number_check(double value, double max) {
    return value >= 0 && value <= max; /* false for NaN */
}

static bool text_check(const struct ruleset_header *header, ruleset_string text) {
    return text < header->strings_size;
}

/* Sorted by kind: one after the other, and all of them. */
static bool kinds_check(const uint32_t *first, const uint32_t *count, unsigned kinds, uint32_t all) {
    uint32_t next = 0;
    for (unsigned kind = 0; kind < kinds; kind++) {
        if (first[kind] != next || count[kind] > all - next)
            return false;
        next += count[kind];
    }
    return next == all;
}

const uint32_t ruleset_strides[RULESET_STRIDES] = {
    [STRIDE_RULE] = sizeof(struct rule),           [STRIDE_PARAM] = sizeof(struct rule_param),
    [STRIDE_ITEM] = sizeof(struct rule_item),      [STRIDE_ROUTE] = sizeof(struct ruleset_route),
    [STRIDE_RANGE] = sizeof(struct address_range), [STRIDE_ACTION] = sizeof(struct ruleset_block_action),
};

bool ruleset_is_native(const void *ruleset, size_t size) {
    const struct ruleset_header *header = ruleset;
    return size >= sizeof *header && header->magic == RULESET_MAGIC && header->version >= RULESET_MIN_WRITER &&
           header->min_reader <= RULESET_VERSION && header->header_size == sizeof *header &&
           memcmp(header->strides, ruleset_strides, sizeof ruleset_strides) == 0;
}

static bool header_check(const struct ruleset_header *header, size_t size) {
    if (header->size != size || !ruleset_is_native(header, size) || (header->requires & ~RULE_FEATURES))
        return false;
    if (!part_check(header->rules_at, header->rules_count, sizeof(struct rule), size) ||
        !part_check(header->params_at, header->params_count, sizeof(struct rule_param), size) ||
        !part_check(header->items_at, header->items_count, sizeof(struct rule_item), size) ||
        !part_check(header->routes_at, header->routes_count, sizeof(struct ruleset_route), size) ||
        !part_check(header->ranges_at, header->ranges_count, sizeof(struct address_range), size) ||
        !part_check(header->actions_at, header->actions_count, sizeof(struct ruleset_block_action), size) ||
        !part_check(header->list_at, header->list_count, sizeof(uint32_t), size) ||
        !part_check(header->strings_at, header->strings_size, 1, size))
        return false;
    if (!part_check(header->route_slots_at, header->route_slots_count, sizeof(uint32_t), size) ||
        !part_check(header->name_slots_at, header->name_slots_count, sizeof(uint32_t), size) ||
        (header->route_slots_count & (header->route_slots_count - 1)) ||
        (header->name_slots_count & (header->name_slots_count - 1)))
        return false;
    const char *strings = (const char *)header + header->strings_at;
    if (header->strings_size == 0 || strings[0] != '\0' || strings[header->strings_size - 1] != '\0')
        return false;
    if (!text_check(header, header->app) || !text_check(header, header->version_text))
        return false;
    if (strlen(strings + header->app) >= LAYOUT_APP_NAME_MAX)
        return false;
    return header->hosts <= 1 && header->callers <= 1 &&
           kinds_check(header->kind_first, header->kind_count, RULE_KINDS, header->rules_count) &&
           kinds_check(header->route_kind_first, header->route_kind_count, ROUTE_KINDS, header->routes_count);
}

static bool list_of_texts_check(const struct ruleset_header *header, uint32_t first, uint32_t count) {
    if (!within(first, count, header->list_count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!text_check(header, ruleset_list(header)[first + i]))
            return false;
    return true;
}

static bool options_check(const struct ruleset_header *header) {
    const struct ruleset_options *options = &header->options;
    return options->compat_sentinel <= 1 && options->strict_http <= 1 && options->defend_http <= 1 &&
           options->mark <= 1 && options->tcp_reject <= TCP_REJECT_DEFER && options->max_resources >= 1 &&
           options->max_resources < LAYOUT_RESOURCES && options->cold_factor >= 2 && options->cold_factor <= 1000 &&
           options->own_proxies <= 1 && options->max_siblings >= 1 && options->max_siblings <= 10000 &&
           options->max_rt_ns >= 1000000 && options->max_rt_ns <= interval_max_ns && options->rate_limit_headers <= 3 &&
           options->local_callers <= CALLER_ALL && options->ipv6_prefix <= 128 && options->ipv4_prefix <= 32 &&
           text_check(header, options->client_header) &&
           within(options->proxies_first, options->proxies_count, header->ranges_count) &&
           list_of_texts_check(header, options->health_first, options->health_count);
}

static bool rule_enums_check(const struct rule *rule) {
    static const uint8_t grade_max[RULE_KINDS] = {
        [RULE_AUTHORITY] = 0,        [RULE_PARAM] = GRADE_QPS,         [RULE_GATEWAY] = GRADE_QPS,
        [RULE_FLOW] = GRADE_QPS,     [RULE_ISOLATION] = GRADE_THREAD,  [RULE_DEGRADE] = DEGRADE_AVG_RT,
        [RULE_SYSTEM] = SYSTEM_LOAD, [RULE_ADAPTIVE] = ADAPTIVE_DELAY,
    };
    return rule->mode <= MODE_OFF && rule->scope <= SCOPE_CLUSTER && rule->match <= MATCH_REGEX &&
           rule->side <= SIDE_OUTBOUND && rule->priority <= PRIORITY_CRITICAL && rule->origin_kind <= ORIGIN_OTHER &&
           rule->grade <= grade_max[rule->kind] && rule->strategy <= STRATEGY_CHAIN &&
           rule->behavior <= BEHAVIOR_WARM_UP_QUEUE && rule->recovery <= RECOVERY_GRADUAL &&
           rule->cost_kind <= COST_BYTES && rule->penalty <= 1 && rule->canary <= CANARY_HOSTS &&
           rule->cluster_mode <= 1 && rule->threshold_type <= 1 && rule->fallback_local <= 1 &&
           rule->resource_mode <= 1 && rule->authority <= AUTHORITY_BLACK && !(rule->requires & ~RULE_FEATURES);
}

static bool rule_numbers_check(const struct rule *rule) {
    return number_check(rule->count, count_max) && number_check(rule->burst, count_max) &&
           number_check(rule->slow_ratio, 1.0) && rule->interval_ns >= 1 && rule->interval_ns <= interval_max_ns &&
           rule->max_queue_ns <= interval_max_ns && rule->warm_up_ns >= 1 && rule->warm_up_ns <= interval_max_ns &&
           rule->stat_interval_ns >= 1000000 && rule->stat_interval_ns <= interval_max_ns &&
           rule->open_ns <= interval_max_ns && rule->ttl_ns <= interval_max_ns && rule->recovery_steps >= 1 &&
           rule->recovery_steps <= 100 && rule->step_min_pass >= 1 && rule->capacity >= 1 &&
           rule->capacity <= CAPACITY_MAX && rule->canary_percent <= 100 && rule->cost_number >= 1 &&
           rule->cost_number <= COST_MAX && rule->sample_count >= 1 && rule->sample_count <= 10000 &&
           rule->window_interval_ns >= 1 && rule->window_interval_ns <= interval_max_ns && rule->param_idx > -1000 &&
           rule->param_idx < 1000;
}

static bool moments_check(const struct ruleset_header *header, const struct rule *rule) {
    if (!within(rule->when_first, rule->when_count, header->list_count))
        return false;
    for (uint32_t i = 1; i < rule->when_count; i++)
        if (ruleset_list(header)[rule->when_first + i - 1] >= ruleset_list(header)[rule->when_first + i])
            return false;
    return true;
}

static bool rule_links_check(const struct ruleset_header *header, const struct rule *rule) {
    const ruleset_string texts[] = {rule->id,          rule->resource, rule->origin, rule->ref_resource,
                                    rule->cost_header, rule->file,     rule->when};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!text_check(header, texts[i]))
            return false;
    if (ruleset_text(header, rule->id)[0] == '\0' || rule->id_hash == 0)
        return false;
    if (rule->origin_kind == ORIGIN_NAMED && ruleset_text(header, rule->origin)[0] == '\0')
        return false;
    if (rule->kind < RULE_SYSTEM && ruleset_text(header, rule->resource)[0] == '\0')
        return false;
    if (rule->kind == RULE_FLOW && rule->strategy != STRATEGY_DIRECT &&
        ruleset_text(header, rule->ref_resource)[0] == '\0')
        return false;
    if (rule->cost_kind == COST_HEADER && ruleset_text(header, rule->cost_header)[0] == '\0')
        return false;
    if (rule->block_action > header->actions_count || rule->params_count > PARAMS_MAX ||
        !within(rule->params_first, rule->params_count, header->params_count) ||
        !within(rule->items_first, rule->items_count, header->items_count))
        return false;
    if (!moments_check(header, rule))
        return false;
    if (rule->canary == CANARY_PIDS)
        return within(rule->list_first, rule->list_count, header->list_count);
    return list_of_texts_check(header, rule->list_first, rule->list_count);
}

static bool rules_check(const struct ruleset_header *header) {
    const struct rule *rule = ruleset_rules(header);
    for (unsigned kind = 0; kind < RULE_KINDS; kind++)
        for (uint32_t i = 0; i < header->kind_count[kind]; i++, rule++)
            if (rule->kind != kind || !rule_enums_check(rule) || !rule_numbers_check(rule) ||
                !rule_links_check(header, rule))
                return false;
    return true;
}

static bool params_check(const struct ruleset_header *header) {
    const struct rule_param *param = ruleset_params(header);
    for (uint32_t i = 0; i < header->params_count; i++, param++)
        if (param->source > PARAM_PATH || param->match > PARAM_CONTAINS || !text_check(header, param->field) ||
            !text_check(header, param->pattern))
            return false;
    const struct rule_item *item = ruleset_items(header);
    for (uint32_t i = 0; i < header->items_count; i++, item++)
        if (!text_check(header, item->object) || item->type > RULESET_VALUE_TYPE_MAX ||
            !number_check(item->count, count_max))
            return false;
    return true;
}

static bool route_check(const struct ruleset_header *header, const struct ruleset_route *route) {
    const ruleset_string texts[] = {route->name, route->pattern, route->method, route->host, route->header};
    for (size_t t = 0; t < sizeof(texts) / sizeof(*texts); t++)
        if (!text_check(header, texts[t]))
            return false;
    return route->match <= MATCH_REGEX && route->priority <= PRIORITY_CRITICAL && route->protocol <= PROTOCOL_HTTP &&
           route->port <= 65535 && route->implicit <= 1 && route->any_peer <= 1 && route->http2 <= 1 &&
           route->proxy <= ROUTE_PROXY_OFF && within(route->ranges_first, route->ranges_count, header->ranges_count);
}

static bool routes_check(const struct ruleset_header *header) {
    const struct ruleset_route *route = ruleset_routes(header);
    for (unsigned kind = 0; kind < ROUTE_KINDS; kind++)
        for (uint32_t i = 0; i < header->route_kind_count[kind]; i++, route++)
            if (route->kind != kind || !route_check(header, route))
                return false;
    for (uint32_t i = 0; i < header->ranges_count; i++)
        if (!address_range_valid(&ruleset_ranges(header)[i]))
            return false;
    for (uint32_t i = 0; i < header->route_slots_count; i++)
        if (ruleset_route_slots(header)[i] > header->routes_count)
            return false;
    for (uint32_t i = 0; i < header->name_slots_count; i++)
        if (!text_check(header, ruleset_name_slots(header)[i]))
            return false;
    const struct ruleset_block_action *action = ruleset_actions(header);
    for (uint32_t i = 0; i < header->actions_count; i++, action++) {
        const ruleset_string texts[] = {action->name, action->body, action->content_type, action->headers,
                                        action->redirect};
        for (size_t t = 0; t < sizeof(texts) / sizeof(*texts); t++)
            if (!text_check(header, texts[t]))
                return false;
        if ((action->status && (action->status < 200 || action->status > 599)) || action->close > 1 ||
            action->error_number > 4095 || action->delay_ms > 600000)
            return false;
    }
    return true;
}

bool ruleset_check(const void *ruleset, size_t size) {
    if (size < sizeof(struct ruleset_header) || size > LAYOUT_RULES_COPY_MAX || (uintptr_t)ruleset % 8)
        return false;
    const struct ruleset_header *header = ruleset;
    return header_check(header, size) && options_check(header) && rules_check(header) && params_check(header) &&
           routes_check(header);
}

bool ruleset_in_ranges(const void *ruleset, uint32_t first, uint32_t count, const unsigned char *address,
                       size_t length) {
    const struct address_range *range = ruleset_ranges(ruleset) + first;
    for (uint32_t i = 0; i < count; i++)
        if (address_in_range(&range[i], address, length))
            return true;
    return false;
}
