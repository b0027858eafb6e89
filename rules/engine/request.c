/* The way of one request in and out of the engine: its ticket, the policy that decides, statistics.
 *
 * Statistics are relaxed words that only grow, spread over shards; extremes are of one second, and the first who comes
 * in another one restarts them. */
#include <string.h>

#include "rules/alone.h"
#include "rules/engine/decision.h"
#include "rules/engine/histogram.h"
#include "rules/engine/policy.h"

const struct policy *const policies[POLICIES] = {[POLICY_OWN] = &policy_own, [POLICY_SENTINEL] = &policy_sentinel};

/* Which policy gave the ticket. */
static const struct policy *policy_of(const struct engine_ticket *ticket) {
    return policies[(ticket->flags >> TICKET_POLICY_SHIFT) % POLICIES];
}

/* ------------------------------------------------------------------------------------------- the rules it goes by */

/* A reader adds itself to the compiled ruleset's count and then looks whether it is still current; adoption makes
 * another one current and then looks at the counts.  In one total order, so one of them sees the other. */
uint32_t engine_read_begin(struct engine *engine) {
    struct readers *readers = &engine->readers[engine_thread() % ENGINE_READERS];
    for (;;) {
        uint32_t compiled = load_acquire(&engine->current);
        if (compiled >= ENGINE_NO_RULES)
            return ENGINE_NO_RULES;
        alone_add32(&readers->count[compiled], 1);
        if (__builtin_expect(load_total(&engine->current) == compiled, 1))
            return compiled;
        sub_floor32(&readers->count[compiled], 1);
    }
}

void engine_read_end(struct engine *engine, uint32_t token) {
    if (token < ENGINE_NO_RULES)
        alone_add32(&engine->readers[engine_thread() % ENGINE_READERS].count[token], UINT32_MAX);
}

bool engine_rules_begin(struct engine *engine, struct engine_rules *ret_rules) {
    uint32_t token = engine_read_begin(engine);
    if (token >= ENGINE_NO_RULES)
        return false;
    const struct compiled *compiled = &engine->compiled[token];
    *ret_rules = (struct engine_rules){token, compiled->ruleset, compiled->generation, &compiled->naming};
    return true;
}

/* ------------------------------------------------------------------------------------------------------ statistics */

/* Where this process counts what is in flight: its own area of the app's file; what began before there was one, or is
 * of a process without a slot, in its own memory. */
uint32_t *engine_in_flight_words(const struct engine *engine, const struct engine_ticket *ticket) {
    uint32_t area = load_relaxed(&engine->area);
    return (ticket->flags & TICKET_PRIVATE || area == UINT32_MAX ? engine->private_area : engine_area(engine, area))
        ->in_flight;
}

static struct layout_second *extremes_of(struct layout_stats *stats, uint64_t now_ns) {
    uint32_t second = (uint32_t)(now_ns / 1000000000u);
    struct layout_second *extremes = &stats->extremes[second % LAYOUT_SECONDS];
    uint32_t old = load_relaxed(&extremes->second);
    if (old != second && atomic_take32(&extremes->second, &old, second)) {
        store_relaxed(&extremes->rt_min_us, UINT32_MAX);
        store_relaxed(&extremes->rt_max_us, 0u);
        store_relaxed(&extremes->in_flight_max, 0u);
    }
    return extremes;
}

static void count_rejected(const struct decision *decision) {
    for (unsigned i = 0; i < decision->ticket->resources_count; i++)
        add_relaxed(&engine_metrics(decision->engine, decision->ticket->resources[i])
                         ->shard[decision->shard % LAYOUT_STAT_SHARDS]
                         .block,
                    decision->ticket->acquire);
}

static void count_admitted(const struct decision *decision) {
    const struct engine_ticket *ticket = decision->ticket;
    const struct engine_result *result = decision->result;
    uint32_t *in_flight = engine_in_flight_words(decision->engine, ticket);
    for (unsigned i = 0; i < ticket->resources_count; i++) {
        uint32_t resource = ticket->resources[i];
        struct layout_stats *stats = engine_metrics(decision->engine, resource);
        struct layout_stat_shard *shard = &stats->shard[decision->shard % LAYOUT_STAT_SHARDS];
        add_relaxed(&shard->pass, ticket->acquire);
        if (__builtin_expect(result->simulated != 0, 0))
            add_relaxed(&shard->simulated, ticket->acquire);
        if (__builtin_expect(result->wait_ns != 0, 0)) {
            add_relaxed(&shard->queued, ticket->acquire);
            add_relaxed(&shard->queue_ns, result->wait_ns);
        }
        uint32_t now = alone_add32(&in_flight[resource], 1) + 1,
                 *most = &extremes_of(stats, decision->now_ns)->in_flight_max;
        for (uint32_t old = load_relaxed(most); old < now && !atomic_take32(most, &old, now);) {
        }
    }
}

