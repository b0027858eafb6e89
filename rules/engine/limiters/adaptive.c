#include "rules/engine/limiters/adaptive.h"

#include "rules/atomic.h"
#include "rules/engine/engine.h"

#define EPISODE_REPORT_NS 10000000000

/* One of the first `most` that ask in this second? */
static bool among_first(uint64_t *word, uint64_t now_ns, uint32_t most) {
    uint32_t second = (uint32_t)(now_ns / 1000000000u), so_far;
    uint64_t old = load_relaxed(word);
    do {
        so_far = high_of(old) == second ? low_of(old) : 0;
        if (so_far >= most)
            return false;
    } while (!atomic_take(word, &old, pack(second, so_far + 1)));
    return true;
}

bool adaptive_minimum(struct adaptive *state, uint64_t now_ns, unsigned priority, uint32_t least, bool pass) {
    return among_first(&state->passed[priority >= ADAPTIVE_PRIORITIES - 1], now_ns, least) || pass;
}

bool adaptive_has_minimum(const struct adaptive *state, uint64_t now_ns, uint32_t least) {
    uint64_t passed = load_relaxed(&state->passed[0]);
    return least == 0 || (high_of(passed) == (uint32_t)(now_ns / 1000000000u) && low_of(passed) >= least);
}

bool adaptive_health(struct adaptive *state, uint64_t now_ns) {
    return among_first(&state->checks, now_ns, ENGINE_HEALTH_CHECKS);
}

uint64_t adaptive_retry_ns(uint64_t now_ns, uint64_t since_ns, double luck) {
    const double least = 1e9, most = 30e9;
    double lasted = now_ns > since_ns ? (double)(now_ns - since_ns) : 0;
    double forecast = lasted < least ? least : lasted > most ? most : lasted;
    return (uint64_t)(forecast * (0.75 + 0.5 * (luck > 0 && luck < 1 ? luck : 0)));
}

unsigned adaptive_episode(struct adaptive *state, uint64_t now_ns, bool shedding) {
    uint64_t reported = load_relaxed(&state->reported_ns);
    int64_t ago = (int64_t)(now_ns - reported); /* another thread may have looked at the clock before */
    if (shedding && (!reported || ago >= EPISODE_REPORT_NS || ago < -EPISODE_REPORT_NS))
        return atomic_take(&state->reported_ns, &reported, now_ns) ? (reported ? EPISODE_GOES_ON : EPISODE_BEGINS)
                                                                   : EPISODE_NOTHING;
    if (!shedding && reported && atomic_take(&state->reported_ns, &reported, 0))
        return EPISODE_ENDS;
    return EPISODE_NOTHING;
}
