#include "rules/engine/limiters/spare.h"

#include "rules/engine/limiters/queue.h"

bool spare_rate(struct decision *decision, const struct binding *binding, uint32_t n) {
    struct limiter *limiter = (struct limiter *)binding->limiter;
    uint64_t wait, before, after, permits = limiter->limit ? limiter->limit : 1;
    __uint128_t cost = (__uint128_t)limiter->unit_ns * n, capacity = (__uint128_t)limiter->unit_ns * permits;
    decision->result->limit = binding->rule->count;
    decision->result->remaining = 0;
    decision->result->interval_ns = limiter->interval_ns;
    if (!(binding->rule->count > 0))
        return false;
    if (!queue_bucket_take(&limiter->spare, decision->now_ns, cost > INT64_MAX ? INT64_MAX : (uint64_t)cost,
                           capacity > INT64_MAX ? INT64_MAX : (uint64_t)capacity, &wait, &before, &after)) {
        decision->retry_ns = wait;
        return false;
    }
    decision_took(decision, LIMITER_QUEUE, &limiter->spare, before, after, n);
    return true;
}

bool spare_in_flight(struct decision *decision, uint32_t resource, uint32_t limit, uint32_t n) {
    const uint32_t *words = engine_in_flight_words(decision->engine, decision->ticket);
    uint32_t now = resource < LAYOUT_RESOURCES ? load_relaxed(&words[resource]) : 0;
    for (unsigned i = 0; resource == UINT32_MAX && i < decision->ticket->resources_count; i++) {
        uint32_t other = load_relaxed(&words[decision->ticket->resources[i]]);
        now = other > now ? other : now;
    }
    bool pass = now < limit && limit - now >= n;
    decision->result->limit = limit;
    decision->result->remaining = pass ? limit - now - n : 0;
    decision->result->interval_ns = 0;
    return pass;
}
