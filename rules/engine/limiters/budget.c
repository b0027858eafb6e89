#include "rules/engine/limiters/budget.h"

#include "rules/atomic.h"

enum { STEP_LEAST_NS = 400000000, STEP_MOST_NS = 2000000000, DEPTH_NS = 200000000, DEPTH_LEAST = 24 /* requests */ };
enum { WEIGHT = 8, QUEUES_US = 100000 };
enum { ABOVE_STEPS = 2, SPARE_STEPS = 4, FEW = 20 };
static const double USED_UP = 0.985; /* a figure that says "at least so much" */
/* Where other programs take the CPU, and threads that live for one request wait for it, the figure is less than what
 * is wanted; where requests queue all the same, so much is all there is. */
static const double BUSY = 0.6;
/* The figure is the less the more programs share the CPUs.  Where these have no time left, what the application gets is
 * its share, however small; but one that hardly uses any does not queue for them. */
static const double NONE_LEFT = 0.97, SHARE_LEAST = 0.05;
static const double ERROR_MOST = 0.5;
static const double GAIN = 0.4, SLOW_GAIN = 0.05;                  /* up to what it is known to carry, and beyond */
static const double RATE_LEAST = 0.1, RATE_MOST = 1e7;             /* requests a second */
static const double FORGET = 0.97;                                 /* of the capacity, a step */
static const double DRAIN = 0.8, DRAIN_LEAST = 0.5;                /* of what it carries, while a backlog is to go */
static const double PUSH = 0.2, PUSH_LEAST = 0.3, PUSH_MOST = 0.8; /* of the virtual queue's depth */

static double get(const uint64_t *word) {
    double value = load_double(word);
    return value > 0 && value < RATE_MOST ? value : 0; /* whatever another process wrote */
}

double budget_rate(const struct budget *budget) {
    double rate = get(&budget->rate);
    return rate < RATE_LEAST ? 0 : rate;
}

uint64_t budget_since_ns(const struct budget *budget) {
    return load_relaxed(&budget->since_ns);
}

double budget_rejected_share(const struct budget *budget) {
    return load_relaxed(&budget->share) / 4294967295.0;
}

bool budget_is_used_up(const struct budget *budget) {
    return load_relaxed(&budget->used_up) > 0;
}

bool budget_is_above(const struct budget *budget) {
    return budget_rate(budget) > 0 && load_relaxed(&budget->above);
}

void budget_done(struct budget *budget) {
    add_relaxed(&budget->done, 1u);
}

void budget_waited(struct budget *budget, uint64_t waited_ns) {
    int64_t mean = load_relaxed(&budget->waited_us), most = UINT32_MAX,
            us = waited_ns / 1000 < UINT32_MAX ? (int64_t)(waited_ns / 1000) : most;
    store_relaxed(&budget->waited_us, (uint32_t)(mean + (us - mean) / WEIGHT));
}

/* ------------------------------------------------------------------------------------------------- the control step */

static bool queues(struct budget *budget) {
    uint32_t us = load_relaxed(&budget->waited_us);
    store_relaxed(&budget->waited_us, us / 2); /* by and by forgotten where none comes */
    return us >= QUEUES_US;
}

static uint32_t grown(const uint32_t *word, uint32_t *before) {
    uint32_t now = load_relaxed(word), was = load_relaxed(before);
    store_relaxed(before, now);
    return now - was;
}

/* Completions a second; where they are few, of more than the last step. */
static double completions(struct budget *budget, double seconds) {
    double n = grown(&budget->done, &budget->done_before), old = get(&budget->done_rate), now = n / seconds;
    if (old > 0)
        now = old + (now - old) * ((n + 1) / (n + FEW));
    store_double(&budget->done_rate, now);
    return now;
}

static void note_share(struct budget *budget) {
    double asked = grown(&budget->asked, &budget->asked_before),
           rejected = grown(&budget->rejected, &budget->rejected_before);
    double share = asked > 0 && rejected < asked ? rejected / asked : asked > 0;
    store_relaxed(&budget->spare, rejected > 0 ? 0 : load_relaxed(&budget->spare) + 1);
    store_relaxed(&budget->share, (uint32_t)(share * 4294967295.0));
}

/* The factor that a backlog goes by: it would stay as long as the CPU is used up. */
static double draining(uint32_t steps) {
    double factor = 1;
    for (uint32_t i = 1; i < steps && factor > DRAIN_LEAST; i++)
        factor *= DRAIN;
    return factor;
}

/* The rate while there is a limit. */
static double next_rate(struct budget *budget, double done, double error, double target, uint32_t was_used_up,
                        bool drain) {
    uint32_t used_up = load_relaxed(&budget->used_up);
    double rate = budget_rate(budget), capacity = get(&budget->capacity);
    if (used_up >= 2) {
        capacity = capacity * FORGET > done ? capacity * FORGET : done;
        store_double(&budget->capacity, capacity);
        double carried = capacity * target * (drain ? draining(used_up) : 1);
        return rate < carried ? rate : carried;
    }
    rate *= 1 + (error > 0 && rate >= capacity * target && capacity > 0 ? SLOW_GAIN : GAIN) * error;
    if (was_used_up >= 2 && !used_up && rate < capacity * target) /* the backlog has gone */
        rate = capacity * target;
    return rate;
}

