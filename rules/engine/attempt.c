/* Where limiters keep their state, and what a request has taken of them. */
#include "rules/engine/attempt.h"

#include "rules/engine/breaker.h"
#include "rules/engine/hot_param.h"
#include "rules/hash.h"

/* ----------------------------------------------------------------------------------------------------------- cells */

static uint64_t cell_key(const struct engine *engine, const struct rule *rule, uint32_t resource, uint8_t variant,
                         uint64_t origin) {
    struct {
        uint64_t rule, origin;
        uint32_t resource, variant;
    } what = {rule->id_hash, origin, resource, variant};
    return hash_bytes(engine->counters->hash_seed, &what, sizeof(what));
}

struct cell *attempt_make_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind,
                               size_t bytes, uint8_t variant, uint64_t origin) {
    struct engine *engine = attempt->engine;
    const struct cell_space *space = attempt_space(attempt, binding->rule);
    uint64_t key = cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3 | variant), origin);
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

static struct cell *origin_cell(struct attempt *attempt, struct binding *binding, uint32_t resource,
                                enum cell_kind kind, size_t bytes) {
    struct engine *engine = attempt->engine;
    uint64_t shape = shape_of(binding, kind);
    uint64_t origin = hash_bytes(engine->counters->hash_seed + shape, attempt->origin.text, attempt->origin.length);
    const struct cell_space *space = attempt_space(attempt, binding->rule);
    struct cell *cell = cell_find(space, cell_key(engine, binding->rule, resource, (uint8_t)(kind << 3), origin));
    if (cell && cell_kind(cell) == kind && (size_t)cell->units * LAYOUT_CELL_UNIT >= bytes)
        return cell;
    struct origins *origins = (struct origins *)attempt_make_cell(attempt, binding, resource, CELL_ORIGINS,
                                                                  sizeof(*origins), 0, 0);
    if (!origins || (load_relaxed(&origins->known) >= ORIGINS_MAX || add_relaxed(&origins->known, 1u) >= ORIGINS_MAX))
        origin = shape;
    return attempt_make_cell(attempt, binding, resource, kind, bytes, 0, origin);
}

struct cell *attempt_bind_cell(struct attempt *attempt, struct binding *binding, uint32_t resource, enum cell_kind kind,
                               size_t bytes) {
    if (binding->rule->origin_kind != ORIGIN_DEFAULT && kind != CELL_BREAKER)
        return origin_cell(attempt, binding, resource, kind, bytes);
    struct cell *cell = attempt_make_cell(attempt, binding, resource, kind, bytes, 0, shape_of(binding, kind));
    store_release(&binding->cell, cell);
    return cell;
}

static struct cell *count_cell(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    bool app = attempt_space(attempt, binding->rule) == &attempt->engine->app;
    return attempt_cell(attempt, binding, resource, app ? CELL_COUNTS : CELL_COUNT,
                        app ? sizeof(struct counts) : sizeof(struct count));
}

uint32_t attempt_count_now(struct attempt *attempt, struct binding *binding, uint32_t resource) {
    struct cell *cell = count_cell(attempt, binding, resource);
    if (!cell)
        return 0;
    return cell_kind(cell) == CELL_COUNTS ? counts_now((struct counts *)cell)
                                          : count_now((struct count *)cell, attempt->engine->incarnation);
}

/* ------------------------------------------------------------------------------------------------- takes and holds */

/* Room for a hold of `words` words, or NULL: then the limiter cannot be enforced for this request. */
static uint32_t *hold_room(struct engine_ticket *ticket, unsigned words) {
    if (ticket->holds_count + words > ENGINE_HOLDS_MAX)
        return NULL;
    uint32_t *room = &ticket->holds[ticket->holds_count];
    ticket->holds_count += (uint8_t)words;
    return room;
}

bool attempt_hold(struct attempt *attempt, enum hold kind, const struct cell *cell, uint32_t extra, uint32_t n) {
    bool with_extra = kind != HOLD_COUNT;
    uint32_t *room = hold_room(attempt->ticket, 1 + with_extra + (n != 1));
    if (!room)
        return false;
    uint32_t flags = (cell_is_shared(cell) ? HOLD_SHARED : 0) | (n != 1 ? HOLD_MANY : 0);
    *room++ = (uint32_t)kind << HOLD_KIND_SHIFT | flags | cell_unit(cell);
    if (with_extra)
        *room++ = extra;
    if (n != 1)
        *room = n;
    return true;
}

/* What a turn had cost fits into one word: in nanoseconds, or, long ones, in microseconds. */
enum { TURN_US = 1u << 31 };

static uint64_t turn_cost_ns(uint32_t n) {
    return n & TURN_US ? (uint64_t)(n & ~TURN_US) * 1000 : n;
}

