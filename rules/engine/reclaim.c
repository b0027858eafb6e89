/* Taking back what a dead process held.  Idempotent; any number of processes may be at it at once. */
#include <string.h>

#include "rules/engine/breaker.h"
#include "rules/engine/engine_private.h"

/* Owners of slots: incarnation << 32 | pid; while a dead one's slot is being cleared its highest bit says so. */
static const uint64_t BURYING = 1ull << 63;

struct burial {
    uint32_t slot;
    uint64_t *owner, marked;
};

static void bury_cell(struct cell *cell, void *context) {
    const struct burial *burial = context;
    if (load_total(burial->owner) != burial->marked)
        return; /* somebody else has done it, and the slot may have a new owner */
    size_t bytes = (size_t)load_relaxed(&cell->units) * LAYOUT_CELL_UNIT;
    if (cell_kind(cell) == CELL_COUNTS && bytes >= sizeof(struct counts))
        counts_bury((struct counts *)cell, burial->slot);
    if (cell_kind(cell) == CELL_BREAKER && bytes >= sizeof(struct breaker))
        breaker_bury((struct breaker *)cell, burial->slot);
    if (cell_kind(cell) == CELL_PARAM && bytes >= HOT_HEADER_BYTES)
        hot_bury(cell, burial->slot);
}

static void bury_area(struct layout_area *area, uint32_t entries, const struct burial *burial) {
    for (uint32_t i = 0; i < entries && load_total(burial->owner) == burial->marked; i++) {
        uint32_t held = load_relaxed(&area->in_flight[i]);
        if (held)
            atomic_take32(&area->in_flight[i], &held, 0);
    }
}

void engine_reclaim(struct counters *shared, uint32_t slot, uint64_t owner) {
    if (slot >= shared->part[LAYOUT_PROCESS_TABLE].count || !owner)
        return;
    struct layout_process *process = counters_at(shared, LAYOUT_PROCESS_TABLE, slot);
    uint64_t found = owner, marked = owner | BURYING;
    if (!atomic_take(&process->owner, &found, marked) && found != marked)
        return;
    struct cell_space app = cell_space_shared(shared);
    struct burial burial = {slot, &process->owner, marked};
    cell_each(&app, bury_cell, &burial);
    if (slot < counters_reach(shared, LAYOUT_AREAS))
        bury_area(counters_at(shared, LAYOUT_AREAS, slot), shared->part[LAYOUT_AREAS].stride / sizeof(uint32_t),
                  &burial);
    cell_collector_died(&app, slot + 1);
    found = marked;
    atomic_take(&process->owner, &found, 0);
}
