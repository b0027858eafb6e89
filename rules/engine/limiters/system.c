/* Thresholds by priority: what is of low priority is shed a little earlier, what is critical a little later than the
 * threshold says.  Where the threshold is a hard number (QPS, threads) nobody gets above it. */
#include "rules/engine/limiters/system.h"

#include <string.h>

#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/in_flight.h"
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

static struct vitals *vitals_of(struct attempt *attempt, unsigned i) {
    return (struct vitals *)attempt_cell(attempt, &attempt->view->shedder_vitals[i], UINT32_MAX, CELL_VITALS);
}

static struct adaptive *state_of(struct attempt *attempt, unsigned i) {
    return (struct adaptive *)attempt_cell(attempt, &attempt->view->shedder_state[i], UINT32_MAX, CELL_ADAPTIVE);
}

static void say(struct attempt *attempt, double limit, double left) {
    attempt->decision->limit = limit;
    attempt->decision->remaining = left > 0 ? left : 0;
    attempt->decision->interval_ns = 1000000000u;
}

static bool check_qps(struct attempt *attempt, struct binding *binding, bool exempt) {
    struct window *window = (struct window *)attempt_cell(attempt, binding, UINT32_MAX, CELL_WINDOW);
    const struct window_clock *clock = &binding->limiter->clock;
    uint32_t tick, left, n = attempt->request->acquire,
                         limit = (uint32_t)(binding->limiter->limit * HARD[attempt->priority]);
    if (!window)
        return true;
    if (exempt) {
        window_record(window, clock, attempt->now_ns, n);
        return true;
    }
    bool pass = window_take(window, clock, attempt->now_ns, limit, n, attempt->shard, &tick, &left);
    say(attempt, limit, left);
    if (pass)
        attempt_took(attempt, CELL_WINDOW, window, tick, 0, n);
    else
        attempt->retry_ns = window_retry_ns(window, clock, attempt->now_ns);
    return pass;
}

static bool check_threads(struct attempt *attempt, struct binding *binding, bool exempt) {
    uint32_t left, limit = (uint32_t)(binding->limiter->limit * HARD[attempt->priority]);
    bool pass = in_flight_take(attempt, binding, UINT32_MAX, limit, 1, !exempt, &left);
    say(attempt, limit, left);
    return pass || exempt;
}

/* In flight against what the application can carry.  The request is held either way: rejected ones give it back. */
static bool check_capacity(struct attempt *attempt, unsigned i, double capacity, bool exempt) {
    uint32_t in_flight = in_flight_now(attempt, &attempt->view->shedder[i], UINT32_MAX), left;
    double limit = capacity * LIMIT[attempt->priority];
    say(attempt, limit, limit - in_flight);
    if (!exempt && capacity > 0 && in_flight > 1 && in_flight > limit)
        return false;
    in_flight_take(attempt, &attempt->view->shedder[i], UINT32_MAX, 0, 1, false, &left);
    return true;
}

static bool check_rt(struct attempt *attempt, unsigned i, bool exempt) {
    struct vitals *vitals = vitals_of(attempt, i);
    double limit = attempt->view->shedder[i].rule->count * 1e6 * SOFT[attempt->priority];
    double mean = vitals ? vitals_mean_rt_ns(vitals, attempt->now_ns) : 0;
    say(attempt, limit / 1e6, (limit - mean) / 1e6);
    return exempt || !(mean > limit);
}

static bool check_system(struct attempt *attempt, unsigned i, bool exempt) {
    struct binding *binding = &attempt->view->shedder[i];
    const struct rule *rule = binding->rule;
    double cpu = as_double(&attempt->engine->cpu), load = as_double(&attempt->engine->load1);
    switch (rule->grade) {
    case SYSTEM_QPS: return check_qps(attempt, binding, exempt);
    case SYSTEM_THREAD: return check_threads(attempt, binding, exempt);
    case SYSTEM_RT: return check_rt(attempt, i, exempt);
    case SYSTEM_LOAD: {
        struct vitals *vitals = vitals_of(attempt, i);
        bool armed = vitals && load > rule->count * SOFT[attempt->priority];
        return check_capacity(attempt, i, armed ? vitals_capacity(vitals, attempt->now_ns) : 0, exempt);
    }
    default:
        say(attempt, rule->count, rule->count - cpu);
        return exempt || !(cpu > rule->count * SOFT[attempt->priority]);
    }
}

/* The share decides; and while the CPU is above its target, nobody adds to a backlog that is there already: the share
 * takes seconds to settle, a backlog would take much longer to go. */
