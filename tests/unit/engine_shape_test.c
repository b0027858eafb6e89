/* Traffic shaped over time: queueing, warm-up; and who may call: authority. */
#include <check.h>

#include "engine_fixture.h"
#include "tests/unit/suite.h"

static struct engine *engine;
static uint32_t a;

static struct rule *begin(struct ruleset_builder *builder, double count, enum rule_behavior behavior) {
    static struct rule rule;
    engine = fixture_engine(NULL, UINT32_MAX);
    rule = fixture_rule(builder, RULE_FLOW, "r", "a", count);
    rule.behavior = behavior;
    return &rule;
}

static void adopt(struct ruleset_builder *builder, struct rule *rule) {
    fixture_one_rule(engine, builder, rule, 1);
    a = fixture_resource(engine, "a");
}

/* --------------------------------------------------------------------------------------------------------- queueing */

START_TEST(test_spacing_is_exact) {
    static const double rates[] = {10, 1000, 3, 50000, 1000000};
    for (unsigned k = 0; k < 5; k++) {
        struct ruleset_builder *builder = fixture_rules();
        struct rule *rule = begin(builder, rates[k], BEHAVIOR_QUEUE);
        rule->max_queue_ns = SECOND;
        adopt(builder, rule);
        uint64_t spacing = (uint64_t)(1e9 / rates[k] + 0.999), now = START, last = 0, seed = 5;
        unsigned admitted = 0;
        uint64_t first = 0;
        for (unsigned i = 0; i < 20000; i++) {
            struct fixture_call call;
            now += fixture_random(&seed) % spacing; /* twice the rate */
            if (fixture_enter(engine, now, a, &call) == ENGINE_BLOCK) {
                ck_assert_uint_gt(call.decision.retry_ns, 0);
                continue;
            }
            uint64_t goes = now + call.decision.wait_ns;
            ck_assert_uint_le(call.decision.wait_ns, SECOND);
            ck_assert_uint_eq(goes - last >= spacing || !admitted, true); /* never early */
            last = goes;
            first = admitted++ ? first : goes;
            fixture_exit(engine, goes, &call, false);
        }
        double mean = (double)(last - first) / (admitted - 1);
        ck_assert_msg(mean < 1e9 / rates[k] * 1.01, "%g a second: spacing %g ns", rates[k], mean);
        fixture_free(engine);
    }
}
END_TEST

START_TEST(test_queue_cancel_burst_and_edit) {
    struct ruleset_builder *builder = fixture_rules();
    struct rule *rule = begin(builder, 1, BEHAVIOR_QUEUE);
    rule->max_queue_ns = 100 * SECOND;
    adopt(builder, rule);
    struct fixture_call call;
    for (unsigned i = 0; i < 11; i++)
        fixture_enter(engine, START, a, &call);
    ck_assert_uint_eq(call.decision.wait_ns, 10 * SECOND);
    builder = fixture_rules(); /* ten times as fast: those who come now wait a tenth */
    struct rule faster = fixture_rule(builder, RULE_FLOW, "r", "a", 10);
    faster.behavior = BEHAVIOR_QUEUE;
    faster.max_queue_ns = 100 * SECOND;
    fixture_one_rule(engine, builder, &faster, 2);
    fixture_enter(engine, START, a, &call);
    ck_assert_uint_eq(call.decision.wait_ns, 1100 * MS);
    fixture_free(engine);
    builder = fixture_rules();
    rule = begin(builder, 10, BEHAVIOR_QUEUE);
    rule->burst = 3;
    rule->max_queue_ns = 0;
    adopt(builder, rule);
    ck_assert_int_eq(fixture_enter(engine, START, a, &call), ENGINE_PASS);
    unsigned passed = 0;
    for (unsigned i = 0; i < 10; i++)
        passed += fixture_enter(engine, START, a, &call) == ENGINE_PASS;
    ck_assert_uint_eq(passed, 3);
    fixture_free(engine);
}
END_TEST

