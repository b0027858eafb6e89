/* The buckets of layout_stats.rt_histogram: bucket 0 is < 64 us; above, two an octave: bucket 2k+1 ends at
 * 64 us * 1.5 * 2^k, bucket 2k+2 at 64 us * 2^(k+1); the last takes everything above. */
#ifndef WEIR_RULES_ENGINE_HISTOGRAM_H
#define WEIR_RULES_ENGINE_HISTOGRAM_H

#include <stdint.h>

#include "rules/layout.h"

/* The bucket of a latency (request.c). */
unsigned histogram_bucket(uint64_t rt_ns);

/* Where a bucket ends (exclusive), nanoseconds; the last one ends nowhere. */
static inline uint64_t histogram_end_ns(unsigned bucket) {
    if (bucket == 0)
        return 64000;
    return bucket & 1 ? (uint64_t)96000 << (bucket / 2) : (uint64_t)64000 << (bucket / 2);
}

#endif
