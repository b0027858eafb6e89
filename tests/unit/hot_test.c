/* agent/hot: what the processes of an app record of hot keys, joined; and whatever else may stand there. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/metrics/hot.h"
#include "rules/ruleset.h"
#include "tests/unit/suite.h"

static char folder[] = "/tmp/weir-hot-XXXXXX";
static struct publish memory;
static const uint64_t SECOND = 1000000000u, NOW = 1700000000ull * 1000000000u;

static void set_up(void) {
    enum publish_origin origin;
    size_t size;
    bool changed;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(publish_open(&memory, open(folder, O_RDONLY | O_DIRECTORY), "shop", &origin), 0);
    ck_assert_uint_eq(publish_allocated(&memory, LAYOUT_HOT_TABLE), 0); /* nothing is allocated that no rule needs */
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    for (unsigned i = 0; i < 2; i++) {
        struct rule rule;
        rule_defaults(&rule, i ? RULE_PARAM : RULE_FLOW);
        rule.id = ruleset_add_text(builder, "a", 1);
        rule.id_hash = 11 + i;
        rule.resource = ruleset_add_text(builder, "GET:/", 5);
        ruleset_add_rule(builder, &rule);
    }
    void *ruleset = ruleset_builder_finish(builder, &size);
    ck_assert_ptr_nonnull(ruleset);
    ck_assert_int_eq(publish_ruleset(&memory, ruleset, size, &changed), 0);
    free(ruleset);
    ck_assert_uint_eq(publish_allocated(&memory, LAYOUT_HOT_TABLE), LAYOUT_HOT);
    memory.counters->resources_used = 2;
}

static void tear_down(void) {
    char command[128];
    publish_close(&memory);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct layout_hot *entry(unsigned at) {
    struct layout_hot *hot = publish_hot(&memory, (uint32_t)at);
    *hot = (struct layout_hot){
        .key = 1, .rule = 12, .resource = 1, .written_ns = NOW, .span_ns = 10 * SECOND, .count = 2};
    hot->values[0] = (struct layout_hot_value){.text = "often", .length = 5, .type = 1, .seen = 50, .blocked = 20};
    hot->values[1] = (struct layout_hot_value){.text = "seldom", .length = 6, .type = 1, .seen = 10, .in_flight = 2};
    return hot;
}

static size_t read_at(uint64_t now_ns, struct hot_list **ret_lists) {
    size_t size;
    const void *ruleset = publish_current(&memory, &size);
    return hot_read(&memory, ruleset, now_ns, ret_lists);
}

START_TEST(processes_are_joined) {
    struct hot_list *lists;
    ck_assert_uint_eq(read_at(NOW, &lists), 0);
    free(lists);
    entry(3);
    entry(700)->values[1].seen = 990;
    entry(900)->resource = 0;
    entry(901)->slot = UINT32_MAX;
    ck_assert_uint_eq(read_at(NOW, &lists), 2);
    ck_assert_uint_eq(lists[0].resource, 1);
    ck_assert_uint_eq(lists[0].count, 2);
    ck_assert_str_eq(lists[0].values[0].value.text, "seldom");
    ck_assert_double_eq_tol(lists[0].values[0].per_second, 101, 1e-9);
    ck_assert_uint_eq(lists[0].values[0].in_flight, 6);
    ck_assert_double_eq_tol(lists[0].values[1].per_second, 15, 1e-9);
    ck_assert_double_eq_tol(lists[0].values[1].blocked_per_second, 6, 1e-9);
    free(lists);
    ck_assert_uint_eq(read_at(NOW + (1ull << 33), &lists), 2); /* nobody came since: half of it by now */
    ck_assert_double_eq_tol(lists[0].values[1].per_second, 7.5, 1e-9);
    free(lists);
    ck_assert_uint_eq(read_at(NOW + 100 * SECOND, &lists), 0);
    free(lists);
}
END_TEST

START_TEST(a_request_is_no_billion_a_second) {
    struct hot_list *lists;
    entry(3)->span_ns = 1;
    ck_assert_uint_eq(read_at(NOW, &lists), 1);
    ck_assert_double_eq_tol(lists[0].values[0].per_second, 50, 1e-9);
    ck_assert_double_eq_tol(lists[0].values[0].blocked_per_second, 20, 1e-9);
    free(lists);
}
END_TEST

START_TEST(nonsense_is_left_out) {
    struct hot_list *lists;
    entry(0)->sequence = 1; /* somebody is writing, or died */
    entry(1)->rule = 11;    /* a rule that has no values */
    entry(2)->rule = 99;    /* no rule */
    entry(3)->count = 13;
    entry(4)->span_ns = 0;
    entry(5)->resource = 2;
    entry(6)->key = 0;
    ck_assert_uint_eq(read_at(NOW, &lists), 0);
    free(lists);
    entry(7)->values[0].length = 0x7f;
    ck_assert_uint_eq(read_at(NOW, &lists), 1);
    ck_assert_uint_eq(lists[0].values[0].value.length, LAYOUT_HOT_TEXT);
    free(lists);
    uint64_t random = 88172645463325252ull;
    uint64_t *words = (uint64_t *)publish_hot(&memory, 0);
    for (unsigned i = 0; i < LAYOUT_HOT * sizeof(struct layout_hot) / 8; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        words[i] = random;
    }
    for (unsigned i = 0; i < LAYOUT_HOT; i++) { /* as near to right as can be */
        struct layout_hot *hot = (struct layout_hot *)words + i;
        hot->sequence &= ~1u;
        hot->rule = 12;
        hot->resource &= 1;
        hot->count %= 13;
        hot->written_ns = NOW + (hot->written_ns & 0xffff);
    }
    size_t count = read_at(NOW, &lists);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lists[i].count; k++) {
            char text[HOT_VALUE_TEXT];
            hot_text(&lists[i].values[k].value, text);
            ck_assert_uint_lt(strlen(text), HOT_VALUE_TEXT);
        }
    free(lists);
}
END_TEST

START_TEST(values_are_made_readable) {
    static const struct {
        struct layout_hot_value value;
        const char *text;
    } cases[] = {
        {{.text = "plain", .length = 5}, "plain"},
        {{.text = "a\x1b[2J\n", .length = 6}, "a\\x1b[2J\\x0a"},
        {{.text = "0123456789abcdef01", .length = LAYOUT_HOT_CUT | 18, .mark = 0x3f}, "0123456789abcdef01…~003f"},
        {{.text = "\x20\x01\x0d\xb8", .length = 16, .type = LAYOUT_HOT_ADDRESS | 1}, "2001:db8::"},
        {{.text = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0\x40", .length = 17, .type = LAYOUT_HOT_ADDRESS | 1},
         "2001:db8::/64"},
        {{.text = "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", .length = LAYOUT_HOT_CUT | 20},
         "\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x00…~0000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[HOT_VALUE_TEXT];
        hot_text(&cases[i].value, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("hot");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, processes_are_joined);
    tcase_add_test(tests, a_request_is_no_billion_a_second);
    tcase_add_test(tests, nonsense_is_left_out);
    tcase_add_test(tests, values_are_made_readable);
    return suite_run("hot", tests, NULL);
}
