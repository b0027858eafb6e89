/* Protection by the use of the CPU, of adaptive and of system rules. */
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"
#include "shed_fixture.h"
#include "tests/unit/suite.h"

/* A system rule about the CPU: what the application uses counts, not the host; it sheds as much as there is too much.
 */
START_TEST(test_system_cpu) {
    begin(RULE_SYSTEM, SYSTEM_CPU, 0.8, "b");
    const struct flow offered = {.low = 20, .normal = 200}, idle = {.normal = 10};
    uint64_t now = START;
    ck_assert_uint_eq(passes(now, a, PRIORITY_NORMAL, 5), 5); /* unknown */
    for (unsigned i = 0; i < 10; i++) {                       /* only the host's is known */
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){1, -1, -1, 0});
        ck_assert_uint_eq(passes(now, a, PRIORITY_LOW, 50), 50);
    }
    server = (struct server){.capacity = 100};
    struct fixture_call call;
    struct flow passed = half_seconds(&now, 20, &offered);
    ck_assert_msg(passed.normal >= 70 && passed.normal <= 90 && passed.low <= 2, "%u %u", passed.normal, passed.low);
    enum engine_verdict verdict;
    do
        verdict = enter(now, a, SIDE_INBOUND, PRIORITY_NORMAL, &call);
    while (verdict == ENGINE_PASS);
    ck_assert_int_eq(call.decision.reason, REASON_SYSTEM);
    ck_assert_int_eq(call.decision.detail, SYSTEM_CPU);
    ck_assert(call.decision.retry_ns >= SECOND && call.decision.retry_ns <= 38 * SECOND);
    half_seconds(&now, 4, &idle);
    ck_assert_uint_eq(half_seconds(&now, 1, &idle).normal, 10);
    fixture_free(engine);
}
END_TEST

START_TEST(test_cpu_controller_sheds_by_priority) {
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.8, "b");
    server = (struct server){.capacity = 200};
    const struct flow all = {.low = 100, .normal = 100, .critical = 100, .excepted = 10}, critical = {.critical = 300},
                      little = {.low = 10};
    uint64_t now = START;
    struct flow passed = half_seconds(&now, 20, &all);
    ck_assert_msg(passed.low < 5 && passed.normal > 30 && passed.normal < 70 && passed.critical == 100, "%u %u %u",
                  passed.low, passed.normal, passed.critical);
    ck_assert_uint_eq(passed.excepted, 10);
    passed = half_seconds(&now, 20, &critical); /* which are shed where there are none but them */
    ck_assert_msg(passed.critical > 130 && passed.critical < 190, "%u", passed.critical);
    half_seconds(&now, 4, &little);
    for (unsigned step = 0; step < 40; step++) /* and lets go again, and does not dip when idle */
        ck_assert_uint_eq(half_seconds(&now, 1, &little).low, 10);
    for (unsigned step = 0; step < 10; step++) { /* a figure that is none */
        sample(now += 500 * MS, 0.0 / 0.0, -1);
        ck_assert_uint_eq(passes(now, a, PRIORITY_LOW, 10), 10);
    }
    const struct layout_event *events = shared_at(shared, LAYOUT_EVENT_RING, 0);
    ck_assert_uint_ge(shared->event_next, 2);
    ck_assert_uint_eq(events[0].kind, EVENT_ADAPTIVE);
    ck_assert(events[0].from == 0 && events[0].to == 1);
    ck_assert(events[shared->event_next - 1].from == 1 && events[shared->event_next - 1].to == 0);
    fixture_free(engine);
}
END_TEST

/* Whole sessions survive: of 100 callers, the same ones are admitted second by second, but few of them now and then;
 * and where all traffic is one caller's it is shed as smoothly. */
