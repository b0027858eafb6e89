/* Totals in shared memory, sampled once a second, become the metrics of that second.  Pure but for malloc. */
#ifndef WEIR_AGENT_METRICS_H
#define WEIR_AGENT_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/rules/publish.h"

struct metrics_counts { /* sums over the shards */
    uint64_t pass, block, success, exception, simulated, queued, rt_ns, queue_ns;
};

struct metrics_resource {
    char name[LAYOUT_RESOURCE_NAME_MAX];
    uint8_t side;
    struct metrics_counts total, rate;    /* since the start; in the last second */
    uint32_t histogram[LAYOUT_HISTOGRAM]; /* as last seen */
    double rt_ms, rt_p99_ms;              /* of the requests completed in the last second; 0 = none */
    uint32_t in_flight, in_flight_max;
    uint32_t rt_min_us, rt_max_us; /* of the last second */
    uint32_t circuit;
    uint32_t gone; /* requests whose client went first, since the beginning */
};

struct metrics {
    struct metrics_resource *resources; /* index = entry */
    uint32_t count, room;
    uint64_t sampled_ns; /* engine clock; 0 = never */
    uint64_t second;     /* Unix time of the second that the rates are about */
    bool traffic;        /* anything happened in it */
    bool blocks;         /* something was rejected in it */
};

/* Reads everything at the end of second `second`; rates are the difference to the sample before, per second. */
void metrics_sample(struct metrics *, const struct publish *, uint64_t engine_now_ns, uint64_t second);
void metrics_close(struct metrics *);

/* The value below which `share` of the requests of these buckets lie, in ms, interpolated; 0 = no requests. */
double metrics_percentile(const uint32_t histogram[static LAYOUT_HISTOGRAM], double share);

#endif
