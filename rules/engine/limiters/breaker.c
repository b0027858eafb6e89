#include "rules/engine/limiters/breaker.h"

#include "rules/atomic.h"

enum { TIME_BITS = 48, OWNER_SHIFT = 48, STAGE_SHIFT = 56, STATE_SHIFT = 62, STAGE_MAX = 63, TIME_UNIT_NS = 100000 };
#define TIME_MASK ((1ull << TIME_BITS) - 1)
#define LEASE_LEAST_NS 1000000000u
#define LEASE_MOST_NS 30000000000u

static uint64_t word_of(enum circuit_state state, unsigned stage, uint32_t owner, uint64_t time_ns) {
    return (uint64_t)state << STATE_SHIFT | (uint64_t)stage << STAGE_SHIFT | (uint64_t)(owner & 255) << OWNER_SHIFT |
           (time_ns / TIME_UNIT_NS & TIME_MASK);
}
static enum circuit_state state_of(uint64_t word) {
    return word >> STATE_SHIFT ? (enum circuit_state)(word >> STATE_SHIFT) : CIRCUIT_CLOSED;
}
static unsigned stage_of(uint64_t word) {
    return word >> STAGE_SHIFT & STAGE_MAX;
}
static uint64_t time_of(uint64_t word) {
    return (word & TIME_MASK) * TIME_UNIT_NS;
}
/* What a call carries to recognise its probe or stage again. */
static uint32_t stamp_of(uint64_t word) {
    return (uint32_t)((word & TIME_MASK) << 6 | stage_of(word));
}

enum circuit_state breaker_state(const struct breaker *breaker) {
    return state_of(load_relaxed(&breaker->state));
}

enum breaker_answer breaker_ask(const struct breaker *breaker, uint64_t now_ns, uint64_t *ret_retry_ns) {
    uint64_t word = load_relaxed(&breaker->state);
    *ret_retry_ns = 0;
    if (state_of(word) == CIRCUIT_CLOSED)
        return BREAKER_PASS;
    if ((state_of(word) == CIRCUIT_HALF_OPEN && stage_of(word)) || time_of(word) <= now_ns)
        return BREAKER_LEND;
    *ret_retry_ns = time_of(word) - now_ns;
    return BREAKER_BLOCK;
}

static unsigned stages_of(const struct rule *rule) {
    return rule->recovery != RECOVERY_GRADUAL ? 0
           : rule->recovery_steps < 1         ? 1
           : rule->recovery_steps > STAGE_MAX ? STAGE_MAX
                                              : rule->recovery_steps;
}

/* The n-th call of a stage that lets share / of through, spread evenly. */
static bool lets_through(uint32_t n, unsigned share, unsigned of) {
    return (uint64_t)(n + 1) * share / of > (uint64_t)n * share / of;
}

bool breaker_lend(struct breaker *breaker, const struct rule *rule, uint64_t now_ns, uint32_t slot,
                  enum breaker_loan *ret_loan, uint32_t *ret_stamp, struct breaker_change *ret_change) {
    uint64_t lease = rule->open_ns < LEASE_LEAST_NS  ? LEASE_LEAST_NS
                     : rule->open_ns > LEASE_MOST_NS ? LEASE_MOST_NS
                                                     : rule->open_ns;
    uint64_t word = load_relaxed(&breaker->state);
    unsigned stages = stages_of(rule);
    for (;;) {
        enum circuit_state state = state_of(word);
        *ret_loan = LOAN_NONE;
        *ret_change = (struct breaker_change){(uint8_t)state, (uint8_t)state};
        if (state == CIRCUIT_CLOSED)
            return true;
        if (state == CIRCUIT_HALF_OPEN && stage_of(word)) {
            unsigned of = stages < stage_of(word) ? stage_of(word) : stages;
            *ret_loan = LOAN_STAGE;
            *ret_stamp = stamp_of(word);
            return lets_through(add_relaxed(&breaker->seen, 1u), stage_of(word), of);
        }
        if (time_of(word) > now_ns)
            return false;
        uint64_t next = stages ? word_of(CIRCUIT_HALF_OPEN, 1, slot, now_ns)
                               : word_of(CIRCUIT_HALF_OPEN, 0, slot, now_ns + lease + TIME_UNIT_NS);
        if (next == word) /* lent again within one unit of time */
            return false;
        if (atomic_take(&breaker->state, &word, next)) {
            store_relaxed(&breaker->seen, 0u);
            *ret_loan = stages ? LOAN_STAGE : LOAN_PROBE;
            *ret_stamp = stamp_of(next);
            ret_change->to = CIRCUIT_HALF_OPEN;
            return true;
        }
    }
}

