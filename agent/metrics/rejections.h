/* Rejections whose clients were given an id, taken out of the apps' rings and kept in memory for `weir why`. */
#ifndef WEIR_AGENT_METRICS_REJECTIONS_H
#define WEIR_AGENT_METRICS_REJECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/metrics/metrics.h"
#include "agent/metrics/ring.h"
#include "agent/rules/publish.h"
#include "rules/layout.h"
#include "rules/rule.h"

struct rejection {
    uint64_t key;    /* whose: the hash seed of the app's counters file */
    uint64_t number; /* of that file */
    struct layout_rejection record;
    /* The resource's metrics of that second; `second` 0: it has not ended yet. */
    uint64_t second;
    uint32_t pass, block, exception, in_flight;
    float rt_ms;
};

struct rejections { /* of all apps together, the newest; no memory is taken before the first */
    struct rejection *list;
    uint64_t next; /* how many there have been */
};

/* What is in the ring already is taken up: an earlier agent's clients may ask. */
void rejections_begin(struct ring *, const struct publish *);
void rejections_take(struct rejections *, struct ring *, const struct publish *);
/* A second has ended, and the metrics are of it. */
void rejections_second_ended(struct rejections *, const struct publish *, const struct metrics *);
/* NULL: unknown, or too long ago. */
const struct rejection *rejections_find(const struct rejections *, const struct publish *, uint64_t number);
/* The newest one since `second` with that rule, resource and origin; NULL: none. */
const struct rejection *rejections_example(const struct rejections *, const struct publish *, const struct layout_hit *,
                                           uint64_t second);
void rejections_close(struct rejections *);

#endif
