/* Which rules the kernel enforces for programs without a shim, in what numbers; and the window that it counts by. */
#include "agent/kernel/guard_rules.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/rule_text.h"
#include "tests/unit/suite.h"

static const uint64_t S = 1000000000u, MS = 1000000u;

/* --------------------------------------------------------------------------------------------------------- the rate */

static struct guard_rate rate_of(uint32_t most, uint64_t interval_ns) {
    struct guard_rate rate = {0};
    struct guarding_limit limit = {.kind = GUARD_RATE, .most = most, .interval_ns = interval_ns};
    guard_rate_shape(&rate, &limit, S);
    return rate;
}

static uint32_t take(struct guard_rate *rate, uint64_t now_ns, uint32_t times) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < times; i++)
        taken += guard_rate_take(rate, now_ns) != 0;
    return taken;
}

START_TEST(exactly_so_many_at_once) {
    static const uint32_t mosts[] = {1, 2, 3, 100, 255, 256, 257, 300, 511, 512, 1000, 99999};
    for (size_t i = 0; i < sizeof mosts / sizeof *mosts; i++) {
        struct guard_rate rate = rate_of(mosts[i], S);
        ck_assert_uint_eq(take(&rate, 10 * S, mosts[i] + 10), mosts[i]);
        ck_assert_uint_eq(take(&rate, 11 * S - 1, 5), 0);
        ck_assert_uint_eq(take(&rate, 11 * S, mosts[i] + 10), mosts[i]);
    }
}
END_TEST

START_TEST(nothing_at_zero) {
    struct guard_rate rate = rate_of(0, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 100), 0);
}
END_TEST

/* No second, wherever it begins, admits more; and under steady excess hardly less. */
static void check_steady(uint32_t most, uint64_t step_ns) {
    enum { SECONDS = 12 };
    struct guard_rate rate = rate_of(most, S);
    size_t count = 0, room = (size_t)most * (SECONDS + 1) + 1;
    uint64_t *admitted = calloc(room, sizeof *admitted), begin = 100 * S;
    ck_assert_ptr_nonnull(admitted);
    for (uint64_t now = begin; now < begin + SECONDS * S; now += step_ns)
        if (guard_rate_take(&rate, now)) {
            ck_assert_uint_lt(count, room);
            admitted[count++] = now;
        }
    for (size_t i = most; i < count; i++)
        ck_assert_msg(admitted[i] - admitted[i - most] >= S, "%u: more than that in a second", most);
    ck_assert_msg((double)count >= 0.98 * most * SECONDS, "%u: only %zu in %d s", most, count, SECONDS);
    free(admitted);
}

START_TEST(steady_excess) {
    check_steady(1000, MS / 2); /* twice as many as it may be */
    check_steady(1000, 990000); /* one in a hundred too many */
    check_steady(1000, 50 * 1000);
    check_steady(100, 333333);
    check_steady(257, MS);
    check_steady(7, 13 * MS);
}
END_TEST

START_TEST(after_a_pause_all_of_it) {
    struct guard_rate rate = rate_of(1000, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 3), 3); /* a slot that is not full */
    ck_assert_uint_eq(take(&rate, 20 * S, 2000), 1000);
}
END_TEST

START_TEST(who_is_refused_counts_with_penalty) {
    struct guard_rate rate = {0};
    struct guarding_limit limit = {.kind = GUARD_RATE, .most = 10, .interval_ns = S, .penalty = true};
    guard_rate_shape(&rate, &limit, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 10), 10);
    for (uint64_t now = 10 * S; now < 15 * S; now += 50 * MS) /* twice as fast as it may be: it stays out */
        ck_assert_uint_eq(take(&rate, now, 1), 0);
    ck_assert_uint_eq(take(&rate, 17 * S, 20), 10);
}
END_TEST

