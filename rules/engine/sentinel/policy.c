/* Sentinel's decisions as a policy of the engine: names in, reports out. */
#include <errno.h>

#include "rules/engine/decision.h"
#include "rules/engine/limiters/shedders.h"
#include "rules/engine/policy.h"
#include "rules/engine/sentinel/compat.h"

/* ---------------------------------------------------------------------------------------------- what is heard of it */

/* While new rules are being adopted, decisions may come from a ruleset that is newer than the request's. */
static uint32_t number_of(const struct decision *decision, const struct rule *rule) {
    const struct compiled *compiled = decision->compiled;
    if (!rule)
        return UINT32_MAX;
    if (rule >= compiled->rules && rule < compiled->rules + compiled->rules_count)
        return (uint32_t)(rule - compiled->rules);
    return compiled_rule(compiled, rule->id_hash);
}

static uint32_t heard_number(void *owner, void *call, const struct rule *rule) {
    (void)owner;
    return number_of(call, rule);
}

static void heard_rejected(void *owner, void *call, const struct rule *rule, uint32_t resource, enum reason reason,
                           bool simulated) {
    struct engine *engine = owner;
    metrics_hit(call, compat_ruleset(engine->sentinel), rule, resource, reason, simulated, NULL);
}

static void heard_circuit(void *owner, const struct rule *rule, uint32_t resource, uint64_t now_ns,
                          enum circuit_state from, enum circuit_state to, enum circuit_state worst) {
    struct engine *engine = owner;
    metrics_circuit(engine, resource, worst);
    if (from != to)
        metrics_event(engine, now_ns, EVENT_CIRCUIT, compat_ruleset(engine->sentinel), rule, resource, (uint8_t)from,
                      (uint8_t)to, rule ? rule->count : 0);
}

static void heard_undecided(void *owner) {
    struct engine *engine = owner;
    uint32_t slot = load_relaxed(&engine->slot);
    if (slot != UINT32_MAX)
        add_relaxed(&engine_process(engine, slot)->undecided, 1u);
}

static const struct compat_listener listener = {
    .rejected = heard_rejected,
    .number = heard_number,
    .circuit = heard_circuit,
    .undecided = heard_undecided,
};

/* -------------------------------------------------------------------------------------------- adaptive protection

 * Sentinel has none: it is asked about what Sentinel's rules let pass.  What it holds of a ticket stands behind what
 * they do. */

static struct engine_ticket beside(const struct engine_ticket *ticket) {
    unsigned first = ticket->resources_count * COMPAT_LEASES;
    struct engine_ticket own = *ticket;
    own.leases_count = ticket->leases_count > first ? (uint8_t)(ticket->leases_count - first) : 0;
    memmove(own.leases, ticket->leases + first, own.leases_count * sizeof(*own.leases));
    return own;
}

static bool is_shed(struct decision *decision) {
    struct binding_list *lists[ENGINE_RESOURCES_MAX];
    struct engine_ticket *ticket = decision->ticket;
    if (!decision->compiled->adaptive || ticket->side != SIDE_INBOUND) /* a connection is not, either */
        return false;
    for (unsigned i = 0; i < ticket->resources_count; i++) {
        lists[i] = compiled_bindings(decision->engine, decision->compiled, ticket->resources[i]);
        if (decision->priority == PRIORITY_NORMAL && lists[i])
            decision->priority = lists[i]->priority;
    }
    return !shedders_pass(decision, lists, RULE_ADAPTIVE);
}

/* The request is at its end. */
static void leave_beside(struct engine *engine, const struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                         bool ran, bool success) {
    struct engine_ticket own = beside(ticket);
    uint32_t token = ran ? engine_read_begin(engine) : ENGINE_NO_RULES;
    if (token < ENGINE_NO_RULES && engine->compiled[token].adaptive &&
        engine->compiled[token].policy == POLICY_SENTINEL) {
        struct decision decision;
        decision.engine = engine;
        decision.compiled = &engine->compiled[token];
        decision.ticket = &own;
        decision.now_ns = now_ns;
        decision.slot = load_relaxed(&engine->slot);
        shedders_done(&decision, RULE_ADAPTIVE, rt_ns, success);
    }
    engine_read_end(engine, token);
    leases_end(engine, &own, ran, now_ns);
}

/* ------------------------------------------------------------------------------------------------------- the policy */

static int sentinel_adopt(struct engine *engine, const struct compiled *current, const struct compiled *next) {
    policy_own.adopt(engine, current, next); /* the states of adaptive protection that is gone */
    if (!engine->sentinel) {
        engine->sentinel = compat_new(&engine->memory, 0, engine->counters->hash_seed);
        if (!engine->sentinel)
            return -ENOMEM;
        compat_listen(engine->sentinel, &listener, engine);
    }
    int bad = compat_adopt(engine->sentinel, next->ruleset, ruleset_head(next->ruleset)->size);
    return bad == -EAGAIN ? -EBUSY : bad;
}

static int sentinel_retire(struct engine *engine) {
    return engine->sentinel && compat_retire(engine->sentinel) ? -EBUSY : 0;
}

static void sentinel_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    leave_beside(engine, ticket, now_ns, 0, false, false);
    compat_cancel(engine->sentinel, ticket, now_ns);
}

static enum engine_verdict sentinel_enter(struct decision *decision) {
    struct compat_name names[ENGINE_RESOURCES_MAX];
    uint32_t resources[ENGINE_RESOURCES_MAX];
    struct engine_request request = *decision->request;
    request.resources = resources;
    request.resources_count = decision->ticket->resources_count;
    for (unsigned i = 0; i < request.resources_count; i++) {
        resources[i] = decision->ticket->resources[i];
        names[i].text = engine_resource_name(decision->engine, resources[i], &names[i].length);
    }
    decision->ticket->flags |= TICKET_ENDS;
    enum engine_verdict verdict = compat_decide(decision->engine->sentinel, decision->now_ns, &request, names,
                                                decision->ticket, decision->result, decision);
    if (verdict == ENGINE_BLOCK || !is_shed(decision))
        return verdict;
    sentinel_cancel(decision->engine, decision->ticket, decision->now_ns);
    decision->ticket->leases_count = 0;
    return ENGINE_BLOCK;
}

static void sentinel_leave(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                           const struct engine_outcome *outcome) {
    if (outcome->left) { /* neutral: as if it had never run */
        sentinel_cancel(engine, ticket, now_ns);
        return;
    }
    leave_beside(engine, ticket, now_ns, rt_ns, true, !outcome->error && !outcome->aborted);
    if (ticket->flags & TICKET_BEGUN) /* the connection became another protocol's: that was its exit */
        ticket->start_ns = now_ns - rt_ns;
    compat_exit(engine->sentinel, ticket, now_ns, outcome);
}

static void sentinel_sample(struct engine *engine, struct compiled *compiled, uint64_t now_ns,
                            const struct engine_sample *sample) {
    compat_sample(engine->sentinel, now_ns, sample);
    shedders_sample(engine, compiled, now_ns, RULE_ADAPTIVE);
}

static void sentinel_after_fork(struct engine *engine) {
    if (engine->sentinel)
        compat_after_fork(engine->sentinel);
}

static void sentinel_end(struct engine *engine) {
    if (engine->sentinel)
        compat_free(engine->sentinel);
}

const struct policy policy_sentinel = {
    .end = sentinel_end,
    .adopt = sentinel_adopt,
    .retire = sentinel_retire,
    .enter = sentinel_enter,
    .leave = sentinel_leave,
    .cancel = sentinel_cancel,
    .sample = sentinel_sample,
    .after_fork = sentinel_after_fork,
};
