/* Requests that are rejected before the application has read them (engine_request.door). */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/adaptive.h"
#include "tests/unit/suite.h"

static struct layout_counters_header *shared;

static struct engine *process(uint32_t slot) {
    struct engine *engine = fixture_engine(shared, slot);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_ADAPTIVE, "s", NULL, 0.95);
    rule.grade = ADAPTIVE_DELAY;
    rule.mode = MODE_ENFORCE;
    rule.max_queue_ns = 20 * MS;
    rule.stat_interval_ns = 100 * MS;
    rule.min_requests = 1;
    fixture_one_rule(engine, builder, &rule, 1);
    return engine;
}

static bool passes(struct engine *engine, uint64_t now, uint64_t waited, bool door) {
    uint32_t resource = fixture_resource(engine, "a");
    struct engine_request request = fixture_request(&resource);
    struct fixture_call call;
    request.first = true;
    request.waited_ns = waited;
    request.door = door;
    bool pass = engine_enter(engine, now, &request, &call.ticket, &call.decision) == ENGINE_PASS;
    if (pass && !door)
        fixture_exit(engine, now + MS, &call, false);
    ck_assert(pass || (call.decision.reason == REASON_ADAPTIVE && call.ticket.resources_count == 0));
    return pass;
}

static bool watched(struct engine *engine, uint64_t now) {
    uint32_t token = engine_read_begin(engine);
    bool is = engine_door(engine, token, now);
    engine_read_end(engine, token);
    return is;
}

static unsigned overload(struct engine *engine, uint64_t *now) {
    unsigned rejected = 0;
    for (int i = 0; i < 1000; i++, *now += MS)
        rejected += !passes(engine, *now, 300 * MS, false);
    return rejected;
}

START_TEST(test_what_has_waited_too_long) {
    shared = fixture_counters();
    struct engine *engine = process(0);
    uint64_t now = START;
    ck_assert(!watched(engine, now));
    ck_assert(passes(engine, now, 300 * MS, true)); /* no overload */
    ck_assert(overload(engine, &now) > 500);
    ck_assert(watched(engine, now));
    ck_assert(passes(engine, now, 0, false)); /* so that this second has one that passes */
    ck_assert(passes(engine, now, 1 * MS, true));
    ck_assert(!passes(engine, now, 300 * MS, true));
    fixture_free(engine);
}
END_TEST

/* One that is left idle after an episode does not go on with it. */
START_TEST(test_an_episode_that_is_over) {
    shared = fixture_counters();
    struct engine *busy = process(0), *idle = process(1);
    uint64_t now = START;
    ck_assert(overload(idle, &now) > 500);
    for (int i = 0; i < 600; i++, now += 100 * MS)
        ck_assert(passes(busy, now, 0, false));
    ck_assert(!watched(idle, now) && !watched(busy, now));
    for (int i = 0; i < 20; i++, now += 50 * MS)
        ck_assert(passes(idle, now, 40 * MS, true) && passes(busy, now, 0, false));
    for (int i = 0; i < 20; i++, now += 50 * MS)
        ck_assert(passes(idle, now, 40 * MS, false));
    fixture_free(idle);
    fixture_free(busy);
}
END_TEST

/* Whatever completes, of what was admitted long ago. */
START_TEST(test_the_minimum_passes) {
    shared = fixture_counters();
    struct engine *engine = process(0);
    static struct fixture_call calls[100];
    uint64_t now = START;
    ck_assert(overload(engine, &now) > 500);
    uint32_t resource = fixture_resource(engine, "a");
    struct engine_request request = fixture_request(&resource);
    for (int i = 0; i < 100; i++)
        engine_enter(engine, now, &request, &calls[i].ticket, &calls[i].decision);
    unsigned passed = 0;
    for (int i = 0; i < 100; i++, now += 100 * MS) {
        fixture_exit(engine, now, &calls[i], false);
        for (int k = 0; k < 10; k++)
            passed += passes(engine, now + (uint64_t)k * 10 * MS, 300 * MS, true) &&
                      passes(engine, now + (uint64_t)k * 10 * MS, 300 * MS, false);
    }
    ck_assert_msg(passed >= 9 && passed <= 12, "%u in ten seconds", passed);
    fixture_free(engine);
}
END_TEST

/* Another thread has looked at the clock a little before. */
START_TEST(test_an_episode_begins_once) {
    struct adaptive state = {.reported_ns = 0};
    ck_assert_uint_eq(adaptive_episode(&state, START + 1, true), EPISODE_BEGINS);
    ck_assert_uint_eq(adaptive_episode(&state, START, true), EPISODE_NOTHING);
    ck_assert_uint_eq(adaptive_episode(&state, START + 10000 * MS + 1, true), EPISODE_GOES_ON);
    ck_assert_uint_eq(adaptive_episode(&state, START + 12000 * MS, false), EPISODE_ENDS);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("door");
    tcase_add_test(tests, test_what_has_waited_too_long);
    tcase_add_test(tests, test_an_episode_that_is_over);
    tcase_add_test(tests, test_the_minimum_passes);
    tcase_add_test(tests, test_an_episode_begins_once);
    return suite_run("door", tests, NULL);
}
