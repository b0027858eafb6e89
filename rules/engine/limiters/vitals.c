#include "rules/engine/limiters/vitals.h"

#include "rules/atomic.h"
#include "rules/engine/limiters/limiters.h"

enum { TICK_NS = 250000000, A_SECOND = 1000000000 / TICK_NS };

static void add(uint64_t *word, uint32_t tick, uint64_t n) {
    uint64_t old = load_relaxed(word), sum;
    do {
        sum = (high_of(old) == tick ? low_of(old) : 0) + n;
    } while (!atomic_take(word, &old, pack(tick, sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum)));
}

void vitals_add(struct vitals *vitals, uint64_t now_ns, uint64_t rt_ns) {
    uint32_t tick = (uint32_t)(now_ns / TICK_NS);
    add(&vitals->ring[tick % VITALS_SLOTS].done, tick, 1);
    add(&vitals->ring[tick % VITALS_SLOTS].rt, tick, rt_ns / 1000);
}

static uint32_t value_at(const uint64_t *word, uint32_t tick) {
    uint64_t value = load_relaxed(word);
    return high_of(value) == tick ? low_of(value) : 0;
}

double vitals_mean_rt_ns(const struct vitals *vitals, uint64_t now_ns) {
    uint32_t tick = (uint32_t)(now_ns / TICK_NS);
    double done = 0, rt = 0;
    for (uint32_t i = 0; i <= A_SECOND; i++) {
        done += value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].done, tick - i);
        rt += value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].rt, tick - i);
    }
    return done > 0 ? rt / done * 1000 : 0;
}

double vitals_a_second(const struct vitals *vitals, uint64_t now_ns) {
    uint32_t tick = (uint32_t)(now_ns / TICK_NS);
    double done = 0;
    for (uint32_t i = 1; i <= A_SECOND; i++)
        done += value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].done, tick - i);
    return done;
}

double vitals_most_a_second(const struct vitals *vitals, uint64_t now_ns) {
    uint32_t tick = (uint32_t)(now_ns / TICK_NS);
    double most = 0;
    for (uint32_t i = 0; i < VITALS_SLOTS; i++) {
        double done = value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].done, tick - i);
        most = done > most ? done : most;
    }
    return most * A_SECOND;
}

double vitals_best_rt_ns(const struct vitals *vitals, uint64_t now_ns) {
    uint32_t tick = (uint32_t)(now_ns / TICK_NS);
    double least = 0;
    for (uint32_t i = 0; i < VITALS_SLOTS; i++) {
        double done = value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].done, tick - i);
        double rt = value_at(&vitals->ring[(tick - i) % VITALS_SLOTS].rt, tick - i);
        if (done > 0)
            least = least == 0 || rt / done < least ? rt / done : least;
    }
    return least * 1000;
}

double vitals_capacity(const struct vitals *vitals, uint64_t now_ns) {
    return vitals_most_a_second(vitals, now_ns) * vitals_best_rt_ns(vitals, now_ns) / 1e9;
}

const struct limiter_ops limiter_vitals = {.least = sizeof(struct vitals)};
