#include "tools/app_name.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "tools/suggest.h"

static const char *const commands[] = {"run", "check", "explain", "replay", "status",
                                       "top", "off",   "on",      "enable", "disable"};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct {
    const char *typed, *meant; /* NULL: no suggestion */
} slips[] = {
    {"rnu", "run"},       {"staus", "status"},  {"sttaus", "status"},        {"chekc", "check"},
    {"statsu", "status"}, {"Status", "status"}, {"enabel", "enable"},        {"stat", "status"},
    {"dis", "disable"},   {"tpo", "top"},       {"replya", "replay"},        {"xyzzy", NULL},
    {"", NULL},           {"q", NULL},          {"deploy-everything", NULL}, {"restart", NULL},
};

START_TEST(suggests_what_was_meant) {
    int index = suggest_nearest(slips[_i].typed, commands, COMMANDS);
    if (!slips[_i].meant) {
        ck_assert_msg(index < 0, "'%s' is taken for '%s'", slips[_i].typed, index < 0 ? "" : commands[index]);
    } else {
        ck_assert_msg(index >= 0 && strcmp(commands[index], slips[_i].meant) == 0, "'%s' is not taken for '%s'",
                      slips[_i].typed, slips[_i].meant);
    }
}
END_TEST

START_TEST(bears_words_of_any_length) {
    char word[5000];
    memset(word, 'a', sizeof word);
    word[sizeof word - 1] = '\0';
    const char *names[] = {word};
    ck_assert_int_eq(suggest_nearest(word, commands, COMMANDS), -1);
    ck_assert_int_eq(suggest_nearest("aaab", names, 1), -1);
    ck_assert_int_eq(suggest_nearest("run", commands, 0), -1);
}
END_TEST

START_TEST(knows_app_names) {
    char name[80];
    ck_assert(app_name_is_valid("shop"));
    ck_assert(app_name_is_valid("Shop-2.back_end"));
    ck_assert(!app_name_is_valid(""));
    ck_assert(!app_name_is_valid(".hidden"));
    ck_assert(!app_name_is_valid("a/b"));
    ck_assert(!app_name_is_valid("a b"));
    ck_assert(!app_name_is_valid("caf\xc3\xa9"));
    memset(name, 'x', sizeof name);
    name[63] = '\0';
    ck_assert(app_name_is_valid(name));
    name[63] = 'x', name[64] = '\0';
    ck_assert(!app_name_is_valid(name));
}
END_TEST

static const char *const sources[] = {"nginx", "foo@1", ".profile", "my server", "caf\xc3\xa9", "..", "x"};

START_TEST(makes_app_names) {
    char app[64], narrow[8];
    app_name_from(sources[_i], app, sizeof app);
    ck_assert_msg(app_name_is_valid(app), "%s", app);
    app_name_from("a-very-long-name", narrow, sizeof narrow);
    ck_assert_str_eq(narrow, "a-very-");
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("names");
    tcase_add_loop_test(cases, suggests_what_was_meant, 0, sizeof slips / sizeof *slips);
    tcase_add_test(cases, bears_words_of_any_length);
    tcase_add_test(cases, knows_app_names);
    tcase_add_loop_test(cases, makes_app_names, 0, sizeof sources / sizeof *sources);
    return suite_run("app_name", cases, NULL);
}
