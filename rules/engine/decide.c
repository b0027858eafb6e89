/* The way of one request through the rules.
 *
 *   1. For each of its resources, in order: authority, hot parameters, gateway, flow, isolation.  Each limiter checks
 *      and takes in one step; what it took is noted.
 *   2. The circuits of the resources are asked, without taking anything.
 *   3. System and adaptive rules.
 *   4. Circuits that are half open lend out their probe: last, so that nothing behind can refuse a request that holds
 * one. Whoever refuses ends it: what was noted is given back in reverse order.  What was admitted leaves in its ticket
 * what it holds until its exit ("holds"): numbers of cells, never pointers, and never believed.
 */
#include <string.h>

#include "rules/engine/attempt.h"
#include "rules/engine/checks.h"
#include "rules/engine/circuit.h"
#include "rules/engine/sentinel/compat.h"
#include "rules/engine/shed.h"

/* of ticket.shard */
enum { SHARD_MASK = 3, FORK_SHIFT = 2, FORK_MASK = 7, FLAG_LEARN = 32, FLAG_COMPAT = 64, FLAG_PRIVATE = 128 };

static uint8_t fork_bits(const struct engine *engine) {
    return (uint8_t)((engine->incarnation & FORK_MASK) << FORK_SHIFT);
}

/* --------------------------------------------------------------------------------------------------------- verdicts */

static enum reason reason_of(const struct rule *rule) {
    static const uint8_t reasons[RULE_KINDS] = {
        [RULE_AUTHORITY] = REASON_AUTHORITY, [RULE_PARAM] = REASON_PARAM,         [RULE_GATEWAY] = REASON_FLOW,
        [RULE_FLOW] = REASON_FLOW,           [RULE_ISOLATION] = REASON_ISOLATION, [RULE_DEGRADE] = REASON_DEGRADE,
        [RULE_SYSTEM] = REASON_SYSTEM,       [RULE_ADAPTIVE] = REASON_ADAPTIVE,
    };
    return rule->kind == RULE_GATEWAY && rule->params_count ? REASON_PARAM : reasons[rule->kind];
}

static void say_why(struct attempt *attempt, const struct binding *binding, uint32_t resource, uint64_t retry_ns) {
    struct engine_decision *decision = attempt->decision;
    decision->reason = (uint8_t)reason_of(binding->rule);
    decision->detail = binding->rule->kind == RULE_SYSTEM ? binding->rule->grade : 0;
    decision->rule = (uint32_t)(binding->rule - attempt->view->rules);
    decision->resource = resource;
    decision->retry_ns = retry_ns;
}

/* True: the request is rejected, and the decision says why. */
static bool refuse(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    struct engine_decision *decision = attempt->decision;
    enum reason reason = reason_of(binding->rule);
    bool simulated = binding->rule->mode == MODE_SIMULATE;
    stats_hit(attempt->engine, attempt->view, binding, resource, attempt->request, reason, attempt->request->acquire,
              simulated);
    if (simulated) {
        decision->simulated++;
        return false;
    }
    decision->verdict = ENGINE_BLOCK;
    say_why(attempt, binding, resource, attempt->retry_ns);
    return true;
}

static bool check_resource(struct attempt *attempt, struct binding_list *list, uint32_t resource) {
    for (unsigned i = 0; i < list->checks; i++) {
        struct binding *binding = &list->items[i];
        if (!check_concerns(attempt, list, binding->rule))
            continue;
        attempt->retry_ns = 0;
        uint64_t wait_ns = attempt->wait_ns;
        if (!check_one(attempt, binding, resource) && refuse(attempt, binding, resource))
            return false;
        if (attempt->wait_ns > wait_ns)
            say_why(attempt, binding, resource, attempt->wait_ns);
    }
    return true;
}

