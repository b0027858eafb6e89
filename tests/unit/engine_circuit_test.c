/* Circuit breakers: when they open, how they recover, and that no probe is lost for ever. */
#include <check.h>

#include "engine_fixture.h"
#include "tests/unit/suite.h"

static struct engine *engine;
static struct layout_counters_header *shared;
static uint32_t a;

static struct rule degrade(struct ruleset_builder *builder, enum rule_degrade grade, double count) {
    struct rule rule = fixture_rule(builder, RULE_DEGRADE, "d", "a", count);
    rule.grade = grade;
    rule.open_ns = 10 * SECOND;
    rule.stat_interval_ns = SECOND;
    rule.min_requests = 5;
    rule.slow_ratio = 0.5;
    return rule;
}

static void begin(enum rule_degrade grade, double count, void (*change)(struct ruleset_builder *, struct rule *)) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = degrade(builder, grade, count);
    if (change)
        change(builder, &rule);
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
}

/* One call of that length; false: rejected. */
static bool call(uint64_t now, uint64_t rt, bool error) {
    struct fixture_call call;
    if (fixture_enter(engine, now, a, &call) == ENGINE_BLOCK) {
        ck_assert_int_eq(call.decision.reason, REASON_DEGRADE);
        return false;
    }
    fixture_exit(engine, now + rt, &call, error);
    return true;
}

static unsigned calls(uint64_t now, unsigned n, uint64_t rt, bool error) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++)
        passed += call(now, rt, error);
    return passed;
}

static uint32_t state(void) {
    return fixture_stats(shared, a)->circuit;
}

START_TEST(test_error_ratio) {
    begin(DEGRADE_RATIO, 0.5, NULL);
    ck_assert_uint_eq(calls(START, 3, MS, false), 3);
    ck_assert_uint_eq(calls(START, 3, MS, true), 3); /* one half: not above */
    ck_assert(call(START + 2 * MS, MS, true));
    ck_assert(!call(START + 4 * MS, MS, false));
    ck_assert_uint_eq(state(), CIRCUIT_OPEN);
    struct fixture_call blocked;
    ck_assert_int_eq(fixture_enter(engine, START + SECOND, a, &blocked), ENGINE_BLOCK);
    ck_assert(blocked.decision.retry_ns > 8900 * MS && blocked.decision.retry_ns < 9100 * MS);
    ck_assert(!call(START + 9900 * MS, MS, false));
    ck_assert(call(START + 10100 * MS, MS, false)); /* the probe, good */
    ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
    ck_assert_uint_eq(calls(START + 10200 * MS, 100, MS, false), 100);
    fixture_free(engine);
}
END_TEST

START_TEST(test_fewer_than_least_never_open) {
    begin(DEGRADE_RATIO, 0.1, NULL);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_uint_eq(calls(START + i * 2 * SECOND, 4, MS, true), 4);
    ck_assert(call(START + 199 * SECOND, MS, true)); /* the fifth within no second of the others */
    fixture_free(engine);
}
END_TEST

START_TEST(test_slow_and_count) {
    begin(DEGRADE_SLOW, 50, NULL);
    ck_assert_uint_eq(calls(START, 5, 50 * MS, false), 5);
    ck_assert_uint_eq(calls(START, 5, 51 * MS, false), 5);
    ck_assert(call(START, 51 * MS, false));
    ck_assert(!call(START + 60 * MS, MS, false));
    fixture_free(engine);
    begin(DEGRADE_COUNT, 7, NULL);
    ck_assert_uint_eq(calls(START, 7, MS, true), 7);
    ck_assert_uint_eq(calls(START, 100, MS, false), 100);
    ck_assert(call(START, MS, true));
    ck_assert(!call(START + 2 * MS, MS, false));
    fixture_free(engine);
}
END_TEST

static void streak_of_3(struct ruleset_builder *builder, struct rule *rule) {
    (void)builder;
    rule->rt_slow_requests = 3;
}
START_TEST(test_average_rt) {
    begin(DEGRADE_AVG_RT, 20, streak_of_3);
    ck_assert_uint_eq(calls(START, 10, 10 * MS, false), 10);
    ck_assert(call(START + 5 * MS, 200 * MS, false)); /* mean 27 ms: one */
    ck_assert(call(START + 5 * MS, 200 * MS, false));
    ck_assert(call(START + 5 * MS, 200 * MS, false));
    ck_assert(!call(START + 300 * MS, MS, false));
    fixture_free(engine);
}
END_TEST