void breaker_return(struct breaker *breaker, uint64_t now_ns, uint32_t stamp) {
    uint64_t word = load_relaxed(&breaker->state);
    if (state_of(word) == CIRCUIT_HALF_OPEN && !stage_of(word) && stamp_of(word) == stamp)
        atomic_take(&breaker->state, &word, word_of(CIRCUIT_HALF_OPEN, 0, 0, now_ns)); /* the loan is over */
}

void breaker_reclaim(struct breaker *breaker, uint32_t slot) {
    uint64_t word = load_relaxed(&breaker->state);
    if (state_of(word) == CIRCUIT_HALF_OPEN && !stage_of(word) && (word >> OWNER_SHIFT & 255) == (slot & 255))
        atomic_take(&breaker->state, &word, word_of(CIRCUIT_HALF_OPEN, 0, 0, 0));
}

/* ------------------------------------------------------------------------------------------------------ completions */

static bool is_slow(const struct rule *rule, uint64_t rt_ns) {
    return (double)rt_ns > rule->count * 1e6;
}

static bool is_bad(const struct rule *rule, uint64_t rt_ns, bool error) {
    return rule->grade == DEGRADE_SLOW || rule->grade == DEGRADE_AVG_RT ? is_slow(rule, rt_ns) : error;
}

/* Is this too much?  A share of 1.0 means all of them. */
static bool exceeds(const struct rule *rule, uint64_t total, uint64_t bad) {
    double share = rule->grade == DEGRADE_RATIO ? rule->count : rule->slow_ratio,
           ratio = total ? (double)bad / (double)total : 0;
    if (rule->grade == DEGRADE_COUNT)
        return (double)bad > rule->count;
    return ratio > share || (share >= 1 && ratio >= 1);
}

static void ring_add(uint64_t *word, uint32_t tick, uint32_t n) {
    uint64_t old = load_relaxed(word);
    uint32_t count;
    do {
        count = high_of(old) == tick ? low_of(old) : 0;
        count = count > UINT32_MAX - n ? UINT32_MAX : count + n;
    } while (!atomic_take(word, &old, pack(tick, count)));
}

static void ring_sum(const struct breaker *breaker, uint32_t tick, uint32_t since, uint64_t *ret_total,
                     uint64_t *ret_bad) {
    *ret_total = *ret_bad = 0;
    for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
        uint64_t total = load_relaxed(&breaker->ring[i].total), bad = load_relaxed(&breaker->ring[i].bad);
        if (tick - high_of(total) <= BREAKER_TICKS && (int32_t)(high_of(total) - since) > 0)
            *ret_total += low_of(total);
        if (tick - high_of(bad) <= BREAKER_TICKS && (int32_t)(high_of(bad) - since) > 0)
            *ret_bad += low_of(bad);
    }
}

static bool open_now(struct breaker *breaker, uint64_t word, const struct rule *rule, uint64_t now_ns,
                     struct breaker_change *ret_change) {
    uint8_t from = (uint8_t)state_of(word);
    if (!atomic_take(&breaker->state, &word, word_of(CIRCUIT_OPEN, 0, 0, now_ns + rule->open_ns)))
        return false;
    *ret_change = (struct breaker_change){from, CIRCUIT_OPEN};
    return true;
}