static bool check_all(struct attempt *attempt, struct binding_list *lists[]) {
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        lists[i] = view_bindings(attempt->engine, attempt->view, attempt->ticket->resources[i]);
        if (!lists[i]) {
            add_relaxed(&attempt->engine->counters->cells_refused, 1u);
            continue;
        }
        if (attempt->priority == PRIORITY_NORMAL && lists[i]->priority != PRIORITY_NORMAL)
            attempt->priority = lists[i]->priority;
        if (!check_resource(attempt, lists[i], attempt->ticket->resources[i]))
            return false;
    }
    return true;
}

/* The circuits of all resources: first look, later, when nothing else can refuse any more, borrow the probes. */
static bool ask_circuits(struct attempt *attempt, struct binding_list *lists[], bool borrow) {
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++) {
        uint32_t resource = attempt->ticket->resources[i];
        for (unsigned k = 0; lists[i] && k < lists[i]->breakers; k++) {
            struct binding *binding = &lists[i]->items[lists[i]->checks + k];
            if (!check_concerns(attempt, lists[i], binding->rule))
                continue;
            attempt->retry_ns = 0;
            if (!(borrow ? circuit_borrow(attempt, lists[i], binding, resource)
                         : circuit_ask(attempt, binding, resource)) &&
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
    for (unsigned i = 0; i < attempt->view->shedders; i++)
        if (!shed_check(attempt, i, exempt >> i & 1) &&
            refuse(attempt, &attempt->view->shedder[i], attempt->ticket->resources[0]))
            return false;
    return true;
}

static bool has_breakers(const struct attempt *attempt, struct binding_list *lists[]) {
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        if (lists[i] && lists[i]->breakers)
            return true;
    return false;
}

/* Is it one of the requests that system and adaptive rules are about? */
static bool is_shed(const struct engine_ticket *ticket) {
    return ticket->side == SIDE_INBOUND;
}

static bool admitted(struct attempt *attempt, struct binding_list *lists[]) {
    if (!check_all(attempt, lists))
        return false;
    bool breakers = has_breakers(attempt, lists);
    if (breakers || attempt->view->shedders)
        attempt->ticket->shard |= FLAG_LEARN;
    if (breakers && !ask_circuits(attempt, lists, false))
        return false;
    if (is_shed(attempt->ticket) && attempt->view->shedders && !check_shedders(attempt, lists))
        return false;
    return !breakers || ask_circuits(attempt, lists, true);
}

static enum engine_verdict decide(struct attempt *attempt) {
    struct binding_list *lists[ENGINE_RESOURCES_MAX];
    if (!admitted(attempt, lists)) {
        attempt_give_back(attempt);
        attempt_end_holds(attempt->engine, attempt->ticket, true, attempt->now_ns);
        return ENGINE_BLOCK;
    }
    for (unsigned i = 0; i < attempt->ticket->resources_count; i++)
        for (unsigned k = 0; lists[i] && k < lists[i]->feeds; k++)
            check_feed(attempt, &lists[i]->items[lists[i]->checks + lists[i]->breakers + k]);
    return attempt->wait_ns ? ENGINE_WAIT : ENGINE_PASS;
}

static enum engine_verdict decide_compat(struct attempt *attempt) {
    struct compat_name names[ENGINE_RESOURCES_MAX];
    uint32_t resources[ENGINE_RESOURCES_MAX];
    uint8_t shard = attempt->ticket->shard;
    struct engine_request request = *attempt->request;
    request.resources = resources;
    request.resources_count = attempt->ticket->resources_count;
    for (unsigned i = 0; i < request.resources_count; i++) {
        resources[i] = attempt->ticket->resources[i];
        names[i].text = engine_resource_name(attempt->engine, resources[i], &names[i].length);
    }
    enum engine_verdict verdict = compat_enter(attempt->engine->compat, attempt->now_ns, &request, names,
                                               attempt->ticket, attempt->decision);
    attempt->ticket->shard = shard; /* it begins the ticket anew, and knows nothing of shards and forks */
    attempt->wait_ns = verdict == ENGINE_WAIT ? attempt->decision->wait_ns : 0;
    if (verdict == ENGINE_BLOCK && attempt->decision->rule < attempt->view->rules_count) {
        struct binding binding = {.rule = &attempt->view->rules[attempt->decision->rule], .check = CHECK_ADAPTIVE};
        stats_hit(attempt->engine, attempt->view, &binding, attempt->decision->resource, attempt->request,
                  attempt->decision->reason, attempt->request->acquire, false);
    }
    return verdict;
}

static void ticket_begin(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns,
                         const struct engine_request *request, unsigned shard) {
    uint32_t allocated = load_relaxed(&engine->counters->resources_allocated);
    uint32_t entries = allocated < LAYOUT_RESOURCES ? allocated : LAYOUT_RESOURCES;
    bool private_area;
    stats_area(engine, &private_area);
    ticket->start_ns = now_ns;
    ticket->holds_count = 0;
    ticket->side = (uint8_t)(request->side | (request->connection ? TICKET_CONNECTION : 0));
    ticket->acquire = request->acquire;
    ticket->shard = (uint8_t)((shard & SHARD_MASK) | fork_bits(engine) | (private_area ? FLAG_PRIVATE : 0));
    ticket->resources_count = (uint8_t)(request->resources_count < ENGINE_RESOURCES_MAX ? request->resources_count
                                                                                        : ENGINE_RESOURCES_MAX);
    for (unsigned i = 0; i < ticket->resources_count; i++)
        ticket->resources[i] = (uint16_t)(request->resources[i] < entries ? request->resources[i] : ENGINE_OTHER);
}

static void note_seen(struct engine *engine, uint64_t now_ns) {
    enum { EVERY_NS = 100000000 };
    uint64_t seen = load_relaxed(&engine->seen_ns);
    if (now_ns - seen < EVERY_NS)
        return;
    uint32_t slot = load_relaxed(&engine->slot);
    store_relaxed(&engine->seen_ns, now_ns);
    if (slot != UINT32_MAX)
        store_relaxed(&engine->processes[slot].seen_ns, now_ns);
}

enum engine_verdict engine_enter(struct engine *engine, uint64_t now_ns, const struct engine_request *request,
                                 struct engine_ticket *ret_ticket, struct engine_decision *ret_decision) {
    uint32_t token = engine_read_begin(engine);
    enum engine_verdict verdict = engine_enter_within(engine, token, now_ns, request, ret_ticket, ret_decision);
    engine_read_end(engine, token);
    return verdict;
}

enum engine_verdict engine_enter_within(struct engine *engine, uint32_t token, uint64_t now_ns,
                                        const struct engine_request *request, struct engine_ticket *ret_ticket,
                                        struct engine_decision *ret_decision) {
    uint32_t slot = load_relaxed(&engine->slot);
    unsigned shard = engine_thread() + slot;
    enum engine_verdict verdict = ENGINE_PASS;
    struct attempt attempt; /* its notes need no clearing */
    attempt.engine = engine;
    attempt.request = request;
    attempt.ticket = ret_ticket;
    attempt.decision = ret_decision;
    attempt.now_ns = now_ns;
    attempt.shard = shard;
    attempt.slot = slot;
    attempt.wait_ns = attempt.retry_ns = 0;
    attempt.takes_count = 0;
    attempt.more = NULL;
    attempt.priority = request->priority <= PRIORITY_CRITICAL ? request->priority : PRIORITY_NORMAL;
    *ret_decision = (struct engine_decision){.rule = UINT32_MAX};
    ticket_begin(engine, ret_ticket, now_ns, request, shard);
    note_seen(engine, now_ns);
    if (token < 2) {
        attempt.view = &engine->views[token];
        if (attempt.view->compat)
            ret_ticket->shard |= FLAG_COMPAT;
        verdict = attempt.view->compat ? decide_compat(&attempt) : decide(&attempt);
        attempt_end(&attempt);
    }
    ret_decision->verdict = (uint8_t)verdict;
    ret_decision->wait_ns = verdict == ENGINE_BLOCK ? ret_decision->wait_ns : attempt.wait_ns;
    for (unsigned i = 0; i < ret_ticket->resources_count; i++)
        if (verdict == ENGINE_BLOCK)
            stats_block(engine, ret_ticket->resources[i], shard, request->acquire);
        else
            stats_pass(engine, ret_ticket->resources[i], shard, now_ns, ret_ticket->shard & FLAG_PRIVATE,
                       request->acquire, attempt.wait_ns, ret_decision->simulated != 0);
    if (verdict == ENGINE_BLOCK)
        ret_ticket->resources_count = 0;
    return verdict;
}

/* A ticket of the parent process means nothing in a forked child. */
static bool is_ours(const struct engine *engine, const struct engine_ticket *ticket) {
    return (ticket->shard & FORK_MASK << FORK_SHIFT) == fork_bits(engine);
}

/* Circuits and overload protection learn from a completion, by the rules that are in force by now. */
static void learn(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns, bool error) {
    uint32_t token = engine_read_begin(engine);
    if (token < 2 && !engine->views[token].compat) {
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
        for (unsigned i = 0; i < attempt.view->shedders && is_shed(ticket); i++)
            shed_done(&attempt, i, rt_ns);
    }
    engine_read_end(engine, token);
}

void engine_exit(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns,
                 const struct engine_outcome *outcome) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    uint64_t rt_ns = now_ns > ticket->start_ns ? now_ns - ticket->start_ns : 0;
    bool error = outcome->error || outcome->aborted;
    if (ticket->shard & FLAG_COMPAT) {
        compat_exit(engine->compat, ticket, now_ns, outcome);
    } else {
        if (ticket->shard & FLAG_LEARN)
            learn(engine, ticket, now_ns, rt_ns, error);
        attempt_end_holds(engine, ticket, false, now_ns);
    }
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++) {
        stats_leave(engine, ticket->resources[i], ticket->shard & FLAG_PRIVATE);
        stats_done(engine, ticket->resources[i], engine_thread() + load_relaxed(&engine->slot), now_ns, rt_ns,
                   ticket->acquire, error);
    }
    ticket->resources_count = 0;
}

