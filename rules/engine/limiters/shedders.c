#include "rules/engine/limiters/shedders.h"

#include "rules/engine/limiters/shedding.h"

bool shedders_pass(struct decision *decision, struct binding_list *const lists[], enum rule_kind least) {
    uint64_t exempt = 0;
    for (unsigned i = 0; i < decision->ticket->resources_count; i++)
        exempt |= lists[i] ? lists[i]->exempt : 0;
    bool health = lists[0] && lists[0]->health;
    for (unsigned i = 0; i < decision->compiled->shedders; i++) {
        struct binding *binding = &decision->compiled->shedder[i];
        if (binding->rule->kind < least)
            continue;
        decision->exempt = (exempt >> i & 1) || (health && shedding_health(decision, i));
        decision->retry_ns = 0;
        if (!limiters[binding->kind]->check(decision, binding, UINT32_MAX, 1) &&
            decision_refuse(decision, binding, decision->ticket->resources[0]))
            return false;
    }
    return true;
}

void shedders_done(struct decision *decision, enum rule_kind least, uint64_t rt_ns, bool success) {
    for (unsigned i = 0; i < decision->compiled->shedders && decision->ticket->side == SIDE_INBOUND; i++)
        if (decision->compiled->shedder[i].rule->kind >= least)
            shed_done(decision, i, rt_ns, success);
}

void shedders_sample(struct engine *engine, struct compiled *compiled, uint64_t now_ns, enum rule_kind least) {
    struct decision decision;
    decision.engine = engine;
    decision.compiled = compiled;
    decision.now_ns = now_ns;
    decision.slot = load_relaxed(&engine->slot);
    for (unsigned i = 0; i < compiled->shedders; i++)
        if (compiled->shedder[i].rule->kind >= least)
            shed_sample(&decision, i);
}
