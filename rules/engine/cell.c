#include "rules/engine/cell.h"

#include <string.h>

#include "rules/atomic.h"

enum { CLASSES = LAYOUT_CELL_CLASSES };
enum { ARENA_UNITS = LAYOUT_CELL_BYTES_MAX / LAYOUT_CELL_UNIT }; /* of one's own */
_Static_assert((uint32_t)ARENA_UNITS <= (uint32_t)CELL_UNIT_MASK && LAYOUT_CELL_BYTES_MAX <= CHUNKS_BYTES,
               "a cell knows its number");

struct cell_space cell_space_shared(struct counters *counters) {
    uint32_t half = counters->part[LAYOUT_LIMITER_INDEX].count / 2;
    return (struct cell_space){.roots = &counters->header->cells,
                               .index = counters_at(counters, LAYOUT_LIMITER_INDEX, 0),
                               .half = half,
                               .counters = counters,
                               .used = &counters->header->cell_bytes_used};
}

/* Sizes in units, four an octave: 1 2 3 4 5 6 7 8 10 12 14 16 20 …; a freed cell serves any request of its class. */
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

/* Units that may be used. */
static uint32_t arena_units(const struct cell_space *space) {
    return space->chunks ? (uint32_t)ARENA_UNITS : counters_reach(space->counters, LAYOUT_LIMITERS);
}

/* Where the unit is; it is one that may be used.  NULL: nothing was ever there. */
static struct cell *unit_address(const struct cell_space *space, uint32_t unit) {
    return space->chunks ? chunks_at(space->chunks, unit * LAYOUT_CELL_UNIT)
                         : counters_at(space->counters, LAYOUT_LIMITERS, unit);
}

/* A number that stood in shared memory: any value is possible, and so it is of the size that the cell says of itself,
 * which is read once. */
static struct cell *sized_cell(const struct cell_space *space, uint32_t unit, size_t *ret_bytes) {
    uint32_t units = arena_units(space);
    struct cell *cell = unit < units ? unit_address(space, unit) : NULL;
    uint32_t size = cell ? load_relaxed(&cell->units) : 0;
    *ret_bytes = (size_t)size * LAYOUT_CELL_UNIT;
    return size && size <= units - unit ? cell : NULL;
}

static struct cell *unit_cell(const struct cell_space *space, uint32_t unit) {
    size_t bytes;
    return sized_cell(space, unit, &bytes);
}

enum cell_kind cell_kind(const struct cell *cell) {
    return load_relaxed(&cell->kind_next) >> CELL_KIND_SHIFT;
}

struct cell *cell_at(const struct cell_space *space, uint32_t unit, enum cell_kind kind, size_t least,
                     size_t *ret_bytes) {
    struct cell *cell = sized_cell(space, unit, ret_bytes);
    return cell && *ret_bytes >= least && cell_kind(cell) == kind ? cell : NULL;
}

static uint32_t *half_of(const struct cell_space *space, uint32_t epoch) {
    return space->index + (epoch & 1) * space->half;
}

/* The cell of the key in this half and its slot, or NULL with the empty slot where it would go (NULL: half is full). */
static struct cell *probe(const struct cell_space *space, uint32_t *half, uint64_t key, uint32_t **ret_slot) {
    uint32_t mask = space->half - 1;
    for (uint32_t i = 0; i < space->half; i++) {
        uint32_t *slot = &half[(key + i) & mask];
        uint32_t unit = load_acquire(slot);
        if (!unit) {
            *ret_slot = slot;
            return NULL;
        }
        struct cell *cell = unit_cell(space, unit - 1);
        if (cell && load_acquire(&cell->key) == key) {
            *ret_slot = slot;
            return cell;
        }
    }
    *ret_slot = NULL;
    return NULL;
}

struct cell *cell_find(const struct cell_space *space, uint64_t key) {
    uint32_t *slot;
    return probe(space, half_of(space, load_acquire(&space->roots->epoch)), key, &slot);
}

