#include "tools/top_view.h"

#include <cjson/cJSON.h>
#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "tools/text.h"
#include "tools/top_keys.h"

#define WIDE                                                                                                             \
    "GET:/\xe6\xbc\xa2\xe5\xad\x97/\xe6\xbc\xa2\xe5\xad\x97/\xe6\xbc\xa2\xe5\xad\x97/%d/\xe6\xbc\xa2\xe5\xad\x97" /* two \
                                                                                                                     columns each */

enum { NOW = 1700000000, ROWS = 40 };

/* An app with so many resources, whose names say where they stand in the usual order. */
static cJSON *apps_of(const char *name, int resources) {
    cJSON *apps = cJSON_CreateArray(), *app = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(app, "resources");
    cJSON_AddStringToObject(app, "app", name);
    cJSON_AddItemToArray(apps, app);
    for (int i = 0; i < resources; i++) {
        char resource[64];
        cJSON *one = cJSON_CreateObject();
        snprintf(resource, sizeof resource, i == 0 ? "http::80" : i == ROWS - 1 ? WIDE : "GET:/r/%02d", i);
        cJSON_AddStringToObject(one, "resource", resource);
        cJSON_AddStringToObject(one, "side", "inbound");
        cJSON_AddNumberToObject(one, "pass", 1000 - i);
        cJSON_AddNumberToObject(one, "block", i % 7);
        cJSON_AddNumberToObject(one, "in_flight", 3);
        cJSON_AddStringToObject(one, "circuit", i == 5 ? "open" : "none");
        cJSON_AddItemToArray(list, one);
    }
    return apps;
}

/* Keys as a terminal sends them, one call each; an escape sequence is one key. */
static bool press(struct top_view *view, const char *keys) {
    bool other = false;
    while (*keys) {
        bool sequence = *keys == '\33' && keys[1] && strchr("[O", keys[1]);
        size_t length = sequence ? 1 + strcspn(keys + 1, "ABCDFH~") + (keys[1] != 0) : 1;
        while (((unsigned char)keys[length] & 0xc0) == 0x80)
            length++;
        other |= top_view_key(view, keys, length);
        keys += length;
    }
    return other;
}

static char *draw(struct top_view *view, const cJSON *apps, int width, int height) {
    const struct top_metrics metrics = {
        .apps = apps, .second = NOW - 1, .agents = (size_t)cJSON_GetArraySize(apps), .trouble = ""};
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    top_view_draw(view, &metrics, NOW, stream, width, height, false);
    fclose(stream);
    return text;
}

static void expect(struct top_view *view, const cJSON *apps, const char *wanted, bool there) {
    char *text = draw(view, apps, 80, 24);
    ck_assert_msg((strstr(text, wanted) != NULL) == there, "\"%s\" in\n%s", wanted, text);
    free(text);
}

static struct top_view traffic(void) {
    return (struct top_view){.kind = &top_traffic, .column = TOP_USUAL};
}

/* ------------------------------------------------------------------------------------------------------------- keys */

static const struct {
    const char *bytes;
    enum top_command command;
} known[] = {
    {"q", TOP_QUIT},           {"\33", TOP_ESCAPE},       {"\33[A", TOP_UP},    {"\33OA", TOP_UP},
    {"\33[6~", TOP_PAGE_DOWN}, {"\33[5~", TOP_PAGE_UP},   {"\33[H", TOP_HOME},  {"\33[1~", TOP_HOME},
    {"\33OF", TOP_END},        {"\33[1;5C", TOP_NOTHING}, {"x", TOP_NOTHING},   {"\33OP", TOP_NOTHING},
    {"", TOP_NOTHING},         {"\x7f", TOP_ERASE},       {"<", TOP_SORT_LEFT},
};

START_TEST(keys_mean_what_terminals_send) {
    ck_assert_int_eq(top_key(known[_i].bytes, strlen(known[_i].bytes)), known[_i].command);
}
END_TEST

