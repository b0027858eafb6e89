/* Which rules are in force for whom, in which order, and that refused requests leave no trace. */
#include <check.h>
#include <errno.h>

#include "engine_fixture.h"
#include "tests/unit/suite.h"

START_TEST(test_canary) {
    unsigned chosen = 0;
    for (uint32_t pid = 1; pid <= 1000;
         pid++) { /* the version on trial in a tenth of the processes, the old one elsewhere */
        struct engine *engine = fixture_engine(NULL, UINT32_MAX);
        engine_set_slot(engine, UINT32_MAX, pid);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "r", "a", 5);
        ruleset_add_rule(builder, &rule);
        rule.count = 2;
        rule.canary = CANARY_PERCENT;
        rule.canary_percent = 10;
        fixture_one_rule(engine, builder, &rule, 1);
        unsigned passed = fixture_passes(engine, START, fixture_resource(engine, "a"), 10);
        ck_assert(passed == 5 || passed == 2);
        chosen += passed == 2;
        fixture_free(engine);
    }
    ck_assert_msg(chosen > 70 && chosen < 130, "%u", chosen);
    static const char *hosts[] = {"here", "there"};
    for (unsigned i = 0; i < 2; i++) {
        struct engine *engine = fixture_engine(NULL, UINT32_MAX);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "r", "a", 2);
        rule.canary = i ? CANARY_HOSTS : CANARY_PIDS;
        rule.list_first = ruleset_add_list(builder, i ? fixture_text(builder, "there") : 77);
        rule.list_count = 1;
        fixture_one_rule(engine, builder, &rule, 1);
        uint32_t a = fixture_resource(engine, "a");
        ck_assert_uint_eq(fixture_passes(engine, START, a, 10), 10);
        if (i)
            engine_set_host(engine, hosts[1]); /* known only after the rules */
        else
            engine_set_slot(engine, UINT32_MAX, 77);
        ck_assert_uint_eq(fixture_passes(engine, START, a, 10), 2);
        fixture_free(engine);
    }
}
END_TEST

START_TEST(test_order_and_resources) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_SYSTEM, "system", NULL, 0);
    rule.grade = SYSTEM_QPS;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_ISOLATION, "isolation", "a", 0);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "flow", "b", 0);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_AUTHORITY, "authority", "a", 0);
    rule.origin = fixture_text(builder, "friend");
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "out", "d", 0);
    rule.side = SIDE_OUTBOUND;
    ruleset_add_rule(builder, &rule);
    ck_assert_int_eq(fixture_adopt(engine, builder, 1), 0);
    uint32_t a = fixture_resource(engine, "a"), b = fixture_resource(engine, "b"), c = fixture_resource(engine, "c"),
             d = fixture_resource(engine, "d");
    const struct {
        uint32_t resources[2];
        const char *origin;
        uint8_t side, reason;
    } cases[] = {
        {{a, b}, "foe", SIDE_INBOUND, REASON_AUTHORITY}, {{a, b}, "friend", SIDE_INBOUND, REASON_ISOLATION},
        {{b, a}, "foe", SIDE_INBOUND, REASON_FLOW},      {{c, c}, "foe", SIDE_INBOUND, REASON_SYSTEM},
        {{c, c}, "foe", SIDE_OUTBOUND, REASON_NONE},     {{c, d}, "foe", SIDE_OUTBOUND, REASON_FLOW},
        {{d, d}, "foe", SIDE_INBOUND, REASON_SYSTEM},
    };
    for (unsigned k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
        struct engine_request request = fixture_request(cases[k].resources);
        struct fixture_call call;
        request.resources_count = 2;
        request.origin = cases[k].origin;
        request.origin_length = strlen(cases[k].origin);
        request.side = cases[k].side;
        engine_enter(engine, START, &request, &call.ticket, &call.decision);
        ck_assert_msg(call.decision.reason == cases[k].reason, "case %u: reason %u", k, call.decision.reason);
    }
    fixture_free(engine);
}
END_TEST

