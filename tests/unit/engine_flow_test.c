/* QPS and concurrency through the engine: modes, scopes, origins, several rules, edits. */
#include <check.h>

#include "engine_fixture.h"
#include "tests/unit/suite.h"

static struct engine *with_rule(enum rule_kind kind, const char *resource, double count) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, kind, "r", resource, count);
    fixture_one_rule(engine, builder, &rule, 1);
    return engine;
}

START_TEST(test_no_rules_pass) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    uint32_t a = fixture_resource(engine, "a");
    ck_assert_uint_eq(fixture_passes(engine, START, a, 100), 100);
    ck_assert_ptr_null(engine_ruleset(engine));
    fixture_free(engine);
}
END_TEST

START_TEST(test_qps) {
    struct engine *engine = with_rule(RULE_FLOW, "a", 10);
    uint32_t a = fixture_resource(engine, "a"), b = fixture_resource(engine, "b");
    struct fixture_call call;
    ck_assert_uint_eq(fixture_passes(engine, START, a, 40), 10);
    ck_assert_uint_eq(fixture_passes(engine, START, b, 40), 40);
    ck_assert_int_eq(fixture_enter(engine, START + 500 * MS, a, &call), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.reason, REASON_FLOW);
    ck_assert_uint_eq(call.decision.rule, 0);
    ck_assert_uint_eq(call.decision.resource, a);
    ck_assert(call.decision.limit == 10 && call.decision.remaining == 0 && call.decision.interval_ns == SECOND);
    ck_assert(call.decision.retry_ns > 400 * MS && call.decision.retry_ns < 600 * MS);
    ck_assert_uint_eq(fixture_passes(engine, START + 999 * MS, a, 40), 0);
    ck_assert_uint_eq(fixture_passes(engine, START + 1020 * MS, a, 40), 10);
    fixture_free(engine);
}
END_TEST

START_TEST(test_fractions_and_zero) {
    struct engine *engine = with_rule(RULE_FLOW, "a", 0.5);
    uint32_t a = fixture_resource(engine, "a");
    ck_assert_uint_eq(fixture_passes(engine, START, a, 5), 1);
    ck_assert_uint_eq(fixture_passes(engine, START + 1900 * MS, a, 5), 0);
    ck_assert_uint_eq(fixture_passes(engine, START + 2050 * MS, a, 5), 1);
    fixture_free(engine);
    engine = with_rule(RULE_FLOW, "a", 0);
    ck_assert_uint_eq(fixture_passes(engine, START, fixture_resource(engine, "a"), 5), 0);
    fixture_free(engine);
}
END_TEST

/* Under excess, 20 requests every 10 ms: never more than the ceiling in any interval, nor more than the threshold says
 * in any number of them, but for one; and not much less. */
static void check_fraction(double count) {
    enum { INTERVALS = 40, STEPS = 100 };
    static unsigned passed[INTERVALS * STEPS];
    struct engine *engine = with_rule(RULE_FLOW, "a", count);
    uint32_t a = fixture_resource(engine, "a");
    unsigned all = 0, ceiling = (unsigned)count + 1;
    for (unsigned i = 0; i < INTERVALS * STEPS; i++)
        all += passed[i] = fixture_passes(engine, START + i * 10 * MS, a, 20);
    for (unsigned span = 1; span < INTERVALS; span++)
        for (unsigned from = 0; from + span * STEPS <= INTERVALS * STEPS; from++) {
            unsigned sum = 0;
            for (unsigned i = from; i < from + span * STEPS; i++)
                sum += passed[i];
            ck_assert_msg(sum <= count * span + 1, "%g: %u in %u intervals", count, sum, span);
            ck_assert_uint_le(sum, span * ceiling);
        }
    ck_assert_msg(all >= count * INTERVALS * 0.97 - 1, "%g: only %u in %u intervals", count, all, INTERVALS);
    fixture_free(engine);
}

START_TEST(test_fractions_in_the_long_run) {
    static const double counts[] = {1.5, 1.1, 1.9, 2.5, 10.25, 0.5, 0.7};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        check_fraction(counts[i]);
}
END_TEST

