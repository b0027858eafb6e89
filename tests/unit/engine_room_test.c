/* What finds no room is limited all the same: limiters, lists of rules, names, words of a ticket. */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/hot_param.h"
#include "tests/unit/suite.h"

static struct engine *engine;
static size_t memory_left; /* bytes that may still be taken */

static void *take(void *context, size_t bytes) {
    (void)context;
    if (bytes > memory_left)
        return NULL;
    memory_left -= bytes;
    return pages_memory.take(pages_memory.context, bytes);
}

static void give(void *context, void *memory, size_t bytes) {
    (void)context;
    pages_memory.give(pages_memory.context, memory, bytes);
}

static const struct engine_memory scarce_memory = {.take = take, .give = give};

static void adopt(struct ruleset_builder *builder, const struct rule *rule) {
    fixture_one_rule(engine, builder, rule, engine_generation(engine) + 1);
}

static struct rule below(struct ruleset_builder *builder, enum rule_kind kind, const char *prefix, double count) {
    struct rule rule = fixture_rule(builder, kind, "r", prefix, count);
    rule.match = MATCH_PREFIX;
    return rule;
}

static uint32_t numbered(const char *stem, unsigned i) {
    char name[64];
    snprintf(name, sizeof(name), "%s%u", stem, i);
    return fixture_resource(engine, name);
}

static bool pass_value(uint64_t now, uint32_t resource, const char *text) {
    struct engine_value value = {.type = VALUE_STRING, .text = text, .length = strlen(text)};
    struct engine_request request = fixture_request(&resource);
    struct fixture_call call;
    request.args = &value;
    request.args_count = 1;
    return engine_enter(engine, now, &request, &call.ticket, &call.decision) != ENGINE_BLOCK;
}

static unsigned pass_values(uint64_t now, uint32_t resource, const char *text, unsigned tries) {
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++)
        passed += pass_value(now, resource, text);
    return passed;
}

/* 128 MB hold some 500 tables of values: a scan of more paths than that under one rule. */
static void scan_paths(struct layout_counters_header *shared) {
    enum { PATHS = 1500 };
    engine = fixture_engine(shared, shared ? 0 : UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = below(builder, RULE_PARAM, "GET:/", 2);
    rule.scope = shared ? SCOPE_APP : SCOPE_PROCESS;
    adopt(builder, &rule);
    for (unsigned i = 0; i < PATHS; i++)
        ck_assert_uint_eq(pass_values(START, numbered("GET:/scan/", i), "10.0.0.1", 5), 2);
    uint32_t unseen = fixture_resource(engine, "GET:/unseen");
    ck_assert_uint_eq(pass_values(START, unseen, "10.0.0.1", 50), 2); /* each value of each resource on its own */
    ck_assert_uint_eq(pass_values(START, unseen, "10.0.0.2", 50), 2);
    ck_assert_uint_eq(pass_values(START + 2 * SECOND, unseen, "10.0.0.2", 50), 2);
    struct layout_counters_header *header = engine_counters(engine)->header;
    ck_assert_uint_eq(header->cells_refused, 0);
    ck_assert_uint_gt(header->resources_sharing, PATHS / 2);
    ck_assert_uint_lt(header->resources_sharing, PATHS);
    uint32_t before = header->resources_sharing;
    ck_assert_uint_eq(pass_values(START, unseen, "10.0.0.3", 5), 2);
    ck_assert_uint_eq(header->resources_sharing, before); /* counted once */
    fixture_free(engine);
}

START_TEST(test_a_scan_of_paths_frees_no_value) {
    struct layout_counters_header *shared = fixture_counters();
    scan_paths(NULL);
    scan_paths(shared);
    shared_free(shared);
}
END_TEST

/* A small limiter finds room behind large ones that fill their part. */
START_TEST(test_large_limiters_leave_room) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = below(builder, RULE_PARAM, "GET:/", 2);
    ruleset_add_rule(builder, &rule);
    rule = fixture_rule(builder, RULE_FLOW, "login", "POST:/login", 3);
    adopt(builder, &rule);
    for (unsigned i = 0; i < 1000; i++)
        pass_value(START, numbered("GET:/scan/", i), "10.0.0.1");
    uint32_t sharing = engine_counters(engine)->header->resources_sharing;
    ck_assert_uint_eq(fixture_passes(engine, START, fixture_resource(engine, "POST:/login"), 20), 3);
    ck_assert_uint_eq(engine_counters(engine)->header->resources_sharing, sharing);
    fixture_free(engine);
}
END_TEST

