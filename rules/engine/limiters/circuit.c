#include "rules/engine/limiters/circuit.h"

#include "rules/engine/limiters/breaker.h"

static struct breaker *breaker_of(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    return (struct breaker *)attempt_cell(attempt, binding, resource, CELL_BREAKER);
}

/* The worst state of the resource's circuits, for the figures. */
static void show_state(struct attempt *attempt, const struct binding_list *list, uint32_t resource) {
    enum circuit_state worst = CIRCUIT_NONE;
    for (unsigned i = 0; i < list->breakers; i++) {
        const struct cell *cell = load_acquire(&list->items[list->checks + i].cell);
        enum circuit_state state = cell ? breaker_state((const struct breaker *)cell) : CIRCUIT_CLOSED;
        worst = state > worst ? state : worst;
    }
    stats_circuit(attempt->engine, resource, worst);
}

static void tell(struct attempt *attempt, const struct binding_list *list, const struct binding *binding,
                 uint32_t resource, struct breaker_change change) {
    if (change.from == change.to)
        return;
    show_state(attempt, list, resource);
    stats_event(attempt->engine, attempt->now_ns, EVENT_CIRCUIT, attempt->view->ruleset, binding->rule, resource,
                change.from, change.to, binding->rule->count);
}

static bool circuit_ask(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    (void)n;
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    if (!breaker || breaker_ask(breaker, attempt->now_ns, &attempt->retry_ns) != BREAKER_BLOCK)
        return true;
    return false;
}

bool circuit_borrow(struct attempt *attempt, struct binding_list *list, struct binding *binding, uint32_t resource) {
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    enum breaker_loan loan = LOAN_NONE;
    struct breaker_change change;
    uint32_t stamp = 0;
    /* Which calls of a caller of its own are this circuit's affair has to be remembered until they complete. */
    bool note = binding->rule->origin_kind != ORIGIN_DEFAULT;
    if (!breaker || !attempt_can_hold(attempt, 2))
        return true;
    if (binding->rule->mode == MODE_SIMULATE &&
        breaker_ask(breaker, attempt->now_ns, &attempt->retry_ns) == BREAKER_BLOCK)
        return true; /* has been counted as such when it was asked */
    if (!breaker_lend(breaker, binding->rule, attempt->now_ns, attempt->slot, &loan, &stamp, &change))
        return false;
    tell(attempt, list, binding, resource, change);
    if (loan != LOAN_NONE || note)
        attempt_hold(attempt, &breaker->cell, loan, &stamp, 1);
    return true;
}

void circuit_done(struct attempt *attempt, struct binding_list *list, struct binding *binding, uint32_t resource,
                  uint64_t rt_ns, bool error) {
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    const struct rule *rule = binding->rule;
    struct breaker_change change;
    struct lease lease;
    if (!breaker || (rule->side != SIDE_ANY && rule->side != (attempt->ticket->side & TICKET_SIDE)))
        return;
    bool carried = ticket_lease(attempt->ticket, &breaker->cell, &lease);
    if (!carried && rule->origin_kind != ORIGIN_DEFAULT)
        return;
    uint64_t most = ruleset_head(attempt->view->ruleset)->options.max_rt_ns;
    if (rule->grade == DEGRADE_AVG_RT && most && rt_ns > most)
        rt_ns = most;
    breaker_done(breaker, rule, &binding->limiter->clock, attempt->now_ns, rt_ns, error,
                 carried ? (enum breaker_loan)lease.tag : LOAN_NONE, carried ? lease.extra : 0, &change);
    tell(attempt, list, binding, resource, change);
}

static bool serves(const struct rule *rule) {
    return rule->kind == RULE_DEGRADE;
}

/* What became of a completed call is circuit_done()'s affair. */
static void leave(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    (void)engine;
    if (!ran && lease->tag == LOAN_PROBE)
        breaker_return((struct breaker *)lease->cell, now_ns, lease->extra);
}

static void reclaim(struct cell *cell, size_t bytes, uint32_t slot) {
    (void)bytes;
    breaker_reclaim((struct breaker *)cell, slot);
}

const struct limiter_ops limiter_breaker = {
    .least = sizeof(struct breaker), .serves = serves, .check = circuit_ask, .leave = leave, .reclaim = reclaim};
