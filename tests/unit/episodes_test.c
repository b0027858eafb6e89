/* agent/metrics/episodes.c: the episodes of overload protection that an app is in. */
#include <check.h>
#include <stddef.h>

#include "agent/metrics/episodes.h"
#include "agent/metrics/event_text.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "tests/unit/suite.h"

static const uint64_t SECOND = 1000000000u;

static struct layout_event overload(uint8_t from, uint8_t to, double value, const struct layout_episode *episode) {
    return (struct layout_event){.sequence = 7,
                                 .figures_of = 7,
                                 .kind = EVENT_ADAPTIVE,
                                 .from = from,
                                 .to = to,
                                 .value = value,
                                 .rule_id = "r1",
                                 .episode = *episode};
}

static struct episodes present;
static struct rule adaptive;
static const struct layout_episode NEW = {.cpu = 0.5, .delay_ms = 90, .goodput_before = 100, .goodput = 100},
                                   OLD = {.delay_ms = 22, .goodput_before = 100, .goodput = 180, .lasted_s = 10};

static void begin_present(enum rule_scope scope) {
    present = (struct episodes){0};
    adaptive = (struct rule){.kind = RULE_ADAPTIVE, .id_hash = 99, .mode = MODE_ENFORCE, .scope = (uint8_t)scope};
    adaptive.grade = ADAPTIVE_DELAY;
}

static bool says(uint8_t from, uint8_t to, const struct layout_episode *figures, double at, struct layout_event *ret) {
    *ret = overload(from, to, from ? 0.5 : -1, figures);
    ret->pid = 12;
    return episodes_take(&present, ret, &adaptive, (uint64_t)(at * 1e9));
}

static void second_of(unsigned pass, unsigned block, unsigned in_flight, double at) {
    struct metrics_resource r[2] = {{.name = "http::80", .side = SIDE_INBOUND, .in_flight = in_flight},
                                    {.name = "GET:/", .side = SIDE_INBOUND, .in_flight = in_flight}};
    r[0].rate = r[1].rate = (struct metrics_counts){.pass = pass, .block = block, .success = pass};
    episodes_second(&present, &(struct metrics){.resources = r, .count = 2}, (uint64_t)(at * 1e9));
}

static bool ends(enum episodes_end which, double at, struct layout_event *ret) {
    bool whole;
    return episodes_end(&present, which, NULL, (uint64_t)(at * 1e9), ret, &whole);
}

/* An episode ends when the traffic does, lasts until then, and is reported as over once. */
START_TEST(an_episode_without_traffic_ends) {
    struct layout_event e;
    char text[256];
    begin_present(SCOPE_APP);
    ck_assert(says(0, 1, &NEW, 100, &e));
    for (int i = 1; i <= 10; i++) {
        second_of(150, 50, 1, 100 + i);
        ck_assert(!ends(EPISODES_SILENT, 100 + i, &e));
    }
    ck_assert(says(1, 1, &OLD, 110, &e));
    for (int i = 11; i <= 14; i++)
        second_of(60, 140, 1, 100 + i);
    second_of(0, 0, 0, 115);
    ck_assert(!ends(EPISODES_SILENT, 115, &e) && episodes_present(&present));
    second_of(0, 0, 0, 116);
    ck_assert(ends(EPISODES_SILENT, 116, &e) && !ends(EPISODES_SILENT, 116, &e) && !episodes_present(&present));
    event_text_state(&e, "{other}", text, sizeof text);
    ck_assert_str_eq(text, "overload over after 14 s (rule r1): 38 % rejected, 60 answered a second, 100 before");
    ck_assert_msg(!says(1, 0, &OLD, 131, &e), "its process learns of it with the next request");
    ck_assert(says(0, 1, &NEW, 140, &e) && says(1, 0, &OLD, 150, &e) && !episodes_present(&present));
}
END_TEST

