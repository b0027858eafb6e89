#include "rules/engine/limiters/shedding.h"

#include <string.h>

#include "rules/engine/limiters/by_cpu.h"
#include "rules/engine/limiters/delay.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/hash.h"

static const double LIMIT[] = {[PRIORITY_LOW] = 0.8, [PRIORITY_NORMAL] = 1, [PRIORITY_CRITICAL] = 1.25};

double shedding_luck(const struct decision *decision, uint64_t salt) {
    const struct engine_request *request = decision->request;
    uint64_t seed = decision->engine->counters->hash_seed ^ salt, hash;
    if (request->origin_length)
        hash = hash_bytes(seed, request->origin, request->origin_length);
    else if (request->address_length)
        hash = hash_bytes(seed, request->address, request->address_length);
    else /* multiples of the golden ratio: as even as can be */
        hash = add_relaxed(&decision->engine->strangers, 1u) * 0x9e3779b97f4a7c15u;
    return (double)(hash >> 11) / 9007199254740992.0;
}

struct vitals *shedding_vitals(struct decision *decision, unsigned i) {
    return (struct vitals *)decision_state(decision, &decision->compiled->shedder_vitals[i], UINT32_MAX,
                                           LIMITER_VITALS);
}

struct adaptive *shedding_state(struct decision *decision, unsigned i) {
    return (struct adaptive *)decision_state(decision, &decision->compiled->shedder_state[i], UINT32_MAX,
                                             LIMITER_ADAPTIVE);
}

bool shedding_minimum(struct decision *decision, unsigned i, uint32_t least, bool pass) {
    struct adaptive *state = shedding_state(decision, i);
    if (!state || adaptive_minimum(state, decision->now_ns, decision->priority, least, pass) == pass)
        return pass;
    return shedding_capacity(decision, i, 0, 0, true);
}

bool shedding_health(struct decision *decision, unsigned i) {
    struct adaptive *state = shedding_state(decision, i);
    return state && adaptive_health(state, decision->now_ns);
}

void shedding_say(struct decision *decision, double limit, double left) {
    decision->result->limit = limit;
    decision->result->remaining = left > 0 ? left : 0;
    decision->result->interval_ns = 1000000000u;
}

bool shedding_capacity(struct decision *decision, unsigned i, double capacity, double waiting, bool exempt) {
    double in_flight = in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX) + waiting;
    uint32_t left;
    double limit = capacity * LIMIT[decision->priority];
    shedding_say(decision, limit, limit - in_flight);
    decision->result->counted = in_flight;
    if (!exempt && capacity > 0 && in_flight > 1 && in_flight > limit)
        return false;
    in_flight_take(decision, &decision->compiled->shedder[i], UINT32_MAX, 0, 1, false, &left);
    return true;
}

static bool looks_at_vitals(const struct rule *rule) {
    return rule->kind == RULE_ADAPTIVE || (rule->grade >= SYSTEM_RT && rule->grade <= SYSTEM_LOAD);
}

/* Little's law is about one and the same time: that from a request to its response's first byte. */
static void leave_early(struct decision *decision, unsigned i) {
    const struct limiter_state *state = load_acquire(&decision->compiled->shedder[i].state);
    if (state)
        leases_end_early(decision->engine, decision->ticket, state_kind(state), state, true, decision->now_ns);
}

void shed_done(struct decision *decision, unsigned i, uint64_t rt_ns, bool success) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    uint64_t most = ruleset_head(decision->compiled->ruleset)->options.max_rt_ns;
    struct vitals *vitals = looks_at_vitals(rule) ? shedding_vitals(decision, i) : NULL;
    if (vitals)
        leave_early(decision, i);
    if (rule->grade == (rule->kind == RULE_ADAPTIVE ? ADAPTIVE_CPU : SYSTEM_CPU))
        by_cpu_done(decision, i);
    if (vitals)
        vitals_add(vitals, decision->now_ns,
                   rule->grade == SYSTEM_RT && rule->kind == RULE_SYSTEM && most && rt_ns > most ? most : rt_ns);
    if (rule->kind == RULE_ADAPTIVE && rule->grade != ADAPTIVE_CPU)
        delay_done(decision, i, rt_ns, success);
}