/* No longer in flight.  The word may have been cleared, as a dead process's is. */
static void count_left(const struct engine *engine, const struct engine_ticket *ticket) {
    uint32_t *in_flight = engine_in_flight_words(engine, ticket);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++) {
        uint32_t *word = &in_flight[ticket->resources[i]], old = load_relaxed(word);
        while (old && !alone_take32(word, &old, old - 1)) {
        }
    }
}

unsigned histogram_bucket(uint64_t rt_ns) {
    uint64_t units = rt_ns / 32000; /* half of 64 us, so that 1.5 is whole */
    if (units < 2)
        return 0;
    unsigned octave = 63 - (unsigned)__builtin_clzll(units);
    unsigned bucket = 2 * (octave - 1) + 1 + ((units >> (octave - 1)) & 1);
    return bucket < LAYOUT_HISTOGRAM ? bucket : LAYOUT_HISTOGRAM - 1;
}

static void count_completed(const struct engine *engine, const struct engine_ticket *ticket, uint64_t now_ns,
                            uint64_t rt_ns, bool error) {
    unsigned number = engine_thread() + load_relaxed(&engine->slot), bucket = histogram_bucket(rt_ns);
    uint32_t rt_us = rt_ns / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(rt_ns / 1000);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++) {
        struct layout_stats *stats = engine_metrics(engine, ticket->resources[i]);
        struct layout_stat_shard *shard = &stats->shard[number % LAYOUT_STAT_SHARDS];
        add_relaxed(&shard->success, ticket->acquire);
        add_relaxed(&shard->rt_ns, rt_ns);
        if (error)
            add_relaxed(&shard->exception, ticket->acquire);
        add_relaxed(&stats->rt_histogram[bucket], 1u);
        struct layout_second *extremes = extremes_of(stats, now_ns);
        for (uint32_t old = load_relaxed(&extremes->rt_min_us);
             old > rt_us && !atomic_take32(&extremes->rt_min_us, &old, rt_us);) {
        }
        for (uint32_t old = load_relaxed(&extremes->rt_max_us);
             old < rt_us && !atomic_take32(&extremes->rt_max_us, &old, rt_us);) {
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ the way in */

static void note_seen(struct engine *engine, uint64_t now_ns) {
    uint32_t slot = load_relaxed(&engine->slot);
    store_relaxed(&engine->seen_ns, now_ns);
    if (slot != UINT32_MAX)
        store_relaxed(&engine_process(engine, slot)->seen_ns, now_ns);
}

enum engine_verdict engine_enter(struct engine *engine, uint64_t now_ns, const struct engine_request *request,
                                 struct engine_ticket *ret_ticket, struct engine_result *ret_result) {
    uint32_t token = engine_read_begin(engine);
    enum engine_verdict verdict = engine_enter_within(engine, token, now_ns, request, ret_ticket, ret_result);
    engine_read_end(engine, token);
    return verdict;
}

static enum engine_verdict door(struct decision *decision) {
    const struct policy *policy = policies[decision->compiled->policy];
    return policy->door && policy->door(decision) ? ENGINE_BLOCK : ENGINE_PASS;
}

enum engine_verdict engine_enter_within(struct engine *engine, uint32_t token, uint64_t now_ns,
                                        const struct engine_request *request, struct engine_ticket *ret_ticket,
                                        struct engine_result *ret_result) {
    enum { SEEN_EVERY_NS = 100000000 };
    struct engine_ticket *ticket = ret_ticket;
    uint32_t entries = load_acquire(&engine->map.part[LAYOUT_STATISTICS].mapped);
    enum engine_verdict verdict = ENGINE_PASS;
    if (__builtin_expect(now_ns - load_relaxed(&engine->seen_ns) >= SEEN_EVERY_NS, 0))
        note_seen(engine, now_ns);
    ticket->start_ns = now_ns;
    ticket->leases_count = 0;
    ticket->time_us = 0;
    ticket->side = (uint8_t)(request->side | (request->connection ? TICKET_CONNECTION : 0));
    ticket->acquire = request->acquire;
    ticket->flags = (uint8_t)((engine->incarnation & TICKET_FORK) |
                              (load_relaxed(&engine->area) == UINT32_MAX ? TICKET_PRIVATE : 0));
    ticket->resources_count = (uint8_t)(request->resources_count < ENGINE_RESOURCES_MAX ? request->resources_count
                                                                                        : ENGINE_RESOURCES_MAX);
    for (unsigned i = 0; i < ticket->resources_count; i++)
        ticket->resources[i] = (uint16_t)(request->resources[i] < entries ? request->resources[i] : ENGINE_OTHER);
    memset(ret_result, 0, offsetof(struct engine_result, value));
    ret_result->rule = UINT32_MAX;
    struct decision decision; /* its notes need no clearing */
    decision.engine = engine;
    decision.request = request;
    decision.ticket = ticket;
    decision.result = ret_result;
    decision.now_ns = now_ns;
    decision.slot = load_relaxed(&engine->slot);
    decision.shard = engine_thread() + decision.slot;
    decision.wait_ns = decision.retry_ns = 0;
    decision.takes_count = 0;
    decision.more = NULL;
    decision.detail = 0;
    decision.priority = request->priority <= PRIORITY_CRITICAL ? request->priority : PRIORITY_NORMAL;
    if (__builtin_expect(token < ENGINE_NO_RULES, 1)) {
        decision.compiled = &engine->compiled[token];
        ticket->flags |= decision.compiled->ticket_flags;
        verdict = __builtin_expect(request->door, 0) ? door(&decision)
                                                     : policies[decision.compiled->policy]->enter(&decision);
    }
    ret_result->verdict = (uint8_t)verdict;
    if (__builtin_expect(request->door && verdict == ENGINE_PASS, 0)) {
        ticket->resources_count = 0;
    } else if (verdict != ENGINE_BLOCK) {
        count_admitted(&decision);
    } else {
        count_rejected(&decision);
        ticket->resources_count = 0;
    }
    return verdict;
}

/* ----------------------------------------------------------------------------------------------------- the way out */

/* Nothing is in flight by it, or it is the parent's, in a forked child, where it means nothing. */
static bool is_void(const struct engine *engine, struct engine_ticket *ticket) {
    if (ticket->resources_count && (ticket->flags & TICKET_FORK) == (engine->incarnation & TICKET_FORK))
        return false;
    ticket->resources_count = ticket->leases_count = 0;
    return true;
}

void engine_begun(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns, bool error) {
    if (!is_void(engine, ticket) && policy_of(ticket)->begun)
        policy_of(ticket)->begun(engine, ticket, now_ns, engine_latency_ns(ticket, now_ns), error);
}

void engine_arrived(struct engine *engine, struct engine_ticket *ticket, uint64_t bytes, uint64_t now_ns) {
    if (!is_void(engine, ticket) && policy_of(ticket)->arrived)
        policy_of(ticket)->arrived(engine, ticket, bytes, now_ns);
}

/* The client went first: of no interest to anything that judges the application. */
static void count_gone(const struct engine *engine, const struct engine_ticket *ticket) {
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++)
        add_relaxed(&engine_metrics(engine, ticket->resources[i])->gone, ticket->acquire);
}

void engine_exit(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns,
                 const struct engine_outcome *outcome) {
    if (is_void(engine, ticket))
        return;
    uint64_t rt_ns = engine_latency_ns(ticket, now_ns);
    if (__builtin_expect(ticket->flags & TICKET_ENDS, 0))
        policy_of(ticket)->leave(engine, ticket, now_ns, rt_ns, outcome);
    count_left(engine, ticket);
    if (__builtin_expect(outcome->left, 0))
        count_gone(engine, ticket);
    else
        count_completed(engine, ticket, now_ns, rt_ns, outcome->error || outcome->aborted);
    ticket->resources_count = 0;
}

void engine_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    if (is_void(engine, ticket))
        return;
    if (ticket->flags & TICKET_ENDS)
        policy_of(ticket)->cancel(engine, ticket, now_ns);
    count_left(engine, ticket);
    ticket->resources_count = 0;
}

/* It was counted as passed, and was answered with a rejection all the same. */
void engine_refuse(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    uint32_t count = is_void(engine, ticket) ? 0 : ticket->resources_count;
    engine_cancel(engine, ticket, now_ns);
    for (uint32_t i = 0; i < count && i < ENGINE_RESOURCES_MAX; i++) {
        struct layout_stat_shard *shard = &engine_metrics(engine, ticket->resources[i])
                                               ->shard[engine_thread() % LAYOUT_STAT_SHARDS];
        add_relaxed(&shard->pass, -(uint64_t)ticket->acquire);
        add_relaxed(&shard->block, ticket->acquire);
    }
}

void engine_sample(struct engine *engine, uint64_t now_ns, const struct engine_sample *sample) {
    store_double(&engine->cpu, sample->cpu);
    store_double(&engine->load1, sample->load1);
    store_double(&engine->app_cpu, sample->app_cpu);
    store_double(&engine->cpus_used, sample->cpus_used);
    metrics_find_area(engine);
    uint32_t token = engine_read_begin(engine);
    if (token < ENGINE_NO_RULES)
        policies[engine->compiled[token].policy]->sample(engine, &engine->compiled[token], now_ns, sample);
    engine_read_end(engine, token);
}
