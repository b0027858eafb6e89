#include <string.h>

#include "rules/ruleset.h"

void rule_defaults(struct rule *rule, enum rule_kind kind) {
    memset(rule, 0, sizeof(*rule));
    rule->kind = (uint8_t)kind;
    rule->priority = PRIORITY_NORMAL;
    rule->cost_number = 1;
    rule->interval_ns = 1000000000u;
    rule->stat_interval_ns = 1000000000u;
    rule->window_interval_ns = 1000000000u;
    rule->sample_count = 10;
    rule->warm_up_ns = 10000000000u;
    rule->max_queue_ns = kind == RULE_PARAM ? 0 : 500000000u;
    rule->fallback_local = kind != RULE_PARAM;
    rule->slow_ratio = 1.0;
    rule->min_requests = 5;
    rule->rt_slow_requests = 5;
    rule->recovery_steps = 3;
    rule->step_min_pass = 5;
    rule->capacity = 4000;
    if (kind == RULE_PARAM || kind == RULE_GATEWAY || kind == RULE_FLOW)
        rule->grade = GRADE_QPS;
    if (kind == RULE_ADAPTIVE) {
        rule->count = 0.95;
        rule->mode = MODE_OFF;
        rule->grade = ADAPTIVE_DELAY;
        rule->scope = SCOPE_APP;
        rule->max_queue_ns = 20000000u;
        rule->stat_interval_ns = 100000000u;
        rule->min_requests = 1;
    }
}