START_TEST(a_burst_refills_at_the_rate) {
    struct guard_rate rate = {0};
    struct guarding_limit limit = {
        .kind = GUARD_RATE, .most = 15, .interval_ns = S, .unit_ns = S / 10, .burst_ns = 15 * (S / 10)};
    guard_rate_shape(&rate, &limit, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 100), 15);
    ck_assert_uint_eq(take(&rate, 11 * S, 100), 10);
    ck_assert_uint_eq(take(&rate, 12 * S, 100), 10);
    ck_assert_uint_eq(take(&rate, 20 * S, 100), 15);
}
END_TEST

START_TEST(what_is_given_back_can_be_taken) {
    struct guard_rate rate = rate_of(5, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 5), 5);
    guard_rate_return(&rate);
    ck_assert_uint_eq(take(&rate, 10 * S, 5), 1);
}
END_TEST

START_TEST(clocks_of_two_processors) {
    struct guard_rate rate = rate_of(10, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 10), 10);
    ck_assert_uint_eq(take(&rate, 10 * S - 500, 10), 0);
    rate = rate_of(512, S); /* two permits a slot */
    ck_assert_uint_eq(take(&rate, 10 * S + 1000, 1), 1);
    ck_assert_uint_eq(take(&rate, 10 * S, 1), 1);
    ck_assert_uint_eq(take(&rate, 10 * S + 2000, 999), 510);
    ck_assert_uint_eq(take(&rate, 11 * S + 500, 1), 0);
    ck_assert_uint_eq(take(&rate, 11 * S + 1000, 9), 2);
}
END_TEST

static void edit(struct guard_rate *rate, uint32_t most, uint64_t now_ns) {
    struct guarding_limit limit = {.kind = GUARD_RATE, .most = most, .interval_ns = S};
    guard_rate_shape(rate, &limit, now_ns);
}

