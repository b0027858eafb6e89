/* Where limiters keep their state, and what a request has taken of them. */
#include "rules/engine/attempt.h"

#include "rules/hash.h"

/* ----------------------------------------------------------------------------------------------------------- cells */

static const struct cell_space *space_of(const struct attempt *attempt, const struct rule *rule) {
    return attempt_alone(attempt, rule) ? &attempt->engine->own : &attempt->engine->app;
}

static uint64_t cell_key(const struct engine *engine, const struct rule *rule, uint32_t resource, uint8_t variant,
                         uint64_t origin) {
    struct {
        uint64_t rule, origin;
        uint32_t resource, variant;
    } what = {rule->id_hash, origin, resource, variant};
    return hash_bytes(engine->counters->hash_seed, &what, sizeof(what));
}

static struct cell *make_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind,
                              size_t bytes, uint64_t origin) {
    struct engine *engine = attempt->engine;
    const struct cell_space *space = space_of(attempt, binding->rule);
    uint64_t key = cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3), origin);
    struct cell *cell = cell_make(space, key, binding->rule->id_hash, kind, bytes, attempt->view->generation);
    if (!cell) {
        uint32_t refused = add_relaxed(&engine->counters->cells_refused, 1u);
        if ((refused & (refused - 1)) == 0)
            stats_event(engine, attempt->now_ns, EVENT_CELLS_FULL, attempt->view->ruleset, binding->rule, resource, 0,
                        0, refused + 1);
    }
    return cell;
}

/* A table of another capacity or purpose is another table: what stands where in it depends on it. */
static uint64_t shape_of(const struct binding *binding, enum cell_kind kind) {
    const struct hot_shape *shape = &binding->limiter->hot;
    return kind == CELL_PARAM ? pack(shape->calls, shape->sets) : 0;
}

/* Rules for named origins and for "other" count each caller on its own, as in Sentinel.  Callers can be made up: beyond
 * ORIGINS_MAX of one rule and resource the rest share one more limiter. */
struct origins {
    struct cell cell;
    uint32_t known;
    uint32_t reserved[7];
};
enum { ORIGINS_MAX = 64 };
const struct limiter_ops limiter_origins = {.least = sizeof(struct origins)};

static struct cell *origin_cell(struct attempt *attempt, struct binding *binding, uint32_t resource,
                                enum cell_kind kind, size_t bytes) {
    struct engine *engine = attempt->engine;
    uint64_t shape = shape_of(binding, kind);
    uint64_t origin = hash_bytes(engine->counters->hash_seed + shape, attempt->origin.text, attempt->origin.length);
    const struct cell_space *space = space_of(attempt, binding->rule);
    struct cell *cell = cell_find(space, cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3), origin));
    if (cell && cell_kind(cell) == kind && (size_t)cell->units * LAYOUT_CELL_UNIT >= bytes)
        return cell;
    struct origins *origins = (struct origins *)make_cell(attempt, binding, resource, CELL_ORIGINS, sizeof(*origins),
                                                          0);
    if (!origins || (load_relaxed(&origins->known) >= ORIGINS_MAX || add_relaxed(&origins->known, 1u) >= ORIGINS_MAX))
        origin = shape;
    return make_cell(attempt, binding, resource, kind, bytes, origin);
}

struct cell *attempt_bind_cell(struct attempt *attempt, struct binding *binding, uint32_t resource,
                               enum cell_kind kind) {
    size_t bytes = limiter_bytes(kind, binding->limiter);
    if (binding->rule->origin_kind != ORIGIN_DEFAULT && kind != CELL_BREAKER)
        return origin_cell(attempt, binding, resource, kind, bytes);
    struct cell *cell = make_cell(attempt, binding, resource, kind, bytes, shape_of(binding, kind));
    store_release(&binding->cell, cell);
    return cell;
}

/* ----------------------------------------------------------------------------------------------------------- takes */

/* Room for one more than a few; NULL: there is none. */
static struct taken *more(struct attempt *attempt) {
    uint32_t beyond = attempt->takes_count - ENGINE_TAKES_FEW;
    if (!attempt->more)
        attempt->more = scratch_take(attempt->engine, &attempt->scratch);
    return attempt->more && attempt->takes_count < ENGINE_TAKES_MAX ? &attempt->more[beyond] : NULL;
}

