#include "rules/engine/limiters/circuit.h"

#include "rules/engine/limiters/breaker.h"

static struct breaker *breaker_of(struct decision *decision, struct binding *binding, uint32_t resource) {
    return (struct breaker *)decision_state(decision, binding, resource, LIMITER_BREAKER);
}

/* The worst state of the resource's circuits, for the metrics. */
static void show_state(struct decision *decision, const struct binding_list *list, uint32_t resource) {
    enum circuit_state worst = CIRCUIT_NONE;
    for (unsigned i = 0; i < list->breakers; i++) {
        const struct limiter_state *state = load_acquire(&list->items[list->checks + i].state);
        enum circuit_state circuit = state ? breaker_state((const struct breaker *)state) : CIRCUIT_CLOSED;
        worst = circuit > worst ? circuit : worst;
    }
    metrics_circuit(decision->engine, resource, worst);
}

static void report(struct decision *decision, const struct binding_list *list, const struct binding *binding,
                   uint32_t resource, struct breaker_change change) {
    if (change.from == change.to)
        return;
    show_state(decision, list, resource);
    metrics_event(decision->engine, decision->now_ns, EVENT_CIRCUIT, decision->compiled->ruleset, binding->rule,
                  resource, change.from, change.to, binding->rule->count);
}

static bool circuit_ask(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    (void)n;
    struct breaker *breaker = breaker_of(decision, binding, resource);
    if (!breaker || breaker_ask(breaker, decision->now_ns, &decision->retry_ns) != BREAKER_BLOCK)
        return true;
    return false;
}

bool circuit_borrow(struct decision *decision, struct binding_list *list, struct binding *binding, uint32_t resource) {
    struct breaker *breaker = breaker_of(decision, binding, resource);
    enum breaker_loan loan = LOAN_NONE;
    struct breaker_change change;
    uint32_t stamp = 0;
    /* Which calls of a caller of its own are this circuit's affair has to be remembered until they complete. */
    bool note = binding->rule->origin_kind != ORIGIN_DEFAULT;
    if (!breaker || !decision_can_hold(decision, 2))
        return true;
    if (binding->rule->mode == MODE_SIMULATE &&
        breaker_ask(breaker, decision->now_ns, &decision->retry_ns) == BREAKER_BLOCK)
        return true; /* has been counted as such when it was asked */
    if (!breaker_lend(breaker, binding->rule, decision->now_ns, decision->slot, &loan, &stamp, &change))
        return false;
    report(decision, list, binding, resource, change);
    if (loan != LOAN_NONE || note)
        decision_hold(decision, &breaker->base, loan, &stamp, 1);
    return true;
}

/* Is there something for this circuit in it?  Latency is final as the response begins, and so is a failure; a success
 * is one at the end only, unless it is a probe's, which is not to wait for the end of a stream.  If that one
 * fails later, it is a call like any other. */
static bool has_news(const struct rule *rule, bool lent, bool error, enum circuit_known known) {
    bool of_latency = rule->grade == DEGRADE_SLOW || rule->grade == DEGRADE_AVG_RT;
    switch (known) {
    case KNOWN_ALL: break;
    case KNOWN_BEGUN: return of_latency || error || lent;
    case KNOWN_END: return !of_latency && (error || !lent);
    }
    return true;
}

void circuit_done(struct decision *decision, struct binding_list *list, struct binding *binding, uint32_t resource,
                  uint64_t rt_ns, bool error, enum circuit_known known) {
    struct breaker *breaker = breaker_of(decision, binding, resource);
    const struct rule *rule = binding->rule;
    struct breaker_change change;
    struct lease lease;
    if (!breaker || (rule->side != SIDE_ANY && rule->side != (decision->ticket->side & TICKET_SIDE)))
        return;
    bool carried = ticket_lease(decision->ticket, &breaker->base, &lease);
    if (!carried && rule->origin_kind != ORIGIN_DEFAULT)
        return;
    enum breaker_loan loan = carried ? (enum breaker_loan)lease.tag : LOAN_NONE;
    if (!has_news(rule, loan != LOAN_NONE, error, known))
        return;
    uint64_t most = ruleset_head(decision->compiled->ruleset)->options.max_rt_ns;
    if (rule->grade == DEGRADE_AVG_RT && most && rt_ns > most)
        rt_ns = most;
    breaker_done(breaker, rule, &binding->limiter->clock, decision->now_ns, rt_ns, error,
                 known == KNOWN_END ? LOAN_NONE : loan, carried ? lease.extra : 0, &change);
    report(decision, list, binding, resource, change);
}

static bool serves(const struct rule *rule) {
    return rule->kind == RULE_DEGRADE;
}

/* What became of a completed call is circuit_done()'s affair. */
static void leave(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    (void)engine;
    if (!ran && lease->tag == LOAN_PROBE)
        breaker_return((struct breaker *)lease->state, now_ns, lease->extra);
}

static void reclaim(struct limiter_state *state, size_t bytes, uint32_t slot) {
    (void)bytes;
    breaker_reclaim((struct breaker *)state, slot);
}

const struct limiter_ops limiter_breaker = {
    .least = sizeof(struct breaker), .serves = serves, .check = circuit_ask, .leave = leave, .reclaim = reclaim};
