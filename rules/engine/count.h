/* Concurrency: at most `limit` in flight.
 *
 * Scope process: one word.  Scope app: a word for each process, so that what a dead process held can be cleared, and
 * nothing else; who acquires adds to its own word first and then looks at the sum of all: of two who race for
 * the last place at least one sees both, so the limit is never passed (both may see it, then they try again).
 * With a time to live: the in-flight ones counted by the tick they began in; older ticks no longer count. */
#ifndef WEIR_RULES_ENGINE_COUNT_H
#define WEIR_RULES_ENGINE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/window.h"

struct count { /* CELL_COUNT */
    struct cell cell;
    uint64_t word; /* incarnation << 32 | in flight: a forked child starts from nothing */
    uint64_t reserved[3];
};
_Static_assert(sizeof(struct count) == 64, "count");

struct counts { /* CELL_COUNTS */
    struct cell cell;
    uint32_t slots; /* words in use so far: those beyond are 0 */
    uint32_t reserved[7];
    uint32_t words[LAYOUT_PROCESSES];
};
_Static_assert(sizeof(struct counts) == 1088, "counts");

bool count_take(struct count *, uint32_t incarnation, uint32_t limit, uint32_t n, uint32_t *ret_left);
void count_add(struct count *, uint32_t incarnation, uint32_t n); /* without asking */
void count_return(struct count *, uint32_t incarnation, uint32_t n);
uint32_t count_now(const struct count *, uint32_t incarnation);

bool counts_take(struct counts *, uint32_t slot, uint32_t limit, uint32_t n, uint32_t *ret_left);
void counts_add(struct counts *, uint32_t slot, uint32_t n);
void counts_return(struct counts *, uint32_t slot, uint32_t n);
uint32_t counts_now(const struct counts *);
void counts_bury(struct counts *, uint32_t slot); /* the process is dead */

/* The cell is a window whose ticks divide the time to live (CELL_TTL); `ret_tick` goes back with ttl_return. */
bool ttl_take(struct window *, const struct window_clock *, uint64_t now_ns, uint32_t limit, uint32_t n,
              uint32_t *ret_tick, uint32_t *ret_left);
void ttl_return(struct window *, uint32_t tick, uint32_t n);

#endif