START_TEST(test_bad_probe_and_lost_probe) {
    begin(DEGRADE_RATIO, 0.5, NULL);
    struct fixture_call early, probe, late;
    ck_assert_int_eq(fixture_enter(engine, START, a, &early), ENGINE_PASS); /* long before */
    calls(START, 10, MS, true);
    ck_assert(call(START + 10100 * MS, 5 * MS, true)); /* bad probe */
    ck_assert_uint_eq(state(), CIRCUIT_OPEN);
    ck_assert(!call(START + 20000 * MS, MS, false));
    ck_assert_int_eq(fixture_enter(engine, START + 20200 * MS, a, &probe), ENGINE_PASS);
    ck_assert_int_eq(fixture_enter(engine, START + 20300 * MS, a, &late), ENGINE_BLOCK);
    fixture_exit(engine, START + 20400 * MS, &early, false); /* decides nothing */
    ck_assert_uint_eq(state(), CIRCUIT_HALF_OPEN);
    ck_assert(!call(START + 25 * SECOND, MS, false));
    ck_assert(call(START + 31 * SECOND, MS, false)); /* the loan is over: the next is the probe */
    ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
    fixture_exit(engine, START + 32 * SECOND, &probe, true); /* the lost one comes back: just a call */
    ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
    calls(START + 33 * SECOND, 10, MS, true);
    ck_assert_int_eq(fixture_enter(engine, START + 44 * SECOND, a, &probe), ENGINE_PASS);
    engine_cancel(engine, &probe.ticket, START + 45 * SECOND); /* never ran: at once the next one */
    ck_assert(call(START + 45 * SECOND + 1, MS, false));
    ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
    fixture_free(engine);
}
END_TEST

static void with_seat(struct ruleset_builder *builder, struct rule *rule) {
    struct rule seat = fixture_rule(builder, RULE_ISOLATION, "seat", "a", 1);
    ruleset_add_rule(builder, &seat);
    (void)rule;
}
START_TEST(test_a_refused_request_takes_no_probe) {
    begin(DEGRADE_RATIO, 0.5, with_seat);
    struct fixture_call holder, refused;
    calls(START, 10, MS, true);
    ck_assert_uint_eq(state(), CIRCUIT_OPEN);
    /* the probe, in the one seat */
    ck_assert_int_eq(fixture_enter(engine, START + 10100 * MS, a, &holder), ENGINE_PASS);
    engine_cancel(engine, &holder.ticket, START + 10100 * MS);
    for (unsigned i = 0; i < 10; i++) { /* seat given back each time, probe lent each time */
        ck_assert_int_eq(fixture_enter(engine, START + 10200 * MS + i, a, &holder), ENGINE_PASS);
        ck_assert_int_eq(fixture_enter(engine, START + 10200 * MS + i, a, &refused), ENGINE_BLOCK);
        engine_cancel(engine, &holder.ticket, START + 10200 * MS + i);
    }
    fixture_free(engine);
}
END_TEST

static void gradual(struct ruleset_builder *builder, struct rule *rule) {
    (void)builder;
    rule->recovery = RECOVERY_GRADUAL;
    rule->recovery_steps = 4;
    rule->step_min_pass = 5;
}
START_TEST(test_gradual) {
    begin(DEGRADE_RATIO, 0.5, gradual);
    calls(START, 10, MS, true);
    ck_assert(!call(START + 9 * SECOND, MS, false));
    uint64_t now = START + 10100 * MS;
    for (unsigned stage = 1; stage <= 4; stage++) {
        unsigned met = 0, passed = 0;
        for (; passed < 5; met++)
            passed += call(now += MS, 0, passed == 1); /* one of five bad: within the threshold */
        ck_assert_msg(stage == 1 ? met <= 17 : met >= 5 * 4 / stage && met <= 5 * 4 / stage + 1, "stage %u: %u met",
                      stage, met);
        ck_assert_uint_eq(state(), stage < 4 ? CIRCUIT_HALF_OPEN : CIRCUIT_CLOSED);
    }
    calls(now + SECOND, 20, MS, true);
    now += 12 * SECOND;
    for (unsigned passed = 0; passed < 5;)
        passed += call(now += MS, 0, false);
    unsigned bad = 0;
    while (state() == CIRCUIT_HALF_OPEN && bad < 5)
        bad += call(now += MS, 0, true);
    ck_assert_uint_eq(bad, 5);
    ck_assert_uint_eq(state(), CIRCUIT_OPEN);
    fixture_free(engine);
}
END_TEST

START_TEST(test_dead_process_frees_the_probe) {
    shared = fixture_counters();
    struct engine *engines[2] = {fixture_engine(shared, 0), fixture_engine(shared, 1)};
    for (unsigned i = 0; i < 2; i++) {
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = degrade(builder, DEGRADE_RATIO, 0.5);
        rule.scope = SCOPE_APP;
        fixture_one_rule(engines[i], builder, &rule, 1);
    }
    engine = engines[0];
    a = fixture_resource(engine, "a");
    calls(START, 10, MS, true);
    struct fixture_call probe;
    ck_assert_int_eq(fixture_enter(engines[1], START + 10100 * MS, a, &probe), ENGINE_PASS);
    ck_assert(!call(START + 10200 * MS, MS, false));
    shared_reclaim(shared, 1, fixture_process(shared, 1)->owner);
    ck_assert(call(START + 10300 * MS, MS, false));
    ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
    fixture_free(engines[0]);
    fixture_free(engines[1]);
}
END_TEST

