/* weir's own rules: the way of one request through them.
 *
 *   1. For each of its resources, in order: authority, hot parameters, gateway, flow, isolation.  Each limiter checks
 *      and takes in one step; what it took is noted.
 *   2. The circuits of the resources are asked, without taking anything.
 *   3. System and adaptive rules.
 *   4. Circuits that are half open lend out their probe: last, so that nothing behind can refuse a request that holds
 *      one.
 * A rule that refuses ends it: what was noted is given back in reverse order.  What was admitted leaves in its ticket
 * what it holds until its exit ("holds"): numbers of cells, never pointers, and never believed.
 */
#include <string.h>

#include "rules/engine/attempt.h"
#include "rules/engine/concerns.h"
#include "rules/engine/limiters/circuit.h"
#include "rules/engine/limiters/relate.h"
#include "rules/engine/limiters/system.h"
#include "rules/engine/limiters/window.h"
#include "rules/engine/policy.h"

static void say_why(struct attempt *attempt, const struct binding *binding, uint32_t resource, uint64_t retry_ns) {
    struct engine_result *decision = attempt->decision;
    decision->reason = (uint8_t)rule_reason(binding->rule);
    decision->detail = binding->rule->kind == RULE_SYSTEM ? binding->rule->grade : 0;
    decision->rule = (uint32_t)(binding->rule - attempt->view->rules);
    decision->resource = resource;
    decision->retry_ns = retry_ns;
}

/* True: the request is rejected, and the decision says why. */
static bool refuse(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    struct engine_result *decision = attempt->decision;
    bool simulated = binding->rule->mode == MODE_SIMULATE;
    uint32_t *hint = binding->rule->kind < RULE_SYSTEM ? &binding->hit : NULL; /* it serves one resource only */
    stats_hit(attempt, attempt->view->ruleset, binding->rule, resource, rule_reason(binding->rule), simulated, hint);
    if (simulated) {
        decision->simulated++;
        return false;
    }
    decision->verdict = ENGINE_BLOCK;
    say_why(attempt, binding, resource, attempt->retry_ns);
    return true;
}

/* Any rule, in the careful way.  False: rejected. */
static bool check_one(struct attempt *attempt, const struct binding_list *list, struct binding *binding,
                      uint32_t resource) {
    if (!rule_concerns(attempt, list, binding->rule))
        return true;
    uint64_t wait_ns = attempt->wait_ns;
    uint32_t n = rule_cost(attempt, binding->rule);
    if (!limiters[binding->kind]->check(attempt, binding, resource, n) && refuse(attempt, binding, resource))
        return false;
    if (attempt->wait_ns > wait_ns)
        say_why(attempt, binding, resource, attempt->wait_ns);
    return true;
}

/* The circuits of all resources: first look, later, when nothing else can refuse any more, borrow the probes. */
static bool ask_circuits(struct attempt *attempt, struct binding_list *lists[], bool borrow) {
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        uint32_t resource = attempt->ticket->resources[i];
        for (unsigned k = 0; lists[i] && k < lists[i]->breakers; k++) {
            struct binding *binding = &lists[i]->items[lists[i]->checks + k];
            if (!rule_concerns(attempt, lists[i], binding->rule))
                continue;
            attempt->retry_ns = 0;
            if (!(borrow ? circuit_borrow(attempt, lists[i], binding, resource)
                         : limiter_breaker.check(attempt, binding, resource, 1)) &&
                refuse(attempt, binding, resource))
                return false;
        }
    }
    return true;
}

static bool check_shedders(struct attempt *attempt, struct binding_list *lists[]) {
    uint64_t exempt = 0;
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        exempt |= lists[i] ? lists[i]->exempt : 0;
    for (unsigned i = 0; i < attempt->view->shedders; i++) {
        struct binding *binding = &attempt->view->shedder[i];
        attempt->exempt = exempt >> i & 1;
        attempt->retry_ns = 0;
        if (!limiters[binding->kind]->check(attempt, binding, UINT32_MAX, 1) &&
            refuse(attempt, binding, attempt->ticket->resources[0]))
            return false;
    }
    return true;
}

/* Rules of other resources that are related to these count the request. */
static void feed(struct attempt *attempt, struct binding_list *lists[]) {
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        for (unsigned k = 0; lists[i] && k < lists[i]->feeds; k++) {
            struct binding *binding = &lists[i]->items[lists[i]->checks + lists[i]->breakers + k];
            relate_feed(attempt, binding, rule_cost(attempt, binding->rule));
        }
}

/* What the rules of single resources have let through meets the circuits, and the limits of all traffic. */
static bool check_rest(struct attempt *attempt, struct binding_list *lists[], bool breakers) {
    bool shed = attempt->view->shedders && attempt->ticket->side == SIDE_INBOUND; /* and no connection */
    attempt->ticket->engine_private[0] = breakers || attempt->view->shedders;     /* they learn from its end */
    return (!breakers || ask_circuits(attempt, lists, false)) && (!shed || check_shedders(attempt, lists)) &&
           (!breakers || ask_circuits(attempt, lists, true));
}

static enum engine_verdict rejected(struct attempt *attempt) {
    attempt_give_back(attempt);
    attempt_end_leases(attempt->engine, attempt->ticket, false, attempt->now_ns);
    attempt_end(attempt);
    return ENGINE_BLOCK;
}

