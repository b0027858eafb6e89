#include "rules/engine/circuit.h"

#include "rules/engine/breaker.h"

static struct breaker *breaker_of(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    return (struct breaker *)attempt_cell(attempt, binding, resource, CELL_BREAKER, sizeof(struct breaker));
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

bool circuit_ask(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    if (!breaker || breaker_ask(breaker, attempt->now_ns, &attempt->retry_ns) != BREAKER_BLOCK)
        return true;
    return false;
}

bool circuit_borrow(struct attempt *attempt, struct binding_list *list, struct binding *binding, uint32_t resource) {
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    static const enum hold holds[] = {[LOAN_NONE] = HOLD_BREAKER, [LOAN_PROBE] = HOLD_PROBE, [LOAN_STAGE] = HOLD_STAGE};
    enum breaker_loan loan = LOAN_NONE;
    struct breaker_change change;
    uint32_t stamp = 0;
    /* Which calls of a caller of its own are this circuit's affair has to be remembered until they complete. */
    bool note = binding->rule->origin_kind != ORIGIN_DEFAULT;
    if (!breaker || attempt->ticket->holds_count + 2u > ENGINE_HOLDS_MAX)
        return true;
    if (binding->rule->mode == MODE_SIMULATE &&
        breaker_ask(breaker, attempt->now_ns, &attempt->retry_ns) == BREAKER_BLOCK)
        return true; /* has been counted as such when it was asked */
    if (!breaker_lend(breaker, binding->rule, attempt->now_ns, attempt->slot, &loan, &stamp, &change))
        return false;
    tell(attempt, list, binding, resource, change);
    if (loan != LOAN_NONE || note)
        attempt_hold(attempt, holds[loan], &breaker->cell, stamp, 1);
    return true;
}

/* What the call carries of this circuit. */
static bool carried(const struct attempt *attempt, const struct cell *cell, enum breaker_loan *ret_loan,
                    uint32_t *ret_stamp) {
    const struct engine_ticket *ticket = attempt->ticket;
    bool shared = cell_is_shared(cell);
    uint32_t unit = cell_unit(cell);
    for (unsigned i = 0; i + 1 < ticket->holds_count && i + 1 < ENGINE_HOLDS_MAX;) {
        uint32_t word = ticket->holds[i], kind = word >> HOLD_KIND_SHIFT;
        if ((kind == HOLD_PROBE || kind == HOLD_STAGE || kind == HOLD_BREAKER) && (word & HOLD_UNIT_MASK) == unit &&
            !(word & HOLD_SHARED) == !shared) {
            *ret_loan = kind == HOLD_PROBE ? LOAN_PROBE : kind == HOLD_STAGE ? LOAN_STAGE : LOAN_NONE;
            *ret_stamp = ticket->holds[i + 1];
            return true;
        }
        i += 1u + (kind != HOLD_COUNT) + (word & HOLD_MANY ? 1u : 0u);
    }
    return false;
}

void circuit_done(struct attempt *attempt, struct binding_list *list, struct binding *binding, uint32_t resource,
                  uint64_t rt_ns, bool error) {
    struct breaker *breaker = breaker_of(attempt, binding, resource);
    const struct rule *rule = binding->rule;
    enum breaker_loan loan = LOAN_NONE;
    struct breaker_change change;
    uint32_t stamp = 0;
    if (!breaker || (rule->side != SIDE_ANY && rule->side != (attempt->ticket->side & TICKET_SIDE)))
        return;
    if (!carried(attempt, &breaker->cell, &loan, &stamp) && rule->origin_kind != ORIGIN_DEFAULT)
        return;
    uint64_t most = ruleset_head(attempt->view->ruleset)->options.max_rt_ns;
    if (rule->grade == DEGRADE_AVG_RT && most && rt_ns > most)
        rt_ns = most;
    breaker_done(breaker, rule, &binding->limiter->clock, attempt->now_ns, rt_ns, error, loan, stamp, &change);
    tell(attempt, list, binding, resource, change);
}
