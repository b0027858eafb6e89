/* A subscriber that is added: says what it has seen. */
#include "agent/metrics/seen.h"

#include <stdio.h>

void seen_take(void *context, const struct bus_event *event) {
    (void)context;
    fprintf(stderr, "seen: %s\n", bus_kind_name(event->kind));
}
