/* Where limiters keep their state, and what a request has taken of them. */
#include "rules/engine/decision.h"

#include "rules/hash.h"

/* ----------------------------------------------------------------------------------------------------------- states */

static const struct state_space *space_of(const struct decision *decision, const struct rule *rule) {
    return decision_alone(decision, rule) ? &decision->engine->own : &decision->engine->app;
}

uint64_t limiter_state_key(uint64_t seed, uint64_t rule, uint32_t resource, enum limiter_kind kind, uint64_t origin) {
    struct {
        uint64_t rule, origin;
        uint32_t resource, variant;
    } what = {rule, origin, resource, (uint32_t)kind << 3};
    return hash_bytes(seed, &what, sizeof(what));
}

static uint64_t state_key(const struct engine *engine, const struct rule *rule, uint32_t resource,
                          enum limiter_kind kind, uint64_t origin) {
    return limiter_state_key(engine->counters->hash_seed, rule->id_hash, resource, kind, origin);
}

static struct limiter_state *make_cell(struct decision *decision, const struct binding *binding, uint32_t resource,
                                       enum limiter_kind kind, size_t bytes, uint64_t origin) {
    struct engine *engine = decision->engine;
    uint64_t key = state_key(engine, binding->rule, resource, kind, origin);
    enum state_purpose purpose = resource < LAYOUT_RESOURCES ? STATE_OF_ONE : STATE_OF_SEVERAL;
    return state_make(space_of(decision, binding->rule), purpose, key, binding->rule->id_hash, kind, bytes,
                      decision->compiled->generation);
}

/* A table of another capacity or purpose is another table: what stands where in it depends on it. */
static uint64_t shape_of(const struct hot_shape *shape, enum limiter_kind kind) {
    return kind == LIMITER_PARAM ? hot_mark(shape) : 0;
}

/* ------------------------------------------------------------------------------------------ what finds no room

 * Clients can make up resources: a scan of paths below a rule's prefix fills whatever memory there is.  What finds none
 * shares limiters with others of the same rule: one of COMMONS by the hash of its name, or a table of hot keys in
 * which each value of each resource has its own place. */

static void note_full(struct decision *decision, const struct binding *binding, uint32_t resource, uint32_t *counter,
                      uint8_t how) {
    uint32_t before = add_relaxed(counter, 1u);
    if ((before & (before - 1)) == 0)
        metrics_event(decision->engine, decision->now_ns, EVENT_CELLS_FULL, decision->compiled->ruleset, binding->rule,
                      resource, 0, how, before + 1);
}

static void note_shares(struct decision *decision, const struct binding *binding, uint32_t resource) {
    struct engine *engine = decision->engine;
    if (resource >= counters_mapped(&engine->map, LAYOUT_NAMES))
        return;
    uint8_t *shares = &engine_entry(engine, resource)->shares;
    if (!load_relaxed(shares) && !__atomic_exchange_n(shares, 1, __ATOMIC_RELAXED))
        note_full(decision, binding, resource, &engine->counters->resources_sharing, 1);
}

static struct limiter_state *common_cell(struct decision *decision, const struct binding *binding, uint32_t resource,
                                         enum limiter_kind kind, size_t bytes, uint64_t origin) {
    struct engine *engine = decision->engine;
    uint64_t which = state_key(engine, binding->rule, resource, LIMITER_NONE, origin);
    decision->common = true;
    uint32_t place = kind == LIMITER_PARAM ? 0 : (uint32_t)(which % COMMONS);
    if (kind == LIMITER_PARAM)
        bytes = hot_bytes(&binding->limiter->hot_common);
    struct limiter_state *state = make_cell(decision, binding, COMMON_FIRST + place, kind, bytes,
                                            shape_of(&binding->limiter->hot_common, kind));
    if (state)
        note_shares(decision, binding, resource);
    else
        note_full(decision, binding, resource, &engine->counters->cells_refused, 0);
    return state;
}

/* Rules for named origins and for "other" count each caller on its own, as in Sentinel.  Callers can be made up: beyond
 * ORIGINS_MAX of one rule and resource the rest share one more limiter. */
struct origins {
    struct limiter_state base;
    uint32_t known;
    uint32_t reserved[7];
};
enum { ORIGINS_MAX = 64 };
const struct limiter_ops limiter_origins = {.least = sizeof(struct origins)};

