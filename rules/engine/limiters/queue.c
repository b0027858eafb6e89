#include "rules/engine/limiters/queue.h"

#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/warm_up.h"

enum { DAY_NS_SHIFT = 60 };
static const uint64_t LONGEST_NS = 1ull << DAY_NS_SHIFT; /* 36 years: keeps sums far from wrapping around */

uint64_t queue_unit_ns(double count, uint64_t interval_ns) {
    double unit = (double)interval_ns / count;
    if (!(unit < (double)LONGEST_NS))
        return LONGEST_NS;
    uint64_t whole = (uint64_t)unit;
    whole += (double)whole < unit;
    return whole ? whole : 1;
}

bool queue_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t patience_ns, uint64_t credit_ns,
                uint64_t *ret_wait_ns, uint64_t *ret_before, uint64_t *ret_after) {
    uint64_t old = load_relaxed(turn), start;
    uint64_t earliest = now_ns > credit_ns ? now_ns - credit_ns : 0;
    do {
        start = old > earliest ? old : earliest;
        *ret_wait_ns = start > now_ns ? start - now_ns : 0;
        if (*ret_wait_ns > patience_ns)
            return false;
        *ret_before = old;
        *ret_after = start + (cost_ns < LONGEST_NS ? cost_ns : LONGEST_NS);
    } while (!atomic_take(turn, &old, *ret_after));
    return true;
}

/* The turn is the moment at which the bucket will be full again. */
bool queue_bucket_take(uint64_t *turn, uint64_t now_ns, uint64_t cost_ns, uint64_t capacity_ns, uint64_t *ret_wait_ns,
                       uint64_t *ret_before, uint64_t *ret_after) {
    uint64_t old = load_relaxed(turn), start;
    do {
        start = old > now_ns ? old : now_ns;
        uint64_t full = start - now_ns + (cost_ns < LONGEST_NS ? cost_ns : LONGEST_NS);
        *ret_wait_ns = full > capacity_ns ? full - capacity_ns : 0;
        if (*ret_wait_ns)
            return false;
        *ret_before = old;
        *ret_after = now_ns + full;
    } while (!atomic_take(turn, &old, *ret_after));
    return true;
}

void queue_return(uint64_t *turn, uint64_t before, uint64_t after) {
    atomic_take(turn, &after, before);
}

void queue_leave(uint64_t *turn, uint32_t after, uint64_t cost_ns) {
    uint64_t now = load_relaxed(turn);
    if ((uint32_t)now == after && now > cost_ns)
        atomic_take(turn, &now, now - cost_ns);
}

void queue_rescale(struct queue *queue, uint64_t now_ns, uint64_t unit_ns) {
    uint64_t made_with = load_relaxed(&queue->unit_ns);
    if (made_with == unit_ns || !atomic_take(&queue->unit_ns, &made_with, unit_ns))
        return;
    uint64_t old = load_relaxed(&queue->turn), next;
    do {
        if (!made_with || old <= now_ns)
            return;
        double left = (double)(old - now_ns) / (double)made_with * (double)unit_ns;
        next = now_ns + (left < (double)LONGEST_NS ? (uint64_t)left : LONGEST_NS);
    } while (!atomic_take(&queue->turn, &old, next));
}

/* ------------------------------------------------------------------------------------------------------- the limiter
 */

/* A turn that is waited for: a request that leaves before it, and is the last in the queue, gives it back.  What it had
 * cost fits into one word: in nanoseconds, or, long ones, in microseconds. */
enum { TURN_US = 1u << 31 };

static void hold_turn(struct decision *decision, const struct queue *queue, uint64_t after, uint64_t cost_ns) {
    uint32_t low = (uint32_t)after;
    if (cost_ns < TURN_US)
        decision_hold(decision, &queue->base, 0, &low, (uint32_t)cost_ns);
    else if (cost_ns / 1000 < TURN_US)
        decision_hold(decision, &queue->base, 0, &low, TURN_US | (uint32_t)(cost_ns / 1000));
}

