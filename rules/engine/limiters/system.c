/* Thresholds by priority: what is of low priority is shed a little earlier, what is critical a little later than the
 * threshold says.  Where the threshold is a hard number (QPS, threads) nothing gets above it. */
#include "rules/engine/limiters/system.h"

#include <string.h>

#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/window.h"
#include "rules/engine/limiters/vitals.h"

static const double SOFT[] = {[PRIORITY_LOW] = 0.9, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1.1};
static const double HARD[] = {[PRIORITY_LOW] = 0.8, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1};
static const double LIMIT[] = {[PRIORITY_LOW] = 0.8, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1.25};
enum { BACKLOG = 4, BACKLOG_LEAST = 16 }; /* times what the application can have in flight without queueing */

static double as_double(const uint64_t *word) {
    uint64_t bits = load_relaxed(word);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static struct vitals *vitals_of(struct decision *decision, unsigned i) {
    return (struct vitals *)decision_state(decision, &decision->compiled->shedder_vitals[i], UINT32_MAX,
                                           LIMITER_VITALS);
}

static struct adaptive *state_of(struct decision *decision, unsigned i) {
    return (struct adaptive *)decision_state(decision, &decision->compiled->shedder_state[i], UINT32_MAX,
                                             LIMITER_ADAPTIVE);
}

static void say(struct decision *decision, double limit, double left) {
    decision->result->limit = limit;
    decision->result->remaining = left > 0 ? left : 0;
    decision->result->interval_ns = 1000000000u;
}

static bool check_qps(struct decision *decision, struct binding *binding, bool exempt) {
    struct window *window = (struct window *)decision_state(decision, binding, UINT32_MAX, LIMITER_WINDOW);
    const struct window_clock *clock = &binding->limiter->clock;
    uint32_t tick, left, n = decision->request->acquire,
                         limit = (uint32_t)(binding->limiter->limit * HARD[decision->priority]);
    if (!window)
        return exempt || spare_rate(decision, binding, n);
    if (exempt) {
        window_record(window, clock, decision->now_ns, n);
        return true;
    }
    bool pass = window_take(window, clock, decision->now_ns, limit, n, decision->shard, &tick, &left);
    say(decision, limit, left);
    if (pass)
        decision_took(decision, LIMITER_WINDOW, window, tick, 0, n);
    else
        decision->retry_ns = window_retry_ns(window, clock, decision->now_ns);
    return pass;
}

static bool check_threads(struct decision *decision, struct binding *binding, bool exempt) {
    uint32_t left, limit = (uint32_t)(binding->limiter->limit * HARD[decision->priority]);
    bool pass = in_flight_take(decision, binding, UINT32_MAX, limit, 1, !exempt, &left);
    say(decision, limit, left);
    return pass || exempt;
}

/* In flight against what the application can carry.  The request is held either way: rejected ones give it back. */
static bool check_capacity(struct decision *decision, unsigned i, double capacity, bool exempt) {
    uint32_t in_flight = in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX), left;
    double limit = capacity * LIMIT[decision->priority];
    say(decision, limit, limit - in_flight);
    decision->result->counted = in_flight;
    if (!exempt && capacity > 0 && in_flight > 1 && in_flight > limit)
        return false;
    in_flight_take(decision, &decision->compiled->shedder[i], UINT32_MAX, 0, 1, false, &left);
    return true;
}

static bool check_rt(struct decision *decision, unsigned i, bool exempt) {
    struct vitals *vitals = vitals_of(decision, i);
    double limit = decision->compiled->shedder[i].rule->count * 1e6 * SOFT[decision->priority];
    double mean = vitals ? vitals_mean_rt_ns(vitals, decision->now_ns) : 0;
    say(decision, limit / 1e6, (limit - mean) / 1e6);
    decision->result->counted = mean / 1e6;
    return exempt || !(mean > limit);
}

static bool check_system(struct decision *decision, unsigned i, bool exempt) {
    struct binding *binding = &decision->compiled->shedder[i];
    const struct rule *rule = binding->rule;
    double cpu = as_double(&decision->engine->cpu), load = as_double(&decision->engine->load1);
    switch (rule->grade) {
    case SYSTEM_QPS: return check_qps(decision, binding, exempt);
    case SYSTEM_THREAD: return check_threads(decision, binding, exempt);
    case SYSTEM_RT: return check_rt(decision, i, exempt);
    case SYSTEM_LOAD: {
        struct vitals *vitals = vitals_of(decision, i);
        bool armed = vitals && load > rule->count * SOFT[decision->priority];
        return check_capacity(decision, i, armed ? vitals_capacity(vitals, decision->now_ns) : 0, exempt);
    }
    default:
        say(decision, rule->count, rule->count - cpu);
        return exempt || !(cpu > rule->count * SOFT[decision->priority]);
    }
}

