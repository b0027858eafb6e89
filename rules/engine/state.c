#include "rules/engine/state.h"

#include <string.h>

#include "rules/atomic.h"

enum { CLASSES = LAYOUT_CELL_CLASSES, TURNS_MOST = 8 /* of the halves, while one looks */ };
enum {
    ARENA_UNITS = LAYOUT_CELL_BYTES_MAX / LAYOUT_CELL_UNIT, /* of one's own */
    LARGE_UNITS = (16 << 10) / LAYOUT_CELL_UNIT,
};
_Static_assert((uint32_t)ARENA_UNITS <= (uint32_t)STATE_UNIT_MASK && LAYOUT_CELL_BYTES_MAX <= CHUNKS_BYTES,
               "a cell knows its number");

struct state_space state_space_shared(struct counters *counters) {
    uint32_t half = counters->part[LAYOUT_LIMITER_INDEX].count / 2;
    return (struct state_space){.roots = &counters->header->cells,
                                .index = counters_at(counters, LAYOUT_LIMITER_INDEX, 0),
                                .half = half,
                                .counters = counters,
                                .used = &counters->header->cell_bytes_used};
}

/* Sizes in units, four an octave: 1 2 3 4 5 6 7 8 10 12 14 16 20 …; a freed state serves any request of its class. */
static unsigned class_of(uint32_t units, uint32_t *ret_units) {
    if (units <= 4) {
        *ret_units = units;
        return units - 1;
    }
    unsigned octave = 31 - (unsigned)__builtin_clz(units - 1);
    uint32_t step = 1u << (octave - 2);
    uint32_t quarters = (units - (1u << octave) + step - 1) / step;
    *ret_units = (1u << octave) + quarters * step;
    return 4 * (octave - 1) + quarters - 1;
}

size_t state_bytes(size_t bytes) {
    uint32_t rounded;
    class_of((uint32_t)((bytes + LAYOUT_CELL_UNIT - 1) / LAYOUT_CELL_UNIT), &rounded);
    return (size_t)rounded * LAYOUT_CELL_UNIT;
}

/* Units that may be used. */
static uint32_t arena_units(const struct state_space *space) {
    return space->chunks ? (uint32_t)ARENA_UNITS : counters_reach(space->counters, LAYOUT_LIMITERS);
}

/* How far the arena may be used for such a state. */
static uint32_t units_for(const struct state_space *space, enum state_purpose purpose, uint32_t units) {
    uint32_t most = space->chunks ? (uint32_t)ARENA_UNITS : space->counters->part[LAYOUT_LIMITERS].count;
    uint32_t share = purpose == STATE_OF_SEVERAL ? 16 : units > LARGE_UNITS ? 12 : 15;
    uint32_t there = arena_units(space), limit = most / 16 * share;
    return limit < there ? limit : there;
}

bool state_may_grow(const struct state_space *space) {
    return !space->chunks && arena_units(space) < space->counters->part[LAYOUT_LIMITERS].count;
}

/* Where the unit is; it is one that may be used.  NULL: nothing was ever there. */
static struct limiter_state *unit_address(const struct state_space *space, uint32_t unit) {
    return space->chunks ? chunks_at(space->chunks, unit * LAYOUT_CELL_UNIT)
                         : counters_at(space->counters, LAYOUT_LIMITERS, unit);
}

/* A number that stood in shared memory: any value is possible, and so it is of the size that the state says of itself,
 * which is read once. */
static struct limiter_state *sized_cell(const struct state_space *space, uint32_t unit, size_t *ret_bytes) {
    uint32_t units = arena_units(space);
    struct limiter_state *state = unit < units ? unit_address(space, unit) : NULL;
    uint32_t size = state ? load_relaxed(&state->units) : 0;
    *ret_bytes = (size_t)size * LAYOUT_CELL_UNIT;
    return size && size <= units - unit ? state : NULL;
}

enum limiter_kind state_kind(const struct limiter_state *state) {
    return load_relaxed(&state->kind_next) >> STATE_KIND_SHIFT;
}

