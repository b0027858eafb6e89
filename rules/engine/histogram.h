/* The buckets of layout_stats.rt_histogram: bucket 0 is < 64 us; above, two an octave: bucket 2k+1 ends at
 * 64 us * 1.5 * 2^k, bucket 2k+2 at 64 us * 2^(k+1); the last takes everything above. */
#ifndef WEIR_RULES_ENGINE_HISTOGRAM_H
#define WEIR_RULES_ENGINE_HISTOGRAM_H

#include <stdint.h>

#include "rules/layout.h"

static inline unsigned histogram_bucket(uint64_t rt_ns) {
    uint64_t units = rt_ns / 32000; /* half of 64 us, so that 1.5 is whole */
    if (units < 2)
        return 0;
    unsigned octave = 63 - (unsigned)__builtin_clzll(units);
    unsigned bucket = 2 * (octave - 1) + 1 + ((units >> (octave - 1)) & 1);
    return bucket < LAYOUT_HISTOGRAM ? bucket : LAYOUT_HISTOGRAM - 1;
}

/* Where a bucket ends (exclusive), nanoseconds; the last one ends nowhere. */
static inline uint64_t histogram_end_ns(unsigned bucket) {
    if (bucket == 0)
        return 64000;
    return bucket & 1 ? (uint64_t)96000 << (bucket / 2) : (uint64_t)64000 << (bucket / 2);
}

#endif
