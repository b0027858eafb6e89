#include "rules/engine/limiters/backlog.h"

#include "rules/atomic.h"
#include "rules/rule.h"

#define COOL_DOWN_NS 1000000000u
#define MINUTES_NS 120000000000u /* half of the time that a best is remembered, at least */
#define TRUST_NS 10000000000u    /* after latency was no queueing; twice as long each time */
enum { TRUST_DOUBLINGS = 6 };
static const double TOLERANCE = 1.25, LATE = 2, LEAST = 2, MOST = 1e6;
static const double SLOWER = 0.5, FASTER = 1.25; /* the limit moves at most so far in an interval */
static const double BINDS =
    0.8; /* of the limit: with less in flight, throughput is what is asked for, not what is possible */
static const double FADES = 0.98; /* what throughput was best counts less with each interval */

static double get(const uint64_t *word) {
    double value = load_double(word);
    return value >= 0 && value <= 1e12 ? value : 0; /* (also of what is no number) */
}

static uint32_t best_of(const struct backlog *backlog, uint32_t i) {
    uint32_t a = load_relaxed(&backlog->of[i].best[0]), b = load_relaxed(&backlog->of[i].best[1]);
    return !a || (b && b < a) ? b : a;
}

static void learn(struct backlog *backlog, uint32_t i, uint32_t mean_us) {
    uint32_t *best = &backlog->of[i].best[load_relaxed(&backlog->half) & 1], old = load_relaxed(best);
    if (!old || mean_us < old)
        store_relaxed(best, mean_us ? mean_us : 1);
}

/* Adds a latency to its resource's window, and learns from one that is full. */
static void add(struct backlog *backlog, uint32_t i, uint32_t rt_us) {
    uint64_t old = load_relaxed(&backlog->of[i].sum), sum;
    uint32_t n;
    do {
        n = low_of(old) < BACKLOG_WINDOW ? low_of(old) + 1 : 1;
        uint64_t us = (n == 1 ? 0 : (uint64_t)high_of(old)) + rt_us;
        sum = pack(us < UINT32_MAX ? us : UINT32_MAX, n);
    } while (!atomic_take(&backlog->of[i].sum, &old, sum));
    if (n == BACKLOG_WINDOW)
        learn(backlog, i, high_of(sum) / BACKLOG_WINDOW);
}

bool backlog_done(struct backlog *backlog, uint64_t now_ns, uint32_t resource, uint64_t rt_ns, bool success,
                  uint64_t slack_ns, uint64_t interval_ns) {
    uint32_t i = resource % BACKLOG_RESOURCES, best = best_of(backlog, i);
    uint32_t rt_us = rt_ns / 1000 < UINT32_MAX ? (uint32_t)(rt_ns / 1000) : UINT32_MAX;
    if (success)
        add(backlog, i, rt_us);
    add_relaxed(&backlog->best_us, best ? best : rt_us);
    if (success && best && rt_us > LATE * best + (double)slack_ns / 1000)
        add_relaxed(&backlog->late, 1u);
    return add_relaxed(&backlog->done, 1u) + 1 >= BACKLOG_WINDOW &&
           (int64_t)(now_ns - load_relaxed(&backlog->step_ns)) >= (int64_t)interval_ns;
}

/* What was best long ago is forgotten; not while the application is overloaded, which would learn how slow it is. */
static void turn(struct backlog *backlog, uint64_t now_ns) {
    uint64_t turned = load_relaxed(&backlog->turned_ns);
    if ((int64_t)(now_ns - turned) < (int64_t)MINUTES_NS || !atomic_take(&backlog->turned_ns, &turned, now_ns))
        return;
    uint32_t half = ~load_relaxed(&backlog->half) & 1;
    for (uint32_t i = 0; i < BACKLOG_RESOURCES && turned; i++)
        store_relaxed(&backlog->of[i].best[half], 0u);
    store_relaxed(&backlog->half, half);
}

static void forget(struct backlog *backlog) {
    for (uint32_t i = 0; i < BACKLOG_RESOURCES; i++)
        for (unsigned half = 0; half < 2; half++)
            store_relaxed(&backlog->of[i].best[half], 0u);
}

static void end(struct backlog *backlog) {
    store_relaxed(&backlog->since_ns, 0);
    store_relaxed(&backlog->late_ns, 0);
    store_relaxed(&backlog->halved_ns, 0);
}

/* It was no queueing. */
static void refute(struct backlog *backlog, uint64_t now_ns) {
    uint32_t times = load_relaxed(&backlog->refuted);
    times = times < TRUST_DOUBLINGS ? times : TRUST_DOUBLINGS;
    store_relaxed(&backlog->refuted, times + 1);
    store_relaxed(&backlog->trust_ns, now_ns + (TRUST_NS << times));
    forget(backlog);
    end(backlog);
}