struct limiter_state *state_at(const struct state_space *space, uint32_t unit, enum limiter_kind kind, size_t least,
                               size_t *ret_bytes) {
    struct limiter_state *state = sized_cell(space, unit, ret_bytes);
    return state && *ret_bytes >= least && state_kind(state) == kind ? state : NULL;
}

static uint32_t *half_of(const struct state_space *space, uint32_t epoch) {
    return space->index + (epoch & 1) * space->half;
}

/* The state of the key in this half, with its size, and its slot, or NULL with the empty slot where it would go (NULL:
 * half is full). */
static struct limiter_state *probe_sized(const struct state_space *space, uint32_t *half, uint64_t key,
                                         uint32_t **ret_slot, size_t *ret_bytes) {
    uint32_t mask = space->half - 1;
    for (uint32_t i = 0; i < space->half; i++) {
        uint32_t *slot = &half[(key + i) & mask];
        uint32_t unit = load_acquire(slot);
        if (!unit) {
            *ret_slot = slot;
            return NULL;
        }
        struct limiter_state *state = sized_cell(space, unit - 1, ret_bytes);
        if (state && load_acquire(&state->key) == key) {
            *ret_slot = slot;
            return state;
        }
    }
    *ret_slot = NULL;
    return NULL;
}

static struct limiter_state *probe(const struct state_space *space, uint32_t *half, uint64_t key, uint32_t **ret_slot) {
    size_t bytes;
    return probe_sized(space, half, key, ret_slot, &bytes);
}

static struct limiter_state *find(const struct state_space *space, uint64_t key, size_t *ret_bytes) {
    uint32_t *slot;
    return probe_sized(space, half_of(space, load_acquire(&space->roots->epoch)), key, &slot, ret_bytes);
}

struct limiter_state *state_find(const struct state_space *space, uint64_t key, enum limiter_kind kind, size_t least) {
    size_t bytes;
    struct limiter_state *state = find(space, key, &bytes);
    return state && bytes >= least && state_kind(state) == kind ? state : NULL;
}

/* Puts the state where its key belongs; returns the state that holds the key in the end. */
static struct limiter_state *insert(const struct state_space *space, uint32_t *half, struct limiter_state *state,
                                    uint32_t unit) {
    for (;;) {
        uint32_t *slot, empty = 0;
        struct limiter_state *found = probe(space, half, load_relaxed(&state->key), &slot);
        if (found || !slot)
            return found;
        if (atomic_take32(slot, &empty, unit + 1)) {
            add_relaxed(&space->roots->indexed, 1u);
            return state;
        }
    }
}

static void push_free(const struct state_space *space, struct limiter_state *state, uint32_t unit) {
    uint32_t rounded, units = load_relaxed(&state->units);
    if (units == 0 || units > ARENA_UNITS)
        return; /* scribbled on */
    uint64_t *head = &space->roots->free[class_of(units, &rounded)];
    uint64_t old = load_relaxed(head);
    store_relaxed(&state->key, 0);
    add_relaxed(&space->roots->freed, units);
    do
        store_relaxed(&state->kind_next, low_of(old) & STATE_UNIT_MASK); /* LIMITER_NONE */
    while (!atomic_take(head, &old, pack(high_of(old) + 1, unit + 1)));
}

static struct limiter_state *pop_free(const struct state_space *space, unsigned class, uint32_t units,
                                      uint32_t *ret_unit) {
    uint64_t *head = &space->roots->free[class];
    uint64_t old = load_acquire(head);
    while (low_of(old)) {
        size_t bytes;
        struct limiter_state *state = sized_cell(space, low_of(old) - 1, &bytes);
        if (!state || bytes != (size_t)units * LAYOUT_CELL_UNIT)
            return NULL; /* a damaged list: do without */
        *ret_unit = low_of(old) - 1;
        if (atomic_take(head, &old, pack(high_of(old) + 1, load_relaxed(&state->kind_next) & STATE_UNIT_MASK))) {
            sub_floor32(&space->roots->freed, units);
            return state;
        }
    }
    return NULL;
}