/* What the agent has not allocated yet: shared for that moment, and its own once there is room. */
START_TEST(test_room_may_come) {
    struct layout_counters_header *shared = fixture_counters();
    shared_allocated[LAYOUT_LIMITERS] = 16; /* one window */
    engine = fixture_engine(shared, 0);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule = below(builder, RULE_FLOW, "GET:/", 4);
    rule.scope = SCOPE_APP;
    adopt(builder, &rule);
    ck_assert_uint_eq(fixture_passes(engine, START, numbered("GET:/", 0), 20), 4);
    unsigned passed = 0;
    for (unsigned i = 1; i <= 100; i++)
        passed += fixture_passes(engine, START, numbered("GET:/", i), 20);
    ck_assert_uint_eq(passed, 4); /* not even a shared one has room: all of them in one */
    ck_assert_uint_gt(shared->cells_refused, 0);
    shared_allocated[LAYOUT_LIMITERS] = UINT32_MAX;
    ck_assert_uint_eq(fixture_passes(engine, START, numbered("GET:/", 1), 20), 4);
    fixture_free(engine);
    shared_free(shared);
}
END_TEST

/* No memory at all, beyond what adoption took: every kind of limit still is one. */
START_TEST(test_without_memory) {
    struct limit {
        enum rule_kind kind;
        uint8_t grade, behavior, strategy;
        uint64_t ttl_ns;
        unsigned passes;
    };
    static const struct limit limits[] = {
        {.kind = RULE_FLOW, .grade = GRADE_QPS, .passes = 3},
        {.kind = RULE_FLOW, .grade = GRADE_QPS, .behavior = BEHAVIOR_QUEUE, .passes = 3},
        {.kind = RULE_FLOW, .grade = GRADE_THREAD, .passes = 3},
        {.kind = RULE_FLOW, .grade = GRADE_QPS, .strategy = STRATEGY_RELATE, .passes = 3},
        {.kind = RULE_ISOLATION, .passes = 3},
        {.kind = RULE_ISOLATION, .ttl_ns = SECOND, .passes = 3},
        {.kind = RULE_PARAM, .grade = GRADE_QPS, .passes = 3},
        {.kind = RULE_PARAM, .grade = GRADE_THREAD, .passes = 3},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        memory_left = SIZE_MAX;
        engine = engine_new(&scarce_memory, NULL, UINT32_MAX);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = below(builder, limits[i].kind, "GET:/", 3);
        rule.grade = limits[i].grade;
        rule.behavior = limits[i].behavior;
        rule.strategy = limits[i].strategy;
        rule.ref_resource = fixture_text(builder, "GET:/other");
        rule.ttl_ns = limits[i].ttl_ns;
        adopt(builder, &rule);
        memory_left = 0;
        uint32_t resource = fixture_resource(engine, "GET:/x");
        struct fixture_call calls[20];
        struct engine_value value = {.type = VALUE_STRING, .text = "v", .length = 1};
        struct engine_request request = fixture_request(&resource);
        request.args = &value;
        request.args_count = 1;
        unsigned passed = 0;
        for (unsigned k = 0; k < 20; k++)
            passed += engine_enter(engine, START, &request, &calls[k].ticket, &calls[k].decision) != ENGINE_BLOCK;
        ck_assert_msg(passed == limits[i].passes, "limit %zu: %u passed", i, passed);
        ck_assert_uint_gt(engine_counters(engine)->header->cells_refused, 0);
        for (unsigned k = 0; k < passed; k++)
            fixture_exit(engine, START, &calls[k], false);
        ck_assert_msg(engine_enter(engine, START + 2 * SECOND, &request, &calls[0].ticket, &calls[0].decision) !=
                          ENGINE_BLOCK,
                      "limit %zu does not end", i);
        fixture_free(engine);
    }
}
END_TEST

