/* The way of one request in and out of the engine: its ticket, the policy that decides, statistics. */
#include <string.h>

#include "rules/engine/attempt.h"
#include "rules/engine/policy.h"

const struct policy *const policies[POLICIES] = {[POLICY_OWN] = &policy_own, [POLICY_SENTINEL] = &policy_sentinel};

/* Which policy gave the ticket. */
static const struct policy *policy_of(const struct engine_ticket *ticket) {
    return policies[(ticket->flags >> TICKET_POLICY_SHIFT) % POLICIES];
}

static void ticket_begin(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns,
                         const struct engine_request *request) {
    uint32_t entries = counters_mapped(&engine->map, LAYOUT_STATISTICS);
    bool private_area;
    stats_area(engine, &private_area);
    ticket->start_ns = now_ns;
    ticket->holds_count = 0;
    ticket->side = (uint8_t)(request->side | (request->connection ? TICKET_CONNECTION : 0));
    ticket->acquire = request->acquire;
    ticket->flags = (uint8_t)((engine->incarnation & TICKET_FORK) | (private_area ? TICKET_PRIVATE : 0));
    ticket->resources_count = (uint8_t)(request->resources_count < ENGINE_RESOURCES_MAX ? request->resources_count
                                                                                        : ENGINE_RESOURCES_MAX);
    for (unsigned i = 0; i < ticket->resources_count; i++)
        ticket->resources[i] = (uint16_t)(request->resources[i] < entries ? request->resources[i] : ENGINE_OTHER);
}

static void note_seen(struct engine *engine, uint64_t now_ns) {
    enum { EVERY_NS = 100000000 };
    uint64_t seen = load_relaxed(&engine->seen_ns);
    if (now_ns - seen < EVERY_NS)
        return;
    uint32_t slot = load_relaxed(&engine->slot);
    store_relaxed(&engine->seen_ns, now_ns);
    if (slot != UINT32_MAX)
        store_relaxed(&engine_process(engine, slot)->seen_ns, now_ns);
}

enum engine_verdict engine_enter(struct engine *engine, uint64_t now_ns, const struct engine_request *request,
                                 struct engine_ticket *ret_ticket, struct engine_decision *ret_decision) {
    uint32_t token = engine_read_begin(engine);
    enum engine_verdict verdict = engine_enter_within(engine, token, now_ns, request, ret_ticket, ret_decision);
    engine_read_end(engine, token);
    return verdict;
}

enum engine_verdict engine_enter_within(struct engine *engine, uint32_t token, uint64_t now_ns,
                                        const struct engine_request *request, struct engine_ticket *ret_ticket,
                                        struct engine_decision *ret_decision) {
    uint32_t slot = load_relaxed(&engine->slot);
    unsigned shard = engine_thread() + slot;
    enum engine_verdict verdict = ENGINE_PASS;
    struct attempt attempt; /* its notes need no clearing */
    attempt.engine = engine;
    attempt.request = request;
    attempt.ticket = ret_ticket;
    attempt.decision = ret_decision;
    attempt.now_ns = now_ns;
    attempt.shard = shard;
    attempt.slot = slot;
    attempt.wait_ns = attempt.retry_ns = 0;
    attempt.takes_count = 0;
    attempt.more = NULL;
    attempt.priority = request->priority <= PRIORITY_CRITICAL ? request->priority : PRIORITY_NORMAL;
    *ret_decision = (struct engine_decision){.rule = UINT32_MAX};
    ticket_begin(engine, ret_ticket, now_ns, request);
    note_seen(engine, now_ns);
    if (token < 2) {
        attempt.view = &engine->views[token];
        ret_ticket->flags |= (uint8_t)(attempt.view->policy << TICKET_POLICY_SHIFT);
        verdict = policies[attempt.view->policy]->enter(&attempt);
    }
    ret_decision->verdict = (uint8_t)verdict;
    for (unsigned i = 0; i < ret_ticket->resources_count; i++)
        if (verdict == ENGINE_BLOCK)
            stats_block(engine, ret_ticket->resources[i], shard, request->acquire);
        else
            stats_pass(engine, ret_ticket->resources[i], shard, now_ns, ret_ticket->flags & TICKET_PRIVATE,
                       request->acquire, ret_decision->wait_ns, ret_decision->simulated != 0);
    if (verdict == ENGINE_BLOCK)
        ret_ticket->resources_count = 0;
    return verdict;
}

/* A ticket of the parent process means nothing in a forked child. */
static bool is_ours(const struct engine *engine, const struct engine_ticket *ticket) {
    return (ticket->flags & TICKET_FORK) == (engine->incarnation & TICKET_FORK);
}

void engine_exit(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns,
                 const struct engine_outcome *outcome) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    uint64_t rt_ns = now_ns > ticket->start_ns ? now_ns - ticket->start_ns : 0;
    bool error = outcome->error || outcome->aborted;
    if (ticket->flags & TICKET_ENDS)
        policy_of(ticket)->leave(engine, ticket, now_ns, rt_ns, outcome);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++) {
        stats_leave(engine, ticket->resources[i], ticket->flags & TICKET_PRIVATE);
        stats_done(engine, ticket->resources[i], engine_thread() + load_relaxed(&engine->slot), now_ns, rt_ns,
                   ticket->acquire, error);
    }
    ticket->resources_count = 0;
}

void engine_cancel(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    if (!ticket->resources_count || !is_ours(engine, ticket)) {
        ticket->resources_count = ticket->holds_count = 0;
        return;
    }
    if (ticket->flags & TICKET_ENDS)
        policy_of(ticket)->cancel(engine, ticket, now_ns);
    for (unsigned i = 0; i < ticket->resources_count && i < ENGINE_RESOURCES_MAX; i++)
        stats_leave(engine, ticket->resources[i], ticket->flags & TICKET_PRIVATE);
    ticket->resources_count = 0;
}

void engine_refuse(struct engine *engine, struct engine_ticket *ticket, uint64_t now_ns) {
    uint32_t count = is_ours(engine, ticket) ? ticket->resources_count : 0;
    engine_cancel(engine, ticket, now_ns);
    for (uint32_t i = 0; i < count; i++)
        stats_refuse(engine, ticket->resources[i], engine_thread(), ticket->acquire);
}

void engine_sample(struct engine *engine, uint64_t now_ns, const struct engine_sample *sample) {
    uint64_t bits;
    memcpy(&bits, &sample->cpu, sizeof(bits));
    store_relaxed(&engine->cpu, bits);
    memcpy(&bits, &sample->load1, sizeof(bits));
    store_relaxed(&engine->load1, bits);
    stats_find_area(engine);
    uint32_t token = engine_read_begin(engine);
    if (token < ENGINE_NO_VIEW)
        policies[engine->views[token].policy]->sample(engine, &engine->views[token], now_ns, sample);
    engine_read_end(engine, token);
}