static struct limiter_state *origin_cell(struct decision *decision, struct binding *binding, uint32_t resource,
                                         enum limiter_kind kind, size_t bytes) {
    struct engine *engine = decision->engine;
    uint64_t shape = shape_of(&binding->limiter->hot, kind);
    uint64_t origin = hash_bytes(engine->counters->hash_seed + shape, decision->origin.text, decision->origin.length);
    const struct state_space *space = space_of(decision, binding->rule);
    uint64_t key = state_key(engine, binding->rule, resource, kind, origin);
    struct limiter_state *state = state_find(space, key, kind, bytes);
    if (state)
        return state;
    struct origins *origins = (struct origins *)make_cell(decision, binding, resource, LIMITER_ORIGINS,
                                                          sizeof(*origins), 0);
    if (!origins || (load_relaxed(&origins->known) >= ORIGINS_MAX || add_relaxed(&origins->known, 1u) >= ORIGINS_MAX))
        origin = shape;
    state = make_cell(decision, binding, resource, kind, bytes, origin);
    return state ? state : common_cell(decision, binding, resource, kind, bytes, origin);
}

struct limiter_state *decision_bind_state(struct decision *decision, struct binding *binding, uint32_t resource,
                                          enum limiter_kind kind) {
    size_t bytes = limiter_bytes(kind, binding->limiter);
    if (binding->rule->origin_kind != ORIGIN_DEFAULT && kind != LIMITER_BREAKER)
        return origin_cell(decision, binding, resource, kind, bytes);
    struct limiter_state *state = make_cell(decision, binding, resource, kind, bytes,
                                            shape_of(&binding->limiter->hot, kind));
    bool own = state != NULL;
    if (!own)
        state = common_cell(decision, binding, resource, kind, bytes, 0);
    /* Not one that is shared where there may be room of its own soon, nor a table: it is of another shape. */
    if (own || (kind != LIMITER_PARAM && !state_may_grow(space_of(decision, binding->rule))))
        store_release(&binding->state, state);
    return state;
}

/* ------------------------------------------------------------------------------------------------------- rejections */

void decision_say_why(struct decision *decision, const struct binding *binding, uint32_t resource, uint64_t retry_ns) {
    struct engine_result *result = decision->result;
    result->reason = (uint8_t)rule_reason(binding->rule);
    result->detail = binding->rule->kind == RULE_SYSTEM ? binding->rule->grade : decision->detail;
    result->rule = (uint32_t)(binding->rule - decision->compiled->rules);
    result->resource = resource;
    result->retry_ns = retry_ns;
}

