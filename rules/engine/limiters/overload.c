/* Adaptive protection: sheds what the application cannot carry. */
#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"

enum { BACKLOG = 4, BACKLOG_LEAST = 16 }; /* times what the application can have in flight without queueing */

static struct adaptive *state_of(struct decision *decision, unsigned i) {
    return (struct adaptive *)decision_state(decision, &decision->compiled->shedder_state[i], UINT32_MAX,
                                             LIMITER_ADAPTIVE);
}

/* The share decides; and while the CPU is above its target, nothing is added to a backlog that is there already: the
 * share takes seconds to settle, a backlog would take much longer to go. */
static bool check_cpu(struct decision *decision, unsigned i, struct adaptive *state, bool exempt) {
    bool rejected = adaptive_rejects(state, decision->priority);
    struct vitals *vitals = shedding_vitals(decision, i);
    double capacity = load_relaxed(&state->hot) && vitals ? vitals_capacity(vitals, decision->now_ns) * BACKLOG : 0;
    if (capacity > 0 && capacity < BACKLOG_LEAST)
        capacity = BACKLOG_LEAST;
    if (rejected && !exempt)
        return false;
    return shedding_capacity(decision, i, capacity, exempt);
}

static void report(struct decision *decision, unsigned i, struct adaptive *state, bool shedding, double value) {
    unsigned episode = adaptive_episode(state, decision->now_ns, shedding);
    if (episode != EPISODE_NOTHING)
        metrics_event(decision->engine, decision->now_ns, EVENT_ADAPTIVE, decision->compiled->ruleset,
                      decision->compiled->shedder[i].rule, ENGINE_OTHER, episode != EPISODE_BEGINS,
                      episode != EPISODE_ENDS, value);
}

static bool check_adaptive(struct decision *decision, unsigned i, bool exempt) {
    struct adaptive *state = state_of(decision, i);
    struct vitals *vitals = shedding_vitals(decision, i);
    if (!state || !vitals)
        return true;
    if (decision->compiled->shedder[i].rule->grade == ADAPTIVE_CPU)
        return check_cpu(decision, i, state, exempt);
    return true;
}

static bool adaptive_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    unsigned i = shedding_number(decision, binding);
    struct adaptive *state = state_of(decision, i);
    (void)resource, (void)n;
    bool pass = check_adaptive(decision, i, decision->exempt);
    if (!state || adaptive_minimum(state, decision->now_ns, decision->priority, pass) == pass)
        return pass;
    return shedding_capacity(decision, i, 0, true);
}

static bool serves_adaptive(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE;
}

/* Its bindings are the compiled ruleset's shedders. */
const struct limiter_ops limiter_adaptive = {
    .least = sizeof(struct adaptive), .serves = serves_adaptive, .check = adaptive_rule_check};

void shed_sample(struct decision *decision, unsigned i) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct adaptive *state = rule->kind == RULE_ADAPTIVE ? state_of(decision, i) : NULL;
    if (!state)
        return;
    if (rule->grade != ADAPTIVE_CPU)
        return;
    if (adaptive_cpu_step(state, decision->now_ns, shedding_figure(&decision->engine->app_cpu), rule->count)) {
        double share = adaptive_rejected_share(state);
        report(decision, i, state, share > 0, share);
    }
}