/* Half of what was in flight is gone, for long enough that what completes now was admitted since. */
static bool is_no_queueing(struct backlog *backlog, uint64_t now_ns, double in_flight, bool late,
                           uint64_t interval_ns) {
    double begun = get(&backlog->begun), rate = get(&backlog->rate);
    uint64_t halved = load_relaxed(&backlog->halved_ns);
    if (!late || in_flight > begun / 2 || !halved) {
        store_relaxed(&backlog->halved_ns, late && in_flight <= begun / 2 ? now_ns : 0);
        return false;
    }
    double latency_ns = rate > 0 ? begun / rate * 1e9 : 0; /* Little's law */
    return (double)(now_ns - halved) >= latency_ns + 2 * (double)interval_ns;
}

static void follow(struct backlog *backlog, double best_ns, uint64_t target_ns) {
    double limit = get(&backlog->limit), to = get(&backlog->rate) * (TOLERANCE * best_ns + (double)target_ns) / 1e9;
    to = to < SLOWER * limit ? SLOWER * limit : to > FASTER * limit ? FASTER * limit : to;
    store_double(&backlog->limit, to < LEAST ? LEAST : to > MOST ? MOST : to);
}

static void consider(struct backlog *backlog, uint64_t now_ns, bool late, uint32_t in_flight, uint64_t interval_ns) {
    uint64_t since = load_relaxed(&backlog->late_ns);
    if (!late || (int64_t)(now_ns - load_relaxed(&backlog->trust_ns)) < 0) {
        store_relaxed(&backlog->late_ns, 0);
    } else if (!since) {
        store_relaxed(&backlog->late_ns, now_ns);
    } else if ((int64_t)(now_ns - since) >= (int64_t)interval_ns) {
        store_double(&backlog->begun, in_flight);
        store_double(&backlog->limit, in_flight);
        store_relaxed(&backlog->over_ns, now_ns);
        store_relaxed(&backlog->halved_ns, 0);
        store_release(&backlog->since_ns, now_ns);
    }
}

void backlog_step(struct backlog *backlog, uint64_t now_ns, uint32_t in_flight, uint64_t target_ns,
                  uint64_t interval_ns) {
    uint64_t began = load_relaxed(&backlog->step_ns);
    if ((int64_t)(now_ns - began) < (int64_t)interval_ns || !atomic_take(&backlog->step_ns, &began, now_ns))
        return;
    uint32_t done = __atomic_exchange_n(&backlog->done, 0, __ATOMIC_RELAXED),
             late = __atomic_exchange_n(&backlog->late, 0, __ATOMIC_RELAXED);
    uint64_t best_us = __atomic_exchange_n(&backlog->best_us, 0, __ATOMIC_RELAXED);
    if (!began || !done)
        return;
    double best_ns = (double)best_us / done * 1000, rate = done / ((double)(now_ns - began) / 1e9);
    bool most_are_late = late > done / 2;
    store_relaxed(&backlog->mean_ns, best_ns < 1e12 ? (uint64_t)best_ns : 0);
    if (!backlog_limit(backlog, now_ns)) {
        store_double(&backlog->rate, rate);
        turn(backlog, now_ns);
        consider(backlog, now_ns, most_are_late, in_flight, interval_ns);
        return;
    }
    bool binds = in_flight >= BINDS * get(&backlog->limit);
    double was = (binds ? FADES : 1) * get(&backlog->rate);
    store_double(&backlog->rate, rate > was ? rate : was);
    if (is_no_queueing(backlog, now_ns, in_flight, most_are_late, interval_ns))
        refute(backlog, now_ns);
    else
        follow(backlog, best_ns, target_ns);
}

double backlog_limit(struct backlog *backlog, uint64_t now_ns) {
    uint64_t since = load_acquire(&backlog->since_ns);
    if (!since)
        return 0;
    if ((int64_t)(now_ns - load_relaxed(&backlog->over_ns)) > (int64_t)COOL_DOWN_NS) {
        if (atomic_take(&backlog->since_ns, &since, 0)) {
            end(backlog);
            store_relaxed(&backlog->refuted, 0u);
        }
        return 0;
    }
    double limit = get(&backlog->limit);
    return limit < LEAST ? LEAST : limit;
}

void backlog_over(struct backlog *backlog, uint64_t now_ns) {
    store_relaxed(&backlog->over_ns, now_ns);
}

double backlog_part(unsigned priority, double luck) {
    static const struct {
        double least, range;
    } of[] = {[PRIORITY_LOW] = {0.5, 0.25}, [PRIORITY_NORMAL] = {0.8, 0.4}, [PRIORITY_CRITICAL] = {1.5, 0.5}};
    priority = priority <= PRIORITY_CRITICAL ? priority : PRIORITY_NORMAL;
    return of[priority].least + of[priority].range * luck;
}