/* The share decides; and while the CPU is above its target, nothing is added to a backlog that is there already: the
 * share takes seconds to settle, a backlog would take much longer to go. */
static bool check_cpu(struct decision *decision, unsigned i, struct adaptive *state, bool exempt) {
    bool rejected = adaptive_rejects(state, decision->priority);
    struct vitals *vitals = vitals_of(decision, i);
    double capacity = load_relaxed(&state->hot) && vitals ? vitals_capacity(vitals, decision->now_ns) * BACKLOG : 0;
    if (capacity > 0 && capacity < BACKLOG_LEAST)
        capacity = BACKLOG_LEAST;
    if (rejected && !exempt)
        return false;
    return check_capacity(decision, i, capacity, exempt);
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
    struct vitals *vitals = vitals_of(decision, i);
    if (!state || !vitals)
        return true;
    if (decision->compiled->shedder[i].rule->grade == ADAPTIVE_CPU)
        return check_cpu(decision, i, state, exempt);
    uint32_t in_flight = in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX);
    double rt_ns = vitals_mean_rt_ns(vitals, decision->now_ns);
    double limit = decision->compiled->shedder[i].rule->grade == ADAPTIVE_GRADIENT
                       ? adaptive_gradient_limit(state, decision->now_ns, rt_ns, in_flight)
                       : adaptive_bbr_limit(state, decision->now_ns, rt_ns,
                                            vitals_most_a_second(vitals, decision->now_ns), in_flight);
    bool pass = check_capacity(decision, i, limit, exempt);
    if (!pass) {
        store_relaxed(&state->shed_ns, decision->now_ns);
        report(decision, i, state, true, 0);
    }
    return pass;
}

static unsigned number_of(const struct decision *decision, const struct binding *binding) {
    return (unsigned)(binding - decision->compiled->shedder);
}

static bool system_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    (void)resource, (void)n;
    return check_system(decision, number_of(decision, binding), decision->exempt);
}

static bool adaptive_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    unsigned i = number_of(decision, binding);
    struct adaptive *state = state_of(decision, i);
    (void)resource, (void)n;
    bool pass = check_adaptive(decision, i, decision->exempt);
    if (!state || adaptive_minimum(state, decision->now_ns, decision->priority, pass) == pass)
        return pass;
    return check_capacity(decision, i, 0, true);
}

static bool serves_system(const struct rule *rule) {
    return rule->kind == RULE_SYSTEM;
}

static bool serves_adaptive(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE;
}

/* Their bindings are the compiled ruleset's shedders. */
const struct limiter_ops limiter_system = {.serves = serves_system, .check = system_rule_check};
const struct limiter_ops limiter_adaptive = {
    .least = sizeof(struct adaptive), .serves = serves_adaptive, .check = adaptive_rule_check};

static bool looks_at_vitals(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE || rule->grade == SYSTEM_RT || rule->grade == SYSTEM_LOAD;
}

/* Little's law is about one and the same time: that from a request to its response's first byte. */
static void leave_early(struct decision *decision, unsigned i) {
    const struct limiter_state *state = load_acquire(&decision->compiled->shedder[i].state);
    if (state)
        leases_end_early(decision->engine, decision->ticket, state_kind(state), state, true, decision->now_ns);
}

void shed_done(struct decision *decision, unsigned i, uint64_t rt_ns) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    uint64_t most = ruleset_head(decision->compiled->ruleset)->options.max_rt_ns;
    struct vitals *vitals = looks_at_vitals(rule) ? vitals_of(decision, i) : NULL;
    if (vitals && (rule->kind == RULE_ADAPTIVE || rule->grade == SYSTEM_LOAD))
        leave_early(decision, i);
    if (vitals)
        vitals_add(vitals, decision->now_ns,
                   rule->grade == SYSTEM_RT && rule->kind == RULE_SYSTEM && most && rt_ns > most ? most : rt_ns);
}

void shed_sample(struct decision *decision, unsigned i) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct adaptive *state = rule->kind == RULE_ADAPTIVE ? state_of(decision, i) : NULL;
    if (!state)
        return;
    if (rule->grade != ADAPTIVE_CPU) {
        enum { QUIET_NS = 2000000000 };
        if (decision->now_ns - load_relaxed(&state->shed_ns) > QUIET_NS)
            report(decision, i, state, false, 0);
        return;
    }
    if (adaptive_cpu_step(state, decision->now_ns, as_double(&decision->engine->app_cpu), rule->count)) {
        double share = adaptive_rejected_share(state);
        report(decision, i, state, share > 0, share);
    }
}
