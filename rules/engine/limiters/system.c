/* Thresholds by priority: what is of low priority is shed a little earlier, what is critical a little later than the
 * threshold says.  Where the threshold is a hard number (QPS, threads) nothing gets above it. */
#include "rules/engine/limiters/by_cpu.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/window.h"

enum { LEAST_A_SECOND = 1 };
static const double SOFT[] = {[PRIORITY_LOW] = 0.9, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1.1};
static const double HARD[] = {[PRIORITY_LOW] = 0.8, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1};

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
    shedding_say(decision, limit, left);
    if (pass)
        decision_took(decision, LIMITER_WINDOW, window, tick, 0, n);
    else
        decision->retry_ns = window_retry_ns(window, clock, decision->now_ns);
    return pass;
}

static bool check_threads(struct decision *decision, struct binding *binding, bool exempt) {
    uint32_t left, limit = (uint32_t)(binding->limiter->limit * HARD[decision->priority]);
    bool pass = in_flight_take(decision, binding, UINT32_MAX, limit, 1, !exempt, &left);
    shedding_say(decision, limit, left);
    return pass || exempt;
}

static double waited_ns(const struct decision *decision) {
    uint64_t waited = decision->request->waited_ns;
    return waited == ENGINE_WAITED_UNKNOWN ? 0 : (double)waited;
}

/* What this request would see, once it is read: what others have seen of late, by how many are in flight now against
 * how many were then.  Means are late: all would be rejected until they are forgotten, and then all admitted. */
static double latency_within_ns(struct decision *decision, unsigned i, const struct vitals *vitals, double mean) {
    double in_flight = in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX),
           then = vitals_a_second(vitals, decision->now_ns) * mean / 1e9;
    if (!(mean > 0)) /* one to find out by */
        return in_flight > 0 ? vitals_best_rt_ns(vitals, decision->now_ns) : 0;
    return mean * (in_flight + 1) / (then + 1);
}

static bool check_rt(struct decision *decision, unsigned i, bool exempt) {
    struct vitals *vitals = shedding_vitals(decision, i);
    double limit = decision->compiled->shedder[i].rule->count * 1e6 * SOFT[decision->priority];
    double waited = waited_ns(decision), mean = vitals ? vitals_mean_rt_ns(vitals, decision->now_ns) : 0;
    bool in_doubt = vitals && !(mean > 0 && waited + mean <= limit / 2);
    double latency = waited + (in_doubt ? latency_within_ns(decision, i, vitals, mean) : mean);
    bool pass = exempt || !(latency > limit);
    if (pass)
        shedding_capacity(decision, i, 0, 0, true);
    shedding_say(decision, limit / 1e6, (limit - latency) / 1e6);
    decision->result->counted = latency / 1e6;
    return pass;
}

/* Requests that wait to be read, by Little's law; an application that takes them one by one needs the next at hand. */
static double waiting_now(const struct decision *decision, const struct vitals *vitals) {
    enum { AT_HAND = 2 };
    double waiting = vitals_a_second(vitals, decision->now_ns) * waited_ns(decision) / 1e9 - AT_HAND;
    return waiting > 0 ? waiting : 0;
}

static bool check_load(struct decision *decision, unsigned i, bool exempt) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    const struct vitals *vitals = shedding_vitals(decision, i);
    bool armed = vitals && load_double(&decision->engine->load1) > rule->count * SOFT[decision->priority];
    return armed ? shedding_capacity(decision, i, vitals_capacity(vitals, decision->now_ns),
                                     waiting_now(decision, vitals), exempt)
                 : shedding_capacity(decision, i, 0, 0, exempt);
}

static bool check_system(struct decision *decision, unsigned i, bool exempt) {
    struct binding *binding = &decision->compiled->shedder[i];
    const struct rule *rule = binding->rule;
    switch (rule->grade) {
    case SYSTEM_QPS: return check_qps(decision, binding, exempt);
    case SYSTEM_THREAD: return check_threads(decision, binding, exempt);
    case SYSTEM_RT: return shedding_minimum(decision, i, LEAST_A_SECOND, check_rt(decision, i, exempt));
    case SYSTEM_LOAD: return shedding_minimum(decision, i, LEAST_A_SECOND, check_load(decision, i, exempt));
    default: return shedding_minimum(decision, i, LEAST_A_SECOND, by_cpu_check(decision, i, exempt));
    }
}

static bool system_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    unsigned i = shedding_number(decision, binding);
    bool pass = check_system(decision, i, decision->exempt);
    (void)resource, (void)n;
    if (!pass && binding->rule->mode == MODE_SIMULATE && binding->rule->grade >= SYSTEM_RT)
        shedding_capacity(decision, i, 0, 0, true); /* it goes on all the same */
    return pass;
}

static bool serves_system(const struct rule *rule) {
    return rule->kind == RULE_SYSTEM;
}

/* Their bindings are the compiled ruleset's shedders. */
const struct limiter_ops limiter_system = {.serves = serves_system, .check = system_rule_check};
