#include "rules/engine/limiters/by_cpu.h"

#include "rules/engine/limiters/adaptive.h"
#include "rules/engine/limiters/budget.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"

enum { BACKLOG = 4, BACKLOG_LEAST = 16 }; /* times what the application can have in flight without queueing */

/* Where in the virtual queue a priority's callers stand: from the least lucky one on, so far. */
static const struct {
    double from, width;
} PLACES[] = {[PRIORITY_LOW] = {0.05, 0.2}, [PRIORITY_NORMAL] = {0.3, 0.5}, [PRIORITY_CRITICAL] = {0.85, 0.15}};

static struct budget *budget_of(struct decision *decision, unsigned i) {
    return (struct budget *)decision_state(decision, &decision->compiled->shedder_budget[i], UINT32_MAX,
                                           LIMITER_BUDGET);
}

/* In flight what would take the application seconds: while the CPU is above its target, nothing is added to that. */
static double backlog_limit(struct decision *decision, unsigned i) {
    struct vitals *vitals = shedding_vitals(decision, i);
    double limit = vitals ? vitals_capacity(vitals, decision->now_ns) * BACKLOG : 0;
    return limit > 0 && limit < BACKLOG_LEAST ? BACKLOG_LEAST : limit;
}

bool by_cpu_check(struct decision *decision, unsigned i, bool exempt) {
    struct budget *budget = budget_of(decision, i);
    if (!budget)
        return true;
    uint64_t since_ns = budget_since_ns(budget), waited_ns = decision->request->waited_ns;
    if (waited_ns != ENGINE_WAITED_UNKNOWN)
        budget_waited(budget, waited_ns);
    if (!since_ns)
        return shedding_capacity(decision, i, 0, 0, exempt);
    double luck = shedding_luck(decision, since_ns);
    decision->retry_ns = adaptive_retry_ns(decision->now_ns, since_ns, luck);
    shedding_say(decision, budget_rate(budget), 0);
    if (!budget_admits(budget, decision->now_ns,
                       PLACES[decision->priority].from + luck * PLACES[decision->priority].width, exempt))
        return false;
    return shedding_capacity(decision, i, budget_is_above(budget) ? backlog_limit(decision, i) : 0, 0, exempt);
}

void by_cpu_done(struct decision *decision, unsigned i) {
    struct budget *budget = budget_of(decision, i);
    if (budget)
        budget_done(budget);
}

/* More is in flight than the application can work on.  Once it was, until hardly anything waits: the latency without a
 * queue is seen again then, and what is too much does not grow with the queue. */
static bool has_backlog(struct decision *decision, unsigned i, const struct budget *budget) {
    double most = backlog_limit(decision, i) / (budget_is_used_up(budget) ? BACKLOG : 1);
    return most > 0 && in_flight_now(decision, &decision->compiled->shedder[i], UINT32_MAX) > most;
}

bool by_cpu_sample(struct decision *decision, unsigned i, double *ret_share) {
    const struct rule *rule = decision->compiled->shedder[i].rule;
    struct budget *budget = budget_of(decision, i);
    struct budget_sample sample = {.cpu = load_double(&decision->engine->app_cpu),
                                   .cpus_used = load_double(&decision->engine->cpus_used),
                                   .target = rule->count,
                                   .backlog = budget && has_backlog(decision, i, budget),
                                   .simulated = rule->mode == MODE_SIMULATE};
    if (!budget || !budget_step(budget, decision->now_ns, &sample))
        return false;
    *ret_share = budget_rejected_share(budget);
    return true;
}

/* Its bindings are the compiled ruleset's; what they serve is another limiter's. */
const struct limiter_ops limiter_budget = {.least = sizeof(struct budget)};
