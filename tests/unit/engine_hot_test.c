/* Hot parameters: per value, bounded, not to be washed out, and never a full bucket by being forgotten. */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/hot_param.h"
#include "rules/engine/queue.h"

static struct engine *engine;
static uint32_t a;

static void begin(void (*change)(struct image_builder *, struct rule *), double count) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct image_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_PARAM, "hot", "a", count);
    rule.param_idx = 0;
    if (change)
        change(builder, &rule);
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
}

static struct engine_value text_value(const char *text) {
    return (struct engine_value){.type = VALUE_STRING, .text = text, .length = strlen(text)};
}

static enum engine_verdict enter(uint64_t now, const struct engine_value *value, struct fixture_call *call) {
    struct engine_request request = fixture_request(&a);
    request.args = value;
    request.args_count = 1;
    return engine_enter(engine, now, &request, &call->ticket, &call->decision);
}

static bool pass(uint64_t now, const char *text) {
    struct engine_value value = text_value(text);
    struct fixture_call call;
    if (enter(now, &value, &call) == ENGINE_BLOCK) {
        ck_assert_int_eq(call.decision.reason, REASON_PARAM);
        return false;
    }
    fixture_exit(engine, now, &call, false);
    return true;
}

static unsigned passes(uint64_t now, const char *text, unsigned n) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++)
        passed += pass(now, text);
    return passed;
}

static void items_and_burst(struct image_builder *builder, struct rule *rule) {
    struct rule_item item = {.object = fixture_text(builder, "vip"), .type = VALUE_STRING, .count = 50};
    rule->items_first = image_add_item(builder, &item);
    item = (struct rule_item){.object = fixture_text(builder, "banned"), .count = 0};
    image_add_item(builder, &item);
    rule->items_count = 2;
    rule->burst = 5;
}

START_TEST(test_each_value_on_its_own) {
    begin(NULL, 10);
    ck_assert_uint_eq(passes(START, "one", 30), 10);
    ck_assert_uint_eq(passes(START, "two", 30), 10);
    ck_assert_uint_eq(passes(START + 500 * MS, "one", 30), 5); /* a token bucket */
    struct engine_value number = text_value("one");
    struct fixture_call call;
    number.type = VALUE_INT; /* another type is another value */
    ck_assert_int_eq(enter(START + 500 * MS, &number, &call), ENGINE_PASS);
    struct engine_value none = {.type = VALUE_NONE};
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(enter(START, &none, &call), ENGINE_PASS);
    fixture_free(engine);
    begin(items_and_burst, 10);
    ck_assert_uint_eq(passes(START, "usual", 100), 15);
    ck_assert_uint_eq(passes(START, "vip", 100), 55);
    ck_assert_uint_eq(passes(START, "banned", 100), 0);
    fixture_free(engine);
}
END_TEST

START_TEST(test_lists_count_each_element) {
    begin(NULL, 3);
    struct engine_value elements[2] = {text_value("x"), text_value("y")};
    struct engine_value list = {.type = VALUE_LIST, .elements = elements, .count = 2};
    struct fixture_call call;
    unsigned passed = 0;
    ck_assert_uint_eq(passes(START, "y", 2), 2);
    for (unsigned i = 0; i < 5; i++)
        passed += enter(START, &list, &call) == ENGINE_PASS;
    ck_assert_uint_eq(passed, 1);
    ck_assert_uint_eq(passes(START, "x", 5), 2); /* what a refused list took of x went back */
    fixture_free(engine);
}
END_TEST

static void by_calls(struct image_builder *builder, struct rule *rule) {
    (void)builder;
    rule->grade = GRADE_THREAD;
}
START_TEST(test_calls_in_flight) {
    begin(by_calls, 2);
    struct engine_value one = text_value("one"), two = text_value("two");
    struct fixture_call calls[3], other;
    ck_assert_int_eq(enter(START, &one, &calls[0]), ENGINE_PASS);
    ck_assert_int_eq(enter(START, &one, &calls[1]), ENGINE_PASS);
    ck_assert_int_eq(enter(START, &one, &calls[2]), ENGINE_BLOCK);
    ck_assert_int_eq(enter(START, &two, &other), ENGINE_PASS);
    fixture_exit(engine, START + 1, &calls[0], false);
    ck_assert_int_eq(enter(START, &one, &calls[2]), ENGINE_PASS);
    ck_assert_int_eq(enter(START, &one, &calls[0]), ENGINE_BLOCK);
    fixture_free(engine);
}
END_TEST

static void queueing(struct image_builder *builder, struct rule *rule) {
    (void)builder;
    rule->behavior = BEHAVIOR_QUEUE;
    rule->max_queue_ns = 300 * MS;
}
START_TEST(test_queueing) {
    begin(queueing, 10);
    struct engine_value one = text_value("one");
    struct fixture_call call;
    for (unsigned i = 0; i < 6; i++) {
        enum engine_verdict verdict = enter(START, &one, &call);
        ck_assert_int_eq(verdict, i == 0 ? ENGINE_PASS : i < 4 ? ENGINE_WAIT : ENGINE_BLOCK);
        if (i > 0 && i < 4)
            ck_assert_uint_eq(call.decision.wait_ns, i * 100 * MS);
    }
    fixture_free(engine);
}
END_TEST

struct sources {
    const char *values[4];
};
static bool source(void *context, const struct rule_param *param, const char *field, struct engine_value *ret_value) {
    const char *text = ((struct sources *)context)
                           ->values[param->source == PARAM_HEADER ? 0
                                    : param->source == PARAM_URL  ? 1
                                                                  : 2];
    ck_assert_str_eq(field, param->source == PARAM_HEADER ? "x-user" : param->source == PARAM_URL ? "q" : "");
    if (text)
        *ret_value = text_value(text);
    return text != NULL;
}