START_TEST(an_edit_neither_refills_nor_forgets) {
    struct guard_rate rate = rate_of(100, S);
    ck_assert_uint_eq(take(&rate, 10 * S, 60), 60);
    edit(&rate, 1000, 10 * S + MS);
    ck_assert_uint_eq(take(&rate, 10 * S + 2 * MS, 2000), 940);
    edit(&rate, 10, 10 * S + 3 * MS);
    ck_assert_uint_eq(take(&rate, 10 * S + 4 * MS, 20), 0);
    ck_assert_uint_eq(take(&rate, 11 * S + 10 * MS, 20), 10);
    edit(&rate, 5000, 11 * S + 11 * MS);
    ck_assert_uint_eq(take(&rate, 11 * S + 12 * MS, 9000), 4990);
    edit(&rate, 0, 11 * S + 13 * MS);
    ck_assert_uint_eq(take(&rate, 15 * S, 20), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- the rules */

static void *ruleset_of(const char *text) {
    struct rule_errors errors = {0};
    struct rule_document *document = rule_text_parse("rules.json", text, strlen(text), NULL, &errors);
    size_t size;
    ck_assert_msg(document != NULL, "%s", errors.count ? errors.list[0].message : "no document");
    void *ruleset = rule_text_ruleset(&document, 1, "a", &size, &errors);
    ck_assert_ptr_nonnull(ruleset);
    rule_document_free(document);
    rule_errors_clear(&errors);
    return ruleset;
}

static size_t compile(const char *text, const char *resource, enum rule_side side, struct guarding_limit *limits,
                      size_t *left_out) {
    void *ruleset = ruleset_of(text);
    size_t count = guard_rules_compile(ruleset, resource, side, limits, left_out);
    free(ruleset);
    return count;
}

START_TEST(rules_become_limits) {
    struct guarding_limit l[GUARD_LIMITS_MAX];
    size_t left_out,
        n = compile("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 2.5},"
                    "{\"resource\": \"tcp::80\", \"count\": 600, \"per\": \"minute\", \"mode\": \"simulate\"},"
                    "{\"resource\": \"tcp::80\", \"grade\": \"thread\", \"count\": 7}],"
                    "\"isolation\": [{\"resource\": \"tcp::80\", \"count\": 9}]}",
                    "tcp::80", SIDE_INBOUND, l, &left_out);
    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(left_out, 0);
    ck_assert_uint_eq(l[0].kind, GUARD_RATE);
    ck_assert_uint_eq(l[0].most, 2);
    ck_assert_uint_eq(l[0].interval_ns, S);
    ck_assert_uint_eq(l[1].most, 600);
    ck_assert_uint_eq(l[1].interval_ns, 60 * S);
    ck_assert_uint_eq(l[1].mode, GUARD_SIMULATE);
    ck_assert_uint_eq(l[2].kind, GUARD_IN_FLIGHT);
    ck_assert_uint_eq(l[2].most, 7);
    ck_assert_uint_eq(l[3].kind, GUARD_IN_FLIGHT);
    ck_assert_uint_eq(l[3].most, 9);
    ck_assert(l[0].rule != l[1].rule && l[2].rule != l[3].rule);
}
END_TEST

START_TEST(less_than_one_is_one_in_a_longer_time) {
    struct guarding_limit l[GUARD_LIMITS_MAX];
    size_t left_out;
    ck_assert_uint_eq(
        compile("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 0.1}]}", "tcp::80", SIDE_INBOUND, l, &left_out), 1);
    ck_assert_uint_eq(l[0].most, 1);
    ck_assert_uint_eq(l[0].interval_ns, 10 * S);
}
END_TEST

START_TEST(a_cost_makes_it_fewer) {
    struct guarding_limit l[GUARD_LIMITS_MAX];
    size_t left_out;
    ck_assert_uint_eq(compile("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 10, \"cost\": 3}]}", "tcp::80",
                              SIDE_INBOUND, l, &left_out),
                      1);
    ck_assert_uint_eq(l[0].most, 3);
}
END_TEST

START_TEST(patterns_and_sides) {
    static const char text[] =
        "{\"flow\": [{\"resource\": \"tcp::80\", \"resourceMatch\": \"prefix\", \"count\": 1},"
        "{\"resource\": \"tcp::*\", \"resourceMatch\": \"glob\", \"count\": 2, \"mode\": \"off\"},"
        "{\"resource\": \"tcp::*\", \"resourceMatch\": \"glob\", \"count\": 3, \"side\": \"outbound\"},"
        "{\"resource\": \"tcp::[0-9]*\", \"resourceMatch\": \"regex\", \"count\": 4}]}";
    struct guarding_limit l[GUARD_LIMITS_MAX];
    size_t left_out;
    ck_assert_uint_eq(compile(text, "tcp::8080", SIDE_INBOUND, l, &left_out), 1);
    ck_assert_uint_eq(l[0].most, 1);
    ck_assert_uint_eq(compile(text, "tcp::9090", SIDE_INBOUND, l, &left_out), 0);
    ck_assert_uint_eq(compile(text, "tcp::9090", SIDE_OUTBOUND, l, &left_out), 1);
    ck_assert_uint_eq(l[0].most, 3);
}
END_TEST

START_TEST(what_has_no_room_is_counted) {
    struct guarding_limit l[GUARD_LIMITS_MAX];
    size_t left_out;
    ck_assert_uint_eq(
        compile("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1}, {\"resource\": \"tcp::80\", \"count\": 2},"
                "{\"resource\": \"tcp::80\", \"count\": 3}, {\"resource\": \"tcp::80\", \"count\": 4},"
                "{\"resource\": \"tcp::80\", \"count\": 5}]}",
                "tcp::80", SIDE_INBOUND, l, &left_out),
        GUARD_LIMITS_MAX);
    ck_assert_uint_eq(left_out, 5 - GUARD_LIMITS_MAX);
}
END_TEST

static void check_why_not(const char *rules, const char *why) {
    void *ruleset = ruleset_of(rules);
    const char *found = guard_rules_why_not(ruleset, &ruleset_rules(ruleset)[0]);
    ck_assert_msg(why ? found && strcmp(found, why) == 0 : !found, "%s: %s", rules, found ? found : "(enforced)");
    free(ruleset);
}

START_TEST(what_the_kernel_cannot_is_named) {
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1}]}", NULL);
    check_why_not("{\"flow\": [{\"resource\": \"GET:/\", \"count\": 1}]}", "not about connections (tcp:)");
    check_why_not("{\"flow\": [{\"resource\": \"http::80\", \"count\": 1}]}", "not about connections (tcp:)");
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"controlBehavior\": \"queue\"}]}",
                  "queueing");
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"controlBehavior\": \"warmUp\"}]}",
                  "warm-up");
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"limitApp\": \"10.0.0.1\"}]}", "limitApp");
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"canary\": {\"percent\": 10}}]}", "canary");
    check_why_not("{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"when\": {\"days\": \"sun\"}}]}", "when");
    check_why_not(
        "{\"flow\": [{\"resource\": \"tcp::80\", \"count\": 1, \"strategy\": \"relate\", \"refResource\": \"x\"}]}",
        "relate");
    check_why_not("{\"isolation\": [{\"resource\": \"tcp::80\", \"count\": 1, \"ttlMs\": 5}]}", "ttlMs");
    check_why_not("{\"authority\": [{\"resource\": \"tcp::80\", \"limitApp\": \"10.0.0.1\"}]}", "authority");
    check_why_not("{\"degrade\": [{\"resource\": \"tcp::80\", \"count\": 1, \"timeWindow\": 1}]}", "circuits");
    check_why_not("{\"system\": {\"qps\": 1}}", "system limits");
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- destinations */