/* Puts the cell where its key belongs; returns the cell that holds the key in the end. */
static struct cell *insert(const struct cell_space *space, uint32_t *half, struct cell *cell, uint32_t unit) {
    for (;;) {
        uint32_t *slot, empty = 0;
        struct cell *found = probe(space, half, load_relaxed(&cell->key), &slot);
        if (found || !slot)
            return found;
        if (atomic_take32(slot, &empty, unit + 1)) {
            add_relaxed(&space->roots->indexed, 1u);
            return cell;
        }
    }
}

static void push_free(const struct cell_space *space, struct cell *cell, uint32_t unit) {
    uint32_t rounded, units = load_relaxed(&cell->units);
    if (units == 0 || units > ARENA_UNITS)
        return; /* scribbled on */
    uint64_t *head = &space->roots->free[class_of(units, &rounded)];
    uint64_t old = load_relaxed(head);
    store_relaxed(&cell->key, 0);
    add_relaxed(&space->roots->freed, units);
    do
        store_relaxed(&cell->kind_next, low_of(old) & CELL_UNIT_MASK); /* CELL_FREE */
    while (!atomic_take(head, &old, pack(high_of(old) + 1, unit + 1)));
}

static struct cell *pop_free(const struct cell_space *space, unsigned class, uint32_t units, uint32_t *ret_unit) {
    uint64_t *head = &space->roots->free[class];
    uint64_t old = load_acquire(head);
    while (low_of(old)) {
        struct cell *cell = unit_cell(space, low_of(old) - 1);
        if (!cell || load_relaxed(&cell->units) != units)
            return NULL; /* a damaged list: do without */
        *ret_unit = low_of(old) - 1;
        if (atomic_take(head, &old, pack(high_of(old) + 1, load_relaxed(&cell->kind_next) & CELL_UNIT_MASK))) {
            sub_floor32(&space->roots->freed, units);
            return cell;
        }
    }
    return NULL;
}

