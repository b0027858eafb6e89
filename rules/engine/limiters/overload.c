/* Adaptive protection: sheds what the application cannot carry. */
#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/delay.h"
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

/* Of the requests since `from`, a value of vitals.counted: which share was rejected; < 0: there were none. */
static double rejected_since(const struct vitals *vitals, uint64_t from) {
    uint64_t counted = load_relaxed(&vitals->counted);
    uint32_t all = high_of(counted) - high_of(from), rejected = low_of(counted) - low_of(from);
    return all ? rejected < all ? (double)rejected / all : 1 : -1;
}

static void say(struct decision *decision, unsigned i, struct vitals *vitals, unsigned episode, double share) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    double now = vitals_a_second(vitals, decision->now_ns);
    uint64_t bits;
    if (episode == EPISODE_BEGINS) {
        memcpy(&bits, &now, sizeof(bits));
        store_relaxed(&vitals->before, bits);
        store_relaxed(&vitals->counted, 0);
        store_relaxed(&vitals->begun_ns, decision->now_ns);
    }
    uint64_t begun = load_relaxed(&vitals->begun_ns);
    struct episode_figures figures = {
        .cpu = shedding_figure(&decision->engine->app_cpu),
        .delay_ms = rule->grade == ADAPTIVE_CPU ? -1 : delay_ms(decision, i, vitals),
        .rejected_share = share,
        .goodput_before = begun ? shedding_figure(&vitals->before) : -1,
        .goodput = now,
        .lasted_s = begun && decision->now_ns > begun ? (double)(decision->now_ns - begun) / 1e9 : -1};
    store_relaxed(&vitals->marked, load_relaxed(&vitals->counted));
    if (episode == EPISODE_ENDS)
        store_relaxed(&vitals->begun_ns, 0);
    metrics_episode(decision->engine, decision->now_ns, decision->compiled->ruleset, rule, episode != EPISODE_BEGINS,
                    episode != EPISODE_ENDS, &figures);
}

static void report(struct decision *decision, unsigned i, struct adaptive *state, bool shedding, double share) {
    unsigned episode = adaptive_episode(state, decision->now_ns, shedding);
    struct vitals *vitals = episode ? shedding_vitals(decision, i) : NULL;
    if (vitals)
        say(decision, i, vitals, episode, share);
}

/* While there is an episode its requests are counted. */
static void count(struct vitals *vitals, bool rejected) {
    if (__builtin_expect(load_relaxed(&vitals->begun_ns) != 0, 0))
        add_relaxed(&vitals->counted, pack(1, rejected));
}

static bool check_delay(struct decision *decision, unsigned i, struct adaptive *state, struct vitals *vitals) {
    bool pass = delay_check(decision, i, load_relaxed(&vitals->begun_ns));
    if (!pass)
        report(decision, i, state, true, rejected_since(vitals, load_relaxed(&vitals->marked)));
    return pass;
}

static bool adaptive_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    unsigned i = shedding_number(decision, binding);
    struct adaptive *state = state_of(decision, i);
    struct vitals *vitals = shedding_vitals(decision, i);
    (void)resource, (void)n;
    if (!state || !vitals)
        return true;
    bool cpu = binding->rule->grade == ADAPTIVE_CPU;
    bool pass = cpu ? check_cpu(decision, i, state, decision->exempt) : check_delay(decision, i, state, vitals),
         passes = adaptive_minimum(state, decision->now_ns, decision->priority, pass);
    count(vitals, !passes);
    return pass || (passes && shedding_capacity(decision, i, 0, true));
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
    if (rule->grade != ADAPTIVE_CPU) {
        struct delay *delay = delay_of(decision, i);
        struct vitals *vitals = shedding_vitals(decision, i);
        if (delay && vitals && !delay_sheds(delay, decision->now_ns))
            report(decision, i, state, false, rejected_since(vitals, 0));
    } else if (adaptive_cpu_step(state, decision->now_ns, shedding_figure(&decision->engine->app_cpu), rule->count)) {
        double share = adaptive_rejected_share(state);
        report(decision, i, state, share > 0, share);
    }
}