static void judge_window(struct breaker *breaker, uint64_t word, const struct rule *rule,
                         const struct window_clock *clock, uint64_t now_ns, struct breaker_change *ret_change) {
    uint32_t tick = window_tick(clock, now_ns),
             since = time_of(word) ? window_tick(clock, time_of(word)) : tick - 2 * BREAKER_SLOTS;
    uint64_t total, bad;
    if (rule->grade != DEGRADE_AVG_RT && tick - load_relaxed(&breaker->bad_tick) > BREAKER_TICKS)
        return;
    ring_sum(breaker, tick, since, &total, &bad);
    bool open = total >= rule->min_requests && exceeds(rule, total, bad);
    if (rule->grade == DEGRADE_AVG_RT) {
        bool above = total && (double)bad * TIME_UNIT_NS / (double)total > rule->count * 1e6;
        uint32_t streak = above ? add_relaxed(&breaker->streak, 1u) + 1 : 0;
        if (!above)
            store_relaxed(&breaker->streak, 0u);
        open = above && streak >= rule->rt_slow_requests;
    }
    if (open && open_now(breaker, word, rule, now_ns, ret_change))
        store_relaxed(&breaker->streak, 0u);
}

static void judge_probe(struct breaker *breaker, uint64_t word, const struct rule *rule, uint64_t now_ns, bool bad,
                        struct breaker_change *ret_change) {
    if (bad)
        open_now(breaker, word, rule, now_ns, ret_change);
    else if (atomic_take(&breaker->state, &word, word_of(CIRCUIT_CLOSED, 0, 0, now_ns)))
        *ret_change = (struct breaker_change){CIRCUIT_HALF_OPEN, CIRCUIT_CLOSED};
}

static void judge_stage(struct breaker *breaker, uint64_t word, const struct rule *rule, uint64_t now_ns, bool bad,
                        struct breaker_change *ret_change) {
    uint64_t old = load_relaxed(&breaker->stage), next;
    uint32_t stamp = stamp_of(word), count;
    do {
        count = high_of(old) == stamp ? low_of(old) : 0;
        if (count >> 16 < UINT16_MAX)
            count += (1u << 16) + bad;
        next = pack(stamp, count);
    } while (!atomic_take(&breaker->stage, &old, next));
    uint32_t total = count >> 16, bads = count & UINT16_MAX;
    if (total < (rule->step_min_pass ? rule->step_min_pass : 1))
        return;
    if (exceeds(rule, total, bads)) {
        open_now(breaker, word, rule, now_ns, ret_change);
    } else if (stage_of(word) < stages_of(rule)) {
        if (atomic_take(&breaker->state, &word, word_of(CIRCUIT_HALF_OPEN, stage_of(word) + 1, 0, now_ns)))
            store_relaxed(&breaker->seen, 0u);
    } else {
        judge_probe(breaker, word, rule, now_ns, false, ret_change);
    }
}

void breaker_done(struct breaker *breaker, const struct rule *rule, const struct window_clock *clock, uint64_t now_ns,
                  uint64_t rt_ns, bool error, enum breaker_loan loan, uint32_t stamp,
                  struct breaker_change *ret_change) {
    uint64_t word = load_relaxed(&breaker->state);
    enum circuit_state state = state_of(word);
    bool bad = is_bad(rule, rt_ns, error);
    *ret_change = (struct breaker_change){(uint8_t)state, (uint8_t)state};
    if (state == CIRCUIT_HALF_OPEN) {
        if (loan == LOAN_NONE || stamp_of(word) != stamp)
            return; /* a call from before decides nothing */
        if (stage_of(word))
            judge_stage(breaker, word, rule, now_ns, bad, ret_change);
        else
            judge_probe(breaker, word, rule, now_ns, bad, ret_change);
        return;
    }
    if (state == CIRCUIT_OPEN)
        return;
    uint32_t tick = window_tick(clock, now_ns);
    ring_add(&breaker->ring[tick % BREAKER_SLOTS].total, tick, 1);
    if (rule->grade == DEGRADE_AVG_RT)
        ring_add(&breaker->ring[tick % BREAKER_SLOTS].bad, tick,
                 rt_ns / TIME_UNIT_NS > UINT32_MAX ? UINT32_MAX : (uint32_t)(rt_ns / TIME_UNIT_NS));
    else if (bad) {
        ring_add(&breaker->ring[tick % BREAKER_SLOTS].bad, tick, 1);
        store_relaxed(&breaker->bad_tick, tick);
    }
    judge_window(breaker, word, rule, clock, now_ns, ret_change);
}
