/* Another threshold for a rate that is in force: what was taken still counts. */
#include <string.h>

#include "ebpf/guarding.h"

static void give_numbers(struct guard_rate *rate, const struct guarding_limit *limit) {
    rate->most = limit->most;
    rate->each = limit->most / GUARD_RATE_SLOTS + (limit->most % GUARD_RATE_SLOTS != 0);
    rate->slots = rate->each ? (limit->most - 1) / rate->each + 1 : 0;
    rate->first = rate->slots ? limit->most - rate->each * (rate->slots - 1) : 0;
    rate->penalty = limit->penalty;
    rate->interval_ns = limit->interval_ns;
    rate->unit_ns = limit->unit_ns;
    rate->burst_ns = limit->burst_ns;
}

/* Permits taken earlier, in the order of time. */
static void refill(struct guard_rate *rate, uint64_t taken_ns, uint32_t permits) {
    while (permits > 0 && rate->slots > 0) {
        if (rate->fill >= guard_rate_size(rate, rate->head)) {
            rate->head = rate->head + 1 < rate->slots ? rate->head + 1 : 0;
            rate->fill = 0;
        }
        uint32_t room = guard_rate_size(rate, rate->head) - rate->fill, now = permits < room ? permits : room;
        rate->fill += now;
        rate->taken_ns[rate->head] = taken_ns;
        permits -= now;
    }
}

void guard_rate_shape(struct guard_rate *rate, const struct guarding_limit *limit, uint64_t now_ns) {
    struct guard_rate old = *rate;
    memset(rate, 0, sizeof *rate);
    give_numbers(rate, limit);
    rate->turn_ns = old.turn_ns;
    for (uint32_t i = 1; old.slots <= GUARD_RATE_SLOTS && i <= old.slots; i++) {
        uint32_t slot = (old.head + i) % old.slots; /* from the oldest to the one that is being filled */
        uint32_t permits = slot == old.head ? old.fill : guard_rate_size(&old, slot);
        if (!guard_rate_is_old(rate, old.taken_ns[slot], now_ns))
            refill(rate, old.taken_ns[slot], permits);
    }
}