START_TEST(test_edit_keeps_the_count) {
    struct engine *engine = with_rule(RULE_FLOW, "a", 10);
    uint32_t a = fixture_resource(engine, "a");
    ck_assert_uint_eq(fixture_passes(engine, START, a, 40), 10);
    for (unsigned i = 0; i < 5; i++) {
        static const double counts[] = {25, 5, 25, 30, 31};
        static const unsigned more[] = {15, 0, 0, 5, 1};
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "r", "a", counts[i]);
        fixture_one_rule(engine, builder, &rule, 2 + i);
        ck_assert_uint_eq(fixture_passes(engine, START + 10 * MS, a, 40), more[i]);
    }
    ck_assert_uint_eq(engine_generation(engine), 6);
    fixture_free(engine);
}
END_TEST

START_TEST(test_modes) {
    struct layout_counters_header *shared = fixture_counters();
    struct engine *engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "watch", "a", 10);
    rule.mode = MODE_SIMULATE;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "off", "a", 1);
    rule.mode = MODE_OFF;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    ck_assert_uint_eq(fixture_passes(engine, START, a, 30), 30);
    struct layout_stat_shard sum = fixture_sum(shared, a);
    ck_assert_uint_eq(sum.pass, 30);
    ck_assert_uint_eq(sum.simulated, 20);
    ck_assert_uint_eq(sum.block, 0);
    const struct layout_hit *hits = shared_at(shared, LAYOUT_HIT_TABLE, 0);
    unsigned found = 0;
    for (unsigned i = 0; i < LAYOUT_HITS; i++)
        if (hits[i].key) {
            found++;
            ck_assert_uint_eq(hits[i].simulated, 20);
            ck_assert_str_eq(hits[i].rule_id, "watch");
            ck_assert_uint_eq(hits[i].resource, a);
        }
    ck_assert_uint_eq(found, 1);
    fixture_free(engine);
}
END_TEST

START_TEST(test_several_rules_give_back) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "wide", "a", 10);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_ISOLATION, "one", "a", 1);
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    struct fixture_call held, call;
    ck_assert_int_eq(fixture_enter(engine, START, a, &held), ENGINE_PASS);
    for (unsigned i = 0; i < 50; i++) { /* refused by the second rule: the first must not be used up by that */
        ck_assert_int_eq(fixture_enter(engine, START + i * MS, a, &call), ENGINE_BLOCK);
        ck_assert_int_eq(call.decision.reason, REASON_ISOLATION);
    }
    fixture_exit(engine, START + 60 * MS, &held, false);
    ck_assert_uint_eq(fixture_passes(engine, START + 60 * MS, a, 40), 9);
    fixture_free(engine);
}
END_TEST

START_TEST(test_concurrency) {
    struct engine *engine = with_rule(RULE_ISOLATION, "a", 3);
    uint32_t a = fixture_resource(engine, "a");
    struct fixture_call calls[5];
    uint64_t seed = 3;
    bool held[5] = {false};
    unsigned in_flight = 0;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = fixture_random(&seed) % 5;
        if (held[k]) {
            if (seed & 8)
                fixture_exit(engine, START + i, &calls[k], seed & 1);
            else
                engine_cancel(engine, &calls[k].ticket, START + i);
            held[k] = false;
            in_flight--;
        } else {
            held[k] = fixture_enter(engine, START + i, a, &calls[k]) == ENGINE_PASS;
            ck_assert_int_eq(held[k], in_flight < 3);
            in_flight += held[k];
        }
    }
    fixture_free(engine);
}
END_TEST