START_TEST(test_default_circuits_of_outbound) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = degrade(builder, DEGRADE_RATIO, 0.5);
    rule.resource = fixture_text(builder, "*");
    rule.side = SIDE_OUTBOUND;
    rule.list_first = ruleset_add_list(builder, fixture_text(builder, "except"));
    rule.list_count = 1;
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_DEGRADE, "own", "own", 1000);
    rule.grade = DEGRADE_COUNT;
    fixture_one_rule(engine, builder, &rule, 1);
    static const struct {
        const char *name;
        uint8_t side;
        bool open;
    } cases[] = {{"one", SIDE_OUTBOUND, true},
                 {"two", SIDE_OUTBOUND, true},
                 {"in", SIDE_INBOUND, false},
                 {"except", SIDE_OUTBOUND, false},
                 {"own", SIDE_OUTBOUND, false}};
    for (unsigned k = 0; k < 5; k++) {
        uint32_t resource = fixture_resource(engine, cases[k].name);
        struct engine_request request = fixture_request(&resource);
        struct fixture_call call;
        unsigned passed = 0;
        request.side = cases[k].side;
        for (unsigned i = 0; i < 20; i++)
            if (engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS) {
                passed++;
                fixture_exit(engine, START + MS, &call, true);
            }
        ck_assert_msg((passed < 20) == cases[k].open, "%s: %u", cases[k].name, passed);
    }
    fixture_free(engine);
}
END_TEST

/* Whatever happens in whatever order: only legal changes of state, and it always closes again in the end. */
START_TEST(test_every_sequence_is_legal) {
    uint64_t seed = 4711;
    for (unsigned round = 0; round < 60; round++) {
        begin(DEGRADE_RATIO, 0.3, round % 2 ? gradual : NULL);
        struct fixture_call held[8];
        bool taken[8] = {false};
        uint64_t now = START, read = 0;
        for (unsigned i = 0; i < 3000; i++) {
            unsigned k = fixture_random(&seed) % 8;
            now += fixture_random(&seed) % (20 * MS);
            if (!taken[k])
                taken[k] = fixture_enter(engine, now, a, &held[k]) == ENGINE_PASS;
            else if (seed % 16 == 0)
                taken[k] = false; /* never completes */
            else if (taken[k] && seed % 16 == 1)
                engine_cancel(engine, &held[k].ticket, now), taken[k] = false;
            else
                fixture_exit(engine, now, &held[k], seed % 3 == 0), taken[k] = false;
        }
        const struct layout_event *events = shared_at(shared, LAYOUT_EVENT_RING, 0);
        uint8_t last = CIRCUIT_CLOSED;
        for (; read < shared->event_next && read < LAYOUT_EVENTS; read++) {
            const struct layout_event *event = &events[read];
            ck_assert_uint_eq(event->kind, EVENT_CIRCUIT);
            ck_assert_uint_eq(event->from, last);
            ck_assert(event->to != event->from && !(event->from == CIRCUIT_CLOSED && event->to == CIRCUIT_HALF_OPEN) &&
                      !(event->from == CIRCUIT_OPEN && event->to == CIRCUIT_CLOSED));
            last = event->to;
        }
        ck_assert_uint_gt(read, 2);
        for (unsigned i = 0; i < 400; i++)
            call(now += 100 * MS, 0, false);
        ck_assert_uint_eq(state(), CIRCUIT_CLOSED);
        fixture_free(engine);
        shared_free(shared);
    }
}
END_TEST

static void simulate(struct ruleset_builder *builder, struct rule *rule) {
    (void)builder;
    rule->mode = MODE_SIMULATE;
}
START_TEST(test_simulated) {
    begin(DEGRADE_RATIO, 0.5, simulate);
    ck_assert_uint_eq(calls(START, 10, MS, true), 10);
    ck_assert_uint_eq(state(), CIRCUIT_OPEN);
    ck_assert_uint_eq(calls(START + 2 * SECOND, 7, MS, true), 7);
    ck_assert_uint_eq(fixture_sum(shared, a).simulated, 5 + 7);
    fixture_free(engine);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_circuit");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_error_ratio);
    tcase_add_test(tests, test_fewer_than_least_never_open);
    tcase_add_test(tests, test_slow_and_count);
    tcase_add_test(tests, test_average_rt);
    tcase_add_test(tests, test_bad_probe_and_lost_probe);
    tcase_add_test(tests, test_a_refused_request_takes_no_probe);
    tcase_add_test(tests, test_gradual);
    tcase_add_test(tests, test_dead_process_frees_the_probe);
    tcase_add_test(tests, test_default_circuits_of_outbound);
    tcase_add_test(tests, test_every_sequence_is_legal);
    tcase_add_test(tests, test_simulated);
    return suite_run("engine_circuit", tests, NULL);
}
