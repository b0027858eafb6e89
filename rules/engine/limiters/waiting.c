#include "rules/engine/limiters/waiting.h"

#include "rules/atomic.h"
#include "rules/rule.h"

#define STALE_NS 10000000000u /* of an interval that lasted longer nothing is known */
enum { COOL_DOWN_NS = 1000000000, MOST_US = 60000000 };
enum { RECENT_NS = 100000000 };
enum { SHRINKS = 8 }; /* a queue that does so by an eighth of the time that passes will be gone soon */

bool waiting_sheds(struct waiting *waiting, uint64_t now_ns) {
    uint64_t since = load_relaxed(&waiting->since_ns);
    if (!since)
        return false;
    if ((int64_t)(now_ns - load_relaxed(&waiting->over_ns)) <= COOL_DOWN_NS)
        return true;
    atomic_take(&waiting->since_ns, &since, 0);
    return false;
}

/* An interval is over. */
static void judge(struct waiting *waiting, uint64_t now_ns, uint64_t lasted_ns) {
    uint64_t counted = __atomic_exchange_n(&waiting->counted, 0, __ATOMIC_RELAXED),
             sum_us = __atomic_exchange_n(&waiting->sum_us, 0, __ATOMIC_RELAXED), none = 0;
    uint32_t all = lasted_ns < STALE_NS ? high_of(counted) : 0;
    bool late = low_of(counted) > all / 2;
    uint64_t mean_us = late && all ? sum_us / all : 0, before_us = load_relaxed(&waiting->mean_us);
    bool shrinks = before_us > mean_us && (before_us - mean_us) * SHRINKS >= lasted_ns / 1000;
    store_relaxed(&waiting->mean_us, mean_us);
    if (mean_us && before_us && !shrinks && !load_relaxed(&waiting->since_ns)) {
        store_relaxed(&waiting->over_ns, now_ns);
        atomic_take(&waiting->since_ns, &none, now_ns);
    }
}

void waiting_note(struct waiting *waiting, uint64_t now_ns, uint64_t waited_ns, uint64_t interval_ns) {
    uint64_t begin = load_relaxed(&waiting->begin_ns), us = waited_ns / 1000;
    store_relaxed(&waiting->last_ns, waited_ns);
    store_relaxed(&waiting->noted_ns, now_ns);
    add_relaxed(&waiting->sum_us, us < MOST_US ? us : MOST_US);
    add_relaxed(&waiting->counted, pack(1, waited_ns >= interval_ns));
    if (now_ns - begin >= interval_ns && (int64_t)(now_ns - begin) > 0 &&
        atomic_take(&waiting->begin_ns, &begin, now_ns))
        judge(waiting, now_ns, now_ns - begin);
}

uint64_t waiting_last_ns(const struct waiting *waiting, uint64_t now_ns) {
    return (int64_t)(now_ns - load_relaxed(&waiting->noted_ns)) <= RECENT_NS ? load_relaxed(&waiting->last_ns) : 0;
}

void waiting_over(struct waiting *waiting, uint64_t now_ns) {
    store_relaxed(&waiting->over_ns, now_ns);
}

uint64_t waiting_threshold_ns(uint64_t target_ns, unsigned priority, double luck) {
    static const struct {
        double least, range;
    } of[] = {[PRIORITY_LOW] = {0.25, 0.25}, [PRIORITY_NORMAL] = {0.5, 0.75}, [PRIORITY_CRITICAL] = {2, 0.5}};
    priority = priority <= PRIORITY_CRITICAL ? priority : PRIORITY_NORMAL;
    return (uint64_t)((double)target_ns * (of[priority].least + of[priority].range * luck));
}
