/* An engine on made-up memory and a made-up clock, for the tests of rules/engine. */
#ifndef WEIR_TESTS_UNIT_ENGINE_FIXTURE_H
#define WEIR_TESTS_UNIT_ENGINE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "tests/shared_counters.h"

#define SECOND 1000000000ull
#define MS 1000000ull
#define START (1700000000ull * SECOND + 123456789)

static inline struct layout_counters_header *fixture_counters(void) {
    return shared_counters(0x1234567);
}

static inline struct layout_process *fixture_process(struct layout_counters_header *header, uint32_t slot) {
    return shared_at(header, LAYOUT_PROCESS_TABLE, slot);
}

static inline struct engine *fixture_engine(struct layout_counters_header *shared, uint32_t slot) {
    struct engine *engine = shared_engine(shared, slot);
    if (shared && slot != UINT32_MAX)
        fixture_process(shared, slot)->owner = 1ull << 32 | (slot + 1);
    return engine;
}
/* The ruleset in force and the one before it were the tests' to give, and are to free. */
static inline void fixture_free(struct engine *engine) {
    free((void *)engine_release(engine));
    uint32_t token = engine_read_begin(engine);
    void *ruleset = (void *)engine_ruleset(engine);
    engine_read_end(engine, token);
    engine_free(engine);
    free(ruleset);
}

/* Rules: fixture_rules(), fixture_rule() for each with changes in between, fixture_adopt(). */
static inline struct ruleset_builder *fixture_rules(void) {
    return ruleset_builder_new("test");
}

static inline struct rule fixture_rule(struct ruleset_builder *builder, enum rule_kind kind, const char *id,
                                       const char *resource, double count) {
    struct rule rule;
    rule_defaults(&rule, kind);
    rule.id = ruleset_add_text(builder, id, strlen(id));
    rule.id_hash = hash_bytes(0, id, strlen(id));
    rule.resource = resource ? ruleset_add_text(builder, resource, strlen(resource)) : 0;
    rule.count = count;
    return rule;
}
static inline ruleset_string fixture_text(struct ruleset_builder *builder, const char *text) {
    return ruleset_add_text(builder, text, strlen(text));
}

static inline int fixture_adopt(struct engine *engine, struct ruleset_builder *builder, uint64_t generation) {
    size_t size;
    void *ruleset = ruleset_builder_finish(builder, &size);
    if (!ruleset || !ruleset_check(ruleset, size))
        abort();
    int result = engine_adopt(engine, ruleset, size, generation);
    free((void *)engine_release(engine));
    if (result != 0)
        free(ruleset);
    return result;
}

static inline void fixture_one_rule(struct engine *engine, struct ruleset_builder *builder, const struct rule *rule,
                                    uint64_t generation) {
    ruleset_add_rule(builder, rule);
    if (fixture_adopt(engine, builder, generation) != 0)
        abort();
}

static inline uint32_t fixture_resource(struct engine *engine, const char *name) {
    return engine_resource(engine, name, strlen(name), SIDE_INBOUND);
}

struct fixture_call {
    struct engine_ticket ticket;
    struct engine_result decision;
};

static inline struct engine_request fixture_request(const uint32_t *resource) {
    return (struct engine_request){
        .resources = resource, .resources_count = 1, .side = SIDE_INBOUND, .priority = PRIORITY_NORMAL, .acquire = 1};
}

static inline enum engine_verdict fixture_enter(struct engine *engine, uint64_t now, uint32_t resource,
                                                struct fixture_call *call) {
    struct engine_request request = fixture_request(&resource);
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}
static inline enum engine_verdict fixture_enter_as(struct engine *engine, uint64_t now, uint32_t resource,
                                                   const char *origin, struct fixture_call *call) {
    struct engine_request request = fixture_request(&resource);
    request.origin = origin;
    request.origin_length = strlen(origin);
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}
static inline void fixture_exit(struct engine *engine, uint64_t now, struct fixture_call *call, bool error) {
    struct engine_outcome outcome = {.error = error};
    engine_exit(engine, &call->ticket, now, &outcome);
}
/* Enters and, if admitted, leaves at once: true if admitted. */
static inline bool fixture_pass(struct engine *engine, uint64_t now, uint32_t resource) {
    struct fixture_call call;
    bool pass = fixture_enter(engine, now, resource, &call) != ENGINE_BLOCK;
    if (pass)
        fixture_exit(engine, now, &call, false);
    return pass;
}

/* How many of so many are admitted, all at the same moment. */
static inline unsigned fixture_passes(struct engine *engine, uint64_t now, uint32_t resource, unsigned tries) {
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++)
        passed += fixture_pass(engine, now, resource);
    return passed;
}

/* xorshift: the same numbers in every run. */
static inline uint64_t fixture_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Where figures of a resource are, whichever memory the engine uses. */
static inline struct layout_stats *fixture_stats(struct layout_counters_header *header, uint32_t resource) {
    return shared_at(header, LAYOUT_STATISTICS, resource);
}
static inline struct layout_stat_shard fixture_sum(struct layout_counters_header *header, uint32_t resource) {
    struct layout_stat_shard sum = {0};
    for (unsigned i = 0; i < LAYOUT_STAT_SHARDS; i++) {
        const struct layout_stat_shard *shard = &fixture_stats(header, resource)->shard[i];
        sum.pass += shard->pass, sum.block += shard->block, sum.success += shard->success,
            sum.exception += shard->exception;
        sum.simulated += shard->simulated, sum.queued += shard->queued, sum.rt_ns += shard->rt_ns,
            sum.queue_ns += shard->queue_ns;
    }
    return sum;
}

#endif