START_TEST(an_episode_that_stands_still_goes_on) {
    struct layout_event e;
    begin_present(SCOPE_APP);
    ck_assert(says(0, 1, &NEW, 100, &e));
    for (int i = 1; i <= 10; i++) {
        second_of(0, 0, 1, 100 + i); /* what is in flight is not answered */
        ck_assert(!ends(EPISODES_SILENT, 100 + i, &e));
    }
    second_of(0, 0, 1, 111);
    ck_assert(ends(EPISODES_SILENT, 111, &e) && e.episode.lasted_s == 0);
    ck_assert(says(1, 1, &OLD, 112, &e));
    ck_assert_msg(e.from == 0 && e.episode.lasted_s == 0, "after its end it begins again");
    second_of(10, 10, 1, 113);
    ck_assert(says(1, 0, &OLD, 114, &e) && e.episode.lasted_s == 2);
    ck_assert(says(0, 1, &NEW, 200, &e));
    for (int i = 1; i <= 15; i++)
        second_of(10, 0, 1, 200 + i);
    ck_assert(!ends(EPISODES_SILENT, 215, &e));
    ck_assert_msg(ends(EPISODES_SILENT, 216, &e), "nothing is reported any more: its process was killed");
}
END_TEST

static const void *rules_with(uint8_t mode, uint8_t grade) {
    static struct {
        struct ruleset_header head;
        struct rule rule;
    } set;
    set.rule = adaptive;
    set.rule.mode = mode;
    set.rule.grade = grade;
    set.head.rules_count = 1;
    set.head.rules_at = offsetof(__typeof__(set), rule);
    return &set;
}

START_TEST(an_episode_of_another_rule_ends) {
    static const struct {
        uint8_t mode, grade;
        bool ends;
    } rows[] = {{MODE_ENFORCE, ADAPTIVE_DELAY, false},
                {MODE_SIMULATE, ADAPTIVE_DELAY, true},
                {MODE_ENFORCE, ADAPTIVE_CPU, true},
                {MODE_OFF, ADAPTIVE_DELAY, true}};
    struct layout_event e;
    bool whole = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_present(SCOPE_APP);
        ck_assert(says(0, 1, &NEW, 100, &e));
        const void *rules = rules_with(rows[i].mode, rows[i].grade);
        ck_assert(episodes_end(&present, EPISODES_CHANGED, rules, 101 * SECOND, &e, &whole) == rows[i].ends);
        ck_assert((episodes_rule(rules, 99) != NULL) == (rows[i].mode != MODE_OFF) && !episodes_rule(rules, 98));
        ck_assert(whole || !rows[i].ends);
        if (rows[i].ends) /* before a second was sampled */
            ck_assert(e.episode.lasted_s == 1 && e.episode.goodput == 100 && e.episode.delay_ms == 90);
    }
    ck_assert(says(0, 1, &NEW, 100, &e));
    ck_assert_msg(ends(EPISODES_CHANGED, 101, &e), "there are no rules any more");
    ck_assert_msg(!episodes_take(&present, &e, NULL, 101 * SECOND), "a late event of a rule that is gone");
}
END_TEST

/* What is shown is of the last second, or not shown. */
START_TEST(present_figures_are_fresh) {
    struct layout_event e;
    begin_present(SCOPE_PROCESS);
    ck_assert(says(0, 1, &NEW, 100, &e));
    second_of(150, 50, 1, 101);
    const struct episode_now *now = episodes_present(&present);
    struct episode figures = episodes_figures(&present, now, 101 * SECOND);
    ck_assert(figures.rejected == 0.25 && figures.goodput == 150 && figures.delay_ms == 90 && figures.lasted_s == 1);
    second_of(40, 60, 1, 105);
    figures = episodes_figures(&present, now, 105 * SECOND);
    ck_assert(figures.rejected == 0.6 && figures.goodput == 40 && figures.delay_ms == -1 && figures.cpu == -1);
    ck_assert(figures.lasted_s == 5 && figures.goodput_before == 100);
    second_of(0, 0, 0, 107);
    figures = episodes_figures(&present, now, 107 * SECOND);
    ck_assert_msg(figures.rejected == -1 && figures.lasted_s == 5, "to its last activity");
    for (uint32_t pid = 13; pid < 40; pid++) { /* more processes than are followed */
        e = overload(0, 1, -1, &NEW);
        e.pid = pid;
        ck_assert(episodes_take(&present, &e, &adaptive, 108 * SECOND));
    }
    ck_assert(episodes_present(&present) == now);
    unsigned count = 0;
    while (ends(EPISODES_ALL, 109, &e))
        count++;
    ck_assert_uint_eq(count, EPISODES_MAX);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_test(all, an_episode_without_traffic_ends);
    tcase_add_test(all, an_episode_that_stands_still_goes_on);
    tcase_add_test(all, an_episode_of_another_rule_ends);
    tcase_add_test(all, present_figures_are_fresh);
    return suite_run("episodes", all, NULL);
}
