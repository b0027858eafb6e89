/* Taking back what a dead process held.  Idempotent; any number of processes may be at it at once. */
#include <string.h>

#include "rules/engine/custody.h"
#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/limiters.h"

/* Owners of slots: incarnation << 32 | pid; while a dead one's slot is being cleared its highest bit says so. */
static const uint64_t RECLAIMING = 1ull << 63;

struct dead {
    uint32_t slot;
    uint64_t *owner, marked;
};

static void reclaim_cell(struct limiter_state *state, size_t bytes, void *context) {
    const struct dead *dead = context;
    enum limiter_kind kind = state_kind(state);
    if (load_total(dead->owner) != dead->marked)
        return; /* another process has done it, and the slot may have a new owner */
    if (kind < LIMITER_KINDS && limiters[kind] && limiters[kind]->reclaim && bytes >= limiters[kind]->least)
        limiters[kind]->reclaim(state, bytes, dead->slot);
}

static void reclaim_area(struct layout_area *area, uint32_t entries, const struct dead *dead) {
    for (uint32_t i = 0; i < entries && load_total(dead->owner) == dead->marked; i++) {
        uint32_t held = load_relaxed(&area->in_flight[i]);
        if (held)
            atomic_take32(&area->in_flight[i], &held, 0);
    }
}

void engine_reclaim(struct counters *shared, uint32_t slot, uint64_t owner) {
    if (slot >= shared->part[LAYOUT_PROCESS_TABLE].count || !owner)
        return;
    struct layout_process *process = counters_at(shared, LAYOUT_PROCESS_TABLE, slot);
    uint64_t found = owner, marked = owner | RECLAIMING;
    if (!atomic_take(&process->owner, &found, marked) && found != marked)
        return;
    struct state_space app = state_space_shared(shared);
    struct dead dead = {slot, &process->owner, marked};
    custody_reclaim(shared, slot, owner); /* before what it counted for others is gone */
    state_each(&app, reclaim_cell, &dead);
    if (slot < counters_reach(shared, LAYOUT_AREAS))
        reclaim_area(counters_at(shared, LAYOUT_AREAS, slot), shared->part[LAYOUT_AREAS].stride / sizeof(uint32_t),
                     &dead);
    state_collector_died(&app, slot + 1);
    found = marked;
    atomic_take(&process->owner, &found, 0);
}
