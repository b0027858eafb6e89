/* System rules, and what protection of the whole has in common; its course over time is tests/bench/overload_sim.c. */
#include "rules/engine/limiters/shedding.h"
#include "shed_fixture.h"
#include "tests/unit/suite.h"

START_TEST(test_qps) {
    begin(RULE_SYSTEM, SYSTEM_QPS, 10, "b");
    struct fixture_call call;
    ck_assert_uint_eq(passes(START, b, PRIORITY_NORMAL, 5), 5); /* excepted, but counted */
    ck_assert_uint_eq(passes(START, a, PRIORITY_LOW, 20), 3);
    ck_assert_uint_eq(passes(START, a, PRIORITY_NORMAL, 20), 2);
    ck_assert_uint_eq(passes(START, a, PRIORITY_CRITICAL, 20), 0);
    ck_assert_uint_eq(passes(START, b, PRIORITY_NORMAL, 20), 20);
    ck_assert_int_eq(enter(START, a, SIDE_OUTBOUND, PRIORITY_NORMAL, &call), ENGINE_PASS);
    ck_assert_int_eq(enter(START, a, SIDE_INBOUND, PRIORITY_NORMAL, &call), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.reason, REASON_SYSTEM);
    ck_assert_int_eq(call.decision.detail, SYSTEM_QPS);
    fixture_free(engine);
}
END_TEST

START_TEST(test_threads) {
    begin(RULE_SYSTEM, SYSTEM_THREAD, 3, "b");
    struct fixture_call calls[6];
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(enter(START, i % 2 ? a : b, SIDE_INBOUND, PRIORITY_NORMAL, &calls[i]) == ENGINE_PASS, i < 3);
    ck_assert_int_eq(enter(START, b, SIDE_INBOUND, PRIORITY_NORMAL, &calls[4]), ENGINE_PASS);
    fixture_exit(engine, START, &calls[4], false);
    fixture_exit(engine, START, &calls[0], false);
    ck_assert_int_eq(enter(START, a, SIDE_INBOUND, PRIORITY_NORMAL, &calls[0]), ENGINE_PASS);
    fixture_free(engine);
}
END_TEST

START_TEST(test_rt) {
    begin(RULE_SYSTEM, SYSTEM_RT, 100, NULL);
    struct fixture_call call;
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(enter(START, a, SIDE_INBOUND, PRIORITY_NORMAL, &call), ENGINE_PASS);
        fixture_exit(engine, START + 150 * MS, &call, false);
    }
    ck_assert_int_eq(enter(START + 200 * MS, a, SIDE_INBOUND, PRIORITY_NORMAL, &call), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.detail, SYSTEM_RT);
    ck_assert_int_eq(enter(START + 2 * SECOND, a, SIDE_INBOUND, PRIORITY_NORMAL, &call), ENGINE_PASS);
    fixture_free(engine);
}
END_TEST

/* 100 a second of 50 ms each: five in flight is what it carries. */
START_TEST(test_load_asks_bbr) {
    begin(RULE_SYSTEM, SYSTEM_LOAD, 4, NULL);
    struct fixture_call calls[64];
    for (unsigned i = 0; i < 300; i++) {
        ck_assert_int_eq(enter(START + i * 10 * MS, a, SIDE_INBOUND, PRIORITY_NORMAL, &calls[i % 64]), ENGINE_PASS);
        if (i >= 5)
            fixture_exit(engine, START + i * 10 * MS, &calls[(i - 5) % 64], false);
    }
    uint64_t now = START + 3 * SECOND;
    for (unsigned i = 0; i < 5; i++)
        fixture_exit(engine, now, &calls[(295 + i) % 64], false);
    unsigned passed = 0;
    sample(now, -1, 3.9);
    for (unsigned i = 0; i < 20; i++)
        passed += enter(now, a, SIDE_INBOUND, PRIORITY_NORMAL, &calls[i]) == ENGINE_PASS;
    ck_assert_uint_eq(passed, 20); /* never the concurrency alone */
    for (unsigned i = 0; i < 20; i++)
        engine_cancel(engine, &calls[i].ticket, now);
    sample(now, -1, 5);
    for (passed = 0; passed < 20 && enter(now, a, SIDE_INBOUND, PRIORITY_NORMAL, &calls[passed]) == ENGINE_PASS;)
        passed++;
    ck_assert_msg(passed >= 5 && passed <= 7, "%u", passed);
    for (unsigned i = 0; i < passed; i++)
        engine_cancel(engine, &calls[i].ticket, now);
    ck_assert_int_eq(enter(now, a, SIDE_INBOUND, PRIORITY_NORMAL, &calls[0]), ENGINE_PASS); /* never the load alone */
    fixture_free(engine);
}
END_TEST