void attempt_took(struct attempt *attempt, enum cell_kind kind, void *state, uint64_t before, uint64_t after,
                  uint32_t n) {
    struct taken *taken = attempt->takes_count < ENGINE_TAKES_FEW ? &attempt->takes[attempt->takes_count]
                                                                  : more(attempt);
    if (!taken)
        return;
    *taken = (struct taken){state, before, after, n, kind};
    attempt->takes_count++;
}

void attempt_give_back(struct attempt *attempt) {
    while (attempt->takes_count) {
        uint32_t at = --attempt->takes_count;
        const struct taken *taken = at < ENGINE_TAKES_FEW ? &attempt->takes[at] : &attempt->more[at - ENGINE_TAKES_FEW];
        limiters[taken->kind]->undo(attempt, taken);
    }
}

void attempt_end(struct attempt *attempt) {
    if (attempt->more)
        scratch_give(attempt->engine, attempt->scratch);
}

/* ---------------------------------------------------------------------------------------------------------- leases */

bool attempt_can_hold(const struct attempt *attempt, unsigned words) {
    return attempt->ticket->holds_count + words <= ENGINE_HOLDS_MAX;
}

bool attempt_hold(struct attempt *attempt, const struct cell *cell, unsigned tag, const uint32_t *extra, uint32_t n) {
    struct engine_ticket *ticket = attempt->ticket;
    unsigned words = 1u + (extra != NULL) + (n != 1);
    if (!attempt_can_hold(attempt, words))
        return false;
    uint32_t *room = &ticket->holds[ticket->holds_count];
    ticket->holds_count += (uint8_t)words;
    *room++ = (uint32_t)cell_kind(cell) << LEASE_KIND_SHIFT | tag << LEASE_TAG_SHIFT |
              (cell_is_shared(cell) ? LEASE_SHARED : 0) | (n != 1 ? LEASE_MANY : 0) | (extra ? LEASE_EXTRA : 0) |
              cell_unit(cell);
    if (extra)
        *room++ = *extra;
    if (n != 1)
        *room = n;
    return true;
}

/* The lease at word i of the ticket; moves on to the next.  Its cell is not looked for. */
static uint32_t read_lease(const struct engine_ticket *ticket, unsigned *i, struct lease *ret_lease) {
    uint32_t word = ticket->holds[(*i)++];
    *ret_lease = (struct lease){.tag = word >> LEASE_TAG_SHIFT & 3, .n = 1, .shared = (word & LEASE_SHARED) != 0};
    if (word & LEASE_EXTRA && *i < ENGINE_HOLDS_MAX)
        ret_lease->extra = ticket->holds[(*i)++];
    if (word & LEASE_MANY && *i < ENGINE_HOLDS_MAX)
        ret_lease->n = ticket->holds[(*i)++];
    return word;
}

static bool more_words(const struct engine_ticket *ticket, unsigned i) {
    return i < ticket->holds_count && i < ENGINE_HOLDS_MAX;
}

void attempt_end_leases(struct engine *engine, struct engine_ticket *ticket, bool ran, uint64_t now_ns) {
    for (unsigned i = 0; more_words(ticket, i);) {
        struct lease lease;
        uint32_t word = read_lease(ticket, &i, &lease), kind = word >> LEASE_KIND_SHIFT;
        const struct limiter_ops *ops = kind < CELL_KINDS ? limiters[kind] : NULL;
        if (!ops || !ops->leave)
            continue;
        lease.cell = cell_at(lease.shared ? &engine->app : &engine->own, word & LEASE_UNIT_MASK, (enum cell_kind)kind,
                             ops->least, &lease.bytes);
        if (lease.cell)
            ops->leave(engine, &lease, ran, now_ns);
    }
    ticket->holds_count = 0;
}

bool ticket_lease(const struct engine_ticket *ticket, const struct cell *cell, struct lease *ret_lease) {
    for (unsigned i = 0; more_words(ticket, i);) {
        uint32_t word = read_lease(ticket, &i, ret_lease);
        if ((word & LEASE_UNIT_MASK) == cell_unit(cell) && ret_lease->shared == cell_is_shared(cell) &&
            word >> LEASE_KIND_SHIFT == (uint32_t)cell_kind(cell))
            return true;
    }
    return false;
}
