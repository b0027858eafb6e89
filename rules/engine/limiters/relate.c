#include "rules/engine/limiters/relate.h"

#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/warm_up.h"
#include "rules/engine/limiters/window.h"

static bool relate_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    uint32_t now, limit = binding->limiter->limit;
    bool in_flight = binding->rule->grade == GRADE_THREAD;
    (void)resource;
    if (in_flight) {
        now = in_flight_now(decision, binding, UINT32_MAX);
    } else {
        struct window *window = (struct window *)decision_state(decision, binding, UINT32_MAX, LIMITER_WINDOW);
        if (!window)
            return spare_rate(decision, binding, n);
        limit = window_limit_now(decision, binding, window);
        now = window_sum(window, &binding->limiter->clock, decision->now_ns);
        decision->retry_ns = window_retry_ns(window, &binding->limiter->clock, decision->now_ns);
    }
    bool pass = now <= limit && limit - now >= n;
    decision->result->limit = limit;
    decision->result->remaining = pass ? limit - now : 0;
    decision->result->interval_ns = in_flight ? 0 : binding->limiter->interval_ns;
    return pass;
}

void relate_feed(struct decision *decision, struct binding *binding, uint32_t n) {
    const struct limiter *limiter = binding->limiter;
    uint32_t left;
    if (binding->rule->grade == GRADE_THREAD) {
        in_flight_take(decision, binding, UINT32_MAX, 0, n, false, &left);
        return;
    }
    struct window *window = (struct window *)decision_state(decision, binding, UINT32_MAX, LIMITER_WINDOW);
    if (!window)
        return;
    window_record(window, &limiter->clock, decision->now_ns, n);
    if (limiter->cold != 0) {
        warm_up_spend(&window->warm, limiter, n);
        if (window_sum(window, &limiter->clock, decision->now_ns) >= (uint32_t)(binding->rule->count / limiter->cold))
            store_relaxed(&window->full_tick, window_tick(&limiter->clock, decision->now_ns));
    }
}

static bool serves(const struct rule *rule) {
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    return rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE && (rule->grade == GRADE_THREAD || !queue);
}

/* Its state is a window, or what counts requests in flight. */
const struct limiter_ops limiter_relate = {.serves = serves, .check = relate_check};
