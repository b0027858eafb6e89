#include "agent/core/bus.h"

bool bus_subscribe(struct bus *bus, struct bus_subscriber subscriber) {
    if (bus->count == BUS_SUBSCRIBERS_MAX)
        return false;
    bus->subscriber[bus->count++] = subscriber;
    return true;
}

void bus_publish(const struct bus *bus, const struct bus_event *event) {
    for (size_t i = 0; i < bus->count; i++)
        bus->subscriber[i].take(bus->subscriber[i].context, event);
}

const char *bus_kind_name(enum bus_kind kind) {
    static const char *const names[] = {
#define BUS_NAME(kind, name, what) [kind] = name,
        BUS_KINDS(BUS_NAME)
#undef BUS_NAME
    };
    return names[kind];
}