static void joint(struct image_builder *builder, struct rule *rule) {
    struct rule_param param = {.source = PARAM_HEADER, .field = fixture_text(builder, "x-user")};
    rule->params_first = image_add_param(builder, &param);
    param = (struct rule_param){.source = PARAM_URL,
                                .field = fixture_text(builder, "q"),
                                .match = PARAM_REGEX,
                                .pattern = fixture_text(builder, "a+")};
    image_add_param(builder, &param);
    rule->params_count = 2;
}
START_TEST(test_joint_keys_and_patterns) {
    begin(joint, 2);
    static const struct {
        const char *user, *q;
        unsigned passes;
    } cases[] = {{"u", "a", 2}, {"u", "aa", 2}, {"v", "a", 2}, {"u", "a", 0},
                 {"u", "b", 5}, {NULL, "a", 5}, {"u", "ab", 5}};
    for (unsigned k = 0; k < 7; k++) {
        struct sources sources = {{cases[k].user, cases[k].q}};
        struct engine_request request = fixture_request(&a);
        struct fixture_call call;
        unsigned passed = 0;
        request.param = source;
        request.param_context = &sources;
        for (unsigned i = 0; i < 5; i++)
            passed += engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS;
        ck_assert_msg(passed == cases[k].passes, "case %u: %u", k, passed);
    }
    fixture_free(engine);
}
END_TEST

static void small(struct image_builder *builder, struct rule *rule) {
    (void)builder;
    rule->capacity = 1000;
}

/* A million values seen once each: the hot ones keep their place and their limit. */
START_TEST(test_a_flood_does_not_wash_out) {
    begin(small, 20);
    uint64_t now = START;
    unsigned flood = 0, passed = 0, tries = 0;
    char name[32];
    for (unsigned i = 0; i < 200; i++) { /* 100 hot ones at 40 a second each */
        for (unsigned k = 0; k < 100; k++) {
            snprintf(name, sizeof(name), "hot%u", k);
            pass(now, name);
        }
        now += 25 * MS;
    }
    for (unsigned i = 0; i < 400; i++) {
        for (unsigned k = 0; k < 100; k++) {
            snprintf(name, sizeof(name), "hot%u", k);
            passed += pass(now, name);
            tries++;
        }
        for (unsigned k = 0; k < 2500; k++) {
            snprintf(name, sizeof(name), "flood%u", flood++);
            pass(now, name);
        }
        now += 25 * MS;
    }
    ck_assert_msg(passed > tries * 49 / 100 && passed < tries * 52 / 100, "%u of %u", passed, tries);
    struct engine_hot_value top[100];
    ck_assert_uint_eq(engine_hot(engine, hash_bytes(0, "hot", 3), a, top, 100), 100);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_msg(strncmp(top[i].text, "hot", 3) == 0, "%u: %s", i, top[i].text);
    fixture_free(engine);
}
END_TEST

/* A value pushed out of the table by others does not come back with a full bucket. */
START_TEST(test_forgotten_is_not_forgiven) {
    enum { CAPACITY = 100 };
    struct hot_shape shape = hot_shape(CAPACITY);
    struct cell *cell = calloc(1, hot_bytes(&shape));
    struct hot *hot = (struct hot *)cell;
    struct hot_limit limit = {.cost_ns = SECOND / 10, .capacity_ns = SECOND};
    uint64_t wait, *state, before, after;
    unsigned pushed_out = 0, free_rides = 0;
    for (unsigned round = 0; round < 50; round++) {
        char name[16];
        uint64_t now = START + round * 100 * SECOND;
        struct hot_value value = {.text = name, .type = VALUE_STRING};
        value.length = (size_t)snprintf(name, sizeof(name), "victim%u", round);
        value.key = hash_bytes(1, name, value.length);
        while (hot_take(hot, &shape, &value, &limit, now, &wait, &state, &before, &after) == HOT_PASS) {
        }
        for (unsigned i = 0; i < 3000; i++) { /* each of these often enough to be let in */
            struct hot_value other = {.key = hash_bytes(2 + round, &i, sizeof(i)), .text = "x", .length = 1};
            for (unsigned k = 0; k < 20; k++)
                hot_take(hot, &shape, &other, &limit, now, &wait, &state, &before, &after);
        }
        if (hot_tracks(hot, &shape, value.key))
            continue;
        pushed_out++;
        free_rides += hot_take(hot, &shape, &value, &limit, now, &wait, &state, &before, &after) == HOT_PASS;
    }
    ck_assert_uint_gt(pushed_out, 25);
    ck_assert_uint_eq(free_rides, 0);
    free(cell);
}
END_TEST

START_TEST(test_memory_is_bounded) {
    for (uint32_t capacity = 1000; capacity <= 200000; capacity *= 2) {
        struct hot_shape shape = hot_shape(capacity);
        ck_assert_uint_le(hot_bytes(&shape), 64 * capacity + 1024);
    }
    begin(small, 5);
    for (unsigned i = 0; i < 300000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%u", i);
        pass(START + i * 1000, name);
    }
    fixture_free(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("engine_hot");
    TCase *tests = tcase_create("engine_hot");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, test_each_value_on_its_own);
    tcase_add_test(tests, test_lists_count_each_element);
    tcase_add_test(tests, test_calls_in_flight);
    tcase_add_test(tests, test_queueing);
    tcase_add_test(tests, test_joint_keys_and_patterns);
    tcase_add_test(tests, test_a_flood_does_not_wash_out);
    tcase_add_test(tests, test_forgotten_is_not_forgiven);
    tcase_add_test(tests, test_memory_is_bounded);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