START_TEST(test_gateway_and_priority) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_GATEWAY, "route", "a", 3);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "unimportant", "b", 1e6);
    rule.priority = PRIORITY_LOW;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_SYSTEM, "qps", NULL, 10);
    rule.grade = SYSTEM_QPS;
    fixture_one_rule(engine, builder, &rule, 1);
    struct fixture_call call;
    uint32_t a = fixture_resource(engine, "a"), b = fixture_resource(engine, "b"), c = fixture_resource(engine, "c");
    ck_assert_uint_eq(fixture_passes(engine, START, a, 10), 3);
    ck_assert_int_eq(fixture_enter(engine, START, a, &call), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.reason, REASON_FLOW);
    ck_assert_uint_eq(fixture_passes(engine, START, b, 10), 5); /* low: up to eight of ten */
    ck_assert_uint_eq(fixture_passes(engine, START, c, 10), 2);
    fixture_free(engine);
}
END_TEST

/* Of a route, of a group; a rule's own goes before, and the most specific resource before the others. */
START_TEST(test_priority_of_routes) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct ruleset_route route = {.kind = ROUTE_PATTERN, .match = MATCH_GLOB, .priority = PRIORITY_LOW};
    route.pattern = fixture_text(builder, "/low/{x}");
    ruleset_add_route(builder, &route);
    route.kind = ROUTE_API;
    route.name = fixture_text(builder, "ruled");
    ruleset_add_route(builder, &route);
    struct rule rule = fixture_rule(builder, RULE_FLOW, "important", "ruled", 1e6);
    rule.priority = PRIORITY_CRITICAL;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_SYSTEM, "qps", NULL, 10);
    rule.grade = SYSTEM_QPS;
    fixture_one_rule(engine, builder, &rule, 1);
    static const struct {
        const char *names[2];
        unsigned passes;
    } cases[] = {{{"GET:/low/{x}"}, 8},          {{"GET:/high"}, 10},          {{"ruled"}, 10},
                 {{"GET:/low/{x}", "ruled"}, 8}, {{"GET:/high", "ruled"}, 10}, {{"PUT:/low/{x}"}, 8}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint32_t resources[2], passed = 0;
        struct engine_request request = fixture_request(resources);
        for (request.resources_count = 0; request.resources_count < 2 && cases[i].names[request.resources_count];)
            resources[request.resources_count] = fixture_resource(engine, cases[i].names[request.resources_count]),
            request.resources_count++;
        for (unsigned k = 0; k < 20; k++) {
            struct fixture_call call;
            if (engine_enter(engine, START + i * 10 * SECOND, &request, &call.ticket, &call.decision) == ENGINE_PASS) {
                fixture_exit(engine, START + i * 10 * SECOND, &call, false);
                passed++;
            }
        }
        ck_assert_msg(passed == cases[i].passes, "%s: %u", cases[i].names[0], passed);
    }
    fixture_free(engine);
}
END_TEST

START_TEST(test_rulesets_in_use_are_kept) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    void *rulesets[4];
    size_t size;
    for (unsigned i = 0; i < 4; i++) {
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_FLOW, "r", "a", i + 1);
        ruleset_add_rule(builder, &rule);
        rulesets[i] = ruleset_builder_finish(builder, &size);
    }
    ck_assert_ptr_null(engine_release(engine));
    ck_assert_int_eq(engine_adopt(engine, rulesets[0], size, 1), 0);
    uint32_t token = engine_read_begin(engine);
    ck_assert_ptr_eq(engine_ruleset(engine), rulesets[0]);
    ck_assert_int_eq(engine_adopt(engine, rulesets[1], size, 2), 0);
    ck_assert_ptr_null(engine_release(engine)); /* the reader still has it */
    ck_assert_int_eq(engine_adopt(engine, rulesets[2], size, 3), -EBUSY);
    ck_assert_uint_eq(engine_generation(engine), 2);
    engine_read_end(engine, token);
    ck_assert_int_eq(engine_adopt(engine, rulesets[2], size, 3), 0);
    ck_assert_ptr_eq(engine_release(engine), rulesets[0]);
    ck_assert_ptr_eq(engine_release(engine), rulesets[1]);
    ck_assert_ptr_null(engine_release(engine));
    ck_assert_uint_eq(fixture_passes(engine, START, fixture_resource(engine, "a"), 10), 3);
    fixture_free(engine); /* and the third ruleset, which is in force */
    rulesets[2] = NULL;
    for (unsigned i = 0; i < 4; i++)
        free(rulesets[i]);
}
END_TEST

/* Requests for several resources under rules of every kind, refused, cancelled, completed in any order, while rules are
 * edited: in the end nothing is held, and what was counted adds up. */
