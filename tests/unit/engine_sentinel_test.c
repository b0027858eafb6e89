/* Sentinel's decisions behind the engine: what the engine owns (statistics, rule hits, circuits, events, rejections,
 * tickets) is there under them as it is under weir's own rules, and requests on the wire find their rules. */
#include <check.h>

#include "tests/unit/engine_fixture.h"
#include "tests/unit/ruleset_fixture.h"
#include "tests/unit/suite.h"

static struct layout_counters_header *counters;
static struct engine *engine;
static uint64_t generation;

static int load(const char *rules) {
    size_t size;
    void *ruleset = ruleset_of(rules, &size);
    int result = engine_adopt(engine, ruleset, size, ++generation);
    free((void *)engine_release(engine));
    return result;
}
#define SENTINEL(rules) ck_assert_int_eq(load("{\"options\": {\"compat\": \"sentinel\"}, " rules "}"), 0)

static void set_up(void) {
    counters = fixture_counters();
    engine = fixture_engine(counters, 3);
    engine_set_slot(engine, 3, 4711);
    generation = 0;
}
static void tear_down(void) {
    fixture_free(engine);
    shared_free(counters);
}

/* A request as a web server's: its route, then its listener. */
static enum engine_verdict enter(struct fixture_call *call, uint64_t now, const char *route, const char *listener) {
    uint32_t resources[2] = {fixture_resource(engine, route), listener ? fixture_resource(engine, listener) : 0};
    struct engine_request request = fixture_request(resources);
    request.resources_count = listener ? 2 : 1;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}

static unsigned passes(uint64_t now, const char *route, const char *listener, unsigned tries) {
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++) {
        struct fixture_call call;
        if (enter(&call, now, route, listener) == ENGINE_BLOCK)
            continue;
        passed++;
        fixture_exit(engine, now, &call, false);
    }
    return passed;
}

/* Hits of a rule on a resource: blocked and simulated. */
static struct layout_hit hits_of(const char *rule, const char *resource) {
    const struct layout_hit *hits = shared_at(counters, LAYOUT_HIT_TABLE, 0);
    struct layout_hit sum = {0};
    for (unsigned i = 0; i < LAYOUT_HITS; i++)
        if (hits[i].ready && strcmp(hits[i].rule_id, rule) == 0 &&
            hits[i].resource == fixture_resource(engine, resource)) {
            sum.blocked += hits[i].blocked;
            sum.simulated += hits[i].simulated;
            sum.reason = hits[i].reason;
        }
    return sum;
}

static enum circuit_state circuit_of(const char *resource) {
    return (enum circuit_state)fixture_stats(counters, fixture_resource(engine, resource))->circuit;
}

START_TEST(rejections_are_in_all_figures) {
    SENTINEL("\"flow\": [{\"id\": \"two\", \"resource\": \"a\", \"count\": 2}, "
             "{\"id\": \"dry\", \"resource\": \"a\", \"count\": 1, \"mode\": \"simulate\"}]");
    ck_assert_uint_eq(passes(START, "a", "http::80", 12), 2);
    struct layout_stat_shard route = fixture_sum(counters, fixture_resource(engine, "a")),
                             listener = fixture_sum(counters, fixture_resource(engine, "http::80"));
    ck_assert_uint_eq(route.pass, 2);
    ck_assert_uint_eq(route.block, 10);
    ck_assert_uint_eq(route.success, 2);
    ck_assert_uint_eq(listener.pass, 2);
    ck_assert_uint_eq(listener.block, 10);
    ck_assert_uint_eq(hits_of("two", "a").blocked, 10);
    ck_assert_int_eq(hits_of("two", "a").reason, REASON_FLOW);
    ck_assert_uint_eq(hits_of("dry", "a").blocked, 0);
    ck_assert_uint_eq(hits_of("dry", "a").simulated, 1); /* the second; later ones end at "two" */
}
END_TEST

