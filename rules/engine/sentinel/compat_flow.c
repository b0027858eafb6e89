/* Flow rules (FlowRuleChecker and the four traffic shaping controllers), authority and system rules. */
#include <string.h>

#include "rules/engine/sentinel/compat_private.h"

enum { COLD_FACTOR = 3 };

void compat_flow_init(struct compat_rule *rule, uint32_t cold_factor) {
    struct compat_flow *flow = &rule->flow;
    flow->latest = -1;
    flow->cold_factor = cold_factor > 1 && cold_factor <= INT32_MAX ? (int32_t)cold_factor : COLD_FACTOR;
    if (rule->behavior == BEHAVIOR_QUEUE && rule->count > 0) {
        int64_t rounded = java_round(rule->count);
        flow->nanoseconds = (rounded && 1000 % rounded != 0) || rule->count / 1000 > 1;
    }
}

/* (int)(period * count) / (factor - 1) and so on: the mix of integer and floating arithmetic decides at low counts. */
void compat_flow_warm_up(struct compat_rule *rule, int32_t period_s) {
    struct compat_flow *flow = &rule->flow;
    double count = rule->count;
    int32_t factor = flow->cold_factor;
    flow->warning = java_int(period_s * count) / (factor - 1);
    flow->maximum = java_add_int(flow->warning,
                                 java_int((double)java_add_int(period_s, period_s) * count / (1.0 + factor)));
    flow->slope = (factor - 1.0) / count / (double)java_add_int(flow->maximum, -flow->warning);
}

/* Once a second: the bucket of tokens fills while it is nearly empty, or while traffic is low. */
static void warm_up_sync(struct compat_rule *rule, const struct compat_moment *at, int64_t previous) {
    struct compat_flow *flow = &rule->flow;
    if (at->second_ms <= flow->filled_ms)
        return;
    int64_t tokens = flow->tokens;
    if (tokens < flow->warning || (tokens > flow->warning && previous < java_int(rule->count) / flow->cold_factor))
        tokens = java_long((double)tokens + (double)(at->second_ms - flow->filled_ms) * rule->count / 1000);
    if (tokens > flow->maximum)
        tokens = flow->maximum;
    tokens = java_subtract(tokens, previous);
    flow->tokens = tokens < 0 ? 0 : tokens;
    flow->filled_ms = at->second_ms;
}

static double warm_up_rate(const struct compat_rule *rule) {
    const struct compat_flow *flow = &rule->flow;
    double above = (double)(flow->tokens - flow->warning);
    return java_next_up(1.0 / (above * flow->slope + 1.0 / rule->count));
}

static bool warm_up_pass(struct compat_rule *rule, struct compat_node *node, const struct compat_call *call) {
    int64_t pass = compat_node_sum(node, call->at, NODE_PASS, call->compat->max_rt_ms);
    call->result->counted = (double)pass;
    warm_up_sync(rule, call->at, compat_node_previous_pass(node, call->at));
    double limit = rule->flow.tokens >= rule->flow.warning ? warm_up_rate(rule) : rule->count;
    return (double)(pass + (int32_t)call->request->acquire) <= limit;
}

/* Both queues: `now`, `cost` and the longest wait in the unit of `latest`; ret_wait is written only on a wait. */
static bool queue_pass(int64_t *latest, int64_t now, int64_t cost, int64_t max_wait, int64_t *ret_wait) {
    if (java_add(cost, *latest) <= now) {
        *latest = now;
        return true;
    }
    int64_t wait = java_subtract(java_add(cost, *latest), now);
    if (wait > max_wait)
        return false;
    *latest = java_add(*latest, cost);
    if (wait > 0)
        *ret_wait = wait;
    return true;
}

static bool queue_check(struct compat_rule *rule, const struct compat_call *call, int64_t *ret_wait_ns) {
    struct compat_flow *flow = &rule->flow;
    int32_t acquire = (int32_t)call->request->acquire;
    if (acquire <= 0)
        return true;
    if (rule->count <= 0)
        return false;
    int64_t wait = 0;
    bool pass;
    if (flow->nanoseconds) {
        int64_t cost = java_round(1.0 * 1000000 * 1000 * acquire / rule->count);
        pass = queue_pass(&flow->latest, call->at->ns, cost, java_multiply(flow->max_queue_ms, 1000000), &wait);
        *ret_wait_ns = wait;
    } else {
        int64_t cost = java_round(1.0 * 1000 * acquire / rule->count);
        pass = queue_pass(&flow->latest, call->at->ms, cost, flow->max_queue_ms, &wait);
        *ret_wait_ns = wait * 1000000;
    }
    return pass;
}

