/* State changes that the processes of an app wrote down (circuits, adaptive protection, budgets), put on the bus. */
#ifndef WEIR_AGENT_METRICS_STATES_H
#define WEIR_AGENT_METRICS_STATES_H

#include "agent/core/bus.h"
#include "agent/metrics/episodes.h"
#include "agent/metrics/ring.h"
#include "agent/rules/publish.h"

struct states_of { /* an app's */
    const char *app;
    const struct publish *memory;
    struct episodes *episodes; /* that it is in */
};

void states_begin(struct ring *, const struct publish *); /* what happened before is not reported again */
void states_publish(struct ring *, const struct states_of *, const struct bus *);
/* Ends episodes of overload protection that the processes cannot, or no longer, end themselves. */
void states_end(const struct states_of *, enum episodes_end, const struct bus *);

#endif
