/* Rates of bytes ("cost": "bytes"): paid afterwards.  How long a body is shows only as it comes: it may be in chunks,
 * or be announced and never come.  So a request is admitted while the window has room, for whatever it brings, and
 * charged with what came, as it comes.  What goes beyond the limit is a debt, and nothing is admitted until it is paid:
 * over any longer time no more comes in than the limit allows, but for the last body.
 *
 * The debt is the level of a leaky bucket that the limit drains: `level_ns` is when it is empty (the theoretical
 * arrival time of the GCRA, ITU-T I.371).  Once it has risen above one interval's worth it has to fall to nothing;
 * below that the sliding window alone decides, as it does for requests. */
#include "rules/engine/decision.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/window.h"

enum { DEBT_INTERVALS = 10 }; /* the most that is owed: a longer body would shut others out for hours */

struct bytes {
    struct window window;
    uint64_t level_ns;
    uint64_t owed_ns; /* nothing is admitted until then */
    uint64_t reserved[6];
};
_Static_assert(sizeof(struct bytes) == 1088, "bytes");

static uint64_t most_ns(const struct limiter *limiter) {
    return limiter->interval_ns * (DEBT_INTERVALS + 1u);
}

/* How long nothing is admitted.  A time that no debt leads to is none. */
static uint64_t owed_for(const struct bytes *bytes, const struct limiter *limiter, uint64_t now_ns) {
    uint64_t owed_ns = load_relaxed(&bytes->owed_ns), left_ns = owed_ns > now_ns ? owed_ns - now_ns : 0;
    return left_ns <= most_ns(limiter) ? left_ns : 0;
}

static bool refused(struct decision *decision, const struct binding *binding, struct bytes *bytes, uint32_t n,
                    uint64_t owed_ns) {
    const struct limiter *limiter = binding->limiter;
    decision->retry_ns = owed_ns ? owed_ns : window_retry_ns(&bytes->window, &limiter->clock, decision->now_ns);
    if (binding->rule->penalty)
        window_record(&bytes->window, &limiter->clock, decision->now_ns, n);
    return false;
}

/* `n` is what the request announces: of interest only where it is rejected, or cannot be charged later. */
static bool bytes_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    struct bytes *bytes = (struct bytes *)decision_state(decision, binding, resource, LIMITER_BYTES);
    const struct limiter *limiter = binding->limiter;
    if (!bytes)
        return spare_rate(decision, binding, n ? n : 1);
    uint32_t limit = window_limit_now(decision, binding, &bytes->window),
             now = window_sum(&bytes->window, &limiter->clock, decision->now_ns);
    uint64_t owed_ns = owed_for(bytes, limiter, decision->now_ns);
    decision->result->limit = limit;
    decision->result->remaining = now < limit && !owed_ns ? limit - now : 0;
    decision->result->interval_ns = limiter->interval_ns;
    if (owed_ns || now >= limit)
        return refused(decision, binding, bytes, n, owed_ns);
    if (!decision_pays_later(decision, &bytes->window.base))
        window_record(&bytes->window, &limiter->clock, decision->now_ns, n);
    return true;
}

static void raise(uint64_t *word, uint64_t to) {
    for (uint64_t old = load_relaxed(word); old < to && !atomic_take(word, &old, to);) {
    }
}

/* More is owed than that only if the word is scribbled over. */
static uint64_t level_after(struct bytes *bytes, const struct limiter *limiter, uint64_t now_ns, uint64_t cost_ns) {
    uint64_t old = load_relaxed(&bytes->level_ns), next;
    do {
        next = old > now_ns && old - now_ns <= most_ns(limiter) ? old : now_ns;
        next = next + cost_ns - now_ns > most_ns(limiter) ? now_ns + most_ns(limiter) : next + cost_ns;
    } while (!atomic_take(&bytes->level_ns, &old, next));
    return next;
}

static void bytes_charge(struct limiter_state *state, const struct limiter *limiter, uint64_t n, uint64_t now_ns) {
    struct bytes *bytes = (struct bytes *)state;
    double cost_ns = limiter->limit ? (double)n * (double)limiter->interval_ns / limiter->limit : 0;
    uint64_t most = most_ns(limiter);
    window_record(&bytes->window, &limiter->clock, now_ns, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
    uint64_t level_ns = level_after(bytes, limiter, now_ns, cost_ns < (double)most ? (uint64_t)cost_ns : most);
    if (level_ns - now_ns > limiter->interval_ns)
        raise(&bytes->owed_ns, level_ns);
}

static bool serves(const struct rule *rule) {
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    bool related = rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE;
    return (rule->kind == RULE_FLOW || (rule->kind == RULE_GATEWAY && !rule->params_count)) &&
           rule->cost_kind == COST_BYTES && rule->grade != GRADE_THREAD && !queue && !related;
}

const struct limiter_ops limiter_bytes_paid = {
    .least = sizeof(struct bytes), .serves = serves, .check = bytes_check, .charge = bytes_charge};