static bool warm_up_queue_check(struct compat_rule *rule, struct compat_node *node, const struct compat_call *call,
                                int64_t *ret_wait_ns) {
    struct compat_flow *flow = &rule->flow;
    warm_up_sync(rule, call->at, compat_node_previous_pass(node, call->at));
    double rate = flow->tokens >= flow->warning ? warm_up_rate(rule) : rule->count;
    int64_t cost = java_round(1.0 * (int32_t)call->request->acquire / rate * 1000), wait = 0;
    bool pass = queue_pass(&flow->latest, call->at->ms, cost, flow->max_queue_ms, &wait);
    *ret_wait_ns = wait * 1000000;
    return pass;
}

static bool reject_check(struct compat_call *call, struct compat_rule *rule, struct compat_node *node,
                         int64_t *ret_wait_ns) {
    int64_t max_rt_ms = call->compat->max_rt_ms;
    int64_t used = rule->grade == GRADE_THREAD ? node->in_flight
                                               : compat_node_sum(node, call->at, NODE_PASS, max_rt_ms);
    int32_t acquire = (int32_t)call->request->acquire;
    int32_t count = rule->grade == GRADE_THREAD ? (int32_t)used : java_int((double)used);
    call->result->counted = (double)used;
    if ((double)java_add_int(count, acquire) <= rule->count)
        return true;
    if (!call->request->prioritized || rule->grade != GRADE_QPS || rule->mode == MODE_SIMULATE)
        return false;
    int64_t wait_ms = compat_node_try_occupy(node, call->at, acquire, rule->count, max_rt_ms);
    if (wait_ms >= NODE_OCCUPY_TIMEOUT_MS)
        return false;
    compat_node_occupy(node, call->at, wait_ms, acquire);
    *ret_wait_ns = wait_ms * 1000000;
    call->occupied = true;
    return true;
}

/* Is an origin one that no rule of the resource names (FlowRuleManager.isOtherOrigin)? */
static bool is_other(struct compat_call *call, const struct compat_rule *rule) {
    const struct engine_request *request = call->request;
    struct compat_rule *const *named = rule->namesakes;
    uint32_t count = rule->namesakes_count;
    if (!request->origin_length)
        return false;
    if (!rule->regex) {
        const struct compat_list *list = compat_rules_of(call->compat, call->resource, FAMILY_FLOW);
        named = list->rules;
        count = list->count;
    }
    for (uint32_t i = 0; i < count; i++)
        if (compat_text_is(named[i]->origin, request->origin, request->origin_length))
            return false;
    return true;
}

static bool is_named(const struct compat_rule *rule, const struct engine_request *request) {
    return compat_text_is(rule->origin, request->origin ? request->origin : "", request->origin_length) &&
           !compat_text_is(rule->origin, "default", 7) && !compat_text_is(rule->origin, "other", 5);
}

/* The node whose counters the rule looks at; NULL: it does not apply. */
static struct compat_node *select_node(struct compat_call *call, const struct compat_rule *rule) {
    struct compat *compat = call->compat;
    bool all_callers = compat_text_is(rule->origin, "default", 7);
    if (!is_named(rule, call->request) && !all_callers &&
        !(compat_text_is(rule->origin, "other", 5) && is_other(call, rule)))
        return NULL;
    if (rule->strategy == STRATEGY_DIRECT)
        return all_callers ? &call->resource->node : call->origin ? &call->origin->node : NULL;
    if (!rule->ref.length)
        return NULL;
    if (rule->strategy == STRATEGY_CHAIN) {
        if (compat_text_is(rule->ref, call->context->item.name, call->context->item.length))
            return &call->context->node;
        return compat_entered_through(call, rule->ref) ? compat_entrance_node(call, rule->ref) : NULL;
    }
    uint64_t hash = hash_bytes(compat->seed, rule->ref.bytes, rule->ref.length);
    struct compat_resource *other = compat_map_find(&compat->resources, hash, rule->ref.bytes, rule->ref.length);
    return other ? &other->node : NULL;
}