START_TEST(test_time_to_live) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_ISOLATION, "poll", "a", 2);
    rule.ttl_ns = 10 * SECOND;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    struct fixture_call one, two, three;
    ck_assert_int_eq(fixture_enter(engine, START, a, &one), ENGINE_PASS);
    ck_assert_int_eq(fixture_enter(engine, START, a, &two), ENGINE_PASS);
    ck_assert_int_eq(fixture_enter(engine, START + 9 * SECOND, a, &three), ENGINE_BLOCK);
    fixture_exit(engine, START + 9 * SECOND, &two, false);
    ck_assert_int_eq(fixture_enter(engine, START + 9 * SECOND, a, &two), ENGINE_PASS);
    ck_assert_int_eq(fixture_enter(engine, START + 9 * SECOND, a, &three), ENGINE_BLOCK);
    ck_assert_int_eq(fixture_enter(engine, START + 10200 * MS, a, &three), ENGINE_PASS); /* `one` no longer counts */
    fixture_exit(engine, START + 10300 * MS, &one, false);
    ck_assert_int_eq(fixture_enter(engine, START + 10300 * MS, a, &one), ENGINE_BLOCK); /* and its end frees nothing */
    fixture_free(engine);
}
END_TEST

START_TEST(test_origins) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "named", "a", 2);
    rule.origin = fixture_text(builder, "shop, crawler");
    rule.origin_kind = ORIGIN_NAMED;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "rest", "a", 3);
    rule.origin = fixture_text(builder, "other");
    rule.origin_kind = ORIGIN_OTHER;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "all", "a", 12);
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    struct fixture_call call;
    static const struct {
        const char *origin;
        unsigned passes;
    } cases[] = {{"shop", 2}, {"crawler", 2}, {"x", 3}, {"y", 3}, {"", 2}};
    for (unsigned k = 0; k < 5; k++) {
        unsigned passed = 0;
        for (unsigned i = 0; i < 10; i++)
            passed += fixture_enter_as(engine, START, a, cases[k].origin, &call) == ENGINE_PASS;
        ck_assert_msg(passed == cases[k].passes, "%s: %u", cases[k].origin, passed);
    }
    fixture_free(engine);
}
END_TEST

/* A caller of several names: each rule goes by the name that it speaks of, and counts that one. */
START_TEST(test_origin_names) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "unit", "a", 2);
    rule.origin = fixture_text(builder, "unit:cron.service");
    rule.origin_kind = ORIGIN_NAMED;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "rest", "a", 1);
    rule.origin = fixture_text(builder, "other");
    rule.origin_kind = ORIGIN_OTHER;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    static const struct {
        const char *origin, *other_name;
        bool pass;
    } calls[] = {
        {"127.0.0.1", "unit:cron.service", true}, {"::1", "unit:cron.service", true},
        {"10.0.0.1", "unit:cron.service", false}, /* one caller, whatever its address */
        {"127.0.0.1", "unit:sshd.service", true}, /* the first of the others */
        {"127.0.0.1", "unit:atd.service", false}, /* the same by its first name */
        {"127.0.0.2", "unit:atd.service", true},
    };
    for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        struct engine_name names[] = {{"x", 1}, {calls[i].other_name, strlen(calls[i].other_name)}};
        struct engine_request request = fixture_request(&a);
        struct fixture_call call;
        request.origin = calls[i].origin;
        request.origin_length = strlen(calls[i].origin);
        request.origins = names;
        request.origins_count = 2;
        bool pass = engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS;
        ck_assert_msg(pass == calls[i].pass, "call %u", i);
    }
    fixture_free(engine);
}
END_TEST

START_TEST(test_made_up_origins_share_a_limiter) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "rest", "a", 1);
    rule.origin = fixture_text(builder, "other");
    rule.origin_kind = ORIGIN_OTHER;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t a = fixture_resource(engine, "a");
    unsigned passed = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct fixture_call call;
        char origin[20];
        snprintf(origin, sizeof(origin), "bot%u", i);
        passed += fixture_enter_as(engine, START, a, origin, &call) == ENGINE_PASS;
    }
    ck_assert_uint_le(passed, 65);
    ck_assert_uint_ge(passed, 64);
    fixture_free(engine);
}
END_TEST