/* Not used yet. */
static struct limiter_state *cut(const struct state_space *space, enum state_purpose purpose, uint32_t units,
                                 uint32_t *ret_unit) {
    uint32_t seen = load_relaxed(space->used), unit, at, limit = units_for(space, purpose, units);
    do {
        unit = seen / LAYOUT_CELL_UNIT; /* another process may have scribbled on it */
        if (unit >= limit || units > limit)
            return NULL;
        if (space->chunks) {
            if (!chunks_place(space->chunks, unit * LAYOUT_CELL_UNIT, units * LAYOUT_CELL_UNIT,
                              limit * LAYOUT_CELL_UNIT, &at))
                return NULL;
            unit = at / LAYOUT_CELL_UNIT;
        }
        if (limit - unit < units)
            return NULL;
    } while (!atomic_take32(space->used, &seen, (unit + units) * LAYOUT_CELL_UNIT));
    struct limiter_state *state = unit_address(space, unit);
    store_relaxed(&state->units, units);
    *ret_unit = unit;
    return state;
}

static struct limiter_state *take_memory(const struct state_space *space, enum state_purpose purpose, size_t bytes,
                                         uint32_t *ret_unit) {
    uint32_t units, rounded;
    if (bytes > LAYOUT_CELL_BYTES_MAX)
        return NULL;
    units = (uint32_t)((bytes + LAYOUT_CELL_UNIT - 1) / LAYOUT_CELL_UNIT);
    unsigned class = class_of(units, &rounded);
    struct limiter_state *state = pop_free(space, class, rounded, ret_unit);
    if (!state)
        return cut(space, purpose, rounded, ret_unit);
    memset(state + 1, 0, (size_t)rounded * LAYOUT_CELL_UNIT - sizeof(*state));
    return state;
}

/* Into the half in use, which a collector may turn over meanwhile: again then, but not for ever, as any process may
 * write the epoch. */
static struct limiter_state *insert_in_force(const struct state_space *space, struct limiter_state *state,
                                             uint32_t unit) {
    struct limiter_state *found = NULL;
    for (unsigned i = 0; i < TURNS_MOST; i++) {
        uint32_t epoch = load_total(&space->roots->epoch);
        found = insert(space, half_of(space, epoch), state, unit);
        if (load_total(&space->roots->epoch) == epoch)
            break;
    }
    return found;
}

struct limiter_state *state_make(const struct state_space *space, enum state_purpose purpose, uint64_t key,
                                 uint64_t rule, enum limiter_kind kind, size_t bytes, uint64_t generation) {
    size_t has;
    struct limiter_state *found = find(space, key, &has);
    uint32_t eighths = purpose == STATE_OF_SEVERAL ? 7 : 6;
    if (!found && load_relaxed(&space->roots->indexed) < space->half / 8 * eighths) {
        uint32_t unit;
        struct limiter_state *state = take_memory(space, purpose, bytes, &unit);
        if (!state)
            return NULL;
        state->rule = rule;
        store_relaxed(&state->generation, generation);
        store_relaxed(&state->kind_next,
                      (uint32_t)kind << STATE_KIND_SHIFT | (space->chunks ? 0 : STATE_SHARED) | unit);
        store_release(&state->key, key); /* from here on a collector may come across it: it is not stale */
        if (insert_in_force(space, state, unit) == state)
            return state;
        push_free(space, state, unit);
        found = find(space, key, &has);
    }
    return found && has >= bytes && state_kind(found) == kind ? found : NULL;
}

/* Again if the halves were turned over meanwhile: the one looked through may have been emptied. */
void state_each(const struct state_space *space, void (*visit)(struct limiter_state *, size_t bytes, void *),
                void *context) {
    uint32_t epoch, turns = 0;
    do {
        epoch = load_total(&space->roots->epoch);
        const uint32_t *half = half_of(space, epoch);
        for (uint32_t i = 0; i < space->half; i++) {
            uint32_t unit = load_acquire(&half[i]);
            size_t bytes;
            struct limiter_state *state = unit ? sized_cell(space, unit - 1, &bytes) : NULL;
            if (state && load_acquire(&state->key))
                visit(state, bytes, context);
        }
    } while (load_total(&space->roots->epoch) != epoch && ++turns < TURNS_MOST);
}

