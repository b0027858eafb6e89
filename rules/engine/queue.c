#include "rules/engine/queue.h"

#include "rules/atomic.h"

enum { DAY_NS_SHIFT = 60 };
static const uint64_t LONGEST_NS = 1ull << DAY_NS_SHIFT; /* 36 years: keeps sums far from wrapping around */

uint64_t queue_unit_ns(double count, uint64_t interval_ns) {
    double unit = (double)interval_ns / count;
    if (!(unit < (double)LONGEST_NS))
        return LONGEST_NS;
    uint64_t whole = (uint64_t)unit;
    whole += (double)whole < unit;
    return whole ? whole : 1;
}

bool queue_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t patience_ns, uint64_t credit_ns,
                uint64_t *ret_wait_ns, uint64_t *ret_before, uint64_t *ret_after) {
    uint64_t old = load_relaxed(turn), start;
    uint64_t earliest = now_ns > credit_ns ? now_ns - credit_ns : 0;
    do {
        start = old > earliest ? old : earliest;
        *ret_wait_ns = start > now_ns ? start - now_ns : 0;
        if (*ret_wait_ns > patience_ns)
            return false;
        *ret_before = old;
        *ret_after = start + (cost_ns < LONGEST_NS ? cost_ns : LONGEST_NS);
    } while (!atomic_take(turn, &old, *ret_after));
    return true;
}

/* The turn is the moment at which the bucket will be full again. */
bool queue_bucket_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t capacity_ns, uint64_t *ret_wait_ns,
                       uint64_t *ret_before, uint64_t *ret_after) {
    uint64_t old = load_relaxed(turn), start;
    do {
        start = old > now_ns ? old : now_ns;
        uint64_t full = start - now_ns + (cost_ns < LONGEST_NS ? cost_ns : LONGEST_NS);
        *ret_wait_ns = full > capacity_ns ? full - capacity_ns : 0;
        if (*ret_wait_ns)
            return false;
        *ret_before = old;
        *ret_after = now_ns + full;
    } while (!atomic_take(turn, &old, *ret_after));
    return true;
}

void queue_return(uint64_t *turn, uint64_t before, uint64_t after) {
    atomic_take(turn, &after, before);
}

void queue_leave(uint64_t *turn, uint32_t after, uint64_t cost_ns) {
    uint64_t now = load_relaxed(turn);
    if ((uint32_t)now == after && now > cost_ns)
        atomic_take(turn, &now, now - cost_ns);
}

void queue_rescale(struct queue *queue, uint64_t now_ns, uint64_t unit_ns) {
    uint64_t made_with = load_relaxed(&queue->unit_ns);
    if (made_with == unit_ns || !atomic_take(&queue->unit_ns, &made_with, unit_ns))
        return;
    uint64_t old = load_relaxed(&queue->turn), next;
    do {
        if (!made_with || old <= now_ns)
            return;
        double left = (double)(old - now_ns) / (double)made_with * (double)unit_ns;
        next = now_ns + (left < (double)LONGEST_NS ? (uint64_t)left : LONGEST_NS);
    } while (!atomic_take(&queue->turn, &old, next));
}
