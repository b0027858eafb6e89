/* A request is rejected if it has waited longer to be read than its caller's threshold, or finds the caller's part of
 * the limit in flight, each only while there is overload of that kind. */
#include "rules/engine/limiters/delay.h"

#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"

enum { COOL_DOWN_NS = 1000000000 };
#define TARGET_NS 20000000u /* of rules that were made for another algorithm */
#define INTERVAL_NS 100000000u
#define TARGET_MAX_NS 10000000000u

static uint64_t target_of(const struct rule *rule) {
    return rule->grade == ADAPTIVE_DELAY && rule->max_queue_ns ? rule->max_queue_ns : TARGET_NS;
}

static uint64_t interval_of(const struct rule *rule) {
    return rule->grade == ADAPTIVE_DELAY ? rule->stat_interval_ns : INTERVAL_NS;
}

struct delay *delay_of(struct decision *decision, unsigned i) {
    return (struct delay *)decision_state(decision, &decision->compiled->shedder_delay[i], UINT32_MAX, LIMITER_DELAY);
}

/* An application that takes one request at a time makes each wait for as long as another takes. */
static uint64_t threshold_ns(const struct delay *delay, const struct rule *rule, unsigned priority, double luck) {
    uint64_t target = target_of(rule), best = load_relaxed(&delay->backlog.mean_ns);
    target = best > target ? best < TARGET_MAX_NS ? best : TARGET_MAX_NS : target;
    return waiting_threshold_ns(target, priority, luck);
}

static enum waiting_queue queue_of(const struct engine_request *request) {
    return request->first ? WAITING_ACCEPT : WAITING_READ;
}

/* Processes that share a listening socket see one queue, and each may see little of it; those that have sockets of
 * their own see queues of their own.  Where one of the queues is too long, the application is overloaded, and what is
 * in the other one has its threshold, too. */
static bool waits(struct decision *decision, struct delay *delay, const struct rule *rule, uint64_t waited_ns) {
    uint64_t interval = interval_of(rule), now_ns = decision->now_ns;
    enum waiting_queue queue = queue_of(decision->request);
    if (waited_ns == ENGINE_WAITED_UNKNOWN)
        return false;
    waiting_note(&decision->engine->waiting[queue], now_ns, waited_ns, interval);
    waiting_note(&delay->waiting[queue], now_ns, waited_ns, interval);
    return delay_waits(decision->engine, delay, now_ns);
}

static void say(struct decision *decision, double limit, double counted, enum delay_kind kind) {
    shedding_say(decision, limit, 0);
    decision->result->counted = counted;
    decision->detail = (uint8_t)kind;
}

static bool has_waited_too_long(struct decision *decision, struct delay *delay, const struct rule *rule, double luck,
                                uint64_t waited_ns) {
    uint64_t threshold = threshold_ns(delay, rule, decision->priority, luck);
    if (waited_ns <= threshold)
        return false;
    say(decision, (double)threshold / 1e6, (double)waited_ns / 1e6, DELAY_WAITED);
    for (unsigned queue = 0; queue < WAITING_QUEUES; queue++) {
        waiting_over(&decision->engine->waiting[queue], decision->now_ns);
        waiting_over(&delay->waiting[queue], decision->now_ns);
    }
    return true;
}

static bool finds_too_many(struct decision *decision, unsigned i, struct delay *delay, double limit, double luck) {
    uint32_t in_flight = in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX);
    double part = limit * backlog_part(decision->priority, luck);
    if (in_flight + 1 <= part || in_flight == 0)
        return false;
    say(decision, part, in_flight, DELAY_IN_FLIGHT);
    backlog_over(&delay->backlog, decision->now_ns);
    return true;
}

static bool is_over(struct decision *decision, unsigned i, struct delay *delay, uint64_t salt) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    bool waiting = waits(decision, delay, rule, decision->request->waited_ns);
    double limit = backlog_limit(&delay->backlog, decision->now_ns);
    if (__builtin_expect(!waiting && !(limit > 0), 1) || decision->exempt)
        return false;
    double luck = shedding_luck(decision, salt);
    return (waiting && has_waited_too_long(decision, delay, rule, luck, decision->request->waited_ns)) ||
           (limit > 0 && finds_too_many(decision, i, delay, limit, luck));
}

