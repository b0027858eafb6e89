/* Sentinel's decisions as a policy of the engine: names in, reports out. */
#include <errno.h>

#include "rules/engine/decision.h"
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

/* ------------------------------------------------------------------------------------------------------- the policy */

static int sentinel_adopt(struct engine *engine, const struct compiled *current, const struct compiled *next) {
    (void)current;
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
    return compat_decide(decision->engine->sentinel, decision->now_ns, &request, names, decision->ticket,
                         decision->result, decision);
}

static void sentinel_leave(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, uint64_t rt_ns,
                           const struct engine_outcome *outcome) {
    if (outcome->left) { /* neutral: as if it had never run */
        compat_cancel(engine->sentinel, ticket, now_ns);
        return;
    }
    if (ticket->flags & TICKET_BEGUN) /* the connection became another protocol's: that was its exit */
        ticket->start_ns = now_ns - rt_ns;
    compat_exit(engine->sentinel, ticket, now_ns, outcome);
}

static void sentinel_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    compat_cancel(engine->sentinel, ticket, now_ns);
}

static void sentinel_sample(struct engine *engine, struct compiled *compiled, uint64_t now_ns,
                            const struct engine_sample *sample) {
    (void)compiled;
    compat_sample(engine->sentinel, now_ns, sample);
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