bool compat_flow_check(struct compat_call *call, struct compat_rule *rule) {
    if (rule->cluster && !rule->fallback_local) /* no token server within reach */
        return true;
    struct compat_node *node = select_node(call, rule);
    if (!node)
        return true;
    int64_t wait_ns = 0;
    bool pass;
    uint8_t behavior = rule->grade == GRADE_QPS ? rule->behavior : BEHAVIOR_REJECT;
    if (behavior == BEHAVIOR_WARM_UP)
        pass = warm_up_pass(rule, node, call);
    else if (behavior == BEHAVIOR_QUEUE)
        pass = queue_check(rule, call, &wait_ns);
    else if (behavior == BEHAVIOR_WARM_UP_QUEUE)
        pass = warm_up_queue_check(rule, node, call, &wait_ns);
    else
        pass = reject_check(call, rule, node, &wait_ns);
    if (rule->mode != MODE_SIMULATE)
        call->result->wait_ns += (uint64_t)wait_ns;
    return pass;
}

bool compat_authority_check(const struct compat_call *call, const struct compat_rule *rule) {
    const char *origin = call->request->origin, *at = rule->origin.bytes, *end = at + rule->origin.length;
    size_t length = call->request->origin_length;
    if (!length || !rule->origin.length)
        return true;
    bool listed = false;
    while (at && at <= end && !listed) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t part = (size_t)((comma ? comma : end) - at);
        listed = part == length && !memcmp(at, origin, length);
        at = comma ? comma + 1 : NULL;
    }
    return rule->authority == AUTHORITY_WHITE ? listed : !listed;
}

static bool bbr_exceeded(struct compat *compat, const struct compat_moment *at, int32_t in_flight) {
    int64_t max_rt_ms = compat->max_rt_ms;
    double success = (double)compat_node_max_success(&compat->inbound, at, max_rt_ms) * 2 / 1.0;
    double min_rt = (double)compat_node_min_rt(&compat->inbound, at, max_rt_ms);
    return in_flight > 1 && in_flight > success * min_rt / 1000;
}

/* One of its resources is excepted: that is what the request is for. */
static bool exempt(const struct compat_call *call) {
    const struct compat_system *system = &call->compat->system;
    for (uint32_t i = 0; i < system->exceptions_count; i++)
        for (uint32_t k = 0; k < call->request->resources_count && k < ENGINE_RESOURCES_MAX; k++)
            if (compat_text_is(system->exceptions[i], call->names[k].text, call->names[k].length))
                return true;
    return false;
}

bool compat_system_check(struct compat_call *call) {
    struct compat *compat = call->compat;
    const struct compat_system *system = &compat->system;
    if (!system->on || !compat_is_inbound(call->request) || exempt(call))
        return true;
    int64_t max_rt_ms = compat->max_rt_ms;
    double pass = (double)compat_node_sum(&compat->inbound, call->at, NODE_PASS, max_rt_ms);
    int32_t in_flight = (int32_t)compat->inbound.in_flight;
    int64_t success = compat_node_sum(&compat->inbound, call->at, NODE_SUCCESS, max_rt_ms);
    int64_t rt_ms = compat_node_sum(&compat->inbound, call->at, NODE_RT, max_rt_ms);
    bool over[SYSTEM_LOAD + 1] = {
        [SYSTEM_QPS] = pass + (int32_t)call->request->acquire > system->field[SYSTEM_QPS].limit,
        [SYSTEM_THREAD] = in_flight > system->field[SYSTEM_THREAD].limit,
        [SYSTEM_RT] = (success ? (double)rt_ms / (double)success : 0) > system->field[SYSTEM_RT].limit,
        [SYSTEM_LOAD] = compat->sample.load1 > system->field[SYSTEM_LOAD].limit &&
                        bbr_exceeded(compat, call->at, in_flight),
        [SYSTEM_CPU] = compat->sample.cpu > system->field[SYSTEM_CPU].limit,
    };
    const double counted[SYSTEM_LOAD + 1] = {
        [SYSTEM_QPS] = pass, [SYSTEM_THREAD] = in_flight, [SYSTEM_RT] = success ? (double)rt_ms / (double)success : 0};
    static const uint8_t order[] = {SYSTEM_QPS, SYSTEM_THREAD, SYSTEM_RT, SYSTEM_LOAD, SYSTEM_CPU};
    for (unsigned i = 0; i < sizeof order; i++) {
        if (!system->field[order[i]].set || !over[order[i]] ||
            !compat_rejects(call, system->field[order[i]].ruleset_index, REASON_SYSTEM,
                            system->field[order[i]].simulate))
            continue;
        call->result->detail = order[i];
        call->result->counted = counted[order[i]];
        return false;
    }
    return true;
}