/* More rules on one resource than a list holds: none of them is left out. */
START_TEST(test_more_rules_than_a_list_holds) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule;
    for (unsigned i = 0; i < 1100; i++) {
        char id[16];
        snprintf(id, sizeof(id), "r%u", i);
        rule = fixture_rule(builder, RULE_FLOW, id, "a", i == 1099 ? 2 : 1000);
        if (i < 1099)
            ruleset_add_rule(builder, &rule);
    }
    adopt(builder, &rule);
    ck_assert_uint_eq(fixture_passes(engine, START, fixture_resource(engine, "a"), 10), 2);
    fixture_free(engine);
}
END_TEST

/* The table of names is full: names to which rules apply are still held to them, and to no others. */
START_TEST(test_no_room_for_names) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    static const struct {
        const char *id, *prefix;
        double count;
    } rules[] = {{"admin", "GET:/admin", 0}, {"api", "GET:/api/", 3}};
    struct rule rule;
    for (unsigned i = 0; i < 2; i++) {
        rule = fixture_rule(builder, RULE_FLOW, rules[i].id, rules[i].prefix, rules[i].count);
        rule.match = MATCH_PREFIX;
        if (!i)
            ruleset_add_rule(builder, &rule);
    }
    adopt(builder, &rule);
    for (unsigned i = 0; i < LAYOUT_RESOURCES + 100; i++) /* rules speak of them: beyond the budget */
        numbered("GET:/api/", i);
    uint32_t shared = fixture_resource(engine, "GET:/api/unseen");
    ck_assert_uint_ne(shared, ENGINE_OTHER);
    ck_assert_uint_eq(fixture_resource(engine, "GET:/api/unseen2"), shared);
    ck_assert_uint_eq(fixture_passes(engine, START, shared, 20), 3);
    uint32_t admin = fixture_resource(engine, "GET:/admin/unseen");
    ck_assert_uint_ne(admin, shared);
    ck_assert_uint_eq(fixture_passes(engine, START, admin, 20), 0);
    uint32_t other = fixture_resource(engine, "GET:/harmless");
    ck_assert_uint_eq(other, ENGINE_OTHER);
    ck_assert_uint_eq(fixture_passes(engine, START, other, 20), 20);
    /* A rule that names its resource in full and comes later. */
    builder = fixture_rules();
    rule = fixture_rule(builder, RULE_FLOW, "late", "POST:/late", 1);
    adopt(builder, &rule);
    uint32_t late = fixture_resource(engine, "POST:/late");
    ck_assert_uint_ne(late, ENGINE_OTHER);
    ck_assert_uint_eq(fixture_passes(engine, START, late, 20), 1);
    fixture_free(engine);
}
END_TEST

/* A request under more rules about requests in flight than its ticket has words for. */
START_TEST(test_more_in_flight_rules_than_words) {
    engine = fixture_engine(NULL, UINT32_MAX);
    struct ruleset_builder *builder = fixture_rules();
    struct rule rule;
    for (unsigned i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "r%u", i);
        rule = fixture_rule(builder, RULE_ISOLATION, id, "a", i == 39 ? 2 : 1000);
        if (i < 39)
            ruleset_add_rule(builder, &rule);
    }
    adopt(builder, &rule);
    struct fixture_call calls[10];
    uint32_t a = fixture_resource(engine, "a");
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(fixture_enter(engine, START, a, &calls[i]) != ENGINE_BLOCK, i < 2);
    fixture_exit(engine, START, &calls[0], false);
    ck_assert_int_eq(fixture_enter(engine, START, a, &calls[0]), ENGINE_PASS);
    fixture_free(engine);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("engine_room");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_a_scan_of_paths_frees_no_value);
    tcase_add_test(tests, test_large_limiters_leave_room);
    tcase_add_test(tests, test_room_may_come);
    tcase_add_test(tests, test_without_memory);
    tcase_add_test(tests, test_more_rules_than_a_list_holds);
    tcase_add_test(tests, test_no_room_for_names);
    tcase_add_test(tests, test_more_in_flight_rules_than_words);
    return suite_run("engine_room", tests, NULL);
}