START_TEST(test_cpu_sheds_by_caller) {
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.8, NULL);
    enum { CALLERS = 100, STEPS = 40 };
    for (unsigned callers = CALLERS; callers; callers = callers > 1 ? 1 : 0) {
        unsigned seen[CALLERS] = {0}, in[CALLERS] = {0}, steady = 0;
        struct flow offered = {.normal = 200, .callers = callers};
        uint64_t now = START + callers * 1000 * SECOND;
        server = (struct server){.capacity = 100};
        half_seconds(&now, 10, &offered);
        offered.seen = seen, offered.in = in;
        for (unsigned step = 10; step < STEPS; step++) {
            unsigned passed = half_second(&now, &offered).normal;
            ck_assert_msg(passed >= 60 && passed <= 100, "%u callers: %u of 200 in half a second", callers, passed);
        }
        for (unsigned who = 0; who < callers; who++)
            steady += in[who] * 20 <= seen[who] || in[who] * 20 >= seen[who] * 19;
        ck_assert_msg(callers == 1 || steady >= 70, "%u of 100 callers are admitted always or never", steady);
    }
    fixture_free(engine);
}
END_TEST

/* The CPU seems not to be used up, but more and more is in flight. */
START_TEST(test_backlog_of_a_busy_application) {
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.95, NULL);
    const struct flow calm = {.normal = 50}, offered = {.normal = 300};
    uint64_t now = START;
    server = (struct server){.capacity = 100, .others = 0.25};
    half_seconds(&now, 10, &calm);
    half_seconds(&now, 10, &offered);
    for (unsigned step = 0; step < 30; step++) {
        unsigned passed = half_second(&now, &offered).normal, in_flight = server.begun - server.done;
        ck_assert_msg(passed >= 50 && passed <= 130 && in_flight <= 100, "%u of 300, %u in flight", passed, in_flight);
    }
    fixture_free(engine);
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.95, NULL); /* and where they wait to be read */
    now = START;
    for (unsigned step = 0; step < 40; step++) {
        unsigned passed = 0;
        for (unsigned i = 0; i < 200; i++) {
            struct engine_request request = fixture_request(&a);
            struct fixture_call call;
            request.waited_ns = step < 10 ? 1 * MS : 300 * MS;
            uint64_t then = now + i * 2500000;
            if (engine_enter(engine, then, &request, &call.ticket, &call.decision) == ENGINE_PASS && ++passed)
                fixture_exit(engine, then, &call, false);
        }
        ck_assert_msg(step < 10 ? passed == 200 : step < 13 || passed < 195, "step %u: %u of 200", step, passed);
        sample(now += 500 * MS, 0.75, -1);
    }
    fixture_free(engine);
}
END_TEST

/* Beside hogs it gets a half, or a quarter, and more and more is in flight: it can do no more, as long as the CPUs have
 * no time left. */
START_TEST(test_a_share_beside_hogs) {
    static const struct {
        double others, cpus_used;
        bool shed;
    } cases[] = {{0.45, 1, true}, {0.75, 0.98, true}, {0.45, 0.8, false}, {0.45, 0, false}, {0.97, 1, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.95, NULL);
        const struct flow calm = {.normal = 50}, offered = {.normal = 110};
        uint64_t now = START;
        server = (struct server){.capacity = 100, .others = cases[i].others, .cpus_used = cases[i].cpus_used};
        unsigned passed = half_seconds(&now, 20, &calm).normal, sum = 0, most = 0;
        ck_assert_uint_eq(passed, 50);
        for (unsigned step = 0; step < 60; step++) {
            sum += half_second(&now, &offered).normal;
            most = step >= 40 && server.begun - server.done > most ? server.begun - server.done : most;
        }
        ck_assert_msg(cases[i].shed ? sum < 60 * 103 && most < 100 : sum == 60 * 110, "%zu: %u of %u, %u in flight", i,
                      sum, 60 * 110, most);
        fixture_free(engine);
    }
    server = (struct server){0};
}
END_TEST

