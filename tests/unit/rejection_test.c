/* rules/rejection_id.c and rules/engine/rejections.c: ids of rejections, and what is kept of them. */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/delay.h"
#include "rules/rejection_id.h"
#include "tests/unit/suite.h"

static const uint64_t numbers[] = {0, 1, 31, 32, 1023, 1024, 123456789, UINT64_C(1) << 40, UINT64_MAX};

START_TEST(an_id_says_its_number) {
    char text[REJECTION_ID_MAX];
    uint64_t number;
    uint32_t check;
    size_t length = rejection_id_write(text, 77, numbers[_i]);
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_uint_ge(length, 7);
    ck_assert(rejection_id_read(text, &number, &check));
    ck_assert_uint_eq(number, numbers[_i]);
    ck_assert(rejection_id_fits(77, number, check));
    ck_assert_msg(!rejection_id_fits(78, number, check), "it is of another app");
}
END_TEST

START_TEST(an_id_is_read_as_people_write_it) {
    char text[REJECTION_ID_MAX];
    uint64_t number;
    uint32_t check, first;
    rejection_id_write(text, 5, 1); /* "01-…" */
    ck_assert(rejection_id_read(text, &number, &first));
    for (char *at = text; *at; at++)
        *at = *at == '0' ? 'o' : *at == '1' ? 'l' : *at >= 'A' && *at <= 'Z' ? (char)(*at | 32) : *at;
    ck_assert(rejection_id_read(text, &number, &check));
    ck_assert(number == 1 && check == first);
    memmove(strchr(text, '-'), strchr(text, '-') + 1, strlen(strchr(text, '-')));
    ck_assert(rejection_id_read(text, &number, &check));
    ck_assert(number == 1 && check == first);
}
END_TEST

static const char *const no_ids[] = {
    "", "-", "01", "01-AB", "hello world", "01-ABCU", "0123456789ABCDEFGHJK", "01-ABC\xc3", "G0000000000000000"};
START_TEST(what_is_no_id) {
    uint64_t number;
    uint32_t check;
    ck_assert_msg(!rejection_id_read(no_ids[_i], &number, &check), "%s", no_ids[_i]);
}
END_TEST

START_TEST(every_slip_is_found) {
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char text[REJECTION_ID_MAX], slip[REJECTION_ID_MAX];
    uint64_t number;
    uint32_t check;
    unsigned taken = 0;
    rejection_id_write(text, 99, 31337);
    for (size_t i = 0; text[i]; i++)
        for (size_t d = 0; d < 32 && text[i] != '-'; d++) {
            memcpy(slip, text, sizeof(slip));
            slip[i] = digits[d];
            taken += rejection_id_read(slip, &number, &check) && rejection_id_fits(99, number, check);
        }
    ck_assert_uint_eq(taken, strlen(text) - 1); /* the id itself, once for each place */
}
END_TEST

static struct layout_counters_header *shared;
static struct engine *engine;
static uint32_t resource;

static void setup(void) {
    shared = fixture_counters();
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_FLOW, "first", "GET:/a", 0);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "second", "GET:/b", 0);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_ADAPTIVE, "adaptive", NULL, 0);
    rule.grade = ADAPTIVE_DELAY;
    ruleset_add_rule(builder, &rule);
    ck_assert_int_eq(fixture_adopt(engine, builder, 7), 0);
    resource = fixture_resource(engine, "GET:/a");
}

static void teardown(void) {
    fixture_free(engine);
    shared_free(shared);
}

static uint64_t reject(uint64_t now_ns, uint32_t of, const char *origin) {
    static const unsigned char address[4] = {192, 0, 2, 1};
    struct engine_request request = fixture_request(&of);
    struct fixture_call call;
    request.origin = origin;
    request.origin_length = strlen(origin);
    request.address = address;
    request.address_length = sizeof(address);
    ck_assert_int_eq(engine_enter(engine, now_ns, &request, &call.ticket, &call.decision), ENGINE_BLOCK);
    uint32_t token = engine_read_begin(engine);
    uint64_t number = engine_rejection(engine, token, now_ns, &request, &call.decision, "4bf92f", 6);
    engine_read_end(engine, token);
    return number;
}

