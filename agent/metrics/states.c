#include "agent/metrics/states.h"

#include <time.h>

#include "agent/core/loop.h"
#include "rules/engine/engine.h"

struct reading {
    const struct states_of *of;
    const struct bus *bus;
};

void states_begin(struct ring *ring, const struct publish *memory) {
    ring->seen = __atomic_load_n(&memory->counters->event_next, __ATOMIC_ACQUIRE);
    ring->gap = 0;
}

static bool take(void *context, uint64_t number) {
    const struct reading *reading = context;
    struct layout_event *slot = publish_event(reading->of->memory, number), record;
    if (!publish_copy_slot(slot, &slot->sequence, number, &record, sizeof record))
        return false;
    if (record.kind == EVENT_ADAPTIVE)
        episode_note(reading->of->episode, &record, (double)time(NULL), loop_now_ns());
    struct bus_event event = {.kind = BUS_STATE, .app = reading->of->app};
    char name[LAYOUT_RESOURCE_NAME_MAX];
    publish_resource_name(reading->of->memory, record.resource, name);
    event.state.record = &record;
    event.state.resource = name;
    bus_publish(reading->bus, &event);
    return true;
}

void states_publish(struct ring *ring, const struct states_of *of, const struct bus *bus) {
    struct reading reading = {.of = of, .bus = bus};
    uint64_t next = __atomic_load_n(&of->memory->counters->event_next, __ATOMIC_ACQUIRE);
    uint64_t lost = ring_read(ring, next, publish_records(of->memory, LAYOUT_EVENT_RING), take, &reading);
    struct bus_event event = {.kind = BUS_STATES_LOST, .app = of->app, .count = lost};
    if (lost)
        bus_publish(bus, &event);
}