/* What the application uses counts, not the host; and whatever the figures say, some of each second's requests pass. */
START_TEST(test_own_cpu_and_a_minimum) {
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.8, "b");
    uint64_t now = START;
    for (unsigned step = 0; step < 40; step++) {
        ck_assert_uint_eq(passes(now, a, PRIORITY_LOW, 10), 10);
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){1, -1, 0.02, 1});
    }
    for (unsigned step = 0; step < 60; step++)
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){0.1, -1, 1, 0});
    unsigned low = 0, critical = 0;
    for (unsigned second = 0; second < 60; second++, now += 1000 * MS) {
        low += passes(now, a, PRIORITY_LOW, 1);
        critical += passes(now, a, PRIORITY_CRITICAL, 1);
        engine_sample(engine, now + 400 * MS, &(struct engine_sample){0.1, -1, 1, 0});
        engine_sample(engine, now + 900 * MS, &(struct engine_sample){0.1, -1, 1, 0});
    }
    ck_assert_uint_ge(low, 59);
    ck_assert_uint_ge(critical, 59);
    ck_assert_uint_le(passes(now, a, PRIORITY_LOW, 100), 10);
    fixture_free(engine);
}
END_TEST

/* "compat": "sentinel": what Sentinel's rules let pass is shed in the same way, and nothing of it stays in flight. */
START_TEST(test_beside_sentinels_rules) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule flow = fixture_rule(builder, RULE_FLOW, "f", "a", 300), /* a second */
        rule = fixture_rule(builder, RULE_ADAPTIVE, "s", NULL, 0.8);
    ruleset_builder_options(builder)->compat_sentinel = 1;
    flow.grade = GRADE_QPS;
    rule.grade = ADAPTIVE_CPU;
    rule.mode = MODE_ENFORCE;
    rule.list_first = ruleset_add_list(builder, fixture_text(builder, "b"));
    rule.list_count = 1;
    ruleset_add_rule(builder, &flow);
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
    b = fixture_resource(engine, "b");
    const struct flow offered = {.normal = 200, .excepted = 10}, little = {.normal = 10};
    uint64_t now = START;
    server = (struct server){.capacity = 100};
    struct flow passed = half_second(&now, &offered);
    ck_assert_msg(passed.normal == 150 || passed.normal == 200, "%u", passed.normal); /* the window has two halves */
    half_seconds(&now, 10, &offered);
    for (unsigned step = 0; step < 20; step++) {
        passed = half_second(&now, &offered);
        ck_assert_msg(passed.normal >= 40 && passed.normal <= 100, "%u of 200", passed.normal);
        ck_assert_uint_eq(passed.excepted, 10);
    }
    struct fixture_call call;
    while (enter(now, a, SIDE_INBOUND, PRIORITY_NORMAL, &call) == ENGINE_PASS)
        engine_cancel(engine, &call.ticket, now);
    ck_assert_int_eq(call.decision.reason, REASON_ADAPTIVE);
    half_seconds(&now, 6, &little);
    ck_assert_uint_eq(half_second(&now, &little).normal, 10);
    while (server.done != server.begun)
        fixture_exit(engine, now, &server.calls[server.done++ % 4096], false);
    const struct limiter_state *in_flight = engine->compiled[0].shedder[0].state;
    ck_assert_int_eq(state_kind(in_flight), LIMITER_IN_FLIGHT_SHARED);
    ck_assert_uint_eq(in_flight_shared_now((const struct in_flight_shared *)in_flight), 0);
    fixture_free(engine);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("shed_by_cpu");
    tcase_add_test(tests, test_system_cpu);
    tcase_add_test(tests, test_cpu_controller_sheds_by_priority);
    tcase_add_test(tests, test_cpu_sheds_by_caller);
    tcase_add_test(tests, test_backlog_of_a_busy_application);
    tcase_add_test(tests, test_a_share_beside_hogs);
    tcase_add_test(tests, test_own_cpu_and_a_minimum);
    tcase_add_test(tests, test_beside_sentinels_rules);
    return suite_run("shed_by_cpu", tests, NULL);
}