START_TEST(test_patterns) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    static const struct {
        const char *text;
        enum rule_match match;
        double count;
    } rules[] = {{"GET:/exact", MATCH_EXACT, 1},
                 {"GET:/pre", MATCH_PREFIX, 2},
                 {"GET:/glob/*/x", MATCH_GLOB, 3},
                 {"GET:/(re|gex)[0-9]+", MATCH_REGEX, 4}};
    for (unsigned i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof(id), "r%u", i);
        struct rule rule = fixture_rule(builder, RULE_FLOW, id, rules[i].text, rules[i].count);
        rule.match = rules[i].match;
        ruleset_add_rule(builder, &rule);
    }
    ck_assert_int_eq(fixture_adopt(engine, builder, 1), 0);
    static const struct {
        const char *name;
        unsigned passes;
    } cases[] = {{"GET:/exact", 1},    {"GET:/exactly", 9},  {"GET:/prefix", 2},     {"GET:/pre", 2},
                 {"GET:/glob/a/x", 3}, {"GET:/glob/b/x", 3}, {"GET:/glob/a/b/x", 9}, {"GET:/re12", 4},
                 {"GET:/gex7", 4},     {"GET:/gex", 9},      {"GET:/re12/", 9}};
    for (unsigned i = 0; i < 11; i++)
        ck_assert_msg(fixture_passes(engine, START, fixture_resource(engine, cases[i].name), 9) == cases[i].passes,
                      "%s", cases[i].name);
    fixture_free(engine);
}
END_TEST

START_TEST(test_relate_and_chain) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "relate", "read", 5);
    rule.strategy = STRATEGY_RELATE;
    rule.ref_resource = fixture_text(builder, "write");
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "chain", "db", 2);
    rule.strategy = STRATEGY_CHAIN;
    rule.ref_resource = fixture_text(builder, "page");
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t read = fixture_resource(engine, "read"), write = fixture_resource(engine, "write"),
             db = fixture_resource(engine, "db");
    ck_assert_uint_eq(fixture_passes(engine, START, read, 20), 20);
    ck_assert_uint_eq(fixture_passes(engine, START, write, 4), 4);
    ck_assert_uint_eq(fixture_passes(engine, START, read, 20), 20);
    ck_assert_uint_eq(fixture_passes(engine, START, write, 4), 4);
    ck_assert_uint_eq(fixture_passes(engine, START, read, 20), 0);
    ck_assert_uint_eq(fixture_passes(engine, START + 1020 * MS, read, 20), 20);
    unsigned passed = 0;
    for (unsigned i = 0; i < 10; i++) {
        struct fixture_call call;
        struct engine_request request = fixture_request(&db);
        request.entrance = i & 1 ? "page" : "job";
        request.entrance_length = strlen(request.entrance);
        passed += engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS;
    }
    ck_assert_uint_eq(passed, 5 + 2);
    fixture_free(engine);
}
END_TEST

START_TEST(test_cost_penalty_burst) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "cost", "cost", 100);
    rule.cost_kind = COST_NUMBER;
    rule.cost_number = 60;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "penalty", "penalty", 5);
    rule.penalty = 1;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "burst", "burst", 10);
    rule.burst = 20;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t cost = fixture_resource(engine, "cost"), penalty = fixture_resource(engine, "penalty"),
             burst = fixture_resource(engine, "burst");
    ck_assert(fixture_pass(engine, START, cost));
    ck_assert(!fixture_pass(engine, START, cost));
    unsigned passed = 0;
    for (unsigned i = 0; i < 300; i++) /* 10 a second for 30 s: it never calms down */
        passed += fixture_pass(engine, START + i * 100 * MS, penalty);
    ck_assert_uint_eq(passed, 5);
    ck_assert_uint_eq(fixture_passes(engine, START + 32 * SECOND, penalty, 5), 5);
    ck_assert_uint_eq(fixture_passes(engine, START, burst, 100), 30);
    passed = 0;
    for (unsigned i = 1; i <= 1000; i++)
        passed += fixture_pass(engine, START + i * 10 * MS, burst);
    ck_assert_uint_ge(passed, 98);
    ck_assert_uint_le(passed, 101);
    fixture_free(engine);
}
END_TEST

