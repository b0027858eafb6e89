/* Why the limit is never passed, and why nothing gets lost.
 *
 * The head {T, s} claims: "in ticks T - WINDOW_TICKS … T no more than s was admitted or lies in a pot".  To admit n:
 *   1. add n to slot T (compare-and-swap, so that it goes to tick T or fails),
 *   2. swap the head {T, s} → {T, s + n}, s + n ≤ limit.  Only this admits.  If it fails, the slot is undone.
 * To go on from T to T': empty the pots of older ticks (4), add up the slots whose tag lies in T' - WINDOW_TICKS … T',
 * and swap the head {T, s} → {T', sum}.  Within a tick the head only ever grows (5), so that this swap succeeds only if
 * none was admitted since the head was read, that is, before the slots were added up; and one that is admitted had
 * added to its slot before its swap of the head.  So the sum contains everything that was admitted, and the claim
 * holds again.  Slots are never cleared: a tag of another tick says "empty".
 *   3. Killed between 1 and 2, or before undoing: the slot counts n too many until it leaves the window.
 *   4. A pot holds permits that its taker took beyond its need, while the limit is far; n of them are used by one swap
 *      of the pot.  They are good only in the tick they were taken in: a taker uses a pot only if the head, read after
 *      the pot, stands at the pot's tick, and the one that moves the head on has swapped every pot before.  So a swap
 * of a pot that succeeds happens before the head moves on.  Unused ones go back to their slot, not to the head. A
 * deposit is made by a swap from the pot as it was before the permits were taken: it fails if the tick has moved on,
 * and then the permits go back.
 *   5. What is given back goes to a pot, or, if its tick is over, back to its slot.
 * A clock that a thread read before it was delayed may lie behind the head: it goes by the head's tick, which is the
 * later and so the true one.  A head that lies absurdly far ahead (scribbled over, or the tick wrapped around during
 * a long silence) is not believed, and is created again from the slots. */
#include "rules/engine/limiters/window.h"

#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/queue.h"
#include "rules/engine/limiters/spare.h"
#include "rules/engine/limiters/warm_up.h"

enum { POT_MAX = 31, POT_SHARE = 64, AHEAD_MAX = 1 << 20 };
#define AHEAD_NS 60000000000u

void window_clock_init(struct window_clock *clock, uint64_t interval_ns, unsigned ticks) {
    clock->tick_ns = (interval_ns + ticks - 1) / ticks;
    if (!clock->tick_ns)
        clock->tick_ns = 1;
    clock->reciprocal = clock->tick_ns == 1 ? UINT64_MAX : (uint64_t)(((__uint128_t)1 << 64) / clock->tick_ns);
}

/* False: the head has moved on. */
static bool slot_add(struct window *window, uint32_t tick, uint32_t n) {
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS], old = load_relaxed(slot);
    for (;;) {
        bool same = high_of(old) == tick;
        if (!same && high_of(load_total(&window->head)) != tick)
            return false;
        uint32_t count = same ? low_of(old) : 0;
        if (atomic_take(slot, &old, pack(tick, count > UINT32_MAX - n ? UINT32_MAX : count + n)))
            return true;
    }
}

static void slot_sub(struct window *window, uint32_t tick, uint32_t n) {
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS], old = load_relaxed(slot);
    while (high_of(old) == tick && !atomic_take(slot, &old, pack(tick, low_of(old) > n ? low_of(old) - n : 0))) {
    }
}

static void empty_pots(struct window *window, uint32_t tick) {
    for (unsigned i = 0; i < WINDOW_POTS; i++) {
        uint64_t old = load_total(&window->pots[i].pot);
        while (high_of(old) != tick && !atomic_take(&window->pots[i].pot, &old, pack(tick, 0))) {
        }
        if (high_of(old) != tick && low_of(old))
            slot_sub(window, high_of(old), low_of(old));
    }
}

