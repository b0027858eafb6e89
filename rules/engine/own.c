/* weir's own rules: the way of one request through them.
 *
 *   1. For each of its resources, in order: authority, hot parameters, gateway, flow, isolation.  Each limiter checks
 *      and takes in one step; what it took is noted.
 *   2. The circuits of the resources are asked, without taking anything.
 *   3. System and adaptive rules.
 *   4. Circuits that are half open lend out their probe: last, so that nothing behind can refuse a request that holds
 *      one.
 * A rule that refuses ends it: what was noted is given back in reverse order.  What was admitted leaves in its ticket
 * what it holds until its exit ("leases"): numbers of states, never pointers, and never believed.
 */
#include <string.h>

#include "rules/engine/decision.h"
#include "rules/engine/concerns.h"
#include "rules/engine/limiters/circuit.h"
#include "rules/engine/limiters/relate.h"
#include "rules/engine/limiters/shedders.h"
#include "rules/engine/limiters/shedding.h"
#include "rules/engine/limiters/window.h"
#include "rules/engine/policy.h"

/* Any rule, in the careful way.  False: rejected. */
static bool check_one(struct decision *decision, const struct binding_list *list, struct binding *binding,
                      uint32_t resource) {
    if (!rule_concerns(decision, list, binding->rule))
        return true;
    uint64_t wait_ns = decision->wait_ns;
    uint32_t n = rule_cost(decision, binding->rule);
    if (!limiters[binding->kind]->check(decision, binding, resource, n) && decision_refuse(decision, binding, resource))
        return false;
    if (decision->wait_ns > wait_ns)
        decision_say_why(decision, binding, resource, decision->wait_ns);
    return true;
}

/* The circuits of all resources: first look, later, when nothing else can refuse any more, borrow the probes. */
static bool ask_circuits(struct decision *decision, struct binding_list *lists[], bool borrow) {
    for (unsigned i = 0; i < decision->ticket->resources_count; i++) {
        uint32_t resource = decision->ticket->resources[i];
        for (unsigned k = 0; lists[i] && k < lists[i]->breakers; k++) {
            struct binding *binding = &lists[i]->items[lists[i]->checks + k];
            if (!rule_concerns(decision, lists[i], binding->rule))
                continue;
            decision->retry_ns = 0;
            if (!(borrow ? circuit_borrow(decision, lists[i], binding, resource)
                         : limiter_breaker.check(decision, binding, resource, 1)) &&
                decision_refuse(decision, binding, resource))
                return false;
        }
    }
    return true;
}

/* Rules of other resources that are related to these count the request. */
static void feed(struct decision *decision, struct binding_list *lists[]) {
    for (unsigned i = 0; i < decision->ticket->resources_count; i++)
        for (unsigned k = 0; lists[i] && k < lists[i]->feeds; k++) {
            struct binding *binding = &lists[i]->items[lists[i]->checks + lists[i]->breakers + k];
            relate_feed(decision, binding, rule_cost(decision, binding->rule));
        }
}

/* What the rules of single resources have let through meets the circuits, and the limits of all traffic. */
static bool check_rest(struct decision *decision, struct binding_list *lists[], bool breakers) {
    bool shed = decision->compiled->shedders && decision->ticket->side == SIDE_INBOUND; /* and no connection */
    if (breakers || decision->compiled->shedders)
        decision->ticket->engine_private[0] |= LEARNS_ALL;
    return (!breakers || ask_circuits(decision, lists, false)) &&
           (!shed || shedders_pass(decision, lists, RULE_SYSTEM)) && (!breakers || ask_circuits(decision, lists, true));
}

static enum engine_verdict rejected(struct decision *decision) {
    decision_give_back(decision);
    leases_end(decision->engine, decision->ticket, false, decision->now_ns);
    decision_end(decision);
    return ENGINE_BLOCK;
}