START_TEST(test_scope_app) {
    struct layout_counters_header *shared = fixture_counters();
    struct engine *engines[4];
    for (unsigned i = 0; i < 4; i++) {
        engines[i] = fixture_engine(shared, i);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "app", "a", 10);
        rule.scope = SCOPE_APP;
        ruleset_add_rule(builder, &rule);
        rule = fixture_rule(builder, RULE_ISOLATION, "seats", "b", 5);
        rule.scope = SCOPE_APP;
        fixture_one_rule(engines[i], builder, &rule, 1);
    }
    uint32_t a = fixture_resource(engines[0], "a"), b = fixture_resource(engines[3], "b");
    ck_assert_uint_eq(fixture_resource(engines[1], "a"), a);
    unsigned passed = 0;
    for (unsigned i = 0; i < 40; i++)
        passed += fixture_pass(engines[i % 4], START + i * MS, a);
    ck_assert_uint_eq(passed, 10);
    struct fixture_call calls[8];
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(fixture_enter(engines[i % 4], START, b, &calls[i]) == ENGINE_PASS, i < 5);
    shared_reclaim(shared, 0, fixture_process(shared, 0)->owner); /* held two */
    ck_assert_uint_eq(fixture_process(shared, 0)->owner, 0);
    for (unsigned i = 5; i < 8; i++)
        ck_assert_int_eq(fixture_enter(engines[i % 4], START, b, &calls[i]) == ENGINE_PASS, i < 7);
    for (unsigned i = 0; i < 4; i++)
        fixture_free(engines[i]);
}
END_TEST

/* More processes at once than the agent has areas for: they count together all the same. */
START_TEST(test_slot_before_its_area) {
    struct layout_counters_header *shared = fixture_counters();
    struct engine *engines[4];
    struct fixture_call calls[4];
    struct engine_sample nothing = {-1, -1, -1, 0};
    shared_allocated[LAYOUT_AREAS] = 8;
    for (unsigned i = 0; i < 4; i++) {
        engines[i] = fixture_engine(shared, 100 + i);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_ISOLATION, "seats", "a", 2);
        rule.scope = SCOPE_APP;
        fixture_one_rule(engines[i], builder, &rule, 1);
        ck_assert_int_eq(fixture_enter(engines[i], START, fixture_resource(engines[i], "a"), &calls[i]) == ENGINE_PASS,
                         i < 2);
    }
    uint32_t a = fixture_resource(engines[0], "a");
    shared_reclaim(shared, 100, fixture_process(shared, 100)->owner);
    ck_assert_int_eq(fixture_enter(engines[2], START, a, &calls[2]), ENGINE_PASS);
    const struct layout_area *areas = shared_at(shared, LAYOUT_AREAS, 0);
    ck_assert_uint_eq(areas[101].in_flight[a] + areas[102].in_flight[a], 0); /* not a byte beyond what is allocated */
    shared_allocated[LAYOUT_AREAS] = LAYOUT_PROCESSES;
    engine_sample(engines[1], START, &nothing);
    fixture_exit(engines[1], START, &calls[1], false); /* where it was counted: not in the area */
    ck_assert_int_eq(fixture_enter(engines[1], START, a, &calls[1]), ENGINE_PASS);
    ck_assert_uint_eq(areas[101].in_flight[a], 1);
    for (unsigned i = 0; i < 4; i++)
        fixture_free(engines[i]);
}
END_TEST

START_TEST(test_budget_of_resources) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    ruleset_builder_options(builder)->max_resources = 10;
    struct rule rule = fixture_rule(builder, RULE_FLOW, "all", "{other}", 3);
    fixture_one_rule(engine, builder, &rule, 1);
    unsigned others = 0;
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", i);
        uint32_t entry = fixture_resource(engine, name);
        others += entry == ENGINE_OTHER;
        ck_assert_uint_eq(fixture_resource(engine, name), entry);
    }
    ck_assert_uint_eq(others, 90);
    ck_assert_uint_eq(fixture_passes(engine, START, ENGINE_OTHER, 10), 3);
    char longest[1000];
    size_t length;
    memset(longest, 'x', sizeof(longest));
    fixture_free(engine);
    engine = fixture_engine(NULL, UINT32_MAX);
    uint32_t entry = engine_resource(engine, longest, sizeof(longest), SIDE_INBOUND);
    ck_assert_uint_eq(engine_resource(engine, longest, sizeof(longest), SIDE_INBOUND), entry);
    ck_assert_uint_ne(engine_resource(engine, longest, sizeof(longest) - 1, SIDE_INBOUND), entry);
    ck_assert_int_eq(engine_resource_name(engine, entry, &length)[LAYOUT_RESOURCE_NAME_MAX - 18], '~');
    ck_assert_uint_eq(length, LAYOUT_RESOURCE_NAME_MAX - 1);
    fixture_free(engine);
}
END_TEST