void engine_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    if (ticket->shard & FLAG_COMPAT)
        compat_cancel(engine->compat, ticket, now_ns);
    else
        attempt_end_holds(engine, ticket, true, now_ns);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++)
        stats_leave(engine, ticket->resources[i], ticket->shard & FLAG_PRIVATE);
    ticket->resources_count = 0;
}

void engine_refuse(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    uint32_t count = is_ours(engine, ticket) ? ticket->resources_count : 0;
    engine_cancel(engine, ticket, now_ns);
    for (uint32_t i = 0; i < count; i++)
        stats_refuse(engine, ticket->resources[i], ticket->shard & SHARD_MASK, ticket->acquire);
}

void engine_sample(struct engine *engine, uint64_t now_ns, const struct engine_sample *sample) {
    uint64_t bits;
    memcpy(&bits, &sample->cpu, sizeof(bits));
    store_relaxed(&engine->cpu, bits);
    memcpy(&bits, &sample->load1, sizeof(bits));
    store_relaxed(&engine->load1, bits);
    stats_find_area(engine);
    uint32_t token = engine_read_begin(engine);
    if (token < 2) {
        struct attempt attempt;
        attempt.engine = engine;
        attempt.view = &engine->views[token];
        attempt.now_ns = now_ns;
        attempt.slot = load_relaxed(&engine->slot);
        if (attempt.view->compat)
            compat_sample(engine->compat, now_ns, sample);
        for (unsigned i = 0; i < attempt.view->shedders; i++)
            shed_sample(&attempt, i);
    }
    engine_read_end(engine, token);
}
