/* States: the state of one limiter for one rule, resource and (where it matters) origin.
 *
 * A space is an arena of states with an open-addressed index over their keys: the process's own memory for rules of
 * scope process, the counters file for scope app; the same code for both.  Keys are made of the rule's id and the
 * resource, so that an edit of a rule finds the state it had.
 *
 * No locks: a state is written in full, then the index slot is swapped from 0 to it.  Slots never become 0 again, so
 * two who insert the same key race for the same slot, and there is never a second state of a key.  When an index fills
 * up with states of rules that are gone, state_collect copies the living ones to the index's other half and turns over.
 * A process killed anywhere in here leaks at most the state it was about to insert. */
#ifndef WEIR_RULES_ENGINE_STATE_H
#define WEIR_RULES_ENGINE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/counters.h"
#include "rules/engine/chunks.h"
#include "rules/engine/limiters/list.h"
#include "rules/layout.h"

struct limiter_state {   /* first half of a state's first unit */
    uint64_t key;        /* 0 while it is free */
    uint64_t rule;       /* struct rule.id_hash */
    uint64_t generation; /* atomic; newest rules generation known to hold the rule */
    uint32_t units;      /* of LAYOUT_CELL_UNIT bytes */
    uint32_t kind_next;  /* enum limiter_kind << 24 | STATE_SHARED | its own number, in units; in a free
                            state the next free one of its size, in units + 1 */
};
_Static_assert(sizeof(struct limiter_state) == 32, "cell");

enum {
    STATE_KIND_SHIFT = 24,
    STATE_SHARED = 1 << 23, /* it is one of the app's */
    STATE_UNIT_MASK = (1 << 22) - 1,
};

/* What a state is for.  Those of single resources, which clients may make up, leave room: large ones for small ones,
 * and all of them for those that are shared by what finds no room. */
enum state_purpose { STATE_OF_ONE, STATE_OF_SEVERAL };

struct state_space {
    struct layout_cell_roots *roots;
    uint32_t *index;           /* two halves of `half` slots; 0 = empty, else unit + 1 */
    uint32_t half;             /* a power of two */
    struct counters *counters; /* the app's states are in its file … */
    struct chunks *chunks;     /* … and one's own in these; NULL: the app's */
    uint32_t *used;            /* bytes handed out */
};

/* That of an app, in its file. */
struct state_space state_space_shared(struct counters *);

/* The state of that key if it is of that kind and at least that size, or NULL. */
struct limiter_state *state_find(const struct state_space *, uint64_t key, enum limiter_kind, size_t least);
/* What a state of that size takes of the memory. */
size_t state_bytes(size_t bytes);
/* Finds or makes it, zeroed beyond the header; NULL when there is no room.  `bytes` includes the header. */
struct limiter_state *state_make(const struct state_space *, enum state_purpose, uint64_t key, uint64_t rule,
                                 enum limiter_kind, size_t bytes, uint64_t generation);
/* There is no room now, but the agent may still allocate some. */
bool state_may_grow(const struct state_space *);
/* Names a state by a number, for tickets; and back, NULL unless there is a state of that kind and at least that size.
 */
static inline uint32_t state_unit(const struct limiter_state *state) {
    return __atomic_load_n(&state->kind_next, __ATOMIC_RELAXED) & STATE_UNIT_MASK;
}
static inline bool state_is_shared(const struct limiter_state *state) {
    return (__atomic_load_n(&state->kind_next, __ATOMIC_RELAXED) & STATE_SHARED) != 0;
}
struct limiter_state *state_at(const struct state_space *, uint32_t unit, enum limiter_kind kind, size_t least,
                               size_t *ret_bytes);
enum limiter_kind state_kind(const struct limiter_state *);

/* Calls visit for every state, for some more than once; `bytes` of it may be used. */
void state_each(const struct state_space *, void (*visit)(struct limiter_state *, size_t bytes, void *), void *context);
/* Is it time to think of collecting? */
bool state_crowded(const struct state_space *);
/* Frees the states of rules that are not in any generation from `floor` on and of which nothing is held (`idle`).
 * One at a time: returns false if another is at it.  `me` names the caller in case it dies (slot + 1). */
bool state_collect(const struct state_space *, uint64_t floor, uint32_t me,
                   bool (*idle)(const struct limiter_state *, size_t bytes));
/* A collector that died is not waited for. */
void state_collector_died(const struct state_space *, uint32_t who);

#endif
