/* Hot parameters: per value, bounded, not to be washed out, and never a full bucket by being forgotten. */
#include <check.h>
#include <pthread.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/engine/limiters/queue.h"
#include "tests/unit/suite.h"

static struct engine *engine;
static uint32_t a;

static void begin(void (*change)(struct ruleset_builder *, struct rule *), double count) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
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

static void items_and_burst(struct ruleset_builder *builder, struct rule *rule) {
    struct rule_item item = {.object = fixture_text(builder, "vip"), .type = VALUE_STRING, .count = 50};
    rule->items_first = ruleset_add_item(builder, &item);
    item = (struct rule_item){.object = fixture_text(builder, "banned"), .count = 0};
    ruleset_add_item(builder, &item);
    rule->items_count = 2;
    rule->burst = 5;
}

START_TEST(test_each_value_on_its_own) {
    begin(NULL, 10);
    ck_assert_uint_eq(passes(START, "one", 30), 10);
    ck_assert_uint_eq(passes(START, "two", 30), 10);
    ck_assert_uint_eq(passes(START + 500 * MS, "one", 30), 0); /* no second admits more, wherever it begins */
    ck_assert_uint_eq(passes(START + 1040 * MS, "one", 30), 10);
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

static void by_calls(struct ruleset_builder *builder, struct rule *rule) {
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

static bool enter_app(struct engine *from, uint32_t resource, const char *text, struct fixture_call *call) {
    struct engine_value value = text_value(text);
    struct engine_request request = fixture_request(&resource);
    request.args = &value;
    request.args_count = 1;
    return engine_enter(from, START, &request, &call->ticket, &call->decision) != ENGINE_BLOCK;
}

/* Two processes of one app: they share each value's places, and a dead one's come back. */
START_TEST(test_calls_in_flight_of_an_app) {
    struct layout_counters_header *shared = fixture_counters();
    struct engine *engines[2];
    struct fixture_call calls[2][4], more;
    for (uint32_t i = 0; i < 2; i++) {
        engines[i] = fixture_engine(shared, i);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_PARAM, "hot", "a", 4);
        rule.param_idx = 0;
        rule.grade = GRADE_THREAD;
        rule.scope = SCOPE_APP;
        fixture_one_rule(engines[i], builder, &rule, 1);
        a = fixture_resource(engines[i], "a");
    }
    for (uint32_t i = 0; i < 2; i++) {
        ck_assert(enter_app(engines[i], a, "one", &calls[i][0]) && enter_app(engines[i], a, "one", &calls[i][1]));
        ck_assert(enter_app(engines[i], a, "two", &calls[i][2]));
    }
    for (uint32_t i = 0; i < 2; i++)
        ck_assert(!enter_app(engines[i], a, "one", &more));
    fixture_exit(engines[0], START, &calls[0][0], false);
    ck_assert(enter_app(engines[1], a, "one", &calls[1][0]) && !enter_app(engines[0], a, "one", &more));
    shared_reclaim(shared, 1, fixture_process(shared, 1)->owner); /* three of "one", one of "two" */
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(enter_app(engines[0], a, "one", &more), i < 3);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(enter_app(engines[0], a, "two", &more), i < 3);
    fixture_free(engines[0]);
    fixture_free(engines[1]);
    shared_free(shared);
}
END_TEST

/* More values in flight at a time than a window has words: what cannot be counted passes, and nothing is lost. */
START_TEST(test_calls_in_a_crowded_table) {
    enum { WORDS = 512, VALUES = 2000, LIMIT = 3 };
    uint64_t words[WORDS] = {0};
    uint32_t reach = 0, left, taken[VALUES], passed = 0;
    struct in_flight_by_key calls = {.words = words, .count = WORDS, .reach = &reach, .me = 7};
    for (unsigned i = 0; i < VALUES; i++) {
        taken[i] = UINT32_MAX;
        passed += in_flight_by_key_take(&calls, hash_bytes(3, &i, sizeof(i)), LIMIT, 1, &taken[i], &left);
        ck_assert(passed == i + 1 || i >= WORDS); /* first each has a word of its own */
    }
    ck_assert_uint_le(passed, WORDS * LIMIT); /* none passes uncounted */
    ck_assert_uint_ge(passed, WORDS * LIMIT * 9 / 10);
    for (unsigned i = 0; i < VALUES; i++)
        in_flight_by_key_return(&calls, taken[i], 1);
    ck_assert(in_flight_by_key_is_idle(&calls));
}
END_TEST

/* A child after fork: what it inherited is its parent's, and neither counts nor stays. */
START_TEST(test_calls_of_a_parent) {
    uint64_t words[BY_KEY_WINDOW] = {0};
    uint32_t reach = 0, left, word;
    struct in_flight_by_key parent = {.words = words, .count = BY_KEY_WINDOW, .reach = &reach, .me = 1, .alone = true},
                            child = parent;
    child.me = 2;
    ck_assert(in_flight_by_key_take(&parent, 1ull << 40, 2, 2, &word, &left) && left == 0);
    ck_assert_uint_eq(in_flight_by_key_now(&child, 1ull << 40), 0);
    ck_assert(in_flight_by_key_is_idle(&child) && !in_flight_by_key_is_idle(&parent));
    ck_assert(in_flight_by_key_take(&child, 1ull << 40, 2, 1, &word, &left) && left == 1);
    in_flight_by_key_return(&child, word, 1);
    ck_assert(in_flight_by_key_is_idle(&child));
}
END_TEST

static const struct layout_hot *shown(struct layout_counters_header *shared) {
    const struct layout_hot *hot = shared_at(shared, LAYOUT_HOT_TABLE, 0), *found = NULL;
    for (unsigned i = 0; i < LAYOUT_HOT; i++)
        if (hot[i].key) {
            ck_assert_ptr_null(found);
            found = &hot[i];
        }
    return found;
}

/* What comes most often stands in the app's file, with how often it was rejected; a flood of others does not hide it.
 */
START_TEST(test_the_most_frequent_are_shown) {
    struct layout_counters_header *shared = fixture_counters();
    uint64_t now = START;
    char name[40];
    engine = fixture_engine(shared, 3);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = fixture_rule(builder, RULE_PARAM, "hot", "a", 50);
    rule.param_idx = 0;
    fixture_one_rule(engine, builder, &rule, 1);
    a = fixture_resource(engine, "a");
    for (unsigned i = 0; i < 100; i++, now += 50 * MS) {
        for (unsigned k = 0; k < 20; k++)
            for (unsigned n = 0; n <= k; n++) {
                snprintf(name, sizeof(name), "hot%u, longer than is kept", k);
                pass(now, name);
            }
        for (unsigned k = 0; k < 200; k++) {
            snprintf(name, sizeof(name), "once%u", i * 200 + k);
            pass(now, name);
        }
    }
    now += SECOND;
    pass(now, "the last");
    const struct layout_hot *hot = shown(shared);
    ck_assert_ptr_nonnull(hot);
    ck_assert_uint_eq(hot->sequence % 2, 0);
    ck_assert_uint_eq(hot->rule, hash_bytes(0, "hot", 3));
    ck_assert_uint_eq(hot->resource, a);
    ck_assert_uint_eq(hot->slot, 3);
    ck_assert_uint_eq(hot->count, LAYOUT_HOT_VALUES);
    for (unsigned i = 0; i < LAYOUT_HOT_VALUES; i++) {
        const struct layout_hot_value *value = &hot->values[i];
        snprintf(name, sizeof(name), "hot%u, longer than is kept", 19 - i);
        ck_assert_uint_eq(value->length, LAYOUT_HOT_CUT | 18);
        ck_assert_msg(memcmp(value->text, name, 18) == 0, "%u: %.18s", i, value->text);
        double seen = value->seen / ((double)hot->span_ns / SECOND), really = 20.0 * (20 - i) * 5 / 6;
        ck_assert_msg(seen > really * 0.7 && seen < really * 1.4, "%u: %g instead of %g", i, seen, really);
        ck_assert(i > 15 || value->blocked > value->seen / 2);
    }
    fixture_free(engine);
    shared_free(shared);
}
END_TEST

/* What nobody should see of a value is not even kept; an address is kept whole. */
static void by_token(struct ruleset_builder *builder, struct rule *rule) {
    struct rule_param param = {.source = PARAM_HEADER, .field = fixture_text(builder, "x-auth-token")};
    rule->params_first = ruleset_add_param(builder, &param);
    rule->params_count = 1;
}
static void by_address(struct ruleset_builder *builder, struct rule *rule) {
    struct rule_param param = {.source = PARAM_CLIENT_IP};
    rule->params_first = ruleset_add_param(builder, &param);
    rule->params_count = 1;
}
static bool constant(void *context, const struct rule_param *param, const char *field, struct engine_value *ret_value) {
    (void)param;
    (void)field;
    *ret_value = text_value(context);
    return true;
}
START_TEST(test_what_is_shown_of_a_value) {
    static const struct {
        void (*rule)(struct ruleset_builder *, struct rule *);
        const char *value, *shown;
        uint8_t type, length;
    } cases[] = {
        {by_token, "secret-of-somebody", "secr\0", VALUE_STRING, LAYOUT_HOT_CUT | 4},
        {by_address, "192.0.2.1", "192.0.2.1", VALUE_STRING, 9},
        {by_address, "2001:db8::ff", "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\xff", VALUE_STRING | LAYOUT_HOT_ADDRESS,
         16},
        {by_address, "2001:db8::/64", "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0\x40", VALUE_STRING | LAYOUT_HOT_ADDRESS,
         17},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct layout_counters_header *shared = fixture_counters();
        engine = fixture_engine(shared, 0);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_PARAM, "hot", "a", 5);
        cases[i].rule(builder, &rule);
        fixture_one_rule(engine, builder, &rule, 1);
        a = fixture_resource(engine, "a");
        struct engine_request request = fixture_request(&a);
        struct fixture_call call;
        request.param = constant;
        request.param_context = (void *)cases[i].value;
        engine_enter(engine, START, &request, &call.ticket, &call.decision);
        const struct layout_hot *hot = shown(shared);
        ck_assert_ptr_nonnull(hot);
        ck_assert_uint_eq(hot->count, 1);
        ck_assert_uint_eq(hot->values[0].type, cases[i].type);
        ck_assert_uint_eq(hot->values[0].length, cases[i].length);
        ck_assert(memcmp(hot->values[0].text, cases[i].shown, cases[i].length & ~LAYOUT_HOT_CUT) == 0);
        ck_assert(!memchr(hot->values[0].text, 'o', 5) || cases[i].rule != by_token);
        fixture_free(engine);
        shared_free(shared);
    }
}
END_TEST

