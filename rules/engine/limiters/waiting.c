#include "rules/engine/limiters/waiting.h"

#include "rules/atomic.h"
#include "rules/rule.h"

enum { COOL_DOWN_NS = 1000000000 };
enum { SHRINKS = 8 }; /* a queue that does so by an eighth of the time that passes will be gone soon */

static bool sheds(struct waiting *waiting, uint64_t now_ns) {
    uint64_t since = load_relaxed(&waiting->since_ns);
    if (!since)
        return false;
    if ((int64_t)(now_ns - load_relaxed(&waiting->over_ns)) <= COOL_DOWN_NS)
        return true;
    if (atomic_take(&waiting->since_ns, &since, 0))
        store_relaxed(&waiting->above_ns, 0);
    return false;
}

bool waiting_note(struct waiting *waiting, uint64_t now_ns, uint64_t waited_ns, uint64_t target_ns,
                  uint64_t interval_ns) {
    uint64_t above = load_relaxed(&waiting->above_ns), none = 0;
    store_relaxed(&waiting->last_ns, waited_ns);
    if (waited_ns <= target_ns) {
        if (above)
            store_relaxed(&waiting->above_ns, 0);
    } else if (!above || (int64_t)(now_ns - above) >= (int64_t)interval_ns) {
        uint64_t mark = load_relaxed(&waiting->mark_ns);
        bool shrinks = mark > waited_ns && (mark - waited_ns) * SHRINKS >= now_ns - above;
        if (above && waited_ns >= interval_ns && !shrinks && !load_relaxed(&waiting->since_ns)) {
            store_relaxed(&waiting->over_ns, now_ns);
            atomic_take(&waiting->since_ns, &none, now_ns);
        }
        store_relaxed(&waiting->mark_ns, waited_ns);
        store_relaxed(&waiting->above_ns, now_ns);
    }
    return sheds(waiting, now_ns);
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