START_TEST(test_who_leaves_gives_the_turn_back) {
    for (unsigned k = 0; k < 4; k++) { /* a turn of 20 us, 100 ms, 3 s, 100 s */
        static const double counts[] = {50000, 10, 1.0 / 3, 0.01};
        struct ruleset_builder *builder = fixture_rules();
        struct rule *rule = begin(builder, counts[k], BEHAVIOR_QUEUE);
        uint64_t turn_ns = (uint64_t)(SECOND / counts[k]), slack_ns = turn_ns / 1000;
        rule->max_queue_ns = 1000 * SECOND;
        adopt(builder, rule);
        struct fixture_call call, second, third;
        fixture_enter(engine, START, a, &call);
        fixture_enter(engine, START, a, &second);
        fixture_enter(engine, START, a, &third);
        engine_cancel(engine, &third.ticket, START + 1);
        fixture_enter(engine, START, a, &third);
        ck_assert_uint_le(third.decision.wait_ns - 2 * turn_ns, slack_ns);
        engine_cancel(engine, &second.ticket, START + 2); /* not the last: those behind keep their turns */
        fixture_enter(engine, START, a, &second);
        ck_assert_uint_le(second.decision.wait_ns - 3 * turn_ns, slack_ns);
        fixture_exit(engine, START + 10 * turn_ns, &second, false); /* a turn that came is used */
        fixture_enter(engine, START, a, &second);
        ck_assert_uint_le(second.decision.wait_ns - 4 * turn_ns, slack_ns);
        engine_refuse(engine, &second.ticket, START);
        fixture_enter(engine, START, a, &second);
        ck_assert_uint_le(second.decision.wait_ns - 4 * turn_ns, slack_ns);
        fixture_free(engine);
    }
}
END_TEST