static bool check_cpu(struct attempt *attempt, unsigned i, struct adaptive *state, bool exempt) {
    bool rejected = adaptive_rejects(state, attempt->priority);
    struct vitals *vitals = vitals_of(attempt, i);
    double capacity = load_relaxed(&state->hot) && vitals ? vitals_capacity(vitals, attempt->now_ns) * BACKLOG : 0;
    if (capacity > 0 && capacity < BACKLOG_LEAST)
        capacity = BACKLOG_LEAST;
    if (rejected && !exempt)
        return false;
    return check_capacity(attempt, i, capacity, exempt);
}

static void tell(struct attempt *attempt, unsigned i, struct adaptive *state, bool shedding, double value) {
    unsigned episode = adaptive_episode(state, attempt->now_ns, shedding);
    if (episode != EPISODE_NOTHING)
        stats_event(attempt->engine, attempt->now_ns, EVENT_ADAPTIVE, attempt->view->ruleset,
                    attempt->view->shedder[i].rule, ENGINE_OTHER, episode != EPISODE_BEGINS, episode != EPISODE_ENDS,
                    value);
}

static bool check_adaptive(struct attempt *attempt, unsigned i, bool exempt) {
    struct adaptive *state = state_of(attempt, i);
    struct vitals *vitals = vitals_of(attempt, i);
    if (!state || !vitals)
        return true;
    if (attempt->view->shedder[i].rule->grade == ADAPTIVE_CPU)
        return check_cpu(attempt, i, state, exempt);
    uint32_t in_flight = in_flight_now(attempt, &attempt->view->shedder[i], UINT32_MAX);
    double rt_ns = vitals_mean_rt_ns(vitals, attempt->now_ns);
    double limit = attempt->view->shedder[i].rule->grade == ADAPTIVE_GRADIENT
                       ? adaptive_gradient_limit(state, attempt->now_ns, rt_ns, in_flight)
                       : adaptive_bbr_limit(state, attempt->now_ns, rt_ns,
                                            vitals_most_a_second(vitals, attempt->now_ns), in_flight);
    bool pass = check_capacity(attempt, i, limit, exempt);
    if (!pass) {
        store_relaxed(&state->shed_ns, attempt->now_ns);
        tell(attempt, i, state, true, 0);
    }
    return pass;
}

static unsigned number_of(const struct attempt *attempt, const struct binding *binding) {
    return (unsigned)(binding - attempt->view->shedder);
}

static bool system_rule_check(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    (void)resource, (void)n;
    return check_system(attempt, number_of(attempt, binding), attempt->exempt);
}

static bool adaptive_rule_check(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    (void)resource, (void)n;
    return check_adaptive(attempt, number_of(attempt, binding), attempt->exempt);
}

static bool serves_system(const struct rule *rule) {
    return rule->kind == RULE_SYSTEM;
}

static bool serves_adaptive(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE;
}

/* Their bindings are the view's shedders. */
const struct limiter_ops limiter_system = {.serves = serves_system, .check = system_rule_check};
const struct limiter_ops limiter_adaptive = {
    .least = sizeof(struct adaptive), .serves = serves_adaptive, .check = adaptive_rule_check};

static bool looks_at_vitals(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE || rule->grade == SYSTEM_RT || rule->grade == SYSTEM_LOAD;
}

void shed_done(struct attempt *attempt, unsigned i, uint64_t rt_ns) {
    const struct rule *rule = attempt->view->shedder[i].rule;
    uint64_t most = ruleset_head(attempt->view->ruleset)->options.max_rt_ns;
    struct vitals *vitals = looks_at_vitals(rule) ? vitals_of(attempt, i) : NULL;
    if (vitals)
        vitals_add(vitals, attempt->now_ns,
                   rule->grade == SYSTEM_RT && rule->kind == RULE_SYSTEM && most && rt_ns > most ? most : rt_ns);
}

void shed_sample(struct attempt *attempt, unsigned i) {
    const struct rule *rule = attempt->view->shedder[i].rule;
    struct adaptive *state = rule->kind == RULE_ADAPTIVE ? state_of(attempt, i) : NULL;
    if (!state)
        return;
    if (rule->grade != ADAPTIVE_CPU) {
        enum { QUIET_NS = 2000000000 };
        if (attempt->now_ns - load_relaxed(&state->shed_ns) > QUIET_NS)
            tell(attempt, i, state, false, 0);
        return;
    }
    if (adaptive_cpu_step(state, attempt->now_ns, as_double(&attempt->engine->cpu), rule->count)) {
        double share = adaptive_rejected_share(state);
        tell(attempt, i, state, share > 0, share);
    }
}