START_TEST(decisions_say_which_rule) {
    struct fixture_call call;
    SENTINEL("\"flow\": [{\"resource\": \"other\", \"count\": 9}, {\"resource\": \"http::80\", \"count\": 1}]");
    ck_assert_int_eq(enter(&call, START, "a", "http::80"), ENGINE_PASS);
    fixture_exit(engine, START + 30 * MS, &call, true);
    ck_assert_int_eq(enter(&call, START + 40 * MS, "a", "http::80"), ENGINE_BLOCK);
    ck_assert_uint_eq(call.decision.resource, fixture_resource(engine, "http::80"));
    ck_assert_uint_eq(call.decision.rule, 1);
    ck_assert_int_eq(call.decision.reason, REASON_FLOW);
    ck_assert(call.decision.limit == 1 && call.decision.interval_ns == SECOND);
    ck_assert_uint_gt(call.decision.retry_ns, 0);
    ck_assert_uint_le(call.decision.retry_ns, SECOND / 2);
    struct layout_stat_shard sum = fixture_sum(counters, fixture_resource(engine, "a"));
    ck_assert_uint_eq(sum.exception, 1);
    ck_assert_uint_eq(sum.rt_ns, 30 * MS);
    engine_cancel(engine, &call.ticket, START); /* nothing is held */
    sum = fixture_sum(counters, fixture_resource(engine, "a"));
    ck_assert_uint_eq(sum.pass, 1);
    ck_assert_uint_eq(sum.block, 1);
}
END_TEST