static const struct layout_rejection *written(uint64_t number) {
    return shared_at(shared, LAYOUT_REJECTION_RING, number % LAYOUT_REJECTIONS);
}

START_TEST(a_rejection_is_written_down) {
    uint64_t number = reject(START, resource, "ann");
    const struct layout_rejection *r = written(number);
    ck_assert_uint_eq(r->sequence, number + 1);
    ck_assert(r->time_ns == START && r->generation == 7 && r->resource == resource && r->reason == REASON_FLOW);
    ck_assert_str_eq(r->rule_id, "first");
    ck_assert_str_eq(r->origin, "ann");
    ck_assert_str_eq(r->trace, "4bf92f");
    ck_assert(r->address_length == 4 && r->address[0] == 192 && r->address[3] == 1);
    ck_assert(r->limit == 0 && r->more == 0);
    ck_assert(r->limit_of == LIMIT_RATE && r->counted == 0 && r->value_length == 0);
    ck_assert_uint_eq(reject(START, resource, "bob"), number + 1);
}
END_TEST

/* A limit in flight is in memory that processes write: it is whole, whatever it was. */
START_TEST(limits_in_flight_are_whole) {
    static const double limits[][2] = {
        {17.9, 17}, {1e300, UINT32_MAX}, {-1e300, 0}, {0.0 / 0.0, 0}, {1 / 0.0, UINT32_MAX}};
    struct engine_request request = fixture_request(&resource);
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct engine_result result = {
            .reason = REASON_ADAPTIVE, .detail = DELAY_IN_FLIGHT, .rule = 2, .limit = limits[i][0]};
        uint32_t token = engine_read_begin(engine);
        uint64_t number = engine_rejection(engine, token, START, &request, &result, "", 0);
        engine_read_end(engine, token);
        ck_assert_str_eq(written(number)->rule_id, "adaptive");
        ck_assert_uint_eq(written(number)->limit_of, LIMIT_ADAPTIVE_IN_FLIGHT);
        ck_assert_double_eq(written(number)->limit, limits[i][1]);
    }
}
END_TEST

START_TEST(a_flood_shares_numbers) {
    uint32_t other = fixture_resource(engine, "GET:/b");
    uint64_t last = 0, written_before, number;
    for (unsigned i = 0; i < 10000; i++)
        last = reject(START + i, resource, "ann");
    written_before = shared->rejection_next;
    ck_assert_uint_le(written_before, 70);
    ck_assert_uint_eq(last + 1, written_before);
    ck_assert_uint_eq(written(last)->more, 10000 - written_before);
    number = reject(START + 10000, other, "bob");
    ck_assert_msg(number == written_before, "another rule's is another");
    ck_assert_str_eq(written(number)->rule_id, "second");
    ck_assert_uint_eq(reject(START + 10001, resource, "ann"), last);
    ck_assert_msg(reject(START + 20 * SECOND, resource, "ann") > number, "and later there are numbers again");
}
END_TEST

START_TEST(names_that_are_too_long_are_cut) {
    char origin[200];
    memset(origin, 'x', sizeof(origin) - 1);
    origin[sizeof(origin) - 1] = '\0';
    const struct layout_rejection *r = written(reject(START, resource, origin));
    ck_assert_uint_eq(strlen(r->origin), LAYOUT_ORIGIN_MAX - 1);
}
END_TEST

int main(void) {
    TCase *ids = tcase_create("ids"), *ring = tcase_create("ring");
    tcase_add_loop_test(ids, an_id_says_its_number, 0, sizeof(numbers) / sizeof(*numbers));
    tcase_add_test(ids, an_id_is_read_as_people_write_it);
    tcase_add_loop_test(ids, what_is_no_id, 0, sizeof(no_ids) / sizeof(*no_ids));
    tcase_add_test(ids, every_slip_is_found);
    tcase_add_checked_fixture(ring, setup, teardown);
    tcase_add_test(ring, a_rejection_is_written_down);
    tcase_add_test(ring, limits_in_flight_are_whole);
    tcase_add_test(ring, a_flood_shares_numbers);
    tcase_add_test(ring, names_that_are_too_long_are_cut);
    return suite_run("rejection", ids, ring, NULL);
}