/* The ordinary case, rules of nothing but plain windows, is this one function. */
static enum engine_verdict own_enter(struct attempt *attempt) {
    struct binding_list *lists[ENGINE_RESOURCES_MAX];
    struct view *view = attempt->view;
    unsigned breakers = 0, feeds = 0;
    attempt->ticket->engine_private[0] = 0;
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        uint32_t resource = attempt->ticket->resources[i];
        struct binding_list *list = load_acquire(&view->lists[resource]);
        if (__builtin_expect(!list, 0))
            list = view_resolve(attempt->engine, view, resource);
        lists[i] = list;
        if (__builtin_expect(!list, 0)) {
            add_relaxed(&attempt->engine->counters->cells_refused, 1u);
            continue;
        }
        if (attempt->priority == PRIORITY_NORMAL && list->priority != PRIORITY_NORMAL)
            attempt->priority = list->priority;
        breakers |= list->breakers;
        feeds |= list->feeds;
        for (unsigned k = 0; k < list->checks; k++) {
            struct binding *binding = &list->items[k];
            attempt->retry_ns = 0;
            if (__builtin_expect(binding->plain, 1)
                    ? !window_check(attempt, binding, resource, attempt->request->acquire) &&
                          refuse(attempt, binding, resource)
                    : !check_one(attempt, list, binding, resource))
                return rejected(attempt);
        }
    }
    if (__builtin_expect(breakers || view->shedders, 0) && !check_rest(attempt, lists, breakers != 0))
        return rejected(attempt);
    if (__builtin_expect(feeds, 0))
        feed(attempt, lists);
    if (__builtin_expect(attempt->more != NULL, 0))
        attempt_end(attempt);
    if (attempt->ticket->holds_count || attempt->ticket->engine_private[0])
        attempt->ticket->flags |= TICKET_ENDS;
    attempt->decision->wait_ns = attempt->wait_ns;
    return attempt->wait_ns ? ENGINE_WAIT : ENGINE_PASS;
}

/* ------------------------------------------------------------------------------------------------------- its end */

/* Circuits and overload protection learn from a completion, by the rules that are in force by now. */
static void learn(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns, bool error) {
    uint32_t token = engine_read_begin(engine);
    if (token < 2 && engine->views[token].policy == POLICY_OWN) {
        struct attempt attempt;
        attempt.engine = engine;
        attempt.view = &engine->views[token];
        attempt.ticket = ticket;
        attempt.now_ns = now_ns;
        attempt.slot = load_relaxed(&engine->slot);
        for (unsigned i = 0; i < ticket->resources_count; i++) {
            struct binding_list *list = view_bindings(engine, attempt.view, ticket->resources[i]);
            for (unsigned k = 0; list && k < list->breakers; k++)
                circuit_done(&attempt, list, &list->items[list->checks + k], ticket->resources[i], rt_ns, error);
        }
        for (unsigned i = 0; i < attempt.view->shedders && ticket->side == SIDE_INBOUND; i++)
            shed_done(&attempt, i, rt_ns);
    }
    engine_read_end(engine, token);
}

static void own_leave(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                      const struct engine_outcome *outcome) {
    if (ticket->engine_private[0])
        learn(engine, ticket, now_ns, rt_ns, outcome->error || outcome->aborted);
    attempt_end_leases(engine, ticket, true, now_ns);
}

static void own_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    attempt_end_leases(engine, ticket, false, now_ns);
}

static void own_sample(struct engine *engine, struct view *view, uint64_t now_ns, const struct engine_sample *sample) {
    struct attempt attempt;
    attempt.engine = engine;
    attempt.view = view;
    attempt.now_ns = now_ns;
    attempt.slot = load_relaxed(&engine->slot);
    (void)sample; /* engine->cpu and load1 are it */
    for (unsigned i = 0; i < view->shedders; i++)
        shed_sample(&attempt, i);
}

/* ------------------------------------------------------------------------------------- cells of rules that are gone */

struct stamp {
    const struct view *view;
};

static void stamp_cell(struct cell *cell, size_t bytes, void *context) {
    (void)bytes;
    const struct view *view = ((struct stamp *)context)->view;
    if (view_rule(view, load_relaxed(&cell->rule)) != UINT32_MAX && load_relaxed(&cell->generation) < view->generation)
        store_relaxed(&cell->generation, view->generation);
}

/* Cells below it belong to rules that no process that is awake has: a process that slept for long adopts new rules
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

static bool holds_nothing(const struct cell *cell, size_t bytes) {
    enum cell_kind kind = cell_kind(cell);
    const struct limiter_ops *ops = kind < CELL_KINDS ? limiters[kind] : NULL;
    return !ops || !ops->idle || ops->idle(cell, bytes);
}

static void tidy_space(struct engine *engine, const struct cell_space *space, const struct view *view, uint32_t slot) {
    struct stamp stamp = {view};
    if (!cell_crowded(space))
        return;
    cell_each(space, stamp_cell, &stamp);
    if (!space->chunks)
        store_release(&engine_process(engine, slot)->cells_generation, view->generation);
    cell_collect(space, !space->chunks ? app_floor(engine) : view->generation, slot == UINT32_MAX ? 1 : slot + 1,
                 holds_nothing);
}

/* All threads are in this view or have none. */
static void tidy(struct engine *engine, const struct view *view) {
    uint32_t slot = load_relaxed(&engine->slot);
    tidy_space(engine, &engine->own, view, UINT32_MAX);
    if (slot != UINT32_MAX)
        tidy_space(engine, &engine->app, view, slot);
}

static int own_adopt(struct engine *engine, const struct view *current, const struct view *next) {
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
    cell_collector_died(&engine->own, 1); /* if another thread of the parent was at it */
}

/* Limiters' state lies in the engine's space of cells, whichever policy put them there. */
static void own_end(struct engine *engine) {
    (void)engine;
}

const struct policy policy_own = {
    .end = own_end,
    .adopt = own_adopt,
    .retire = own_retire,
    .enter = own_enter,
    .leave = own_leave,
    .cancel = own_cancel,
    .sample = own_sample,
    .after_fork = own_after_fork,
};