/* The ordinary case, rules of nothing but plain windows, is this one function. */
static enum engine_verdict own_enter(struct decision *decision) {
    struct binding_list *lists[ENGINE_RESOURCES_MAX];
    struct compiled *compiled = decision->compiled;
    unsigned breakers = 0, feeds = 0;
    decision->ticket->engine_private[0] = 0;
    for (unsigned i = 0; i < decision->ticket->resources_count; i++) {
        uint32_t resource = decision->ticket->resources[i];
        struct binding_list *list = load_acquire(&compiled->lists[resource]);
        if (__builtin_expect(!list, 0))
            list = compiled_resolve(decision->engine, compiled, resource);
        lists[i] = list;
        if (__builtin_expect(!list, 0)) {
            if (!unlisted_check(decision, resource, check_one))
                return rejected(decision);
            continue;
        }
        if (decision->priority == PRIORITY_NORMAL && list->priority != PRIORITY_NORMAL)
            decision->priority = list->priority;
        breakers |= list->breakers;
        feeds |= list->feeds;
        for (unsigned k = 0; k < list->checks; k++) {
            struct binding *binding = &list->items[k];
            decision->retry_ns = 0;
            if (__builtin_expect(binding->plain, 1)
                    ? !window_check(decision, binding, resource, decision->request->acquire) &&
                          decision_refuse(decision, binding, resource)
                    : !check_one(decision, list, binding, resource))
                return rejected(decision);
        }
    }
    if (__builtin_expect(breakers || compiled->shedders, 0) && !check_rest(decision, lists, breakers != 0))
        return rejected(decision);
    if (__builtin_expect(feeds, 0))
        feed(decision, lists);
    if (__builtin_expect(decision->more != NULL, 0))
        decision_end(decision);
    if (decision->ticket->leases_count || decision->ticket->engine_private[0])
        decision->ticket->flags |= TICKET_ENDS;
    decision->result->wait_ns = decision->wait_ns;
    return decision->wait_ns ? ENGINE_WAIT : ENGINE_PASS;
}

/* Not one whose rules are not known, that is exempt from one of them, or whose answer is to be delayed. */
static bool own_door(struct decision *decision) {
    struct compiled *compiled = decision->compiled;
    uint64_t exempt = 0;
    for (unsigned i = 0; i < decision->ticket->resources_count; i++) {
        const struct binding_list *list = compiled_bindings(decision->engine, compiled, decision->ticket->resources[i]);
        if (!list || list->health)
            return false;
        if (decision->priority == PRIORITY_NORMAL)
            decision->priority = list->priority;
        exempt |= list->exempt;
    }
    for (unsigned i = 0; i < compiled->shedders && !exempt; i++)
        if (compiled->shedder[i].kind == LIMITER_ADAPTIVE && overload_door(decision, &compiled->shedder[i]))
            return decision_refuse(decision, &compiled->shedder[i], decision->ticket->resources[0]);
    return false;
}

/* ------------------------------------------------------------------------------------------------------- its end */

/* Circuits and overload protection learn from a call, by the rules that are in force by now. */
static void learn(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns, bool error,
                  enum circuit_known known) {
    uint32_t token = engine_read_begin(engine);
    if (token < 2 && engine->compiled[token].policy == POLICY_OWN) {
        struct decision decision;
        decision.engine = engine;
        decision.compiled = &engine->compiled[token];
        decision.ticket = ticket;
        decision.now_ns = now_ns;
        decision.slot = load_relaxed(&engine->slot);
        for (unsigned i = 0; i < ticket->resources_count; i++) {
            struct binding_list *list = compiled_bindings(engine, decision.compiled, ticket->resources[i]);
            for (unsigned k = 0; list && k < list->breakers; k++)
                circuit_done(&decision, list, &list->items[list->checks + k], ticket->resources[i], rt_ns, error,
                             known);
        }
        if (known != KNOWN_END)
            shedders_done(&decision, RULE_SYSTEM, rt_ns, !error);
    }
    engine_read_end(engine, token);
}

static void own_begun(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                      bool error) {
    uint32_t learns = ticket->engine_private[0];
    if ((learns & LEARNS_MASK) != LEARNS_ALL)
        return;
    learn(engine, ticket, now_ns, rt_ns, error, KNOWN_BEGUN);
    ticket->engine_private[0] = (learns & ~(uint32_t)LEARNS_MASK) | (error ? LEARNS_NONE : LEARNS_END);
}

static void own_arrived(struct engine *engine, struct engine_ticket *ticket, uint64_t bytes, uint64_t now_ns) {
    uint32_t token = ticket->engine_private[0] & LEARNS_BYTES ? engine_read_begin(engine) : ENGINE_NO_RULES;
    if (token < ENGINE_NO_RULES)
        leases_charge(engine, &engine->compiled[token], ticket, bytes, now_ns);
    engine_read_end(engine, token);
}

