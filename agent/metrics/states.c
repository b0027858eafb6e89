#include "agent/metrics/states.h"

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

static void report(const struct states_of *of, const struct bus *bus, const struct layout_event *record, bool whole) {
    struct bus_event event = {.kind = BUS_STATE, .app = of->app};
    char name[LAYOUT_RESOURCE_NAME_MAX];
    publish_resource_name(of->memory, record->resource, name);
    event.state.record = record;
    event.state.resource = name;
    event.state.whole = whole;
    bus_publish(bus, &event);
}

static bool take(void *context, uint64_t number) {
    const struct reading *reading = context;
    const struct states_of *of = reading->of;
    struct layout_event *slot = publish_event(of->memory, number), record;
    const struct rule *rule = NULL;
    size_t size;
    if (!publish_copy_slot(slot, &slot->sequence, number, &record, sizeof record))
        return false;
    if (record.kind == EVENT_ADAPTIVE) {
        rule = episodes_rule(publish_current(of->memory, &size), record.rule);
        if (!episodes_take(of->episodes, &record, rule, loop_now_ns()))
            return true;
    }
    report(of, reading->bus, &record, rule && rule->scope != SCOPE_PROCESS);
    return true;
}

void states_end(const struct states_of *of, enum episodes_end which, const struct bus *bus) {
    struct layout_event record;
    bool whole;
    size_t size;
    const void *ruleset = publish_current(of->memory, &size);
    while (episodes_end(of->episodes, which, ruleset, loop_now_ns(), &record, &whole))
        report(of, bus, &record, whole);
}

void states_publish(struct ring *ring, const struct states_of *of, const struct bus *bus) {
    struct reading reading = {.of = of, .bus = bus};
    uint64_t next = __atomic_load_n(&of->memory->counters->event_next, __ATOMIC_ACQUIRE);
    uint64_t lost = ring_read(ring, next, publish_records(of->memory, LAYOUT_EVENT_RING), take, &reading);
    struct bus_event event = {.kind = BUS_STATES_LOST, .app = of->app, .count = lost};
    if (lost)
        bus_publish(bus, &event);
}