/* Health checks pass whatever the load, five of them a second. */
START_TEST(test_health_checks) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_SYSTEM, "s", NULL, 1);
    struct ruleset_options *options = ruleset_builder_options(builder);
    options->health_first = ruleset_add_list(builder, fixture_text(builder, "/healthz"));
    options->health_count = 1;
    rule.grade = SYSTEM_THREAD;
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "GET:/a");
    uint32_t check = fixture_resource(engine, "HEAD:/healthz"), other = fixture_resource(engine, "GET:/healthz/x");
    struct fixture_call held, health[5];
    ck_assert_int_eq(fixture_enter(engine, START, a, &held), ENGINE_PASS);
    for (unsigned second = 0; second < 2; second++) {
        uint64_t now = START + second * SECOND;
        for (unsigned i = 0; i < 5; i++) {
            ck_assert(!fixture_pass(engine, now, a) && !fixture_pass(engine, now, other));
            ck_assert_int_eq(fixture_enter(engine, now, check, &health[i]), ENGINE_PASS);
        }
        ck_assert(!fixture_pass(engine, now, check));
        for (unsigned i = 0; i < 5; i++)
            fixture_exit(engine, now, &health[i], false);
    }
    ck_assert_uint_eq(fixture_sum(shared, check).pass, 10); /* they count as all do */
    fixture_exit(engine, START + 2 * SECOND, &held, false);
    ck_assert(fixture_pass(engine, START + 2 * SECOND, a));
    fixture_free(engine);
}
END_TEST

/* Twice the capacity, queueing within: what is in flight settles where latency is what the rule says. */
START_TEST(test_rt_does_not_oscillate) {
    begin(RULE_SYSTEM, SYSTEM_RT, 100, NULL);
    const struct flow offered = {.normal = 200}, little = {.normal = 50};
    uint64_t now = START;
    server = (struct server){.capacity = 100};
    half_seconds(&now, 10, &offered);
    for (unsigned step = 0; step < 20; step++) {
        unsigned passed = half_second(&now, &offered).normal, in_flight = server.begun - server.done;
        ck_assert_msg(passed >= 90 && passed <= 110 && in_flight <= 30, "%u of 200, %u in flight", passed, in_flight);
    }
    half_seconds(&now, 4, &little);
    ck_assert_uint_eq(half_second(&now, &little).normal, 50);
    fixture_free(engine);
}
END_TEST

/* How long a request lay in its socket is part of its latency, and those that do are in the system. */
START_TEST(test_what_waits_to_be_read) {
    for (unsigned grade = SYSTEM_RT; grade <= SYSTEM_LOAD; grade += SYSTEM_LOAD - SYSTEM_RT) {
        begin(RULE_SYSTEM, grade, grade == SYSTEM_RT ? 100 : 4, NULL);
        struct engine_request request = fixture_request(&a);
        struct fixture_call call;
        uint64_t now = START;
        for (unsigned i = 0; i < 200; i++, now += 10 * MS) { /* 100 a second, of 5 ms, one by one */
            ck_assert_int_eq(fixture_enter(engine, now, a, &call), ENGINE_PASS);
            fixture_exit(engine, now + 5 * MS, &call, false);
        }
        sample(now, 1, 5);
        static const uint64_t waits[] = {0, 10 * MS, 150 * MS, ENGINE_WAITED_UNKNOWN};
        for (unsigned i = 0; i < 4; i++) {
            request.waited_ns = waits[i];
            bool passed = engine_enter(engine, now, &request, &call.ticket, &call.decision) == ENGINE_PASS;
            ck_assert_msg(passed == (waits[i] != 150 * MS), "%u: after %llu ns", grade, (unsigned long long)waits[i]);
            if (passed)
                engine_cancel(engine, &call.ticket, now);
        }
        fixture_free(engine);
    }
}
END_TEST

