/* Says what it has seen. */
#ifndef WEIR_AGENT_SEEN_H
#define WEIR_AGENT_SEEN_H

#include "agent/core/bus.h"

void seen_take(void *context, const struct bus_event *);

#endif
