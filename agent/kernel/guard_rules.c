#include "agent/kernel/guard_rules.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "rules/pattern.h"
#include "rules/engine/limiters/queue.h"
#include "rules/ruleset.h"

static const uint64_t SECOND_NS = 1000000000u;

/* ------------------------------------------------------------------------------------------------------ which rules */

static const char *why_not_flow(const struct rule *rule) {
    if (rule->kind == RULE_FLOW && rule->strategy != STRATEGY_DIRECT)
        return rule->strategy == STRATEGY_CHAIN ? "chain" : "relate";
    if (rule->kind == RULE_FLOW && rule->behavior != BEHAVIOR_REJECT)
        return rule->behavior == BEHAVIOR_WARM_UP ? "warm-up" : "queueing";
    if (rule->kind == RULE_ISOLATION && rule->ttl_ns)
        return "ttlMs";
    if (rule->scope == SCOPE_CLUSTER || rule->cluster_mode)
        return "limits across hosts";
    if (rule->cost_kind == COST_HEADER || rule->cost_kind == COST_BYTES)
        return "cost by content";
    if (rule->origin_kind != ORIGIN_DEFAULT)
        return "limitApp";
    if (rule->canary)
        return "canary";
    if (rule->when_count)
        return "when";
    return rule->match == MATCH_REGEX ? "a regular expression" : NULL;
}

const char *guard_rules_why_not(const void *ruleset, const struct rule *rule) {
    static const char *const kinds[RULE_KINDS] = {
        [RULE_AUTHORITY] = "authority", [RULE_PARAM] = "hot parameters", [RULE_GATEWAY] = "gateway",
        [RULE_DEGRADE] = "circuits",    [RULE_SYSTEM] = "system limits", [RULE_ADAPTIVE] = "overload protection"};
    const char *resource = ruleset_text(ruleset, rule->resource);
    if (rule->kind != RULE_FLOW && rule->kind != RULE_ISOLATION)
        return kinds[rule->kind];
    if (rule->match == MATCH_EXACT && strncmp(resource, "tcp:", 4) != 0)
        return "not about connections (tcp:)";
    return why_not_flow(rule);
}

bool guard_rules_concerns(const void *ruleset, const struct rule *rule, const char *resource, enum rule_side side) {
    const char *pattern = ruleset_text(ruleset, rule->resource);
    if (rule->mode == MODE_OFF || (rule->side != SIDE_ANY && rule->side != side))
        return false;
    switch (rule->match) {
    case MATCH_EXACT: return strcmp(pattern, resource) == 0;
    case MATCH_PREFIX: return strncmp(resource, pattern, strlen(pattern)) == 0;
    case MATCH_GLOB: return pattern_glob(pattern, resource, strlen(resource));
    default: return false;
    }
}

/* -------------------------------------------------------------------------------------------------- in what numbers */

static uint32_t whole(double count) {
    return count >= UINT32_MAX ? UINT32_MAX : count > 0 ? (uint32_t)count : 0;
}

/* As the engine has it (rules/engine/view.c): whole permits per interval; less than one is one per a longer interval.
 */
static void in_numbers(const struct rule *rule, struct guarding_limit *ret_limit) {
    double count = rule->count, burst = rule->burst;
    uint32_t cost = rule->cost_kind == COST_NUMBER && rule->cost_number ? rule->cost_number : 1;
    uint64_t interval_ns = rule->interval_ns ? rule->interval_ns : SECOND_NS;
    uint64_t unit_ns = count > 0 ? queue_unit_ns(count, interval_ns) : 0;
    bool in_flight = rule->kind == RULE_ISOLATION || rule->grade == GRADE_THREAD;
    if (count > 0 && count < 1 && !in_flight) {
        interval_ns = unit_ns;
        count = 1;
    }
    double capacity = (double)unit_ns * (double)whole(count + burst);
    *ret_limit = (struct guarding_limit){
        .rule = rule->id_hash,
        .kind = in_flight ? GUARD_IN_FLIGHT : GUARD_RATE,
        .mode = rule->mode == MODE_SIMULATE ? GUARD_SIMULATE : GUARD_ENFORCE,
        .most = whole(in_flight ? count : count + burst) / cost,
        .interval_ns = interval_ns,
        .unit_ns = unit_ns * cost,
        .burst_ns = burst > 0 && count > 0 && !in_flight ? (capacity < 4e18 ? (uint64_t)capacity : (uint64_t)4e18) : 0,
        .penalty = rule->penalty,
    };
}

size_t guard_rules_compile(const void *ruleset, const char *resource, enum rule_side side,
                           struct guarding_limit ret_limits[static GUARD_LIMITS_MAX], size_t *ret_left_out) {
    const struct ruleset_header *header = ruleset_head(ruleset);
    size_t count = 0;
    *ret_left_out = 0;
    for (uint32_t i = 0; i < header->rules_count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        if (!guard_rules_concerns(ruleset, rule, resource, side) || guard_rules_why_not(ruleset, rule))
            continue;
        if (count < GUARD_LIMITS_MAX)
            in_numbers(rule, &ret_limits[count++]);
        else
            ++*ret_left_out;
    }
    return count;
}

/* ----------------------------------------------------------------------------------------------------- destinations */

bool guard_rules_destination(const char *resource, struct guard_place *ret_place) {
    char host[64];
    const char *colon = strrchr(resource, ':'), *from = resource + 4;
    if (strncmp(resource, "tcp:", 4) != 0 || !colon || colon <= from)
        return false;
    size_t length = (size_t)(colon - from);
    if (length >= 2 && from[0] == '[' && from[length - 1] == ']') {
        from++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof host)
        return false;
    memcpy(host, from, length);
    host[length] = 0;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port == 0 || port > UINT16_MAX)
        return false;
    *ret_place = (struct guard_place){.port = (uint16_t)port, .side = GUARD_OUTBOUND};
    if (inet_pton(AF_INET, host, ret_place->address + 12) == 1) {
        ret_place->address[10] = ret_place->address[11] = 0xff;
        return true;
    }
    return inet_pton(AF_INET6, host, ret_place->address) == 1;
}
