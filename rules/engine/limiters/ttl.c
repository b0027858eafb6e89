/* Concurrency with a time to live: the requests in flight counted by the tick they began in; older ticks no longer
 * count.  The state is a window whose ticks divide the time to live. */
#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/window.h"

enum { RETRIES = 8 };

static uint32_t ttl_sum(struct window *window, uint32_t tick) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < WINDOW_SLOTS; i++) {
        uint64_t slot = load_total(&window->slots[i]);
        if (tick - high_of(slot) <= WINDOW_TICKS)
            sum += low_of(slot);
    }
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static void ttl_return(struct window *window, uint32_t tick, uint32_t n) {
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS], old = load_total(slot);
    while (high_of(old) == tick && low_of(old) &&
           !atomic_take(slot, &old, pack(tick, low_of(old) > n ? low_of(old) - n : 0))) {
    }
}

static bool ttl_take(struct window *window, const struct window_clock *clock, uint64_t now_ns, uint32_t limit,
                     uint32_t n, uint32_t *ret_tick, uint32_t *ret_left) {
    uint32_t tick = window_tick(clock, now_ns);
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS];
    *ret_tick = tick;
    for (unsigned i = 0; i < RETRIES; i++) {
        uint32_t before = ttl_sum(window, tick);
        *ret_left = before < limit ? limit - before : 0;
        if (*ret_left < n || before > limit)
            return false;
        uint64_t old = load_total(slot);
        while (!atomic_take(slot, &old, pack(tick, (high_of(old) == tick ? low_of(old) : 0) + n))) {
        }
        uint32_t sum = ttl_sum(window, tick);
        if (sum <= limit) {
            *ret_left = limit - sum;
            return true;
        }
        ttl_return(window, tick, n);
    }
    *ret_left = 0;
    return false;
}

static bool ttl_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    struct window *window = (struct window *)decision_state(decision, binding, resource, LIMITER_TTL);
    uint32_t tick, left, limit = binding->limiter->limit;
    if (!window || !decision_can_hold(decision, 3 + LEASES_OF_CIRCUITS))
        return spare_in_flight(decision, resource, limit, n);
    bool pass = ttl_take(window, &binding->limiter->clock, decision->now_ns, limit, n, &tick, &left);
    decision->result->limit = limit;
    decision->result->remaining = left;
    decision->result->interval_ns = 0;
    return pass && decision_hold(decision, &window->base, 0, &tick, n);
}

static bool serves(const struct rule *rule) {
    return rule->kind == RULE_ISOLATION && rule->ttl_ns != 0;
}

static void leave(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    (void)engine, (void)ran, (void)now_ns;
    ttl_return((struct window *)lease->state, lease->extra, lease->n);
}

const struct limiter_ops limiter_ttl = {
    .least = sizeof(struct window), .serves = serves, .check = ttl_check, .leave = leave};
