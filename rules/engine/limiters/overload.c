/* Adaptive protection: sheds what the application cannot carry. */
#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/by_cpu.h"
#include "rules/engine/limiters/delay.h"
#include "rules/engine/limiters/shedding.h"

/* Of the requests since `from`, a value of vitals.counted: which share was rejected; < 0: there were none. */
static double rejected_since(const struct vitals *vitals, uint64_t from) {
    uint64_t counted = load_relaxed(&vitals->counted);
    uint32_t all = high_of(counted) - high_of(from), rejected = low_of(counted) - low_of(from);
    return all ? rejected < all ? (double)rejected / all : 1 : -1;
}

static void say(struct decision *decision, unsigned i, struct vitals *vitals, unsigned episode, double share) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    double now = vitals_a_second(vitals, decision->now_ns);
    if (episode == EPISODE_BEGINS) {
        store_double(&vitals->before, now);
        store_relaxed(&vitals->counted, 0);
        store_relaxed(&vitals->begun_ns, decision->now_ns);
    }
    uint64_t begun = load_relaxed(&vitals->begun_ns);
    struct episode_figures figures = {
        .cpu = load_double(&decision->engine->app_cpu),
        .delay_ms = rule->grade == ADAPTIVE_CPU ? -1 : delay_ms(decision, i, vitals),
        .rejected_share = share,
        .goodput_before = begun ? load_double(&vitals->before) : -1,
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

static void note_rejection(struct decision *decision, unsigned i, struct adaptive *state, struct vitals *vitals) {
    uint64_t begun_ns = load_relaxed(&vitals->begun_ns);
    decision->retry_ns = adaptive_retry_ns(decision->now_ns, begun_ns ? begun_ns : decision->now_ns,
                                           shedding_luck(decision, begun_ns));
    report(decision, i, state, true, rejected_since(vitals, load_relaxed(&vitals->marked)));
}

static bool check_delay(struct decision *decision, unsigned i, struct adaptive *state, struct vitals *vitals) {
    bool pass = delay_check(decision, i, load_relaxed(&vitals->begun_ns));
    if (!pass)
        note_rejection(decision, i, state, vitals);
    return pass;
}

bool overload_door(struct decision *decision, struct binding *binding) {
    unsigned i = shedding_number(decision, binding);
    const struct rule *rule = binding->rule;
    if (rule->grade == ADAPTIVE_CPU || rule->mode != MODE_ENFORCE || rule->block_action ||
        decision->priority == PRIORITY_CRITICAL)
        return false;
    struct adaptive *state = shedding_state(decision, i);
    struct vitals *vitals = shedding_vitals(decision, i);
    if (!state || !vitals || !adaptive_has_minimum(state, decision->now_ns, rule->min_requests) ||
        delay_door(decision, i, load_relaxed(&vitals->begun_ns)))
        return false;
    count(vitals, true);
    note_rejection(decision, i, state, vitals);
    return true;
}

bool engine_door(struct engine *engine, uint32_t token, uint64_t now_ns) {
    const struct compiled *compiled = &engine->compiled[token & 1];
    bool watched = false;
    for (unsigned i = 0; i < compiled->shedders && !watched; i++) {
        struct limiter_state *state = load_acquire(&compiled->shedder_delay[i].state);
        watched = state && delay_waits(engine, (struct delay *)state, now_ns);
    }
    return watched;
}

static bool adaptive_rule_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    unsigned i = shedding_number(decision, binding);
    struct adaptive *state = shedding_state(decision, i);
    struct vitals *vitals = shedding_vitals(decision, i);
    (void)resource, (void)n;
    if (!state || !vitals)
        return true;
    bool cpu = binding->rule->grade == ADAPTIVE_CPU;
    bool pass = cpu ? by_cpu_check(decision, i, decision->exempt) : check_delay(decision, i, state, vitals),
         passes = shedding_minimum(decision, i, binding->rule->min_requests, pass);
    count(vitals, !passes);
    if (!passes && binding->rule->mode == MODE_SIMULATE)
        shedding_capacity(decision, i, 0, 0, true); /* it goes on all the same */
    return passes;
}

static bool serves_adaptive(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE;
}

/* Its bindings are the compiled ruleset's shedders. */
const struct limiter_ops limiter_adaptive = {
    .least = sizeof(struct adaptive), .serves = serves_adaptive, .check = adaptive_rule_check};

static void sample_delay(struct decision *decision, unsigned i, struct adaptive *state) {
    struct delay *delay = delay_of(decision, i);
    struct vitals *vitals = shedding_vitals(decision, i);
    if (delay && vitals && !delay_sheds(delay, decision->now_ns))
        report(decision, i, state, false, rejected_since(vitals, 0));
}

void shed_sample(struct decision *decision, unsigned i) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct adaptive *state = rule->kind == RULE_ADAPTIVE ? shedding_state(decision, i) : NULL;
    double share;
    if (rule->kind == RULE_SYSTEM && rule->grade == SYSTEM_CPU)
        by_cpu_sample(decision, i, &share);
    if (state && rule->grade != ADAPTIVE_CPU)
        sample_delay(decision, i, state);
    else if (state && by_cpu_sample(decision, i, &share))
        report(decision, i, state, share > 0, share);
}
