#include "rules/engine/limiters/in_flight.h"

#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/spare.h"

enum { RETRIES = 8 };

/* --------------------------------------------------------------------------------------------- the words that count */

static uint32_t mine(uint64_t word, uint32_t incarnation) {
    return high_of(word) == incarnation ? low_of(word) : 0;
}

bool in_flight_local_take(struct in_flight_local *in_flight, uint32_t incarnation, uint32_t limit, uint32_t n,
                          uint32_t *ret_left) {
    uint64_t old = load_relaxed(&in_flight->word);
    for (;;) {
        uint32_t now = mine(old, incarnation);
        *ret_left = now < limit ? limit - now : 0;
        if (*ret_left < n || now > limit)
            return false;
        *ret_left -= n;
        if (atomic_take(&in_flight->word, &old, pack(incarnation, now + n)))
            return true;
    }
}

void in_flight_local_add(struct in_flight_local *in_flight, uint32_t incarnation, uint32_t n) {
    uint64_t old = load_relaxed(&in_flight->word);
    while (!atomic_take(&in_flight->word, &old, pack(incarnation, mine(old, incarnation) + n))) {
    }
}

void in_flight_local_return(struct in_flight_local *in_flight, uint32_t incarnation, uint32_t n) {
    uint64_t old = load_relaxed(&in_flight->word);
    uint32_t now;
    do
        now = mine(old, incarnation);
    while (now && !atomic_take(&in_flight->word, &old, pack(incarnation, now > n ? now - n : 0)));
}

uint32_t in_flight_local_now(const struct in_flight_local *in_flight, uint32_t incarnation) {
    return mine(load_relaxed(&in_flight->word), incarnation);
}

uint32_t in_flight_shared_now(const struct in_flight_shared *in_flight) {
    uint64_t sum = 0;
    uint32_t slots = load_total(&in_flight->slots);
    for (uint32_t i = 0; i < slots && i < LAYOUT_PROCESSES; i++)
        sum += load_total(&in_flight->words[i]);
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

void in_flight_shared_add(struct in_flight_shared *in_flight, uint32_t slot, uint32_t n) {
    uint32_t slots = load_total(&in_flight->slots);
    while (slots <= slot && !atomic_take32(&in_flight->slots, &slots, slot + 1)) {
    }
    add_total(&in_flight->words[slot], n);
}

void in_flight_shared_return(struct in_flight_shared *in_flight, uint32_t slot, uint32_t n) {
    sub_floor32(&in_flight->words[slot], n);
}

bool in_flight_shared_take(struct in_flight_shared *in_flight, uint32_t slot, uint32_t limit, uint32_t n,
                           uint32_t *ret_left) {
    for (unsigned i = 0; i < RETRIES; i++) {
        uint32_t before = in_flight_shared_now(in_flight);
        *ret_left = before < limit ? limit - before : 0;
        if (*ret_left < n || before > limit)
            return false; /* no write while it is full */
        in_flight_shared_add(in_flight, slot, n);
        uint32_t sum = in_flight_shared_now(in_flight);
        if (sum <= limit) {
            *ret_left = limit - sum;
            return true;
        }
        in_flight_shared_return(in_flight, slot, n);
    }
    *ret_left = 0;
    return false;
}

/* ------------------------------------------------------------------------------------------------------- the limiter
 */

static struct limiter_state *state_of(struct decision *decision, struct binding *binding, uint32_t resource) {
    return decision_state(decision, binding, resource,
                          decision_alone(decision, binding->rule) ? LIMITER_IN_FLIGHT_LOCAL : LIMITER_IN_FLIGHT_SHARED);
}

uint32_t in_flight_now(struct decision *decision, struct binding *binding, uint32_t resource) {
    struct limiter_state *state = state_of(decision, binding, resource);
    if (!state)
        return 0;
    return state_kind(state) == LIMITER_IN_FLIGHT_SHARED
               ? in_flight_shared_now((struct in_flight_shared *)state)
               : in_flight_local_now((struct in_flight_local *)state, decision->engine->incarnation);
}

bool in_flight_take(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t limit, uint32_t n,
                    bool ask, uint32_t *ret_left) {
    struct limiter_state *state = state_of(decision, binding, resource);
    uint32_t incarnation = decision->engine->incarnation;
    *ret_left = 0;
    if (!state || !decision_can_hold(decision, 2 + LEASES_OF_CIRCUITS))
        return !ask || spare_in_flight(decision, resource, limit, n);
    struct in_flight_shared *shared = (struct in_flight_shared *)state;
    struct in_flight_local *local = (struct in_flight_local *)state;
    bool app = state_kind(state) == LIMITER_IN_FLIGHT_SHARED;
    if (ask && !(app ? in_flight_shared_take(shared, decision->slot, limit, n, ret_left)
                     : in_flight_local_take(local, incarnation, limit, n, ret_left)))
        return false;
    if (!ask && app)
        in_flight_shared_add(shared, decision->slot, n);
    else if (!ask)
        in_flight_local_add(local, incarnation, n);
    return decision_hold(decision, state, 0, NULL, n);
}

static bool in_flight_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    uint32_t left, limit = binding->limiter->limit;
    bool pass = in_flight_take(decision, binding, resource, limit, n, true, &left);
    decision->result->limit = limit;
    decision->result->remaining = left;
    decision->result->interval_ns = 0;
    return pass;
}

static bool serves(const struct rule *rule) {
    if (rule->kind == RULE_ISOLATION)
        return rule->ttl_ns == 0;
    bool related = rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE;
    return (rule->kind == RULE_FLOW || (rule->kind == RULE_GATEWAY && !rule->params_count)) &&
           rule->grade == GRADE_THREAD && !related;
}

static void leave_local(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    (void)ran, (void)now_ns;
    in_flight_local_return((struct in_flight_local *)lease->state, engine->incarnation, lease->n);
}

static void leave_shared(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    uint32_t slot = load_relaxed(&engine->slot);
    (void)ran, (void)now_ns;
    if (slot != UINT32_MAX)
        in_flight_shared_return((struct in_flight_shared *)lease->state, slot, lease->n);
}

static void reclaim_shared(struct limiter_state *state, size_t bytes, uint32_t slot) {
    uint32_t *word = &((struct in_flight_shared *)state)->words[slot], held = load_total(word);
    (void)bytes;
    atomic_take32(word, &held, 0);
}

static bool idle_local(const struct limiter_state *state, size_t bytes) {
    return bytes < sizeof(struct in_flight_local) ||
           low_of(load_relaxed(&((const struct in_flight_local *)state)->word)) == 0;
}

static bool idle_shared(const struct limiter_state *state, size_t bytes) {
    return bytes < sizeof(struct in_flight_shared) || in_flight_shared_now((const struct in_flight_shared *)state) == 0;
}

/* Which of the two it is depends on the rule's scope, and on whether the process has a slot. */
const struct limiter_ops limiter_in_flight_local = {
    .least = sizeof(struct in_flight_local),
    .serves = serves,
    .check = in_flight_check,
    .leave = leave_local,
    .idle = idle_local,
};
const struct limiter_ops limiter_in_flight_shared = {
    .least = sizeof(struct in_flight_shared),
    .check = in_flight_check,
    .leave = leave_shared,
    .reclaim = reclaim_shared,
    .idle = idle_shared,
};
