/* What the rules of an app rejected, by rule, resource and origin, as its processes count it (layout_hit): put on the
 * bus once a second. */
#ifndef WEIR_AGENT_METRICS_HITS_H
#define WEIR_AGENT_METRICS_HITS_H

#include <stdint.h>

#include "agent/core/bus.h"
#include "agent/metrics/metrics.h"
#include "agent/metrics/rejections.h"
#include "agent/rules/publish.h"

struct hits {
    uint64_t *seen; /* a count for each place of the table, as last reported; NULL: there was no memory */
};

struct hits_of { /* an app's */
    const char *app;
    const struct publish *memory;
    const struct metrics *metrics;
    const struct rejections *recent; /* for examples */
    uint64_t second;                 /* Unix time of the second that has ended */
};

void hits_begin(struct hits *, const struct publish *); /* what was counted before is not reported again */
void hits_close(struct hits *);
/* Publishes BUS_REJECTIONS for what was added since. */
void hits_publish(struct hits *, const struct hits_of *, const struct bus *);

#endif