START_TEST(destinations) {
    struct guard_place place;
    static const unsigned char v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 5}, one[16] = {[15] = 1};
    ck_assert(guard_rules_destination("tcp:10.0.0.5:3306", &place));
    ck_assert_uint_eq(place.port, 3306);
    ck_assert_uint_eq(place.side, GUARD_OUTBOUND);
    ck_assert_mem_eq(place.address, v4, 16);
    ck_assert(guard_rules_destination("tcp:[::1]:80", &place));
    ck_assert_mem_eq(place.address, one, 16);
    static const char *const none[] = {"tcp::80",
                                       "tcp:10.0.0.5",
                                       "tcp:10.0.0.5:0",
                                       "tcp:10.0.0.5:65536",
                                       "tcp:10.0.0.5:80x",
                                       "http:10.0.0.5:80",
                                       "tcp:name:80",
                                       "tcp:[]:80",
                                       "tcp:",
                                       "tcp:1.2.3.4: 80",
                                       ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!guard_rules_destination(none[i], &place), "%s", none[i]);
}
END_TEST

int main(void) {
    TCase *rate = tcase_create("rate"), *rules = tcase_create("rules");
    tcase_set_timeout(rate, 60);
    tcase_add_test(rate, exactly_so_many_at_once);
    tcase_add_test(rate, nothing_at_zero);
    tcase_add_test(rate, steady_excess);
    tcase_add_test(rate, after_a_pause_all_of_it);
    tcase_add_test(rate, who_is_refused_counts_with_penalty);
    tcase_add_test(rate, a_burst_refills_at_the_rate);
    tcase_add_test(rate, what_is_given_back_can_be_taken);
    tcase_add_test(rate, clocks_of_two_processors);
    tcase_add_test(rate, an_edit_neither_refills_nor_forgets);
    tcase_add_test(rules, rules_become_limits);
    tcase_add_test(rules, less_than_one_is_one_in_a_longer_time);
    tcase_add_test(rules, a_cost_makes_it_fewer);
    tcase_add_test(rules, patterns_and_sides);
    tcase_add_test(rules, what_has_no_room_is_counted);
    tcase_add_test(rules, what_the_kernel_cannot_is_named);
    tcase_add_test(rules, destinations);
    return suite_run("guard", rate, rules, NULL);
}