START_TEST(sorts_by_the_column_to_the_left_and_to_the_right) {
    cJSON *apps = apps_of("shop", ROWS);
    struct top_view view = traffic();
    expect(&view, apps, "by QPS  1-19 of 40", true);
    press(&view, "<<<<");
    expect(&view, apps, "by APP", true); /* no further */
    press(&view, ">");
    expect(&view, apps, "by RESOURCE", true);
    expect(&view, apps, "\nshop  GET:/r/01 ", true);
    press(&view, "r");
    expect(&view, apps, "by RESOURCE, reversed", true);
    char *text = draw(&view, apps, 80, 24);
    ck_assert(strstr(text, "http::80 ") < strstr(text, "GET:/r/38"));
    free(text);
    press(&view, "r>>>>>>>>>>>>>>>>");
    expect(&view, apps, "by CIRC", true);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(numbers_go_from_the_largest_on) {
    cJSON *apps = apps_of("shop", 8);
    struct top_view view = traffic();
    view.column = top_column_find(&top_traffic, "BLOCK");
    char *text = draw(&view, apps, 80, 24);
    ck_assert(strstr(text, "GET:/r/06") < strstr(text, "GET:/r/05"));
    ck_assert(strstr(text, "GET:/r/01") < strstr(text, "GET:/r/07")); /* 1 and 0 */
    free(text);
    ck_assert_int_eq(top_column_find(&top_traffic, "nonsense"), -1);
    ck_assert_int_eq(top_column_find(&top_hot, "value"), 4);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(scrolls_and_stops_at_both_ends) {
    cJSON *apps = apps_of("shop", ROWS);
    struct top_view view = traffic();
    expect(&view, apps, " 1-19 of 40", true);
    press(&view, "\33[A");
    expect(&view, apps, " 1-19 of 40", true);
    press(&view, "\33[B\33[B");
    expect(&view, apps, " 3-21 of 40", true);
    press(&view, "\33[6~");
    expect(&view, apps, " 21-39 of 40", true); /* a line of the page before remains */
    press(&view, "\33[6~\33[6~");
    expect(&view, apps, " 22-40 of 40", true);
    press(&view, "\33[5~");
    expect(&view, apps, " 4-22 of 40", true);
    press(&view, "G");
    expect(&view, apps, " 22-40 of 40", true);
    cJSON *fewer = apps_of("shop", 2); /* than there were when it was scrolled */
    expect(&view, fewer, " 1-2 of 2", true);
    press(&view, "\33[H");
    expect(&view, apps, " 1-19 of 40", true);
    cJSON_Delete(fewer);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(filters_while_it_is_typed) {
    cJSON *apps = apps_of("shop", ROWS);
    struct top_view view = traffic();
    press(&view, "/get:/R/1q");
    expect(&view, apps, "only rows with: get:/R/1q_", true);
    expect(&view, apps, "no row contains \"get:/R/1q\"", true);
    ck_assert(!view.quit);
    press(&view, "\x7f");
    expect(&view, apps, " 1-10 of 10  only \"get:/R/1\"", true); /* capitals do not count */
    press(&view, "\r");
    expect(&view, apps, "q quit", true);
    press(&view, "\33");
    expect(&view, apps, "of 40", true);
    ck_assert(!view.quit);
    press(&view, "/\xc3\xbc\x7f\x7f\x7f"); /* a character of two bytes is erased as one */
    ck_assert_str_eq(view.filter, "");
    press(&view, "abc\x15"); /* Ctrl-U */
    ck_assert_str_eq(view.filter, "");
    press(&view, "\33\33");
    ck_assert(view.quit);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(goes_to_hot_values_and_back) {
    struct top_view view = traffic();
    press(&view, "<r\33[B");
    ck_assert(press(&view, "v")); /* other metrics are needed */
    ck_assert_ptr_eq(view.kind, &top_hot);
    ck_assert_int_eq(view.column, TOP_USUAL);
    ck_assert(!view.reverse && view.first == 0);
    ck_assert(press(&view, "v"));
    ck_assert_ptr_eq(view.kind, &top_traffic);
    ck_assert(!press(&view, "p"));
    ck_assert(view.paused);
}
END_TEST

START_TEST(helps) {
    cJSON *apps = apps_of("shop", ROWS);
    struct top_view view = traffic();
    press(&view, "?");
    expect(&view, apps, "this help", true);
    expect(&view, apps, "GET:/r/01", false);
    press(&view, "G");
    expect(&view, apps, "circuit breaker", true);
    press(&view, "\33");
    ck_assert(!view.quit);
    expect(&view, apps, "GET:/r/01", true);
    cJSON_Delete(apps);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- picture */

static void check_size(const char *text, int width, int height) {
    int lines = 0;
    for (const char *at = text; *at; lines++) {
        const char *end = strchr(at, '\n');
        char *line = strndup(at, end ? (size_t)(end - at) : strlen(at));
        ck_assert_msg(text_columns(line) <= (size_t)width, "%zu columns of %d: %s", text_columns(line), width, line);
        free(line);
        at = end ? end + 1 : at + strlen(at);
    }
    ck_assert_msg(lines <= height, "%d lines of %d:\n%s", lines, height, text);
}

START_TEST(fits_the_terminal) {
    static const int widths[] = {40, 60, 80, 120, 160, 300}, heights[] = {8, 10, 24, 60};
    static const char *const states[] = {"off", "stale", NULL};
    cJSON *apps = apps_of("an-app-whose-name-is-as-long-as-a-name-may-be-which-is-63-bytes", ROWS);
    cJSON_AddNumberToObject(cJSON_GetArrayItem(apps, 0), "rules", 3);
    cJSON_AddNumberToObject(cJSON_GetArrayItem(apps, 0), "rules_simulated", 2);
    for (size_t state = 0; state < sizeof states / sizeof *states; state++) {
        if (states[state])
            cJSON_AddTrueToObject(cJSON_GetArrayItem(apps, 0), states[state]);
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            for (size_t j = 0; j < sizeof heights / sizeof *heights; j++)
                for (const char *keys = " h?/v>G"; *keys; keys++) {
                    struct top_view view = traffic();
                    press(&view, (const char[]){*keys, 0});
                    char *text = draw(&view, apps, widths[i], heights[j]);
                    check_size(text, widths[i], heights[j]);
                    free(text);
                }
    }
    cJSON_Delete(apps);
}
END_TEST

START_TEST(leaves_columns_out_on_a_narrow_terminal) {
    cJSON *apps = apps_of("shop", 3);
    struct top_view view = traffic();
    char *narrow = draw(&view, apps, 60, 24), *wide = draw(&view, apps, 160, 24);
    ck_assert_ptr_null(strstr(narrow, "SIDE"));
    ck_assert_ptr_null(strstr(narrow, "SIM"));
    ck_assert_ptr_nonnull(strstr(wide, "SIDE"));
    ck_assert_ptr_nonnull(strstr(wide, "SIM"));
    free(narrow);
    free(wide);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(says_what_is_not_as_usual) {
    cJSON *apps = apps_of("shop", 6), *app = cJSON_GetArrayItem(apps, 0);
    struct top_view view = traffic();
    expect(&view, apps, "shop: 1000 requests/s, 0 rejected, 0 failed, 3 in flight, 1 circuit open", true);
    expect(&view, apps, "STALE", false);
    cJSON_AddTrueToObject(app, "stale");
    expect(&view, apps, "shop: STALE RULES", true);
    cJSON_AddNumberToObject(app, "rules", 1);
    cJSON_AddNumberToObject(app, "rules_simulated", 1);
    expect(&view, apps, "shop: SIMULATE: all its rules only count", true);
    cJSON_AddTrueToObject(app, "off");
    expect(&view, apps, "shop is OFF", true);
    expect(&view, apps, "requests/s", false); /* zeros would say that there is no traffic */
    expect(&view, NULL, "NO AGENT answers: waiting for one", true);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(leaves_room_for_rows_below_many_apps) {
    cJSON *apps = cJSON_CreateArray();
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "app%02d", i);
        cJSON *one = apps_of(name, 3);
        cJSON_AddItemToArray(apps, cJSON_DetachItemFromArray(one, 0));
        cJSON_Delete(one);
    }
    struct top_view view = traffic();
    expect(&view, apps, "20 apps  by QPS  1-15 of 60  20 agents", true); /* as draw() has it */
    expect(&view, apps, "app03: 1000 requests/s", true);
    expect(&view, apps, "app04: 1000 requests/s", false);
    expect(&view, apps, "… and 16 more apps", true);
    cJSON_Delete(apps);
}
END_TEST

START_TEST(says_that_metrics_are_old) {
    cJSON *apps = apps_of("shop", 2);
    struct top_view view = traffic();
    for (int age = 1; age < 20; age += 9)
        for (int paused = 0; paused < 2; paused++) {
            const struct top_metrics metrics = {.apps = apps, .second = NOW - age, .agents = 1, .trouble = "DIR: no"};
            char *text = NULL;
            size_t size;
            FILE *stream = open_memstream(&text, &size);
            view.paused = paused;
            top_view_draw(&view, &metrics, NOW, stream, 80, 24, false);
            fclose(stream);
            ck_assert_int_eq(strstr(text, "STALE: these metrics are") != NULL, age > 5 && !paused);
            ck_assert_int_eq(strstr(text, "PAUSED") != NULL, paused);
            ck_assert_ptr_nonnull(strstr(text, "DIR: no"));
            free(text);
        }
    cJSON_Delete(apps);
}
END_TEST

/* Printed once, too: what explains the rows. */
START_TEST(says_overload) {
    cJSON *apps = apps_of("shop", 3), *overload = cJSON_AddObjectToObject(cJSON_GetArrayItem(apps, 0), "overload");
    struct top_view view = traffic();
    const struct top_metrics metrics = {.apps = apps};
    char *text = NULL;
    size_t size;
    cJSON_AddStringToObject(overload, "rule", "adaptive");
    cJSON_AddNumberToObject(overload, "lasted_s", 34);
    cJSON_AddNumberToObject(overload, "rejected", 0.48);
    FILE *stream = open_memstream(&text, &size);
    top_view_print(&view, &metrics, stream, 80, false);
    fclose(stream);
    ck_assert_ptr_nonnull(strstr(text, "shop: OVERLOAD for 34 s (rule adaptive): 48 % rejected\n"));
    ck_assert_ptr_nonnull(strstr(text, "GET:/r/01"));
    free(text);
    expect(&view, apps, "shop: OVERLOAD for 34 s (rule adaptive): 48 % rejected", true);
    cJSON_Delete(apps);
}
END_TEST

/* Any keys in any order, bytes that are none among them: the picture stays within the terminal, and the filter is
 * text. */
START_TEST(survives_any_keys) {
    static const char *const pieces[] = {"/",    "<",    ">",     "r",      "v",        "p",
                                         "h",    "\33",  "\33[A", "\33[6~", "\33[F",    "\33[5~",
                                         "\r",   "\x7f", "\x15",  "a",      "\xc3\xbc", "\xe6\xbc\xa2",
                                         "\xff", "\xc3", "\x01",  "G"};
    cJSON *apps = apps_of("shop", ROWS);
    struct top_view view = traffic();
    unsigned seed = 1;
    for (int i = 0; i < 5000; i++) {
        seed = seed * 1103515245u + 12345u;
        const char *piece = pieces[(seed >> 16) % (sizeof pieces / sizeof *pieces)];
        top_view_key(&view, piece, strlen(piece));
        ck_assert_uint_lt(strlen(view.filter), TOP_FILTER_MAX);
        char copy[TOP_FILTER_MAX];
        strcpy(copy, view.filter);
        text_clean(copy);
        ck_assert_str_eq(copy, view.filter);
        if (i % 10 == 0) {
            char *text = draw(&view, apps, 80, 24);
            check_size(text, 80, 24);
            free(text);
        }
    }
    cJSON_Delete(apps);
}
END_TEST

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    TCase *keys = tcase_create("keys"), *picture = tcase_create("picture");
    tcase_add_loop_test(keys, keys_mean_what_terminals_send, 0, sizeof known / sizeof *known);
    tcase_add_test(keys, sorts_by_the_column_to_the_left_and_to_the_right);
    tcase_add_test(keys, numbers_go_from_the_largest_on);
    tcase_add_test(keys, scrolls_and_stops_at_both_ends);
    tcase_add_test(keys, filters_while_it_is_typed);
    tcase_add_test(keys, goes_to_hot_values_and_back);
    tcase_add_test(keys, helps);
    tcase_add_test(keys, survives_any_keys);
    tcase_add_test(picture, fits_the_terminal);
    tcase_add_test(picture, leaves_columns_out_on_a_narrow_terminal);
    tcase_add_test(picture, says_what_is_not_as_usual);
    tcase_add_test(picture, leaves_room_for_rows_below_many_apps);
    tcase_add_test(picture, says_that_metrics_are_old);
    tcase_add_test(picture, says_overload);
    return suite_run("top_view", keys, picture, NULL);
}
