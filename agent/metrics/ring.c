#include "agent/metrics/ring.h"

uint64_t ring_read(struct ring *ring, uint64_t next, uint64_t slots, bool (*take)(void *context, uint64_t number),
                   void *context) {
    uint64_t lost = 0;
    if (next < ring->seen || next - ring->seen > slots) { /* scribbled on, or too many at once */
        lost = next > ring->seen ? next - ring->seen - slots : 0;
        ring->seen = next > slots ? next - slots : 0;
    }
    for (; ring->seen < next; ring->seen++) {
        if (take(context, ring->seen) || ring->gap == ring->seen + 1)
            continue;
        ring->gap = ring->seen + 1;
        break;
    }
    return lost;
}