/* Not used yet. */
static struct cell *cut(const struct cell_space *space, uint32_t units, uint32_t *ret_unit) {
    uint32_t seen = load_relaxed(space->used), unit, at, limit = arena_units(space);
    do {
        unit = seen / LAYOUT_CELL_UNIT; /* somebody may have scribbled on it */
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
    struct cell *cell = unit_address(space, unit);
    store_relaxed(&cell->units, units);
    *ret_unit = unit;
    return cell;
}

static struct cell *take_memory(const struct cell_space *space, size_t bytes, uint32_t *ret_unit) {
    uint32_t units, rounded;
    if (bytes > LAYOUT_CELL_BYTES_MAX)
        return NULL;
    units = (uint32_t)((bytes + LAYOUT_CELL_UNIT - 1) / LAYOUT_CELL_UNIT);
    unsigned class = class_of(units, &rounded);
    struct cell *cell = pop_free(space, class, rounded, ret_unit);
    if (!cell)
        return cut(space, rounded, ret_unit);
    memset(cell + 1, 0, (size_t)rounded * LAYOUT_CELL_UNIT - sizeof(*cell));
    return cell;
}

struct cell *cell_make(const struct cell_space *space, uint64_t key, uint64_t rule, enum cell_kind kind, size_t bytes,
                       uint64_t generation) {
    struct cell *found = cell_find(space, key);
    if (!found && load_relaxed(&space->roots->indexed) < space->half / 8 * 7) {
        uint32_t unit;
        struct cell *cell = take_memory(space, bytes, &unit);
        if (!cell)
            return NULL;
        cell->rule = rule;
        store_relaxed(&cell->generation, generation);
        store_relaxed(&cell->kind_next, (uint32_t)kind << CELL_KIND_SHIFT | (space->chunks ? 0 : CELL_SHARED) | unit);
        store_release(&cell->key, key); /* from here on a collector may come across it: it is not stale */
        uint32_t epoch;
        do { /* a collector may turn the halves over meanwhile */
            epoch = load_total(&space->roots->epoch);
            found = insert(space, half_of(space, epoch), cell, unit);
        } while (load_total(&space->roots->epoch) != epoch);
        if (found != cell)
            push_free(space, cell, unit);
    }
    if (!found || cell_kind(found) != kind || (size_t)found->units * LAYOUT_CELL_UNIT < bytes)
        return NULL;
    return found;
}

/* Again if the halves were turned over meanwhile: the one looked through may have been emptied. */
void cell_each(const struct cell_space *space, void (*visit)(struct cell *, size_t bytes, void *), void *context) {
    uint32_t epoch;
    do {
        epoch = load_total(&space->roots->epoch);
        const uint32_t *half = half_of(space, epoch);
        for (uint32_t i = 0; i < space->half; i++) {
            uint32_t unit = load_acquire(&half[i]);
            size_t bytes;
            struct cell *cell = unit ? sized_cell(space, unit - 1, &bytes) : NULL;
            if (cell && load_acquire(&cell->key))
                visit(cell, bytes, context);
        }
    } while (load_total(&space->roots->epoch) != epoch);
}

bool cell_crowded(const struct cell_space *space) {
    uint64_t units = arena_units(space), used = load_relaxed(space->used) / LAYOUT_CELL_UNIT,
             freed = load_relaxed(&space->roots->freed);
    uint64_t many = space->chunks ? units / 8 : units / 2; /* one's own address space is not for what nobody uses */
    return load_relaxed(&space->roots->indexed) > space->half / 4 || used > many + (freed < used ? freed : 0);
}

struct collection {
    const struct cell_space *space;
    uint32_t *to;
    uint64_t floor;
    bool (*idle)(const struct cell *, size_t bytes);
    bool build; /* `to` is being built; else it is in use, and what is missing in it is freed or added */
};

/* Into the half that is being built.  A process that was stopped in the middle of an insertion long ago, when this
 * half was the one in use, may have put a cell of the same key there: it will see that the epoch has changed, and
 * withdraw. */
static void insert_first(const struct cell_space *space, uint32_t *half, struct cell *cell, uint32_t unit) {
    struct cell *found = insert(space, half, cell, unit);
    for (uint32_t tries = 0; found && found != cell && tries < space->half; tries++) {
        uint32_t *slot;
        if (probe(space, half, load_relaxed(&cell->key), &slot) == found) {
            uint32_t theirs = load_acquire(slot);
            atomic_take32(slot, &theirs, unit + 1);
        }
        found = insert(space, half, cell, unit);
    }
}

static void keep_or_free(struct cell *cell, size_t bytes, uint32_t unit, const struct collection *pass) {
    uint32_t *slot;
    bool keep = load_relaxed(&cell->generation) >= pass->floor || !pass->idle(cell, bytes);
    if (keep && pass->build)
        insert_first(pass->space, pass->to, cell, unit);
    else if (keep)
        insert(pass->space, pass->to, cell, unit);
    else if (!pass->build && !probe(pass->space, pass->to, load_relaxed(&cell->key), &slot))
        push_free(pass->space, cell, unit);
}

static void each_of_half(const struct cell_space *space, const uint32_t *half, struct collection *pass) {
    for (uint32_t i = 0; i < space->half; i++) {
        uint32_t unit = load_acquire(&half[i]);
        size_t bytes;
        struct cell *cell = unit ? sized_cell(space, unit - 1, &bytes) : NULL;
        if (cell && load_acquire(&cell->key))
            keep_or_free(cell, bytes, unit - 1, pass);
    }
}

/* First the living into the empty half, then turn over, then once more: who inserted into the old half meanwhile is
 * either seen by the second pass, or sees the new epoch and inserts again by itself.  What a collector that was killed
 * left behind in the other half is dealt with before that half is emptied. */
bool cell_collect(const struct cell_space *space, uint64_t floor, uint32_t me,
                  bool (*idle)(const struct cell *, size_t bytes)) {
    uint32_t nobody = 0;
    if (!atomic_take32(&space->roots->collector, &nobody, me))
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

void cell_collector_died(const struct cell_space *space, uint32_t who) {
    atomic_take32(&space->roots->collector, &who, 0);
}