START_TEST(test_nothing_is_left_behind) {
    enum { CALLS = 40, NAMES = 6 };
    struct layout_counters_header *shared = fixture_counters();
    struct engine *engine = fixture_engine(shared, 3);
    static const char *names[NAMES] = {"a", "b", "c", "d", "e", "f"};
    uint32_t resources[NAMES];
    struct fixture_call calls[CALLS];
    bool held[CALLS] = {false};
    uint64_t seed = 20240601, now = START, generation = 0;
    unsigned entered = 0, blocked = 0, ended = 0, cancelled = 0;
    for (unsigned i = 0; i < NAMES; i++)
        resources[i] = fixture_resource(engine, names[i]);
    for (unsigned step = 0; step < 60000; step++) {
        now += fixture_random(&seed) % (2 * MS);
        if (step % 2000 == 0) {
            struct ruleset_builder *builder = fixture_rules();
            for (unsigned i = 0; i < 24; i++) {
                static const enum rule_kind kinds[] = {RULE_FLOW,  RULE_ISOLATION, RULE_DEGRADE,
                                                       RULE_PARAM, RULE_GATEWAY,   RULE_SYSTEM};
                char id[8];
                snprintf(id, sizeof(id), "r%u", i);
                enum rule_kind kind = kinds[i % 6];
                struct rule rule = fixture_rule(builder, kind, id, kind == RULE_SYSTEM ? NULL : names[seed % NAMES],
                                                (double)(2 + seed % 40));
                rule.scope = fixture_random(&seed) % 2 ? SCOPE_APP : SCOPE_PROCESS;
                rule.mode = fixture_random(&seed) % 4 ? MODE_ENFORCE : MODE_SIMULATE;
                rule.open_ns = SECOND;
                rule.cost_kind = COST_NUMBER;
                rule.cost_number = 1 + (uint32_t)(seed % 3);
                if (kind == RULE_FLOW || kind == RULE_PARAM)
                    rule.grade = fixture_random(&seed) % 2;
                if (kind == RULE_FLOW)
                    rule.behavior = fixture_random(&seed) % 4;
                if (kind == RULE_DEGRADE)
                    rule.grade = DEGRADE_RATIO, rule.count = 0.5, rule.recovery = i / 6 % 2;
                if (kind == RULE_ISOLATION && i / 6 % 2)
                    rule.ttl_ns = 5 * SECOND;
                if (kind == RULE_SYSTEM)
                    rule.grade = SYSTEM_THREAD;
                ruleset_add_rule(builder, &rule);
            }
            ck_assert_int_eq(fixture_adopt(engine, builder, ++generation), 0);
        }
        unsigned k = fixture_random(&seed) % CALLS;
        if (held[k] && seed % 5) {
            fixture_exit(engine, now, &calls[k], seed % 7 < 3);
            ended++;
        } else if (held[k]) {
            engine_cancel(engine, &calls[k].ticket, now);
            cancelled++;
        } else {
            uint32_t of[3] = {resources[seed % NAMES], resources[seed / 8 % NAMES], resources[seed / 64 % NAMES]};
            struct engine_value value = {.type = VALUE_STRING, .text = names[seed / 512 % NAMES], .length = 1};
            struct engine_request request = fixture_request(of);
            request.resources_count = 1 + (uint32_t)(seed / 4096 % 3);
            request.args = &value;
            request.args_count = 1;
            held[k] = engine_enter(engine, now, &request, &calls[k].ticket, &calls[k].decision) != ENGINE_BLOCK;
            entered += held[k];
            blocked += !held[k];
            ck_assert(held[k] || (!calls[k].ticket.resources_count && !calls[k].ticket.leases_count));
            continue;
        }
        held[k] = false;
    }
    for (unsigned k = 0; k < CALLS; k++)
        if (held[k]) {
            fixture_exit(engine, now, &calls[k], false);
            ended++;
        }
    ck_assert_uint_eq(entered, ended + cancelled);
    ck_assert_uint_gt(blocked, 5000);
    ck_assert_uint_gt(ended, 5000);
    ck_assert_uint_gt(cancelled, 1000);
    const struct layout_area *area = shared_at(shared, LAYOUT_AREAS, 3);
    for (unsigned i = 0; i < NAMES; i++)
        ck_assert_uint_eq(area->in_flight[resources[i]], 0);
    struct ruleset_builder *builder = fixture_rules(); /* the same ids, with room for one: it is there */
    for (unsigned i = 0; i < 24; i++)
        for (unsigned k = 0; k < NAMES && i % 6 < 2; k++) {
            char id[8];
            snprintf(id, sizeof(id), "r%u", i);
            struct rule rule = fixture_rule(builder, RULE_ISOLATION, id, names[k], 1);
            rule.scope = i & 1 ? SCOPE_APP : SCOPE_PROCESS;
            ruleset_add_rule(builder, &rule);
        }
    ck_assert_int_eq(fixture_adopt(engine, builder, ++generation), 0);
    for (unsigned k = 0; k < NAMES; k++)
        ck_assert_int_eq(fixture_enter(engine, now + SECOND, resources[k], &calls[k]), ENGINE_PASS);
    fixture_free(engine);
}
END_TEST