bool state_crowded(const struct state_space *space) {
    uint64_t units = arena_units(space), used = load_relaxed(space->used) / LAYOUT_CELL_UNIT,
             freed = load_relaxed(&space->roots->freed);
    uint64_t many = space->chunks ? units / 8 : units / 2; /* one's own address space is not for what is not used */
    return load_relaxed(&space->roots->indexed) > space->half / 4 || used > many + (freed < used ? freed : 0);
}

struct collection {
    const struct state_space *space;
    uint32_t *to;
    uint64_t floor;
    bool (*idle)(const struct limiter_state *, size_t bytes);
    bool build; /* `to` is being built; else it is in use, and what is missing in it is freed or added */
};

/* Into the half that is being built.  A process that was stopped in the middle of an insertion long ago, when this
 * half was the one in use, may have put a state of the same key there: it will see that the epoch has changed, and
 * withdraw. */
static void insert_first(const struct state_space *space, uint32_t *half, struct limiter_state *state, uint32_t unit) {
    struct limiter_state *found = insert(space, half, state, unit);
    for (uint32_t tries = 0; found && found != state && tries < space->half; tries++) {
        uint32_t *slot;
        if (probe(space, half, load_relaxed(&state->key), &slot) == found) {
            uint32_t theirs = load_acquire(slot);
            atomic_take32(slot, &theirs, unit + 1);
        }
        found = insert(space, half, state, unit);
    }
}

static void keep_or_free(struct limiter_state *state, size_t bytes, uint32_t unit, const struct collection *pass) {
    uint32_t *slot;
    bool keep = load_relaxed(&state->generation) >= pass->floor || !pass->idle(state, bytes);
    if (keep && pass->build)
        insert_first(pass->space, pass->to, state, unit);
    else if (keep)
        insert(pass->space, pass->to, state, unit);
    else if (!pass->build && !probe(pass->space, pass->to, load_relaxed(&state->key), &slot))
        push_free(pass->space, state, unit);
}

static void each_of_half(const struct state_space *space, const uint32_t *half, struct collection *pass) {
    for (uint32_t i = 0; i < space->half; i++) {
        uint32_t unit = load_acquire(&half[i]);
        size_t bytes;
        struct limiter_state *state = unit ? sized_cell(space, unit - 1, &bytes) : NULL;
        if (state && load_acquire(&state->key))
            keep_or_free(state, bytes, unit - 1, pass);
    }
}

/* First the living into the empty half, then turn over, then once more: who inserted into the old half meanwhile is
 * either seen by the second pass, or sees the new epoch and inserts again by itself.  What a collector that was killed
 * left behind in the other half is dealt with before that half is emptied. */
bool state_collect(const struct state_space *space, uint64_t floor, uint32_t me,
                   bool (*idle)(const struct limiter_state *, size_t bytes)) {
    uint32_t unowned = 0;
    if (!atomic_take32(&space->roots->collector, &unowned, me))
        return false;
    uint32_t epoch = load_total(&space->roots->epoch);
    uint32_t *old = half_of(space, epoch);
    struct collection pass = {space, old, floor, idle, false};
    each_of_half(space, half_of(space, epoch + 1), &pass);
    pass.to = half_of(space, epoch + 1);
    pass.build = true;
    memset(pass.to, 0, space->half * sizeof(*pass.to));
    store_relaxed(&space->roots->indexed, 0u);
    each_of_half(space, old, &pass);
    store_total(&space->roots->epoch, epoch + 1);
    pass.to = half_of(space, epoch + 1);
    pass.build = false;
    each_of_half(space, old, &pass);
    store_total(&space->roots->collector, 0u);
    return true;
}

void state_collector_died(const struct state_space *space, uint32_t who) {
    atomic_take32(&space->roots->collector, &who, 0);
}