bool decision_refuse(struct decision *decision, struct binding *binding, uint32_t resource) {
    struct engine_result *result = decision->result;
    bool simulated = binding->rule->mode == MODE_SIMULATE;
    uint32_t *hint = binding->rule->kind < RULE_SYSTEM ? &binding->hit : NULL; /* it serves one resource only */
    metrics_hit(decision, decision->compiled->ruleset, binding->rule, resource, rule_reason(binding->rule), simulated,
                hint);
    if (simulated) {
        result->simulated++;
        result->value_length = 0;
        result->value_cut = false;
        return false;
    }
    result->verdict = ENGINE_BLOCK;
    decision_say_why(decision, binding, resource, decision->retry_ns);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- takes */

/* Room for one more than a few; NULL: there is none. */
static struct taken *more(struct decision *decision) {
    uint32_t beyond = decision->takes_count - ENGINE_TAKES_FEW;
    if (!decision->more)
        decision->more = scratch_take(decision->engine, &decision->scratch);
    return decision->more && decision->takes_count < ENGINE_TAKES_MAX ? &decision->more[beyond] : NULL;
}

void decision_took(struct decision *decision, enum limiter_kind kind, void *state, uint64_t before, uint64_t after,
                   uint32_t n) {
    struct taken *taken = decision->takes_count < ENGINE_TAKES_FEW ? &decision->takes[decision->takes_count]
                                                                   : more(decision);
    if (!taken)
        return;
    *taken = (struct taken){state, before, after, n, kind};
    decision->takes_count++;
}

void decision_give_back(struct decision *decision) {
    while (decision->takes_count) {
        uint32_t at = --decision->takes_count;
        const struct taken *taken = at < ENGINE_TAKES_FEW ? &decision->takes[at]
                                                          : &decision->more[at - ENGINE_TAKES_FEW];
        limiters[taken->kind]->undo(decision, taken);
    }
}

void decision_end(struct decision *decision) {
    if (decision->more)
        scratch_give(decision->engine, decision->scratch);
}

/* ---------------------------------------------------------------------------------------------------------- leases */

bool decision_can_hold(const struct decision *decision, unsigned words) {
    return decision->ticket->leases_count + words <= ENGINE_LEASES_MAX;
}

bool decision_hold(struct decision *decision, const struct limiter_state *state, unsigned tag, const uint32_t *extra,
                   uint32_t n) {
    struct engine_ticket *ticket = decision->ticket;
    unsigned words = 1u + (extra != NULL) + (n != 1);
    if (!decision_can_hold(decision, words))
        return false;
    uint32_t *room = &ticket->leases[ticket->leases_count];
    ticket->leases_count += (uint8_t)words;
    *room++ = (uint32_t)state_kind(state) << LEASE_KIND_SHIFT | tag << LEASE_TAG_SHIFT |
              (state_is_shared(state) ? LEASE_SHARED : 0) | (n != 1 ? LEASE_MANY : 0) | (extra ? LEASE_EXTRA : 0) |
              state_unit(state);
    if (extra)
        *room++ = *extra;
    if (n != 1)
        *room = n;
    return true;
}

/* The lease at word i of the ticket; moves on to the next.  Its state is not looked for. */
static uint32_t read_lease(const struct engine_ticket *ticket, unsigned *i, struct lease *ret_lease) {
    uint32_t word = ticket->leases[(*i)++];
    *ret_lease = (struct lease){.tag = word >> LEASE_TAG_SHIFT & 3, .n = 1, .shared = (word & LEASE_SHARED) != 0};
    if (word & LEASE_EXTRA && *i < ENGINE_LEASES_MAX)
        ret_lease->extra = ticket->leases[(*i)++];
    if (word & LEASE_MANY && *i < ENGINE_LEASES_MAX)
        ret_lease->n = ticket->leases[(*i)++];
    return word;
}

static bool more_words(const struct engine_ticket *ticket, unsigned i) {
    return i < ticket->leases_count && i < ENGINE_LEASES_MAX;
}

static void end_lease(struct engine *engine, uint32_t word, struct lease *lease, bool ran, uint64_t now_ns) {
    uint32_t kind = word >> LEASE_KIND_SHIFT;
    const struct limiter_ops *ops = kind < LIMITER_KINDS ? limiters[kind] : NULL;
    if (!ops || !ops->leave)
        return;
    lease->state = state_at(lease->shared ? &engine->app : &engine->own, word & LEASE_UNIT_MASK,
                            (enum limiter_kind)kind, ops->least, &lease->bytes);
    if (lease->state)
        ops->leave(engine, lease, ran, now_ns);
}

void leases_end(struct engine *engine, struct engine_ticket *ticket, bool ran, uint64_t now_ns) {
    for (unsigned i = 0; more_words(ticket, i);) {
        struct lease lease;
        uint32_t word = read_lease(ticket, &i, &lease);
        end_lease(engine, word, &lease, ran, now_ns);
    }
    ticket->leases_count = 0;
}

bool decision_pays_later(struct decision *decision, const struct limiter_state *state) {
    if (!decision_hold(decision, state, LEASE_PAYS, NULL, 1))
        return false;
    decision->ticket->engine_private[0] |= LEARNS_BYTES;
    return true;
}

void leases_charge(struct engine *engine, const struct compiled *compiled, const struct engine_ticket *ticket,
                   uint64_t bytes, uint64_t now_ns) {
    for (unsigned i = 0; more_words(ticket, i);) {
        struct lease lease;
        uint32_t word = read_lease(ticket, &i, &lease), kind = word >> LEASE_KIND_SHIFT;
        const struct limiter_ops *ops = kind < LIMITER_KINDS ? limiters[kind] : NULL;
        if (!ops || !ops->charge || lease.tag != LEASE_PAYS)
            continue;
        struct limiter_state *state = state_at(lease.shared ? &engine->app : &engine->own, word & LEASE_UNIT_MASK,
                                               (enum limiter_kind)kind, ops->least, &lease.bytes);
        uint32_t rule = state ? compiled_rule(compiled, load_relaxed(&state->rule)) : UINT32_MAX;
        if (rule != UINT32_MAX)
            ops->charge(state, &compiled->limiters[rule], bytes, now_ns);
    }
}

static bool is_lease_of(uint32_t word, const struct limiter_state *state) {
    return (word & LEASE_UNIT_MASK) == state_unit(state) && !(word & LEASE_SHARED) == !state_is_shared(state) &&
           word >> LEASE_KIND_SHIFT == (uint32_t)state_kind(state);
}

void leases_end_early(struct engine *engine, struct engine_ticket *ticket, enum limiter_kind kind,
                      const struct limiter_state *state, bool ran, uint64_t now_ns) {
    for (unsigned i = 0; more_words(ticket, i);) {
        struct lease lease;
        unsigned at = i;
        uint32_t word = read_lease(ticket, &i, &lease);
        if (word >> LEASE_KIND_SHIFT != (uint32_t)kind || (state && !is_lease_of(word, state)))
            continue;
        ticket->leases[at] = word & ((1u << LEASE_KIND_SHIFT) - 1); /* LIMITER_NONE */
        end_lease(engine, word, &lease, ran, now_ns);
    }
}

bool ticket_lease(const struct engine_ticket *ticket, const struct limiter_state *state, struct lease *ret_lease) {
    for (unsigned i = 0; more_words(ticket, i);) {
        uint32_t word = read_lease(ticket, &i, ret_lease);
        if (is_lease_of(word, state))
            return true;
    }
    return false;
}