void attempt_hold_turn(struct attempt *attempt, const struct queue *queue, uint64_t after, uint64_t cost_ns) {
    if (cost_ns < TURN_US)
        attempt_hold(attempt, HOLD_TURN, &queue->cell, (uint32_t)after, (uint32_t)cost_ns);
    else if (cost_ns / 1000 < TURN_US)
        attempt_hold(attempt, HOLD_TURN, &queue->cell, (uint32_t)after, TURN_US | (uint32_t)(cost_ns / 1000));
}

struct taken *attempt_more(struct attempt *attempt) {
    uint32_t beyond = attempt->takes_count - ENGINE_TAKES_FEW;
    if (!attempt->more)
        attempt->more = scratch_take(attempt->engine, &attempt->scratch);
    return attempt->more && attempt->takes_count < ENGINE_TAKES_MAX ? &attempt->more[beyond] : NULL;
}

void attempt_end(struct attempt *attempt) {
    if (attempt->more)
        scratch_give(attempt->engine, attempt->scratch);
}

void attempt_give_back(struct attempt *attempt) {
    while (attempt->takes_count) {
        uint32_t at = --attempt->takes_count;
        const struct taken *taken = at < ENGINE_TAKES_FEW ? &attempt->takes[at] : &attempt->more[at - ENGINE_TAKES_FEW];
        if (taken->kind == TAKE_WINDOW)
            window_return(taken->state, (uint32_t)taken->before, taken->n, attempt->shard);
        else
            queue_return(taken->state, taken->before, taken->after);
    }
}

static void end_hold(struct engine *engine, uint32_t word, uint32_t extra, uint32_t n, bool cancelled,
                     uint64_t now_ns) {
    const struct cell_space *space = word & HOLD_SHARED ? &engine->app : &engine->own;
    uint32_t unit = word & HOLD_UNIT_MASK, slot = load_relaxed(&engine->slot);
    switch (word >> HOLD_KIND_SHIFT) {
    case HOLD_COUNT:
        if (!(word & HOLD_SHARED)) {
            struct count *count = (struct count *)cell_at(space, unit, CELL_COUNT, sizeof(*count));
            if (count)
                count_return(count, engine->incarnation, n);
        } else if (slot != UINT32_MAX) {
            struct counts *counts = (struct counts *)cell_at(space, unit, CELL_COUNTS, sizeof(*counts));
            if (counts)
                counts_return(counts, slot, n);
        }
        break;
    case HOLD_TTL: {
        struct window *window = (struct window *)cell_at(space, unit, CELL_TTL, sizeof(*window));
        if (window)
            ttl_return(window, extra, n);
        break;
    }
    case HOLD_PARAM: {
        struct cell *cell = cell_at(space, unit, CELL_PARAM, HOT_HEADER_BYTES);
        uint32_t who = word & HOLD_SHARED ? slot : HOT_ALONE + (engine->incarnation & UINT8_MAX);
        if (cell && who != UINT32_MAX)
            hot_leave(cell, who, extra, n);
        break;
    }
    case HOLD_TURN: {
        struct queue *queue = cancelled ? (struct queue *)cell_at(space, unit, CELL_QUEUE, sizeof(*queue)) : NULL;
        if (queue)
            queue_leave(&queue->turn, extra, turn_cost_ns(n));
        break;
    }
    case HOLD_PROBE: { /* what became of a completed call is circuit.c's affair */
        struct breaker *breaker = cancelled ? (struct breaker *)cell_at(space, unit, CELL_BREAKER, sizeof(*breaker))
                                            : NULL;
        if (breaker)
            breaker_return(breaker, now_ns, extra);
        break;
    }
    }
}

void attempt_end_holds(struct engine *engine, struct engine_ticket *ticket, bool cancelled, uint64_t now_ns) {
    for (unsigned i = 0; i < ticket->holds_count && i < ENGINE_HOLDS_MAX;) {
        uint32_t word = ticket->holds[i++], extra = 0, n = 1;
        if (word >> HOLD_KIND_SHIFT != HOLD_COUNT && i < ENGINE_HOLDS_MAX)
            extra = ticket->holds[i++];
        if (word & HOLD_MANY && i < ENGINE_HOLDS_MAX)
            n = ticket->holds[i++];
        end_hold(engine, word, extra, n, cancelled, now_ns);
    }
    ticket->holds_count = 0;
}

bool attempt_count(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t limit, uint32_t n,
                   bool ask, uint32_t *ret_left) {
    struct cell *cell = count_cell(attempt, binding, resource);
    uint32_t incarnation = attempt->engine->incarnation;
    *ret_left = 0;
    if (!cell || attempt->ticket->holds_count + 2u > ENGINE_HOLDS_MAX)
        return true;
    bool app = cell_kind(cell) == CELL_COUNTS;
    if (ask && !(app ? counts_take((struct counts *)cell, attempt->slot, limit, n, ret_left)
                     : count_take((struct count *)cell, incarnation, limit, n, ret_left)))
        return false;
    if (!ask && app)
        counts_add((struct counts *)cell, attempt->slot, n);
    else if (!ask)
        count_add((struct count *)cell, incarnation, n);
    return attempt_hold(attempt, HOLD_COUNT, cell, 0, n);
}
