/* "cost": "bytes": what comes is charged as it comes, and what goes beyond the limit is a debt. */
#include <check.h>

#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

enum { LIMIT = 20000, BODY = 60000 };

static struct engine *engine;
static uint32_t upload;

static void limit_bytes(uint8_t scope, double burst, uint8_t penalty) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "upload", "upload", LIMIT);
    rule.cost_kind = COST_BYTES;
    rule.scope = scope;
    rule.burst = burst;
    rule.penalty = penalty;
    fixture_one_rule(engine, builder, &rule, 1);
    upload = fixture_resource(engine, "upload");
}

static void tear_down(void) {
    fixture_free(engine);
}

static bool enter(uint64_t now, uint64_t announced, struct fixture_call *call) {
    struct engine_request request = fixture_request(&upload);
    request.bytes = announced;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision) == ENGINE_PASS;
}

/* A request whose body comes at once, in pieces of a chunked coding. */
static bool send(uint64_t now, uint64_t bytes) {
    struct fixture_call call;
    if (!enter(now, 0, &call))
        return false;
    for (uint64_t at = 0; at < bytes; at += 1000)
        engine_arrived(engine, &call.ticket, bytes - at < 1000 ? bytes - at : 1000, now);
    fixture_exit(engine, now, &call, false);
    return true;
}

START_TEST(chunked_bodies_are_charged) {
    limit_bytes(SCOPE_PROCESS, 0, 0);
    unsigned passed = 0;
    for (unsigned ms = 0; ms < 30000; ms += 100) /* 60 KB at a time, at 20 KB a second */
        passed += send(START + ms * MS, BODY);
    ck_assert_uint_ge(passed, 9);
    ck_assert_uint_le(passed, 10);
}
END_TEST

START_TEST(what_never_comes_costs_nothing) {
    limit_bytes(SCOPE_PROCESS, 0, 0);
    struct fixture_call call;
    for (unsigned i = 0; i < 100; i++) {
        ck_assert(enter(START, BODY, &call));
        engine_arrived(engine, &call.ticket, 10, START);
        engine_exit(engine, &call.ticket, START, &(struct engine_outcome){.left = true});
    }
    ck_assert(send(START, LIMIT));
    ck_assert(!enter(START, 1, &call));
}
END_TEST

START_TEST(one_body_may_be_larger_than_the_limit) {
    limit_bytes(SCOPE_PROCESS, 0, 0);
    struct fixture_call call;
    ck_assert(send(START, BODY));
    ck_assert(!enter(START + 2900 * MS, 1, &call));
    ck_assert_uint_ge(call.decision.retry_ns, 50 * MS);
    ck_assert_uint_le(call.decision.retry_ns, 110 * MS);
    ck_assert(enter(START + 3001 * MS, 1, &call));
}
END_TEST

START_TEST(within_the_limit_the_window_decides) {
    limit_bytes(SCOPE_PROCESS, 0, 0);
    ck_assert(send(START, 12000));
    ck_assert(send(START + 500 * MS, 7000));
    ck_assert(send(START + 600 * MS, 1000));
    ck_assert(!send(START + 900 * MS, 1));
    ck_assert(send(START + 1020 * MS, 1));
}
END_TEST

/* A long upload is charged while it lasts, and the debt has an end. */
START_TEST(debt_is_bounded) {
    limit_bytes(SCOPE_PROCESS, 0, 0);
    struct fixture_call call, other;
    ck_assert(enter(START, UINT64_MAX, &call));
    for (unsigned i = 0; i < 100; i++)
        engine_arrived(engine, &call.ticket, 1u << 30, START + i * 10 * MS);
    engine_arrived(engine, &call.ticket, UINT64_MAX, START + SECOND);
    ck_assert(!enter(START + 11 * SECOND, 0, &other));
    ck_assert(enter(START + 12 * SECOND + 100 * MS, 0, &other));
}
END_TEST

START_TEST(no_room_no_bytes) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "upload", "upload", 0);
    struct fixture_call call;
    rule.cost_kind = COST_BYTES;
    fixture_one_rule(engine, builder, &rule, 1);
    upload = fixture_resource(engine, "upload");
    ck_assert(!enter(START, 0, &call));
}
END_TEST

START_TEST(rejected_ones_count_with_penalty) {
    limit_bytes(SCOPE_PROCESS, 0, 1);
    struct fixture_call call;
    ck_assert(send(START, LIMIT));
    ck_assert(!enter(START + 900 * MS, LIMIT, &call));
    ck_assert(!enter(START + 1500 * MS, 1, &call));
    ck_assert(enter(START + 2600 * MS, 1, &call));
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("bytes");
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_add_test(tests, chunked_bodies_are_charged);
    tcase_add_test(tests, what_never_comes_costs_nothing);
    tcase_add_test(tests, one_body_may_be_larger_than_the_limit);
    tcase_add_test(tests, within_the_limit_the_window_decides);
    tcase_add_test(tests, debt_is_bounded);
    tcase_add_test(tests, no_room_no_bytes);
    tcase_add_test(tests, rejected_ones_count_with_penalty);
    return suite_run("engine_bytes", tests, NULL);
}