/* Latency that nothing comes of: something paused the application.  No second goes by without a request that passes. */
START_TEST(test_latency_and_load_let_some_pass) {
    for (unsigned grade = SYSTEM_RT; grade <= SYSTEM_LOAD; grade += SYSTEM_LOAD - SYSTEM_RT) {
        begin(RULE_SYSTEM, grade, grade == SYSTEM_RT ? 100 : 4, NULL);
        struct fixture_call calls[32], call;
        uint64_t now = START / SECOND * SECOND;
        for (unsigned i = 0; i < 200; i++, now += 10 * MS) {
            ck_assert_int_eq(fixture_enter(engine, now, a, &call), ENGINE_PASS);
            fixture_exit(engine, now + 5 * MS, &call, false);
        }
        sample(now, 1, 5);
        unsigned held = 0;
        for (unsigned second = 0; second < 4; second++, now += SECOND) {
            unsigned normal = 0, critical = 0;
            for (unsigned i = 0; i < 50; i++) {
                uint64_t then = now + i * 20 * MS;
                struct engine_request request = fixture_request(&a);
                request.priority = i % 2 ? PRIORITY_CRITICAL : PRIORITY_NORMAL;
                request.waited_ns = 400 * MS;
                if (engine_enter(engine, then, &request, &calls[held % 32].ticket, &calls[held % 32].decision) ==
                    ENGINE_PASS)
                    held++, *(i % 2 ? &critical : &normal) += 1;
            }
            ck_assert_msg(normal && critical && (second < 2 || normal + critical == 2), "%u: %u and %u in second %u",
                          grade, normal, critical, second);
        }
        fixture_free(engine);
    }
}
END_TEST

START_TEST(test_retry) {
    ck_assert_uint_eq(adaptive_retry_ns(START, START, 0.5), SECOND);
    ck_assert_uint_eq(adaptive_retry_ns(START + 8 * SECOND, START, 0.5), 8 * SECOND);
    ck_assert_uint_eq(adaptive_retry_ns(START + 8 * SECOND, START, 0), 6 * SECOND);
    ck_assert_uint_eq(adaptive_retry_ns(START + 3600 * SECOND, START, 0.5), 30 * SECOND);
    ck_assert_uint_eq(adaptive_retry_ns(START, START + SECOND, 0.5), SECOND);
}
END_TEST

/* Never fewer than so many a second, and so many critical ones. */
START_TEST(test_minimum) {
    struct adaptive state = {.reported_ns = 0};
    for (uint64_t second = 0; second < 3; second++) {
        uint64_t now = START / SECOND * SECOND + second * SECOND;
        unsigned passed = 0, critical = 0;
        for (unsigned i = 0; i < 100; i++) {
            passed += adaptive_minimum(&state, now + i * 10 * MS, i % 2, 3, i == 0);
            critical += adaptive_minimum(&state, now + i * 10 * MS, PRIORITY_CRITICAL, 3, false);
        }
        ck_assert_uint_eq(passed, 3);
        ck_assert_uint_eq(critical, 3);
    }
    ck_assert(!adaptive_minimum(&state, START + 10 * SECOND, 1, 0, false));
}
END_TEST

/* A caller's luck is the same at each of its requests until the salt changes, and even over all callers. */
START_TEST(test_luck) {
    begin(RULE_SYSTEM, SYSTEM_QPS, 10, NULL);
    struct engine_request request = fixture_request(&a);
    struct decision decision = {.engine = engine, .request = &request};
    unsigned below = 0, changed = 0, moved = 0;
    uint32_t caller;
    request.address = (const unsigned char *)&caller;
    request.address_length = sizeof(caller);
    for (caller = 0; caller < 1000; caller++) {
        double luck = shedding_luck(&decision, 1);
        ck_assert(luck >= 0 && luck < 1);
        changed += shedding_luck(&decision, 1) != luck;
        moved += (shedding_luck(&decision, 2) < 0.5) != (luck < 0.5);
        below += luck < 0.25;
    }
    ck_assert_uint_eq(changed, 0);
    ck_assert_msg(below > 200 && below < 300 && moved > 430 && moved < 570, "%u %u", below, moved);
    double by_address = shedding_luck(&decision, 1);
    request.origin = "shop", request.origin_length = 4;
    double by_name = shedding_luck(&decision, 1);
    ck_assert(by_name != by_address);
    request.address_length = 0;
    ck_assert(shedding_luck(&decision, 1) == by_name);
    request.origin_length = 0;
    below = 0;
    for (unsigned i = 0; i < 1000; i++) /* one that is not known: each time another's */
        below += shedding_luck(&decision, 1) < 0.25;
    ck_assert_msg(below >= 248 && below <= 252, "%u", below);
    fixture_free(engine);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_shed");
    tcase_add_test(tests, test_qps);
    tcase_add_test(tests, test_threads);
    tcase_add_test(tests, test_rt);
    tcase_add_test(tests, test_load_asks_bbr);
    tcase_add_test(tests, test_health_checks);
    tcase_add_test(tests, test_rt_does_not_oscillate);
    tcase_add_test(tests, test_what_waits_to_be_read);
    tcase_add_test(tests, test_latency_and_load_let_some_pass);
    tcase_add_test(tests, test_retry);
    tcase_add_test(tests, test_minimum);
    tcase_add_test(tests, test_luck);
    return suite_run("engine_shed", tests, NULL);
}