static void own_leave(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                      const struct engine_outcome *outcome) {
    if (outcome->left)
        leases_end_early(engine, ticket, LIMITER_BREAKER, NULL, false, now_ns); /* the probe goes back */
    else if (ticket->engine_private[0] & LEARNS_MASK)
        learn(engine, ticket, now_ns, rt_ns, outcome->error || outcome->aborted,
              (ticket->engine_private[0] & LEARNS_MASK) == LEARNS_END ? KNOWN_END : KNOWN_ALL);
    leases_end(engine, ticket, true, now_ns);
}

static void own_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    leases_end(engine, ticket, false, now_ns);
}

static void own_sample(struct engine *engine, struct compiled *compiled, uint64_t now_ns,
                       const struct engine_sample *sample) {
    (void)sample; /* engine->app_cpu and load1 are it */
    shedders_sample(engine, compiled, now_ns, RULE_SYSTEM);
}

/* ------------------------------------------------------------------------------------- states of rules that are gone
 */

struct stamp {
    const struct compiled *compiled;
};

static void stamp_cell(struct limiter_state *state, size_t bytes, void *context) {
    (void)bytes;
    const struct compiled *compiled = ((struct stamp *)context)->compiled;
    if (compiled_rule(compiled, load_relaxed(&state->rule)) != UINT32_MAX &&
        load_relaxed(&state->generation) < compiled->generation)
        store_relaxed(&state->generation, compiled->generation);
}

/* States below it belong to rules that no process that is awake has: a process that slept for long adopts new rules
 * before it decides again. */
static uint64_t app_floor(const struct engine *engine) {
    enum { ASLEEP_NS_SHIFT = 33 /* 8.6 s */ };
    uint64_t floor = UINT64_MAX, now = load_relaxed(&engine->seen_ns);
    for (uint32_t i = 0; i < LAYOUT_PROCESSES; i++) {
        const struct layout_process *process = engine_process(engine, i);
        if (!load_acquire(&process->owner) || load_relaxed(&process->seen_ns) + (1ull << ASLEEP_NS_SHIFT) < now)
            continue;
        uint64_t stamped = load_relaxed(&process->cells_generation);
        floor = stamped < floor ? stamped : floor;
    }
    return floor == UINT64_MAX ? 0 : floor;
}

static bool holds_nothing(const struct limiter_state *state, size_t bytes) {
    enum limiter_kind kind = state_kind(state);
    const struct limiter_ops *ops = kind < LIMITER_KINDS ? limiters[kind] : NULL;
    return !ops || !ops->idle || ops->idle(state, bytes);
}

static void tidy_space(struct engine *engine, const struct state_space *space, const struct compiled *compiled,
                       uint32_t slot) {
    struct stamp stamp = {compiled};
    if (!state_crowded(space))
        return;
    state_each(space, stamp_cell, &stamp);
    if (!space->chunks)
        store_release(&engine_process(engine, slot)->cells_generation, compiled->generation);
    state_collect(space, !space->chunks ? app_floor(engine) : compiled->generation, slot == UINT32_MAX ? 1 : slot + 1,
                  holds_nothing);
}

/* All threads use this compiled ruleset or none. */
static void tidy(struct engine *engine, const struct compiled *compiled) {
    uint32_t slot = load_relaxed(&engine->slot);
    tidy_space(engine, &engine->own, compiled, UINT32_MAX);
    if (slot != UINT32_MAX)
        tidy_space(engine, &engine->app, compiled, slot);
}

static int own_adopt(struct engine *engine, const struct compiled *current, const struct compiled *next) {
    (void)next;
    if (current)
        tidy(engine, current);
    return 0;
}

static int own_retire(struct engine *engine) {
    (void)engine;
    return 0;
}

static void own_after_fork(struct engine *engine) {
    state_collector_died(&engine->own, 1); /* if another thread of the parent was at it */
}

/* Limiters' state lies in the engine's space of states, whichever policy put them there. */
static void own_end(struct engine *engine) {
    (void)engine;
}

const struct policy policy_own = {
    .end = own_end,
    .adopt = own_adopt,
    .retire = own_retire,
    .enter = own_enter,
    .door = own_door,
    .begun = own_begun,
    .arrived = own_arrived,
    .leave = own_leave,
    .cancel = own_cancel,
    .sample = own_sample,
    .after_fork = own_after_fork,
};
