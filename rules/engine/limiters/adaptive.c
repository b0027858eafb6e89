/* Algorithm "cpu": a PI controller (velocity form, so that there is no integral that could wind up) on the logarithm of
 * the admitted share.  CPU use is about load times admitted share, so in logarithms the loop gain is 1 whatever the
 * load, and the same gains settle at 1.1 and at 10 times the capacity.  A CPU that is used up says "at least 1": there
 * the error is taken as larger than it looks. */
#include "rules/engine/limiters/adaptive.h"

#include <string.h>

#include "rules/atomic.h"

enum { STEP_LEAST_NS = 400000000 };
#define EPISODE_REPORT_NS 10000000000u
static const double PROPORTIONAL = 0.1, INTEGRAL = 0.3, IDLE_ERROR = -0.5;
static const double USED_UP = 0.985, USED_UP_ERROR = 0.8; /* two samples in a row, or one out of the blue */
static const double LOG_LEAST = -4.6;                     /* never shed more than 99 % */

static double get(const uint64_t *word) {
    uint64_t bits = load_relaxed(word);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void put(uint64_t *word, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_relaxed(word, bits);
}

/* e^x for -5 <= x <= 0, to 1e-9: the engine calls no mathematical library. */
static double exponential(double x) {
    double y = x / 32, sum = 1, term = 1;
    for (int i = 1; i < 9; i++)
        sum += term *= y / i;
    for (int i = 0; i < 5; i++)
        sum *= sum;
    return sum;
}

static bool step_due(struct adaptive *state, uint64_t now_ns, uint64_t least_ns) {
    uint64_t last = load_relaxed(&state->sampled_ns);
    return now_ns - last >= least_ns && (int64_t)(now_ns - last) > 0 && atomic_take(&state->sampled_ns, &last, now_ns);
}

double adaptive_rejected_share(const struct adaptive *state) {
    double admit = get(&state->admit);
    return admit < 0 ? 1 - exponential(admit > LOG_LEAST ? admit : LOG_LEAST) : 0;
}

/* The least important first: of each priority as much as is needed once those below it are gone. */
static void spread(struct adaptive *state, double share) {
    double seen[ADAPTIVE_PRIORITIES], all = 0;
    for (unsigned i = 0; i < ADAPTIVE_PRIORITIES; i++) {
        uint32_t now = load_relaxed(&state->seen[i]);
        seen[i] = (uint32_t)(now - load_relaxed(&state->before[i]));
        store_relaxed(&state->before[i], now);
        all += seen[i];
    }
    double to_reject = share * all;
    for (unsigned i = 0; i < ADAPTIVE_PRIORITIES; i++) {
        double of_these = seen[i] > 0 ? to_reject / seen[i] : to_reject > 0 ? 1 : 0;
        of_these = of_these > 1 ? 1 : of_these;
        to_reject -= of_these * seen[i];
        if (all == 0)
            of_these = share;
        store_relaxed(&state->reject[i], of_these >= 1 ? UINT32_MAX : (uint32_t)(of_these * 4294967296.0));
    }
}

bool adaptive_cpu_step(struct adaptive *state, uint64_t now_ns, double cpu, double target) {
    if (!step_due(state, now_ns, STEP_LEAST_NS))
        return false;
    /* unknown: let go by and by */
    double error = cpu >= 0 && cpu < 1e6 && target > 0 ? (cpu - target) / target : IDLE_ERROR;
    double admit = get(&state->admit), last = get(&state->error);
    bool used_up = cpu >= USED_UP && target < USED_UP;
    if (used_up && (load_relaxed(&state->used_up) || admit == 0) && error < USED_UP_ERROR)
        error = USED_UP_ERROR;
    if (error < IDLE_ERROR)
        error = IDLE_ERROR;
    store_relaxed(&state->used_up, (uint32_t)used_up);
    double next = admit - PROPORTIONAL * (admit < 0 || error > 0 ? error - last : 0) - INTEGRAL * error;
    next = next > 0 ? 0 : next < LOG_LEAST ? LOG_LEAST : next;
    put(&state->admit, next == next ? next : 0);
    put(&state->error, error);
    store_relaxed(&state->hot, (uint32_t)(error > 0));
    spread(state, adaptive_rejected_share(state));
    return true;
}

bool adaptive_rejects(struct adaptive *state, unsigned priority) {
    priority = priority < ADAPTIVE_PRIORITIES ? priority : ADAPTIVE_PRIORITIES - 1;
    uint32_t n = add_relaxed(&state->seen[priority], 1u), reject = load_relaxed(&state->reject[priority]);
    return reject && n * 0x9e3779b9u < reject; /* multiples of the golden ratio: as even as can be */
}

bool adaptive_minimum(struct adaptive *state, uint64_t now_ns, unsigned priority, bool pass) {
    enum { EVERY_NS = 1000000000, NOTED_NS = 100000000 };
    uint64_t *last = &state->passed_ns[priority >= ADAPTIVE_PRIORITIES - 1], old = load_relaxed(last);
    int64_t since = (int64_t)(now_ns - old);
    if (pass && since >= NOTED_NS)
        store_relaxed(last, now_ns);
    return pass || (since >= EVERY_NS && atomic_take(last, &old, now_ns));
}

unsigned adaptive_episode(struct adaptive *state, uint64_t now_ns, bool shedding) {
    uint64_t reported = load_relaxed(&state->reported_ns);
    if (shedding && (!reported || now_ns - reported >= EPISODE_REPORT_NS))
        return atomic_take(&state->reported_ns, &reported, now_ns) ? (reported ? EPISODE_GOES_ON : EPISODE_BEGINS)
                                                                   : EPISODE_NOTHING;
    if (!shedding && reported && atomic_take(&state->reported_ns, &reported, 0))
        return EPISODE_ENDS;
    return EPISODE_NOTHING;
}