START_TEST(test_fork_starts_from_nothing) {
    struct engine *engine = with_rule(RULE_ISOLATION, "a", 1);
    uint32_t a = fixture_resource(engine, "a");
    struct fixture_call parents, child;
    ck_assert_int_eq(fixture_enter(engine, START, a, &parents), ENGINE_PASS);
    engine_after_fork(engine);
    ck_assert_int_eq(fixture_enter(engine, START, a, &child), ENGINE_PASS);
    fixture_exit(engine, START, &parents, false); /* nothing of the child's is given back by it */
    struct fixture_call another;
    ck_assert_int_eq(fixture_enter(engine, START, a, &another), ENGINE_BLOCK);
    fixture_free(engine);
}
END_TEST

static void fill_the_table(struct engine *engine, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof(name), "scan%u", i);
        fixture_resource(engine, name);
    }
}

/* A client that asks for enough nonsense does not escape the rules. */
START_TEST(test_budget_leaves_room_for_rules) {
    static const struct { uint32_t allocated, named; } cases[] = {{256, 200}, {256, 1}, {6144, 1}, {6144, 3000}};
    for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct layout_counters_header *counters = fixture_counters();
        shared_allocated[LAYOUT_NAMES] = shared_allocated[LAYOUT_STATISTICS] = cases[c].allocated;
        struct engine *engine = fixture_engine(counters, 0);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "pattern", "pre*", 0);
        rule.match = MATCH_GLOB;
        ruleset_add_rule(builder, &rule);
        for (unsigned i = 0; i < cases[c].named; i++) {
            char name[16];
            snprintf(name, sizeof(name), "named%u", i);
            rule = fixture_rule(builder, RULE_FLOW, name, name, 0);
            if (i + 1 < cases[c].named)
                ruleset_add_rule(builder, &rule);
        }
        fixture_one_rule(engine, builder, &rule, 1);
        fill_the_table(engine, 0, 10000);
        ck_assert_uint_eq(fixture_resource(engine, "one more"), ENGINE_OTHER);
        for (unsigned i = 0; i < cases[c].named; i++) {
            char name[16];
            snprintf(name, sizeof(name), "named%u", i);
            uint32_t entry = fixture_resource(engine, name);
            ck_assert_uint_ne(entry, ENGINE_OTHER);
            ck_assert(!fixture_pass(engine, START, entry));
        }
        if (cases[c].named == 1)
            ck_assert(!fixture_pass(engine, START, fixture_resource(engine, "pretty")));
        fixture_free(engine);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_flow");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_no_rules_pass);
    tcase_add_test(tests, test_qps);
    tcase_add_test(tests, test_fractions_and_zero);
    tcase_add_test(tests, test_fractions_in_the_long_run);
    tcase_add_test(tests, test_edit_keeps_the_count);
    tcase_add_test(tests, test_modes);
    tcase_add_test(tests, test_several_rules_give_back);
    tcase_add_test(tests, test_concurrency);
    tcase_add_test(tests, test_time_to_live);
    tcase_add_test(tests, test_origins);
    tcase_add_test(tests, test_origin_names);
    tcase_add_test(tests, test_made_up_origins_share_a_limiter);
    tcase_add_test(tests, test_patterns);
    tcase_add_test(tests, test_relate_and_chain);
    tcase_add_test(tests, test_cost_penalty_burst);
    tcase_add_test(tests, test_scope_app);
    tcase_add_test(tests, test_slot_before_its_area);
    tcase_add_test(tests, test_budget_of_resources);
    tcase_add_test(tests, test_budget_leaves_room_for_rules);
    tcase_add_test(tests, test_fork_starts_from_nothing);
    return suite_run("engine_flow", tests, NULL);
}