START_TEST(test_refused_later_gives_the_turn_back) {
    struct ruleset_builder *builder = fixture_rules();
    struct rule *rule = begin(builder, 10, BEHAVIOR_QUEUE);
    rule->max_queue_ns = SECOND;
    struct rule seat = fixture_rule(builder, RULE_ISOLATION, "seat", "a", 1);
    ruleset_add_rule(builder, &seat);
    adopt(builder, rule);
    struct fixture_call holder, call;
    ck_assert_int_eq(fixture_enter(engine, START, a, &holder), ENGINE_PASS);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(fixture_enter(engine, START, a, &call), ENGINE_BLOCK);
    engine_cancel(engine, &holder.ticket, START);
    ck_assert_int_eq(fixture_enter(engine, START, a, &call), ENGINE_WAIT);
    ck_assert_uint_eq(call.decision.wait_ns, 100 * MS);
    fixture_free(engine);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- warm-up */

static unsigned offer(uint64_t from, unsigned per_second) { /* one second of evenly spread requests; how many passed */
    unsigned passed = 0;
    for (unsigned i = 0; i < per_second; i++)
        passed += fixture_pass(engine, from + i * SECOND / per_second, a);
    return passed;
}

static void warm_up_curve(double count, bool expect_small) {
    struct ruleset_builder *builder = fixture_rules();
    struct rule *rule = begin(builder, count, BEHAVIOR_WARM_UP);
    rule->warm_up_ns = 10 * SECOND;
    adopt(builder, rule);
    unsigned seconds[40];
    for (unsigned i = 0; i < 16; i++)
        seconds[i] = offer(START + i * SECOND, (unsigned)(2 * count));
    double cold = count / 3;
    ck_assert_msg(seconds[0] >= 0.9 * cold - 1 && seconds[0] <= 1.2 * cold + 1, "first second %u of %g", seconds[0],
                  count);
    for (unsigned i = 1; i < 16; i++)
        ck_assert_msg(seconds[i] + 1 + seconds[i] / 10 >= seconds[i - 1], "second %u: %u after %u", i, seconds[i],
                      seconds[i - 1]);
    ck_assert_msg(seconds[5] > 1.1 * cold && seconds[5] < 0.8 * count, "after 5 s: %u of %g", seconds[5], count);
    if (!expect_small)
        ck_assert_msg(seconds[8] < 0.99 * count, "after 8 s: %u of %g", seconds[8], count);
    ck_assert_msg(seconds[13] + 1 >= 0.94 * count && seconds[15] + 1 >= 0.94 * count, "after 13 s: %u, 15 s: %u of %g",
                  seconds[13], seconds[15], count);
    offer(START + 16 * SECOND, (unsigned)(count * 2 / 3));
    for (unsigned i = 17; i < 26; i++) /* warm at two thirds of the threshold: stays warm enough to let that pass */
        ck_assert_uint_ge(offer(START + i * SECOND, (unsigned)(count * 2 / 3)), (unsigned)(count * 2 / 3));
    unsigned again = offer(START + 300 * SECOND, (unsigned)(2 * count)); /* idle for long: cold */
    ck_assert_msg(again <= 1.2 * cold + 1, "cold again: %u of %g", again, count);
    fixture_free(engine);
}
START_TEST(test_warm_up) {
    warm_up_curve(100, false);
    warm_up_curve(1000, false);
    warm_up_curve(10, true);
}
END_TEST

START_TEST(test_warm_up_queue) {
    struct ruleset_builder *builder = fixture_rules();
    struct rule *rule = begin(builder, 100, BEHAVIOR_WARM_UP_QUEUE);
    rule->warm_up_ns = 10 * SECOND;
    rule->max_queue_ns = 100 * MS;
    adopt(builder, rule);
    unsigned first = offer(START, 200), last = 0;
    for (unsigned i = 1; i < 16; i++)
        last = offer(START + i * SECOND, 200);
    ck_assert_msg(first >= 30 && first <= 45, "%u", first);
    ck_assert_msg(last >= 97 && last <= 103, "%u", last);
    fixture_free(engine);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- authority */

START_TEST(test_authority) {
    static const struct {
        const char *list;
        enum rule_authority kind;
        const char *origin, *address;
        bool pass;
        const char *other_name;
    } cases[] = {
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "shop", "", true, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "bot", "", false, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "bot", "\x0a\x01\x02\x03", true, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "", "\x0b\x01\x02\x03", false, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "10.9.9.9", "", true, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "fd00::1", "", true, NULL},
        {"shop, 10.0.0.0/8 ,fd00::/8", AUTHORITY_WHITE, "", "", true, NULL},
        {"10.0.0.0/8", AUTHORITY_BLACK, "", "\x0a\x01\x02\x03", false, NULL},
        {"10.0.0.0/8", AUTHORITY_BLACK, "shop", "\x0b\x01\x02\x03", true, NULL},
        {"shopping", AUTHORITY_BLACK, "shop", "", true, NULL},
        {"shop", AUTHORITY_BLACK, "10.1.2.3", "\x0a\x01\x02\x03", false, "shop"},
        {"shop", AUTHORITY_WHITE, "10.1.2.3", "\x0a\x01\x02\x03", true, "shop"},
        {"shop", AUTHORITY_WHITE, "10.1.2.3", "\x0a\x01\x02\x03", false, "sho"},
    };
    for (unsigned k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
        struct ruleset_builder *builder = fixture_rules();
        engine = fixture_engine(NULL, UINT32_MAX);
        struct rule rule = fixture_rule(builder, RULE_AUTHORITY, "who", "a", 0);
        rule.origin = fixture_text(builder, cases[k].list);
        rule.authority = cases[k].kind;
        adopt(builder, &rule);
        struct engine_request request = fixture_request(&a);
        struct fixture_call call;
        request.origin = cases[k].origin;
        request.origin_length = strlen(cases[k].origin);
        struct engine_name other = {cases[k].other_name, cases[k].other_name ? strlen(cases[k].other_name) : 0};
        request.origins = &other;
        request.origins_count = cases[k].other_name != NULL;
        request.address = (const unsigned char *)cases[k].address;
        request.address_length = cases[k].address[0] ? 4 : 0;
        bool pass = engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS;
        ck_assert_msg(pass == cases[k].pass, "case %u", k);
        ck_assert(pass || call.decision.reason == REASON_AUTHORITY);
        fixture_free(engine);
    }
}
END_TEST

/* The compatible engine makes the ticket; what this one needs of it to find its way back must survive that. */
START_TEST(test_compat_tickets) {
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "r", "res", 1);
    struct fixture_call first, second;
    rule.grade = GRADE_THREAD;
    ruleset_builder_options(builder)->compat_sentinel = 1;
    fixture_one_rule(engine, builder, &rule, 1);
    uint32_t resource = fixture_resource(engine, "res");
    ck_assert_uint_ne(resource, ENGINE_OTHER);
    for (unsigned k = 0; k < 3; k++) {
        ck_assert_int_eq(fixture_enter(engine, START + k * MS, resource, &first), ENGINE_PASS);
        ck_assert_uint_eq(first.ticket.resources[0], resource);
        ck_assert_int_eq(fixture_enter(engine, START + k * MS, resource, &second), ENGINE_BLOCK);
        ck_assert_uint_eq(second.decision.resource, resource);
        if (k == 1)
            engine_cancel(engine, &first.ticket, START + k * MS);
        else
            fixture_exit(engine, START + k * MS, &first, false);
    }
    engine_after_fork(engine); /* and is the parent's in a child */
    ck_assert_int_eq(fixture_enter(engine, START + 3 * MS, resource, &first), ENGINE_PASS);
    second = first;
    engine_after_fork(engine);
    fixture_exit(engine, START + 3 * MS, &second, false);
    ck_assert_uint_eq(second.ticket.resources_count, 0);
    fixture_free(engine);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_shape");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_spacing_is_exact);
    tcase_add_test(tests, test_queue_cancel_burst_and_edit);
    tcase_add_test(tests, test_who_leaves_gives_the_turn_back);
    tcase_add_test(tests, test_refused_later_gives_the_turn_back);
    tcase_add_test(tests, test_warm_up);
    tcase_add_test(tests, test_warm_up_queue);
    tcase_add_test(tests, test_authority);
    tcase_add_test(tests, test_compat_tickets);
    return suite_run("engine_shape", tests, NULL);
}
