/* Source: the ramp of Guava's SmoothWarmingUp, as Sentinel uses it.  Stored warmth is measured from 0 (warm) to 1
 * (cold). Above `warning` the threshold falls from count to count / coldFactor:
 *
 *      rate(x) = count / (1 + (coldFactor - 1) * (x - warning) / (1 - warning))
 *
 * Each admission takes 1 / permits from x; the time it takes to come from 1 to `warning` under excess, the area under
 * the ramp, is warmUpPeriodSec.  Idle time gives back: always while x is below `warning` (there it costs nothing), and
 * above it only while the resource is idle (fewer than the coldest threshold pass, and the limit was not met).
 * State: 24 bits of time in units of 2^27 ns (0.13 s), 40 bits of x. */
#include "rules/engine/limiters/warm_up.h"

#include "rules/engine/engine_private.h"

enum { TIME_SHIFT = 27, X_BITS = 40, TIME_MASK = (1 << 24) - 1 };
#define X_ONE ((double)((1ull << X_BITS) - 1))
#define X_MASK ((1ull << X_BITS) - 1)

void warm_up_init(struct limiter *limiter, const struct rule *rule, uint32_t cold_factor) {
    bool warm = rule->kind == RULE_FLOW && rule->grade == GRADE_QPS && rule->count > 0 && cold_factor > 1 &&
                rule->warm_up_ns && (rule->behavior == BEHAVIOR_WARM_UP || rule->behavior == BEHAVIOR_WARM_UP_QUEUE);
    if (!warm)
        return;
    double f = cold_factor, period = (double)rule->warm_up_ns / (double)limiter->interval_ns; /* in intervals */
    /* in admissions / count */
    double warning = period / (f - 1), all = warning + 2 * period / (1 + f);
    limiter->cold = f;
    limiter->warning = warning / all;
    limiter->permits = all * rule->count;
    limiter->cold_ns = all * (double)limiter->interval_ns;
}

static uint64_t made(uint32_t time, double x) {
    uint64_t bits = x >= 1 ? X_MASK : x > 0 ? (uint64_t)(x * X_ONE) : 0;
    return (uint64_t)time << X_BITS | (bits ? bits : 1); /* 0 means "never used" */
}

static double x_of(uint64_t word) {
    return (double)(word & X_MASK) / X_ONE;
}

static double cooled(double x, double by, double warning, bool idle) {
    if (idle)
        return x + by;
    return x >= warning ? x : x + by > warning ? warning : x + by;
}

double warm_up_rate(uint64_t *word, const struct limiter *limiter, const struct rule *rule, uint64_t now_ns,
                    uint32_t passed, bool full) {
    uint64_t old = load_relaxed(word);
    uint32_t now = now_ns >> TIME_SHIFT & TIME_MASK;
    bool idle = !full && passed < (uint32_t)(rule->count / limiter->cold);
    for (;;) {
        uint32_t elapsed = (now - (uint32_t)(old >> X_BITS)) & TIME_MASK;
        if (old && (elapsed == 0 || elapsed > TIME_MASK / 2)) /* nothing new, or a clock read a little earlier */
            break;
        double by = (double)elapsed * (double)(1u << TIME_SHIFT) / limiter->cold_ns;
        uint64_t next = made(now, old ? cooled(x_of(old), by, limiter->warning, idle) : 1);
        if (atomic_take(word, &old, next)) {
            old = next;
            break;
        }
    }
    double x = x_of(old), above = x > limiter->warning ? (x - limiter->warning) / (1 - limiter->warning) : 0;
    return rule->count / (1 + (limiter->cold - 1) * above);
}

void warm_up_spend(uint64_t *word, const struct limiter *limiter, uint32_t n) {
    uint64_t old = load_relaxed(word);
    while (!atomic_take(word, &old, made((uint32_t)(old >> X_BITS), x_of(old) - n / limiter->permits))) {
    }
}
