/* System rules and overload protection, in small; its course over time is tests/bench/overload_sim.c. */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/in_flight.h"
#include "rules/engine/limiters/shedding.h"
#include "tests/unit/suite.h"

static struct engine *engine;
static struct layout_counters_header *shared;
static uint32_t a, b;

static void begin(enum rule_kind kind, unsigned grade, double count, const char *exception) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, kind, "s", NULL, count);
    rule.grade = (uint8_t)grade;
    rule.mode = MODE_ENFORCE;
    if (exception) {
        rule.list_first = ruleset_add_list(builder, fixture_text(builder, exception));
        rule.list_count = 1;
    }
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
    b = fixture_resource(engine, "b");
}

static enum engine_verdict enter(uint64_t now, uint32_t resource, uint8_t side, uint8_t priority,
                                 struct fixture_call *call) {
    struct engine_request request = fixture_request(&resource);
    request.side = side;
    request.priority = priority;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}
static unsigned passes(uint64_t now, uint32_t resource, uint8_t priority, unsigned n) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++) {
        struct fixture_call call;
        if (enter(now, resource, SIDE_INBOUND, priority, &call) == ENGINE_PASS) {
            passed++;
            fixture_exit(engine, now, &call, false);
        }
    }
    return passed;
}
static void sample(uint64_t now, double cpu, double load1) {
    struct engine_sample sample = {cpu, load1, cpu};
    engine_sample(engine, now, &sample);
}

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

/* A server that completes so many requests in half a second, first come, first served. */
static struct server {
    unsigned capacity, begun, done; /* calls since the start */
    double others;                  /* what others take of the CPU, 0…1, and the figure does not know of */
    struct fixture_call calls[4096];
} server;
static bool arrives(uint64_t now, uint32_t resource, uint8_t priority, uint32_t caller) {
    struct fixture_call *call = &server.calls[server.begun % 4096];
    struct engine_request request = fixture_request(&resource);
    request.priority = priority;
    request.address = (const unsigned char *)&caller, request.address_length = caller ? sizeof(caller) : 0;
    ck_assert_uint_lt(server.begun - server.done, 4096);
    return engine_enter(engine, now, &request, &call->ticket, &call->decision) == ENGINE_PASS && ++server.begun;
}
/* Half a second of as many requests as said, spread evenly; then a sample of the CPU.  How many were admitted. */
struct flow {
    unsigned low, normal, critical, excepted;
    unsigned callers;    /* of the normal ones; 0: they are not known */
    unsigned *seen, *in; /* by caller; may be NULL */
};
enum { SLOTS = 400 };
static unsigned part(unsigned n, unsigned slot) {
    return n * (slot + 1) / SLOTS - n * slot / SLOTS;
}
static struct flow half_second(uint64_t *now, const struct flow *offered) {
    struct flow passed = {0};
    unsigned done = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint64_t then = *now + slot * (500 * MS / SLOTS);
        for (unsigned i = 0; i < part(offered->low, slot); i++)
            passed.low += arrives(then, a, PRIORITY_LOW, 0);
        for (unsigned i = 0; i < part(offered->normal, slot); i++) {
            uint32_t caller = offered->callers ? (server.begun * 7 + slot * 37 + i) % offered->callers : 0;
            bool in = arrives(then, a, PRIORITY_NORMAL, offered->callers ? caller + 1 : 0);
            passed.normal += in;
            if (offered->seen)
                offered->seen[caller]++, offered->in[caller] += in;
        }
        for (unsigned i = 0; i < part(offered->critical, slot); i++)
            passed.critical += arrives(then, a, PRIORITY_CRITICAL, 0);
        for (unsigned i = 0; i < part(offered->excepted, slot); i++)
            passed.excepted += arrives(then, b, PRIORITY_NORMAL, 0);
        for (unsigned i = part(server.capacity, slot); i && server.done != server.begun; i--, done++)
            fixture_exit(engine, then + 5 * MS, &server.calls[server.done++ % 4096], false);
    }
    sample(*now += 500 * MS, (double)done / server.capacity * (1 - server.others), -1);
    return passed;
}
static struct flow half_seconds(uint64_t *now, unsigned n, const struct flow *offered) {
    struct flow passed = {0};
    while (n--)
        passed = half_second(now, offered);
    return passed;
}

/* A system rule about the CPU: what the application uses counts, not the host; it sheds as much as there is too much.
 */
START_TEST(test_system_cpu) {
    begin(RULE_SYSTEM, SYSTEM_CPU, 0.8, "b");
    const struct flow offered = {.low = 20, .normal = 200}, idle = {.normal = 10};
    uint64_t now = START;
    ck_assert_uint_eq(passes(now, a, PRIORITY_NORMAL, 5), 5); /* unknown */
    for (unsigned i = 0; i < 10; i++) {                       /* only the host's is known */
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){1, -1, -1});
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

/* What the application uses counts, not the host; and whatever the figures say, some of each second's requests pass. */
START_TEST(test_own_cpu_and_a_minimum) {
    begin(RULE_ADAPTIVE, ADAPTIVE_CPU, 0.8, "b");
    uint64_t now = START;
    for (unsigned step = 0; step < 40; step++) {
        ck_assert_uint_eq(passes(now, a, PRIORITY_LOW, 10), 10);
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){1, -1, 0.02});
    }
    for (unsigned step = 0; step < 60; step++)
        engine_sample(engine, now += 500 * MS, &(struct engine_sample){0.1, -1, 1});
    unsigned low = 0, critical = 0;
    for (unsigned second = 0; second < 60; second++, now += 1000 * MS) {
        low += passes(now, a, PRIORITY_LOW, 1);
        critical += passes(now, a, PRIORITY_CRITICAL, 1);
        engine_sample(engine, now + 400 * MS, &(struct engine_sample){0.1, -1, 1});
        engine_sample(engine, now + 900 * MS, &(struct engine_sample){0.1, -1, 1});
    }
    ck_assert_uint_ge(low, 59);
    ck_assert_uint_ge(critical, 59);
    ck_assert_uint_le(passes(now, a, PRIORITY_LOW, 100), 10);
    fixture_free(engine);
}
END_TEST

/* A caller's luck is the same at each of its requests until the salt changes, and even over all callers. */
START_TEST(test_luck) {
    begin(RULE_SYSTEM, SYSTEM_QPS, 10, NULL);
    struct engine_request request = fixture_request(&a);
    struct decision decision = {.engine = engine, .request = &request};
    unsigned below = 0, changed = 0, moved = 0;
    for (uint32_t caller = 0; caller < 1000; caller++) {
        request.address = (const unsigned char *)&caller;
        request.address_length = sizeof(caller);
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
    tcase_add_test(tests, test_cpu_controller_sheds_by_priority);
    tcase_add_test(tests, test_own_cpu_and_a_minimum);
    tcase_add_test(tests, test_luck);
    tcase_add_test(tests, test_system_cpu);
    tcase_add_test(tests, test_cpu_sheds_by_caller);
    tcase_add_test(tests, test_health_checks);
    tcase_add_test(tests, test_rt_does_not_oscillate);
    tcase_add_test(tests, test_what_waits_to_be_read);
    tcase_add_test(tests, test_beside_sentinels_rules);
    tcase_add_test(tests, test_backlog_of_a_busy_application);
    tcase_add_test(tests, test_retry);
    tcase_add_test(tests, test_minimum);
    return suite_run("engine_shed", tests, NULL);
}