START_TEST(circuits_are_shown_and_tell) {
    struct fixture_call call;
    SENTINEL("\"degrade\": [{\"id\": \"c\", \"resource\": \"a\", \"grade\": 2, \"count\": 1, \"timeWindow\": 2, "
             "\"minRequestAmount\": 1}]");
    ck_assert_int_eq(circuit_of("a"), CIRCUIT_NONE);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(enter(&call, START, "a", "http::80"), ENGINE_PASS);
        ck_assert_int_eq(circuit_of("a"), CIRCUIT_CLOSED);
        fixture_exit(engine, START, &call, true);
    }
    ck_assert_int_eq(circuit_of("a"), CIRCUIT_OPEN);
    ck_assert_int_eq(enter(&call, START + SECOND, "a", "http::80"), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.reason, REASON_DEGRADE);
    ck_assert_uint_le(call.decision.retry_ns, SECOND + MS);
    ck_assert_uint_eq(hits_of("c", "a").blocked, 1);
    ck_assert_int_eq(enter(&call, START + 2 * SECOND, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(circuit_of("a"), CIRCUIT_HALF_OPEN);
    fixture_exit(engine, START + 2 * SECOND, &call, false);
    ck_assert_int_eq(circuit_of("a"), CIRCUIT_CLOSED);
    static const uint8_t changes[][2] = {
        {CIRCUIT_CLOSED, CIRCUIT_OPEN}, {CIRCUIT_OPEN, CIRCUIT_HALF_OPEN}, {CIRCUIT_HALF_OPEN, CIRCUIT_CLOSED}};
    ck_assert_uint_eq(counters->event_next, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct layout_event *event = shared_at(counters, LAYOUT_EVENT_RING, i);
        ck_assert_int_eq(event->kind, EVENT_CIRCUIT);
        ck_assert_int_eq(event->from, changes[i][0]);
        ck_assert_int_eq(event->to, changes[i][1]);
        ck_assert_str_eq(event->rule_id, "c");
        ck_assert_uint_eq(event->pid, 4711);
        ck_assert_uint_eq(event->resource, fixture_resource(engine, "a"));
    }
    SENTINEL("\"flow\": []"); /* a resource without circuits does not go on showing one */
    ck_assert_int_eq(enter(&call, START + 3 * SECOND, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(circuit_of("a"), CIRCUIT_NONE);
    fixture_exit(engine, START + 3 * SECOND, &call, false);
}
END_TEST

START_TEST(a_request_is_one_for_system_rules) {
    uint64_t begin = START / SECOND * SECOND; /* the beginning of a bucket */
    SENTINEL("\"system\": {\"qps\": 50, \"exceptions\": [\"free\"]}");
    ck_assert_uint_eq(passes(begin, "a", "http::80", 80), 50);
    ck_assert_uint_eq(passes(begin, "free", "http::80", 20), 20);
    ck_assert_uint_eq(passes(begin + 400 * MS, "a", "http::80", 5), 0);
    ck_assert_uint_eq(passes(begin + 1000 * MS, "a", "http::80", 80), 50);
    SENTINEL("\"system\": {\"qps\": 50, \"exceptions\": [\"a\"]}"); /* and an edit of nothing but the exceptions */
    ck_assert_uint_eq(passes(begin + 1001 * MS, "a", "http::80", 5), 5);
    ck_assert_uint_eq(passes(begin + 1001 * MS, "free", "http::80", 5), 0);
    struct fixture_call calls[4];
    SENTINEL("\"system\": {\"maxThread\": 2}");
    for (unsigned i = 0; i < 4; i++)
        enter(&calls[i], begin + 5 * SECOND, "a", "http::80");
    ck_assert_int_eq(calls[2].decision.verdict, ENGINE_PASS); /* Sentinel lets one more in */
    ck_assert_int_eq(calls[3].decision.verdict, ENGINE_BLOCK);
    ck_assert_int_eq(calls[3].decision.detail, SYSTEM_THREAD);
    fixture_exit(engine, begin + 5 * SECOND, &calls[0], false);
    ck_assert_uint_eq(passes(begin + 5 * SECOND, "a", "http::80", 1), 1);
    for (unsigned i = 1; i < 3; i++)
        fixture_exit(engine, begin + 5 * SECOND, &calls[i], false);
}
END_TEST

START_TEST(what_a_later_resource_rejects_is_no_inbound_traffic) {
    uint64_t begin = START / SECOND * SECOND;
    SENTINEL("\"flow\": [{\"resource\": \"http::80\", \"count\": 3}], \"system\": {\"qps\": 10}");
    ck_assert_uint_eq(passes(begin, "a", "http::80", 20), 3);
    ck_assert_uint_eq(passes(begin, "a", "http::81", 20), 7);
}
END_TEST

/* In both modes: a request has entered through each resource that it counts for. */
static void chains(void) {
    ck_assert_uint_eq(passes(START, "a", "http::81", 9), 9);
    ck_assert_uint_eq(passes(START, "a", "http::80", 9), 3);
    ck_assert_uint_eq(passes(START, "a", "http::81", 9), 9);
    ck_assert_uint_eq(passes(START, "b", "http::80", 9), 9);
}

START_TEST(chain_counts_what_came_through_the_listener) {
    SENTINEL("\"flow\": [{\"id\": \"c\", \"resource\": \"a\", \"strategy\": 2, \"refResource\": \"http::80\", "
             "\"count\": 3}]");
    chains();
    ck_assert_uint_eq(hits_of("c", "a").blocked, 6);
    SENTINEL(
        "\"flow\": [{\"resource\": \"a\", \"strategy\": 2, \"grade\": 0, \"refResource\": \"http::80\", \"count\": 1},"
        "{\"resource\": \"a\", \"strategy\": 2, \"grade\": 0, \"refResource\": \"a\", \"count\": 2}]");
    struct fixture_call calls[4];
    ck_assert_int_eq(enter(&calls[0], START, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(enter(&calls[1], START, "a", "http::80"), ENGINE_BLOCK);
    ck_assert_int_eq(enter(&calls[1], START, "a", "http::81"), ENGINE_PASS);
    ck_assert_int_eq(enter(&calls[2], START, "a", "http::81"), ENGINE_BLOCK);
    fixture_exit(engine, START, &calls[0], false);
    engine_cancel(engine, &calls[1].ticket, START);
    ck_assert_int_eq(enter(&calls[0], START, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(enter(&calls[1], START, "a", "http::81"), ENGINE_PASS);
    fixture_exit(engine, START, &calls[0], false);
    fixture_exit(engine, START, &calls[1], false);
}
END_TEST

START_TEST(chain_in_the_own_mode) {
    ck_assert_int_eq(load("{\"flow\": [{\"resource\": \"a\", \"strategy\": \"chain\", \"refResource\": \"http::80\", "
                          "\"count\": 3}]}"),
                     0);
    chains();
}
END_TEST

START_TEST(gateway_rules_without_a_parameter_limit) {
    SENTINEL("\"gateway\": [{\"id\": \"g\", \"resource\": \"a\", \"count\": 4, \"intervalSec\": 60}]");
    ck_assert_uint_eq(passes(START, "a", "http::80", 10), 4);
    ck_assert_uint_eq(hits_of("g", "a").blocked, 6);
    ck_assert_int_eq(hits_of("g", "a").reason, REASON_FLOW);
    ck_assert_uint_eq(passes(START + 61 * SECOND, "a", "http::80", 10), 4);
}
END_TEST

/* -------------------------------------------------------------------------------------------- values of the request */

static const char *values[4];
static unsigned values_count;

static bool say_values(void *context, const struct rule_param *param, const char *field,
                       struct engine_value *ret_value) {
    struct engine_value *elements = context;
    (void)field;
    if (param->source != PARAM_HEADER || !values_count)
        return false;
    for (unsigned i = 0; i < values_count; i++)
        elements[i] = (struct engine_value){.type = VALUE_STRING, .text = values[i], .length = strlen(values[i])};
    *ret_value = values_count == 1
                     ? elements[0]
                     : (struct engine_value){.type = VALUE_LIST, .elements = elements, .count = values_count};
    return true;
}

static enum engine_verdict enter_with(struct fixture_call *call, uint64_t now, unsigned count, const char *one,
                                      const char *two) {
    struct engine_value elements[4];
    uint32_t resource = fixture_resource(engine, "a");
    struct engine_request request = fixture_request(&resource);
    values[0] = one;
    values[1] = two;
    values_count = count;
    request.param = say_values;
    request.param_context = elements;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}

START_TEST(values_of_the_request_have_buckets_of_their_own) {
    struct fixture_call call;
    SENTINEL("\"paramFlow\": [{\"id\": \"p\", \"resource\": \"a\", \"count\": 2, \"durationInSec\": 60, "
             "\"param\": {\"parseStrategy\": 2, \"fieldName\": \"x-user\"}, "
             "\"paramFlowItemList\": [{\"object\": \"vip\", \"count\": 3}]}]");
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(enter_with(&call, START, 1, "one", NULL), i < 2 ? ENGINE_PASS : ENGINE_BLOCK);
        ck_assert_int_eq(enter_with(&call, START, 1, "vip", NULL), i < 3 ? ENGINE_PASS : ENGINE_BLOCK);
        ck_assert_int_eq(enter_with(&call, START, 0, NULL, NULL), ENGINE_PASS);
    }
    ck_assert_int_eq(call.decision.verdict, ENGINE_PASS);
    ck_assert_int_eq(enter_with(&call, START, 2, "new", "one"), ENGINE_BLOCK); /* each of several values counts */
    ck_assert_int_eq(call.decision.reason, REASON_PARAM);
    ck_assert_uint_eq(hits_of("p", "a").blocked, 4);
}
END_TEST

START_TEST(values_in_flight_are_counted_out_again) {
    struct fixture_call first, second;
    SENTINEL(
        "\"paramFlow\": [{\"resource\": \"a\", \"grade\": 0, \"count\": 1, "
        "\"param\": {\"parseStrategy\": 2, \"fieldName\": \"x-user\", \"pattern\": \"u\", \"matchStrategy\": 1}}]");
    for (unsigned k = 0; k < 3; k++) {
        ck_assert_int_eq(enter_with(&first, START, 2, "u1", "u2"), ENGINE_PASS);
        ck_assert_int_eq(enter_with(&second, START, 1, "u2", NULL), ENGINE_BLOCK);
        ck_assert_int_eq(enter_with(&second, START, 1, "x", NULL), ENGINE_PASS); /* does not match the pattern */
        fixture_exit(engine, START, &second, false);
        fixture_exit(engine, START, &first, false);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------ rules that change */

START_TEST(from_one_policy_to_the_other_and_back) {
    struct fixture_call old, call;
    SENTINEL(
        "\"flow\": [{\"resource\": \"a\", \"grade\": 0, \"count\": 1}], "
        "\"degrade\": [{\"resource\": \"a\", \"grade\": 2, \"count\": 0, \"timeWindow\": 9, \"minRequestAmount\": 1}]");
    ck_assert_int_eq(enter(&old, START, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(load("{\"flow\": [{\"resource\": \"a\", \"grade\": 0, \"count\": 1}]}"), 0);
    ck_assert_int_eq(enter(&call, START, "a", "http::80"), ENGINE_PASS); /* each counts by itself */
    ck_assert_int_eq(load("{\"flow\": [{\"resource\": \"a\", \"grade\": 0, \"count\": 2}]}"), 0);
    engine_after_fork(engine); /* the rules that Sentinel's side had are gone by now */
    engine_set_slot(engine, 3, 4711);
    fixture_exit(engine, START, &old, true); /* the parent's */
    SENTINEL("\"flow\": [{\"resource\": \"a\", \"count\": 1}]");
    ck_assert_uint_eq(passes(START + 2 * SECOND, "a", "http::80", 3), 1);
}
END_TEST

START_TEST(an_end_after_the_policy_has_changed) {
    struct fixture_call old;
    SENTINEL("\"degrade\": [{\"resource\": \"a\", \"grade\": 2, \"count\": 0, \"timeWindow\": 9, "
             "\"minRequestAmount\": 1}]");
    ck_assert_int_eq(enter(&old, START, "a", "http::80"), ENGINE_PASS);
    ck_assert_int_eq(load("{}"), 0);
    ck_assert_int_eq(load("{\"flow\": []}"), 0); /* both rulesets that it could have known are freed */
    fixture_exit(engine, START, &old, true);     /* opens the circuit, which reports itself */
    ck_assert_uint_eq(counters->event_next, 1);
}
END_TEST

START_TEST(what_is_beyond_sentinels_limits_is_counted_as_undecided) {
    struct fixture_call call;
    ck_assert_int_eq(load("{\"options\": {\"compat\": \"sentinel\", \"maxResources\": 1}, "
                          "\"flow\": [{\"resource\": \"{other}\", \"count\": 0}]}"),
                     0);
    ck_assert_int_eq(enter(&call, START, "a", NULL), ENGINE_PASS);
    uint32_t before = fixture_process(counters, 3)->undecided;
    fixture_exit(engine, START, &call, false);
    ck_assert_int_eq(enter(&call, START, "b", NULL), ENGINE_PASS); /* {other}: the second name */
    fixture_exit(engine, START, &call, false);
    ck_assert_uint_eq(fixture_process(counters, 3)->undecided, before + 1);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_sentinel");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, rejections_are_in_all_figures);
    tcase_add_test(tests, decisions_say_which_rule);
    tcase_add_test(tests, circuits_are_shown_and_tell);
    tcase_add_test(tests, a_request_is_one_for_system_rules);
    tcase_add_test(tests, what_a_later_resource_rejects_is_no_inbound_traffic);
    tcase_add_test(tests, chain_counts_what_came_through_the_listener);
    tcase_add_test(tests, chain_in_the_own_mode);
    tcase_add_test(tests, gateway_rules_without_a_parameter_limit);
    tcase_add_test(tests, values_of_the_request_have_buckets_of_their_own);
    tcase_add_test(tests, values_in_flight_are_counted_out_again);
    tcase_add_test(tests, from_one_policy_to_the_other_and_back);
    tcase_add_test(tests, an_end_after_the_policy_has_changed);
    tcase_add_test(tests, what_is_beyond_sentinels_limits_is_counted_as_undecided);
    return suite_run("engine_sentinel", tests, NULL);
}
