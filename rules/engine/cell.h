/* Cells: the state of one limiter for one rule, resource and (where it matters) origin.
 *
 * A space is an arena of cells with an open-addressed index over their keys: the process's own memory for rules of
 * scope process, the counters file for scope app; the same code for both.  Keys are made of the rule's id and the
 * resource, so that an edit of a rule finds the state it had.
 *
 * No locks: a cell is written in full, then the index slot is swapped from 0 to it.  Slots never become 0 again, so two
 * who insert the same key race for the same slot, and there is never a second cell of a key.  When an index fills up
 * with cells of rules that are gone, cell_collect copies the living ones to the index's other half and turns over.
 * A process killed anywhere in here leaks at most the cell it was about to insert. */
#ifndef WEIR_RULES_ENGINE_CELL_H
#define WEIR_RULES_ENGINE_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/counters.h"
#include "rules/engine/chunks.h"
#include "rules/engine/limiters/list.h"
#include "rules/layout.h"

struct cell {            /* first half of a cell's first unit */
    uint64_t key;        /* 0 while it is free */
    uint64_t rule;       /* struct rule.id_hash */
    uint64_t generation; /* atomic; newest rules generation known to hold the rule */
    uint32_t units;      /* of LAYOUT_CELL_UNIT bytes */
    uint32_t kind_next;  /* enum cell_kind << 24 | CELL_SHARED | its own number, in units; in a free cell the next free
                            one of its size, in units + 1 */
};
_Static_assert(sizeof(struct cell) == 32, "cell");

enum {
    CELL_KIND_SHIFT = 24,
    CELL_SHARED = 1 << 23, /* it is one of the app's */
    CELL_UNIT_MASK = CELL_SHARED - 1,
};

struct cell_space {
    struct layout_cell_roots *roots;
    uint32_t *index;           /* two halves of `half` slots; 0 = empty, else unit + 1 */
    uint32_t half;             /* a power of two */
    struct counters *counters; /* the app's cells are in its file … */
    struct chunks *chunks;     /* … and one's own in these; NULL: the app's */
    uint32_t *used;            /* bytes handed out */
};

/* That of an app, in its file. */
struct cell_space cell_space_shared(struct counters *);

/* The cell of that key, or NULL. */
struct cell *cell_find(const struct cell_space *, uint64_t key);
/* Finds or makes it, zeroed beyond the header; NULL when there is no room.  `bytes` includes the header. */
struct cell *cell_make(const struct cell_space *, uint64_t key, uint64_t rule, enum cell_kind, size_t bytes,
                       uint64_t generation);
/* Names a cell by a number, for tickets; and back, NULL unless there is a cell of that kind and at least that size. */
static inline uint32_t cell_unit(const struct cell *cell) {
    return __atomic_load_n(&cell->kind_next, __ATOMIC_RELAXED) & CELL_UNIT_MASK;
}
static inline bool cell_is_shared(const struct cell *cell) {
    return (__atomic_load_n(&cell->kind_next, __ATOMIC_RELAXED) & CELL_SHARED) != 0;
}
struct cell *cell_at(const struct cell_space *, uint32_t unit, enum cell_kind kind, size_t least, size_t *ret_bytes);
enum cell_kind cell_kind(const struct cell *);

/* Calls visit for every cell, for some more than once; `bytes` of it may be used. */
void cell_each(const struct cell_space *, void (*visit)(struct cell *, size_t bytes, void *), void *context);
/* Is it time to think of collecting? */
bool cell_crowded(const struct cell_space *);
/* Frees the cells of rules that are not in any generation from `floor` on and that nobody holds anything of (`idle`).
 * One at a time: returns false if another is at it.  `me` names the caller in case it dies (slot + 1). */
bool cell_collect(const struct cell_space *, uint64_t floor, uint32_t me,
                  bool (*idle)(const struct cell *, size_t bytes));
/* A collector that died is not waited for. */
void cell_collector_died(const struct cell_space *, uint32_t who);

#endif