/* Memory that anybody may have written to: whatever stands there, no crash and no hang. */
START_TEST(test_scribbled_memory_does_no_harm) {
    uint64_t seed = 99;
    for (unsigned round = 0; round < 40; round++) {
        struct layout_counters_header *shared = fixture_counters();
        struct counters map = shared_map(shared);
        struct engine *engine = fixture_engine(shared, 1);
        struct ruleset_builder *builder = fixture_rules();
        static const enum rule_kind kinds[] = {RULE_FLOW, RULE_ISOLATION, RULE_DEGRADE, RULE_PARAM,
                                               RULE_FLOW, RULE_SYSTEM,    RULE_ADAPTIVE};
        for (unsigned i = 0; i < 7; i++) {
            char id[8];
            snprintf(id, sizeof(id), "r%u", i);
            struct rule rule = fixture_rule(builder, kinds[i], id, kinds[i] >= RULE_SYSTEM ? NULL : "a",
                                            kinds[i] == RULE_ADAPTIVE ? 0.8 : 1e6);
            rule.scope = SCOPE_APP;
            rule.mode = MODE_ENFORCE;
            rule.behavior = i == 4 ? BEHAVIOR_QUEUE : BEHAVIOR_REJECT;
            ruleset_add_rule(builder, &rule);
        }
        ck_assert_int_eq(fixture_adopt(engine, builder, 1), 0);
        uint32_t a = fixture_resource(engine, "a");
        struct engine_value value = {.type = VALUE_STRING, .text = "v", .length = 1};
        struct engine_request request = fixture_request(&a);
        request.args = &value;
        request.args_count = 1;
        for (unsigned i = 0; i < 300; i++) {
            struct fixture_call call;
            uint64_t now = START + i * 100 * MS;
            if (i == 20 || i % 50 == 0) { /* everything but how much of the file exists */
                char *base = (char *)shared;
                struct layout_counters_header kept = *shared;
                uint64_t *words = counters_at(&map, LAYOUT_LIMITERS, 0);
                for (size_t k = 0; k < kept.cell_bytes_used / 8 && k < 1 << 20; k++)
                    if (fixture_random(&seed) % 3 == 0)
                        words[k] = seed % 4 ? fixture_random(&seed) : seed % 100;
                for (size_t k = 0; k < 2000; k++) {
                    uint64_t first = map.part[LAYOUT_PROCESS_TABLE].offset, end = map.part[LAYOUT_AREAS].offset;
                    uint64_t at = first + fixture_random(&seed) % (end - first);
                    *(uint64_t *)(base + at / 8 * 8) = fixture_random(&seed);
                }
                for (size_t k = 8; k < sizeof(*shared) / 8; k++)
                    if (fixture_random(&seed) % 4 == 0)
                        ((uint64_t *)shared)[k] = fixture_random(&seed);
            }
            if (engine_enter(engine, now, &request, &call.ticket, &call.decision) != ENGINE_BLOCK)
                fixture_exit(engine, now + MS, &call, i & 1);
            struct engine_sample sample = {0.99, 3, -1, 0};
            engine_sample(engine, now, &sample);
            fixture_resource(engine, i % 2 ? "b" : "c");
            if (i % 100 == 99)
                engine_reclaim(&map, 1, ((struct layout_process *)counters_at(&map, LAYOUT_PROCESS_TABLE, 1))->owner);
        }
        fixture_free(engine);
        shared_free(shared);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_rules");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, test_canary);
    tcase_add_test(tests, test_order_and_resources);
    tcase_add_test(tests, test_gateway_and_priority);
    tcase_add_test(tests, test_priority_of_routes);
    tcase_add_test(tests, test_rulesets_in_use_are_kept);
    tcase_add_test(tests, test_nothing_is_left_behind);
    tcase_add_test(tests, test_scribbled_memory_does_no_harm);
    return suite_run("engine_rules", tests, NULL);
}