static void leave(struct engine *engine, const struct lease *lease, bool ran, uint64_t now_ns) {
    uint64_t cost_ns = lease->n & TURN_US ? (uint64_t)(lease->n & ~TURN_US) * 1000 : lease->n;
    (void)engine, (void)now_ns;
    if (!ran && lease->tag != LEASE_PAYS)
        queue_leave(&((struct queue *)lease->state)->turn, lease->extra, cost_ns);
}

/* Of bytes ("cost": "bytes"): the next turn is later by what came. */
static void charge(struct limiter_state *state, const struct limiter *limiter, uint64_t n, uint64_t now_ns) {
    enum { DEBT_INTERVALS = 10 };
    uint64_t *turn = &((struct queue *)state)->turn, old = load_relaxed(turn), next;
    uint64_t most = DEBT_INTERVALS * limiter->interval_ns;
    double cost_ns = limiter->limit ? (double)n * (double)limiter->interval_ns / limiter->limit : 0;
    uint64_t cost = cost_ns < (double)most ? (uint64_t)cost_ns : most;
    do {
        next = (old > now_ns ? old : now_ns) + cost;
        next = next - now_ns > most ? old > now_ns + most ? old : now_ns + most : next;
    } while (!atomic_take(turn, &old, next));
}

/* The spacing of this moment: wider while it is cold. */
static uint64_t unit_now(struct decision *decision, const struct binding *binding, struct queue *queue) {
    const struct limiter *limiter = binding->limiter;
    uint64_t unit = limiter->unit_ns, turn = load_relaxed(&queue->turn);
    if (limiter->cold == 0)
        return unit;
    bool waiting = turn > decision->now_ns, idle = turn + (uint64_t)((double)unit * limiter->cold) < decision->now_ns;
    return queue_unit_ns(
        warm_up_rate(&queue->warm, limiter, binding->rule, decision->now_ns, idle ? 0 : UINT32_MAX, waiting),
        limiter->interval_ns);
}

static bool queue_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    struct queue *queue = (struct queue *)decision_state(decision, binding, resource, LIMITER_QUEUE);
    const struct limiter *limiter = binding->limiter;
    uint64_t wait, before, after, patience = binding->rule->max_queue_ns;
    if (!queue)
        return spare_rate(decision, binding, n);
    decision->result->limit = binding->rule->count;
    decision->result->remaining = 0;
    decision->result->interval_ns = limiter->interval_ns;
    if (!(binding->rule->count > 0))
        return false;
    if (binding->rule->cost_kind == COST_BYTES && decision_pays_later(decision, &queue->base))
        n = 0;
    queue_rescale(queue, decision->now_ns, limiter->unit_ns);
    uint64_t unit = unit_now(decision, binding, queue);
    uint64_t credit = limiter->burst_ns ? unit * (uint64_t)binding->rule->burst : 0;
    __uint128_t cost = (__uint128_t)unit * n;
    if (!queue_take(&queue->turn, decision->now_ns, cost > INT64_MAX ? INT64_MAX : (uint64_t)cost, patience, credit,
                    &wait, &before, &after)) {
        decision->retry_ns = wait - patience;
        return false;
    }
    decision_took(decision, LIMITER_QUEUE, &queue->turn, before, after, n);
    if (limiter->cold != 0)
        warm_up_spend(&queue->warm, limiter, n);
    if (wait && binding->rule->mode == MODE_ENFORCE)
        hold_turn(decision, queue, after, (uint64_t)cost);
    if (wait > decision->wait_ns && binding->rule->mode == MODE_ENFORCE)
        decision->wait_ns = wait;
    return true;
}

static bool serves(const struct rule *rule) {
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    return (rule->kind == RULE_FLOW || (rule->kind == RULE_GATEWAY && !rule->params_count)) &&
           rule->grade != GRADE_THREAD && queue;
}

/* Any turn's, in a queue or in a bucket. */
static void undo(const struct decision *decision, const struct taken *taken) {
    (void)decision;
    queue_return(taken->state, taken->before, taken->after);
}

const struct limiter_ops limiter_queue = {.least = sizeof(struct queue),
                                          .serves = serves,
                                          .check = queue_check,
                                          .undo = undo,
                                          .leave = leave,
                                          .charge = charge};