bool delay_check(struct decision *decision, unsigned i, uint64_t salt) {
    struct delay *delay = delay_of(decision, i);
    uint32_t left;
    if (delay && is_over(decision, i, delay, salt)) {
        store_relaxed(&delay->over_ns, decision->now_ns);
        return false;
    }
    in_flight_take(decision, &decision->compiled->shedder[i], UINT32_MAX, 0, 1, false, &left);
    return true;
}

static bool queue_waits(struct engine *engine, struct delay *delay, enum waiting_queue queue, uint64_t now_ns) {
    return waiting_sheds(&engine->waiting[queue], now_ns) || waiting_sheds(&delay->waiting[queue], now_ns);
}

bool delay_waits(struct engine *engine, struct delay *delay, uint64_t now_ns) {
    return queue_waits(engine, delay, WAITING_ACCEPT, now_ns) || queue_waits(engine, delay, WAITING_READ, now_ns);
}

/* A process that hands its connections to others, and reads none of their requests itself, sees but the beginning of
 * their way: what it takes now will have waited about as long as those that the others read now. */
static uint64_t door_waited_ns(const struct decision *decision, const struct delay *delay) {
    const struct waiting *own = decision->engine->waiting, *all = &delay->waiting[WAITING_ACCEPT];
    uint64_t waited_ns = decision->request->waited_ns, others_ns = waiting_last_ns(all, decision->now_ns);
    bool reads = waiting_last_ns(&own[WAITING_ACCEPT], decision->now_ns) != 0;
    return reads || others_ns < waited_ns ? waited_ns : others_ns;
}

bool delay_door(struct decision *decision, unsigned i, uint64_t salt) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct delay *delay = delay_of(decision, i);
    if (!delay || decision->request->waited_ns == ENGINE_WAITED_UNKNOWN ||
        !delay_waits(decision->engine, delay, decision->now_ns) ||
        !has_waited_too_long(decision, delay, rule, shedding_luck(decision, salt), door_waited_ns(decision, delay)))
        return true;
    store_relaxed(&delay->over_ns, decision->now_ns);
    return false;
}

void delay_done(struct decision *decision, unsigned i, uint64_t rt_ns, bool success) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct delay *delay = delay_of(decision, i);
    if (!delay)
        return;
    /* where requests wait before they are read, too, there is no doubt why they take long within */
    if (backlog_done(&delay->backlog, decision->now_ns, decision->ticket->resources[0], rt_ns, success,
                     delay_waits(decision->engine, delay, decision->now_ns) ? target_of(rule) : interval_of(rule),
                     interval_of(rule)))
        backlog_step(&delay->backlog, decision->now_ns,
                     in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX), target_of(rule),
                     interval_of(rule));
}

bool delay_sheds(const struct delay *delay, uint64_t now_ns) {
    uint64_t over = load_relaxed(&delay->over_ns);
    return over && (int64_t)(now_ns - over) <= COOL_DOWN_NS;
}

static uint64_t longest_ns(const struct delay *delay, uint64_t now_ns) {
    uint64_t longest = 0;
    for (unsigned queue = 0; queue < WAITING_QUEUES; queue++) {
        uint64_t last = waiting_last_ns(&delay->waiting[queue], now_ns);
        longest = last > longest ? last : longest;
    }
    return longest;
}

double delay_ms(struct decision *decision, unsigned i, const struct vitals *vitals) {
    const struct delay *delay = delay_of(decision, i);
    double waited = delay ? (double)longest_ns(delay, decision->now_ns) : 0,
           beyond = delay ? vitals_mean_rt_ns(vitals, decision->now_ns) - (double)load_relaxed(&delay->backlog.mean_ns)
                          : 0;
    return (waited > beyond ? waited : beyond) / 1e6;
}

const struct limiter_ops limiter_delay = {.least = sizeof(struct delay)};