static uint32_t sum_slots(struct window *window, uint32_t tick) {
    uint64_t sum = 0;
    uint32_t age = 0;
    for (unsigned i = 0; i < WINDOW_SLOTS; i++) {
        uint64_t slot = load_total(&window->slots[i]);
        uint32_t behind = tick - high_of(slot);
        if (behind <= WINDOW_TICKS && low_of(slot)) {
            sum += low_of(slot);
            age = behind > age ? behind : age;
        }
    }
    store_relaxed(&window->oldest, tick - age);
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static uint64_t move_on(struct window *window, const struct window_clock *clock, uint32_t tick, uint64_t head) {
    while (high_of(head) != tick || !head) {
        uint32_t ahead = high_of(head) - tick;
        if (head && (int32_t)ahead > 0 && ahead < AHEAD_MAX &&
            ahead * (__uint128_t)clock->tick_ns < AHEAD_NS + 2 * WINDOW_TICKS * clock->tick_ns)
            break;
        empty_pots(window, tick);
        uint64_t next = pack(tick, sum_slots(window, tick));
        if (atomic_take(&window->head, &head, next))
            return next;
    }
    return head;
}

/* Brings the head to the tick of `now_ns`, or finds it further on; returns it. */
static inline uint64_t head_at(struct window *window, const struct window_clock *clock, uint64_t now_ns) {
    uint32_t tick = window_tick(clock, now_ns);
    uint64_t head = load_total(&window->head);
    return __builtin_expect(high_of(head) == tick && head, 1) ? head : move_on(window, clock, tick, head);
}

static inline __attribute__((always_inline)) bool pot_take(struct window *window, unsigned i, uint32_t limit,
                                                           uint32_t n, uint32_t *ret_tick, uint32_t *ret_left) {
    uint64_t pot = load_total(&window->pots[i].pot);
    while (low_of(pot) >= n) {
        uint64_t head = load_total(&window->head);
        if (high_of(head) != high_of(pot) || low_of(head) > limit)
            return false;
        if (atomic_take(&window->pots[i].pot, &pot, pot - n)) {
            *ret_tick = high_of(pot);
            *ret_left = limit - low_of(head) + low_of(pot) - n;
            return true;
        }
    }
    return false;
}

/* Far below the limit some permits are taken beforehand: threads then meet on the head once in a while only.  Never so
 * many that they would matter, and who would be rejected looks through all pots first. */
static bool head_take(struct window *window, uint64_t head, uint32_t limit, uint32_t n, unsigned shard, bool *ret_full,
                      uint32_t *ret_left) {
    uint32_t tick = high_of(head), extra = 0;
    uint64_t *pot = &window->pots[shard].pot, before = load_total(pot);
    *ret_full = low_of(head) > limit || limit - low_of(head) < n;
    if (*ret_full)
        return false;
    if (n == 1 && (int32_t)(high_of(before) - tick) <= 0) {
        uint32_t share = (limit - low_of(head) - n) / POT_SHARE;
        extra = share > POT_MAX ? POT_MAX : share;
    }
    if (!slot_add(window, tick, n + extra))
        return false;
    if (!atomic_take(&window->head, &head, head + n + extra)) {
        slot_sub(window, tick, n + extra);
        return false;
    }
    *ret_left = limit - low_of(head) - n;
    if (extra) {
        uint32_t had = high_of(before) == tick ? low_of(before) : 0;
        uint32_t stale = had ? 0 : low_of(before), stale_tick = high_of(before);
        if (!atomic_take(pot, &before, pack(tick, had + extra)))
            slot_sub(window, tick, extra);
        else if (stale)
            slot_sub(window, stale_tick, stale);
    }
    return true;
}

bool window_take(struct window *window, const struct window_clock *clock, uint64_t now_ns, uint32_t limit, uint32_t n,
                 unsigned shard, uint32_t *ret_tick, uint32_t *ret_left) {
    uint32_t tick = (uint32_t)((__uint128_t)now_ns * clock->reciprocal >> 64); /* as window_tick() */
    bool full = false;
    shard %= WINDOW_POTS;
    do {
        uint64_t head = load_total(&window->head);
        if (__builtin_expect(high_of(head) != tick || !head, 0))
            head = move_on(window, clock, tick, head);
        if (pot_take(window, shard, limit, n, ret_tick, ret_left))
            return true;
        *ret_tick = high_of(head);
        if (head_take(window, head, limit, n, shard, &full, ret_left))
            return true;
    } while (!full);
    for (unsigned i = 1; i < WINDOW_POTS; i++)
        if (pot_take(window, (shard + i) % WINDOW_POTS, limit, n, ret_tick, ret_left))
            return true;
    *ret_left = 0;
    return false;
}

void window_return(struct window *window, uint32_t tick, uint32_t n, unsigned shard) {
    uint64_t *pot = &window->pots[shard % WINDOW_POTS].pot, before = load_total(pot);
    bool own = high_of(before) == tick;
    if (high_of(load_total(&window->head)) == tick && (own || !low_of(before)) &&
        (int32_t)(high_of(before) - tick) <= 0 && atomic_take(pot, &before, pack(tick, (own ? low_of(before) : 0) + n)))
        return;
    slot_sub(window, tick, n);
}

void window_record(struct window *window, const struct window_clock *clock, uint64_t now_ns, uint32_t n) {
    for (;;) {
        uint64_t head = head_at(window, clock, now_ns);
        uint32_t tick = high_of(head);
        if (!slot_add(window, tick, n))
            continue;
        uint32_t sum = low_of(head) > UINT32_MAX - n ? UINT32_MAX : low_of(head) + n;
        if (atomic_take(&window->head, &head, pack(tick, sum)))
            return;
        slot_sub(window, tick, n);
    }
}

uint32_t window_sum(struct window *window, const struct window_clock *clock, uint64_t now_ns) {
    return low_of(head_at(window, clock, now_ns));
}

uint64_t window_retry_ns(struct window *window, const struct window_clock *clock, uint64_t now_ns) {
    uint32_t tick = window_tick(clock, now_ns);
    uint32_t wait = load_relaxed(&window->oldest) + WINDOW_TICKS + 1 - tick;
    return (wait > WINDOW_TICKS + 1 ? 1 : wait) * clock->tick_ns;
}

/* ------------------------------------------------------------------------------------------------------- the limiter
 */

/* A permit beyond the whole ones that is still in the window takes no room from them.  When it was taken its bucket, in
 * the word of bursts, which a rule with a fractional threshold does not have, was full. */
static uint32_t extra_in(const struct limiter *limiter, const struct window *window, uint64_t now_ns) {
    uint64_t full_ns = load_relaxed(&window->turn);
    if (!limiter->extra_ns || full_ns < limiter->extra_ns)
        return 0;
    return window_tick(&limiter->clock, now_ns) - window_tick(&limiter->clock, full_ns - limiter->extra_ns) <=
           WINDOW_TICKS;
}

uint32_t window_limit_now(struct decision *decision, const struct binding *binding, struct window *window) {
    const struct limiter *limiter = binding->limiter;
    if (limiter->cold == 0)
        return limiter->limit + extra_in(limiter, window, decision->now_ns);
    bool met_lately = window_tick(&limiter->clock, decision->now_ns) - load_relaxed(&window->full_tick) <= WINDOW_TICKS;
    uint32_t passed = window_sum(window, &limiter->clock, decision->now_ns);
    double rate = warm_up_rate(&window->warm, limiter, binding->rule, decision->now_ns, passed, met_lately);
    uint32_t limit = (uint32_t)(rate * (1 + 1e-9));
    return limit ? limit : 1;
}

static bool burst_left(struct decision *decision, const struct limiter *limiter, struct window *window, uint32_t n,
                       uint32_t tick) {
    uint64_t wait, before, after;
    if (!queue_bucket_take(&window->turn, decision->now_ns, limiter->unit_ns * n, limiter->burst_ns, &wait, &before,
                           &after)) {
        window_return(window, tick, n, decision->shard);
        decision->retry_ns = wait;
        return false;
    }
    decision_took(decision, LIMITER_QUEUE, &window->turn, before, after, 0);
    return true;
}

/* The permit beyond the whole ones of a fractional threshold, whose bucket is filled from time to time. */
static bool take_extra(struct decision *decision, const struct limiter *limiter, struct window *window, uint32_t n,
                       uint32_t *ret_tick, uint32_t *ret_left) {
    uint64_t wait, before, after;
    if (!queue_bucket_take(&window->turn, decision->now_ns, limiter->extra_ns, limiter->extra_ns, &wait, &before,
                           &after))
        return false;
    if (!window_take(window, &limiter->clock, decision->now_ns, limiter->limit + 1, n, decision->shard, ret_tick,
                     ret_left)) {
        queue_return(&window->turn, before, after);
        return false;
    }
    decision_took(decision, LIMITER_QUEUE, &window->turn, before, after, 0);
    return true;
}

static bool refused(struct decision *decision, const struct binding *binding, struct window *window, uint32_t n) {
    const struct limiter *limiter = binding->limiter;
    if (limiter->cold != 0)
        store_relaxed(&window->full_tick, window_tick(&limiter->clock, decision->now_ns));
    if (binding->rule->penalty)
        window_record(window, &limiter->clock, decision->now_ns, n);
    decision->retry_ns = window_retry_ns(window, &limiter->clock, decision->now_ns);
    return false;
}

/* The ordinary case straight on: neither cold nor with a burst. */
bool window_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    const struct limiter *limiter = binding->limiter;
    struct window *window = (struct window *)load_acquire(&binding->state);
    bool alone = decision->slot == UINT32_MAX || binding->rule->scope == SCOPE_PROCESS;
    uint32_t tick, left, limit = limiter->limit;
    if (__builtin_expect(!window || !(load_relaxed(&window->base.kind_next) & STATE_SHARED) != alone, 0) &&
        !(window = (struct window *)decision_bind_state(decision, binding, resource, LIMITER_WINDOW)))
        return spare_rate(decision, binding, n);
    if (__builtin_expect(limiter->varies != 0, 0))
        limit = window_limit_now(decision, binding, window);
    bool pass = window_take(window, &limiter->clock, decision->now_ns, limit, n, decision->shard, &tick, &left);
    decision->result->limit = limit;
    decision->result->remaining = left;
    decision->result->interval_ns = limiter->interval_ns;
    if (__builtin_expect(!pass, 0) &&
        (!limiter->extra_ns || limit != limiter->limit || !take_extra(decision, limiter, window, n, &tick, &left)))
        return refused(decision, binding, window, n);
    if (__builtin_expect(limiter->burst_ns != 0, 0) && !burst_left(decision, limiter, window, n, tick))
        return false;
    if (__builtin_expect(decision->takes_count < ENGINE_TAKES_FEW, 1))
        decision->takes[decision->takes_count++] = (struct taken){window, tick, 0, n, LIMITER_WINDOW};
    else
        decision_took(decision, LIMITER_WINDOW, window, tick, 0, n);
    if (__builtin_expect(limiter->cold != 0, 0)) {
        warm_up_spend(&window->warm, limiter, n);
        if (left < n)
            store_relaxed(&window->full_tick, window_tick(&limiter->clock, decision->now_ns));
    }
    return true;
}

static bool serves(const struct rule *rule) {
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    bool related = rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE;
    return (rule->kind == RULE_FLOW || (rule->kind == RULE_GATEWAY && !rule->params_count)) &&
           rule->grade != GRADE_THREAD && rule->cost_kind != COST_BYTES && !queue && !related;
}

static void undo(const struct decision *decision, const struct taken *taken) {
    window_return(taken->state, (uint32_t)taken->before, taken->n, decision->shard);
}

const struct limiter_ops limiter_window = {
    .least = sizeof(struct window), .serves = serves, .check = window_check, .undo = undo};