static void count_step(uint32_t *steps, bool more) {
    uint32_t n = load_relaxed(steps);
    store_relaxed(steps, more ? n + (n < UINT32_MAX) : 0);
}

static uint64_t depth_of(uint64_t unit_ns) {
    uint64_t least = unit_ns * DEPTH_LEAST;
    return least > DEPTH_NS ? least : DEPTH_NS;
}

static double within(double value, double least, double most) {
    return value > most ? most : value > least ? value : least;
}

static uint64_t length_ns(uint64_t free_ns, uint64_t now_ns, uint64_t depth_ns) {
    int64_t length = (int64_t)(free_ns - now_ns);
    return length < 0 ? 0 : (uint64_t)length > depth_ns ? depth_ns : (uint64_t)length;
}

/* What waits where the engine does not see it (an event loop's requests, in their sockets) is read no faster than the
 * application works, so that it hardly lengthens the virtual queue, until enough of it is rejected. */
static void push(struct budget *budget, uint64_t now_ns, double rate) {
    double depth = (double)depth_of((uint64_t)(1e9 / rate));
    double length = (double)length_ns(load_relaxed(&budget->free_ns), now_ns, (uint64_t)depth);
    double pushed = within(length + PUSH * depth, PUSH_LEAST * depth, PUSH_MOST * depth);
    if (pushed > length)
        store_relaxed(&budget->free_ns, now_ns + (uint64_t)pushed);
}

static void end(struct budget *budget) {
    store_double(&budget->rate, 0);
    store_double(&budget->capacity, 0);
    store_relaxed(&budget->since_ns, 0);
}

static void begin(struct budget *budget, uint64_t now_ns, double capacity) {
    store_relaxed(&budget->free_ns, now_ns);
    store_relaxed(&budget->spare, 0u);
    store_double(&budget->capacity, capacity);
    store_relaxed(&budget->since_ns, now_ns);
}

/* Where requests queue: is so much all the CPU that the application can get? */
static bool is_all_there_is(const struct budget_sample *sample) {
    return sample->cpu >= (sample->cpus_used >= NONE_LEFT ? SHARE_LEAST : BUSY);
}

static void control(struct budget *budget, uint64_t now_ns, const struct budget_sample *sample, double done) {
    double cpu = sample->cpu, target = sample->target;
    bool known = cpu >= 0 && cpu <= 1e6 && target > 0, backlog = queues(budget) || sample->backlog;
    if (known && backlog && is_all_there_is(sample))
        cpu = 1;
    bool full = known && cpu >= USED_UP;
    double error = known ? (target - cpu) / target : ERROR_MOST; /* unknown: let go by and by */
    double rate = budget_rate(budget);
    uint32_t was_used_up = load_relaxed(&budget->used_up);
    count_step(&budget->used_up, full);
    count_step(&budget->above, error < 0);
    if (rate > 0) {
        rate = next_rate(budget, done, within(error, -ERROR_MOST, ERROR_MOST), target, was_used_up, !sample->simulated);
    } else {
        if (!(done > 0) || load_relaxed(&budget->above) < (full && backlog ? 1 : ABOVE_STEPS))
            return;
        rate = done * target / cpu;
        begin(budget, now_ns, full ? done : 0);
    }
    rate = within(rate, RATE_LEAST, RATE_MOST);
    store_double(&budget->rate, rate);
    if (full)
        push(budget, now_ns, rate);
    if (error >= 0 && load_relaxed(&budget->spare) >= SPARE_STEPS)
        end(budget);
}

bool budget_step(struct budget *budget, uint64_t now_ns, const struct budget_sample *sample) {
    uint64_t last = load_relaxed(&budget->stepped_ns);
    int64_t since = (int64_t)(now_ns - last);
    if (since < STEP_LEAST_NS || !atomic_take(&budget->stepped_ns, &last, now_ns))
        return false;
    double done = completions(budget, (double)since / 1e9);
    note_share(budget);
    if (since <= STEP_MOST_NS) /* else that was no step: there was none before, or nothing was asked */
        control(budget, now_ns, sample, done);
    return true;
}

/* ------------------------------------------------------------------------------------------------- the virtual queue
 */

bool budget_admits(struct budget *budget, uint64_t now_ns, double place, bool exempt) {
    double rate = budget_rate(budget);
    if (!(rate > 0))
        return true;
    uint64_t unit = (uint64_t)(1e9 / rate), depth = depth_of(unit), may = (uint64_t)((double)depth * place);
    add_relaxed(&budget->asked, 1u);
    uint64_t free = load_relaxed(&budget->free_ns);
    for (;;) {
        uint64_t length = length_ns(free, now_ns, depth);
        bool joins = exempt || length <= may, too_long = (int64_t)(free - now_ns) > (int64_t)depth;
        uint64_t then = joins && length + unit < depth ? length + unit : joins ? depth : length;
        if ((joins || too_long) && !atomic_take(&budget->free_ns, &free, now_ns + then))
            continue;
        if (!joins)
            add_relaxed(&budget->rejected, 1u);
        return joins;
    }
}