static void queueing(struct ruleset_builder *builder, struct rule *rule) {
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

/* A burst goes ahead of its turns, as in queues of flow rules, and is paid for by a pause: nginx's `delay`. */
static void queueing_behind_a_burst(struct ruleset_builder *builder, struct rule *rule) {
    queueing(builder, rule);
    rule->burst = 2;
}
START_TEST(test_queueing_behind_a_burst) {
    begin(queueing_behind_a_burst, 10);
    struct engine_value one = text_value("one"), other = text_value("other");
    struct fixture_call call;
    for (unsigned i = 0; i < 8; i++) {
        enum engine_verdict verdict = enter(START, &one, &call);
        ck_assert_int_eq(verdict, i < 3 ? ENGINE_PASS : i < 6 ? ENGINE_WAIT : ENGINE_BLOCK);
        if (i >= 3 && i < 6)
            ck_assert_uint_eq(call.decision.wait_ns, (i - 2) * 100 * MS);
    }
    ck_assert_int_eq(enter(START, &other, &call), ENGINE_PASS);
    ck_assert_int_eq(enter(START + 400 * MS, &one, &call), ENGINE_PASS);
    ck_assert_int_eq(enter(START + 400 * MS, &one, &call), ENGINE_WAIT);
    ck_assert_uint_eq(call.decision.wait_ns, 100 * MS);
    fixture_free(engine);
}
END_TEST

struct sources {
    const char *values[4];
};
/* One that says several values. */
static bool several(void *context, const struct rule_param *param, const char *field, struct engine_value *ret_value) {
    struct engine_value *values = context;
    (void)field;
    unsigned from = param->source == PARAM_HEADER ? 0 : 2;
    *ret_value = (struct engine_value){.type = VALUE_LIST, .elements = &values[from], .count = 2};
    return true;
}

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

static void joint(struct ruleset_builder *builder, struct rule *rule) {
    struct rule_param param = {.source = PARAM_HEADER, .field = fixture_text(builder, "x-user")};
    rule->params_first = ruleset_add_param(builder, &param);
    param = (struct rule_param){.source = PARAM_URL,
                                .field = fixture_text(builder, "q"),
                                .match = PARAM_REGEX,
                                .pattern = fixture_text(builder, "a+")};
    ruleset_add_param(builder, &param);
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

/* Who says a parameter several times is counted for each of its values, and for each combination of such parameters. */
START_TEST(test_several_values) {
    begin(joint, 3);
    struct engine_value values[4] = {text_value("u"), text_value("v"), text_value("a"), text_value("aa")};
    struct engine_request request = fixture_request(&a);
    struct fixture_call call;
    request.param = several;
    request.param_context = values;
    ck_assert_int_eq(engine_enter(engine, START, &request, &call.ticket, &call.decision), ENGINE_PASS);
    static const char *const users[] = {"u", "v", "w"}, *const queries[] = {"a", "aa"};
    for (unsigned i = 0; i < 6; i++) {
        struct sources sources = {{users[i / 2], queries[i % 2]}};
        unsigned passed = 0;
        request.param = source;
        request.param_context = &sources;
        for (unsigned k = 0; k < 5; k++)
            passed += engine_enter(engine, START, &request, &call.ticket, &call.decision) == ENGINE_PASS;
        ck_assert_msg(passed == (i < 4 ? 2 : 3), "%s %s: %u", users[i / 2], queries[i % 2], passed);
    }
    request.param = several;
    request.param_context = values;
    ck_assert_int_eq(engine_enter(engine, START, &request, &call.ticket, &call.decision), ENGINE_BLOCK);
    fixture_free(engine);
}
END_TEST

static void small(struct ruleset_builder *builder, struct rule *rule) {
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
    ck_assert_msg(passed > tries * 46 / 100 && passed < tries * 51 / 100, "%u of %u", passed, tries);
    struct engine_hot_key top[100];
    ck_assert_uint_eq(engine_hot(engine, hash_bytes(0, "hot", 3), a, top, 100), 100);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_msg(strncmp(top[i].text, "hot", 3) == 0, "%u: %s", i, top[i].text);
    fixture_free(engine);
}
END_TEST

/* A value pushed out of the table by others does not come back with all of its permits. */
static void check_forgotten(bool slides) {
    enum { CAPACITY = 100 };
    struct hot_shape shape = hot_shape(CAPACITY, false);
    shape.slides = slides;
    struct limiter_state *state = calloc(1, hot_bytes(&shape));
    struct hot *hot = (struct hot *)state;
    struct hot_limit limit = {
        .slide = slide_of(10, SECOND, true), .n = 1, .cost_ns = SECOND / 10, .capacity_ns = SECOND};
    uint64_t wait, *turn, before, after;
    unsigned pushed_out = 0, free_rides = 0;
    for (unsigned round = 0; round < 50; round++) {
        char name[16];
        uint64_t now = START + round * 100 * SECOND;
        struct hot_value value = {.text = name, .type = VALUE_STRING};
        value.length = (size_t)snprintf(name, sizeof(name), "victim%u", round);
        value.key = hash_bytes(1, name, value.length);
        while (hot_take(hot, &shape, &value, &limit, now, &wait, &turn, &before, &after) == HOT_PASS) {
        }
        for (unsigned i = 0; i < 3000; i++) { /* each of these often enough to be let in */
            struct hot_value other = {.key = hash_bytes(2 + round, &i, sizeof(i)), .text = "x", .length = 1};
            for (unsigned k = 0; k < 20; k++)
                hot_take(hot, &shape, &other, &limit, now, &wait, &turn, &before, &after);
        }
        if (hot_tracks(hot, &shape, value.key))
            continue;
        pushed_out++;
        free_rides += hot_take(hot, &shape, &value, &limit, now, &wait, &turn, &before, &after) == HOT_PASS;
    }
    ck_assert_uint_gt(pushed_out, 25);
    ck_assert_uint_eq(free_rides, 0);
    free(state);
}

START_TEST(test_forgotten_is_not_forgiven) {
    check_forgotten(false);
    check_forgotten(true);
}
END_TEST

static void five_seconds(struct ruleset_builder *builder, struct rule *rule) {
    small(builder, rule);
    rule->interval_ns = 5 * SECOND;
}

/* 10 per 5 s: in no five seconds more, for values in the table and for those that come and go in a flood; and nearly as
 * many for each that takes what it can. */
START_TEST(test_no_interval_admits_more) {
    enum { STEPS = 200, VALUES = 20, SPAN = 50 }; /* of 100 ms */
    static unsigned passed[VALUES][STEPS];
    begin(five_seconds, 10);
    unsigned flood = 0, all = 0;
    char name[32];
    for (unsigned i = 0; i < STEPS; i++) {
        for (unsigned v = 0; v < VALUES; v++) {
            snprintf(name, sizeof(name), "v%u", v);
            all += passed[v][i] = passes(START + i * 100 * MS, name, 3);
        }
        for (unsigned k = 0; k < 500; k++) {
            snprintf(name, sizeof(name), "flood%u", flood++);
            pass(START + i * 100 * MS, name);
        }
    }
    for (unsigned v = 0; v < VALUES; v++)
        for (unsigned from = 0; from + SPAN <= STEPS; from++) {
            unsigned sum = 0;
            for (unsigned i = from; i < from + SPAN; i++)
                sum += passed[v][i];
            if (sum > 10)
                ck_abort_msg("value %u: %u in five seconds", v, sum);
        }
    ck_assert_uint_ge(all, VALUES * 10 * (STEPS / SPAN) * 9 / 10);
    fixture_free(engine);
}
END_TEST

static void large(struct ruleset_builder *builder, struct rule *rule) {
    (void)builder;
    rule->capacity = 32000;
}

/* 20 000 values a second that are seen once, and honest ones between them: those that are known keep all of their
 * limit, and so do new ones while no more than capacity / 16 * count new values come in an interval (docs/rules.md). */
START_TEST(test_new_values_in_a_flood) {
    begin(large, 10);
    unsigned flood = 0, known = 0, fresh = 0, refused = 0;
    char name[32];
    for (unsigned i = 0; i < 400; i++) { /* 10 ms each */
        uint64_t now = START + i * 10 * MS;
        for (unsigned k = 0; k < 200; k++) {
            snprintf(name, sizeof(name), "flood%u", flood++);
            pass(now, name);
        }
        if (i % 25 == 0)
            known += pass(now, "known");
        if (i >= 100 && i % 4 == 0) {
            snprintf(name, sizeof(name), "honest%u", fresh++);
            refused += 3 - passes(now, name, 3);
        }
    }
    ck_assert_uint_eq(known, 16);
    ck_assert_uint_le(refused, 2);
    fixture_free(engine);
}
END_TEST

enum { RACERS = 4, RACED = 4000, RACES = 20 };
struct race {
    struct hot *hot;
    const struct hot_shape *shape;
    uint32_t passed[RACED];
};

static void *racer(void *argument) {
    struct race *race = argument;
    struct hot_limit limit = {.cost_ns = SECOND, .capacity_ns = SECOND};
    for (uint32_t i = 0; i < RACED; i++) {
        uint64_t wait, *turn, before, after;
        struct hot_value value = {.key = hash_bytes(4, &i, sizeof(i)) | 1, .text = "x", .length = 1, .shown = 1};
        if (hot_take(race->hot, race->shape, &value, &limit, START, &wait, &turn, &before, &after) == HOT_PASS)
            __atomic_fetch_add(&race->passed[i], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Several threads see a new value at the same time: it is let in once, and its threshold holds.  What is left is the
 * moment between two who let it in: hardly ever does one more pass. */
START_TEST(test_threads_and_new_values) {
    struct hot_shape shape = hot_shape(20 * RACED, false);
    static struct race race;
    unsigned more = 0;
    for (unsigned round = 0; round < RACES; round++) {
        struct limiter_state *state = calloc(1, hot_bytes(&shape));
        pthread_t threads[RACERS];
        memset(race.passed, 0, sizeof(race.passed));
        race.hot = (struct hot *)state;
        race.shape = &shape;
        for (unsigned i = 0; i < RACERS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, racer, &race), 0);
        for (unsigned i = 0; i < RACERS; i++)
            pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < RACED; i++) {
            ck_assert_uint_ge(race.passed[i], 1);
            more += race.passed[i] - 1;
        }
        free(state);
    }
    ck_assert_msg(more < RACES * RACED / 400, "%u of %u values were let in twice", more, RACES * RACED);
}
END_TEST

START_TEST(test_memory_is_bounded) {
    for (uint32_t capacity = 1000; capacity <= 200000; capacity *= 2) {
        struct hot_shape shape = hot_shape(capacity, false);
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
    TCase *tests = tcase_create("engine_hot");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, test_each_value_on_its_own);
    tcase_add_test(tests, test_lists_count_each_element);
    tcase_add_test(tests, test_calls_in_flight);
    tcase_add_test(tests, test_calls_in_flight_of_an_app);
    tcase_add_test(tests, test_calls_in_a_crowded_table);
    tcase_add_test(tests, test_calls_of_a_parent);
    tcase_add_test(tests, test_the_most_frequent_are_shown);
    tcase_add_test(tests, test_what_is_shown_of_a_value);
    tcase_add_test(tests, test_several_values);
    tcase_add_test(tests, test_queueing);
    tcase_add_test(tests, test_queueing_behind_a_burst);
    tcase_add_test(tests, test_joint_keys_and_patterns);
    tcase_add_test(tests, test_a_flood_does_not_wash_out);
    tcase_add_test(tests, test_forgotten_is_not_forgiven);
    tcase_add_test(tests, test_no_interval_admits_more);
    tcase_add_test(tests, test_new_values_in_a_flood);
    tcase_add_test(tests, test_threads_and_new_values);
    tcase_add_test(tests, test_memory_is_bounded);
    return suite_run("engine_hot", tests, NULL);
}
