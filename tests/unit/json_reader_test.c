/* agent/core/json_reader: a table reads an object, and every error says where. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/json_reader.h"
#include "tests/unit/suite.h"

struct record {
    char text[8];
    char *copy;
    char list[64];
    unsigned listed;
    int64_t integer;
    double number;
    bool boolean;
    int word;
};

static void clear_list(void *record) {
    ((struct record *)record)->listed = 0;
    ((struct record *)record)->list[0] = 0;
}

static bool add_to_list(void *record, const char *text) {
    struct record *r = record;
    strcat(strcat(r->list, text), ";");
    r->listed++;
    return true;
}

static bool is_absolute(const char *text) {
    return text[0] == '/';
}

static const struct json_list LIST = {.expected = "an absolute path", .clear = clear_list, .add = add_to_list};
static const struct json_word WORDS[] = {{"low", 1}, {"mid", 2}, {"high", 3}, {NULL, 0}};
#define AT(member) .at = offsetof(struct record, member), .size = sizeof((struct record *)0)->member
static const struct json_field FIELDS[] = {
    {"text", JSON_TEXT, JSON_REQUIRED, AT(text)},
    {"copy", JSON_COPY, JSON_NULLABLE, AT(copy)},
    {"paths", JSON_LIST, .list = &LIST, .is_valid = is_absolute},
    {"integer", JSON_INTEGER, AT(integer), .min = -5, .max = 1e9},
    {"number", JSON_NUMBER, AT(number)},
    {"boolean", JSON_BOOLEAN, AT(boolean)},
    {"word", JSON_WORD, AT(word), .words = WORDS},
    {0},
};

/* The errors of reading that, a line each, in a buffer that is valid until the next call. */
static const char *errors_of(const char *json, struct record *record, bool lenient) {
    static char all[4096];
    char text[1024];
    struct rule_errors errors = {0};
    snprintf(text, sizeof text, "%s", json);
    const struct json_input input = {
        .name = "f", .text = text, .length = strlen(text), .comments = true, .lenient = lenient};
    bool good = json_read(&input, FIELDS, record, &errors);
    ck_assert(good == (errors.count == 0));
    all[0] = 0;
    for (size_t i = 0; i < errors.count; i++) {
        char *line = rule_error_text(&errors.list[i]);
        strcat(strcat(all, line), "\n");
        free(line);
    }
    rule_errors_clear(&errors);
    return all;
}

START_TEST(all_kinds) {
    struct record r = {.copy = strdup("before")};
    ck_assert_str_eq(
        errors_of(
            "{\"text\": \"a\\u00e9\\n\", /* why */ \"copy\": \"\\ud83d\\ude00\\\\\\/\", \"paths\": [\"/a\", \"/b\"],\n"
            "\"integer\": -5, \"number\": 2.5e3, \"boolean\": true, \"word\": \"mid\"}",
            &r, false),
        "");
    ck_assert_str_eq(r.text, "a\xc3\xa9\n");
    ck_assert_str_eq(r.copy, "\xf0\x9f\x98\x80\\/");
    ck_assert_str_eq(r.list, "/a;/b;");
    ck_assert_int_eq(r.integer, -5);
    ck_assert_double_eq(r.number, 2500);
    ck_assert(r.boolean);
    ck_assert_int_eq(r.word, 2);
    ck_assert_str_eq(errors_of("{\"text\": \"x\", \"copy\": null}", &r, false), "");
    ck_assert_ptr_null(r.copy);
    ck_assert_int_eq(r.word, 2); /* what is not there stays */
}
END_TEST

START_TEST(errors_say_where) {
    static const struct {
        const char *json, *error;
    } cases[] = {
        {"", "f:1:1: error: expected a value"},
        {"{\"text\": \"x\"} y", "f:1:15: error: "},
        {"[]", "f:1:1: error: $: expected an object, got []\n"},
        {"{}", "f:1:1: error: $.text: required field missing: a string of 1 to 7 bytes\n"},
        {"{\"text\": \"12345678\"}", "f:1:10: error: $.text: expected a string of 1 to 7 bytes, got \"12345678\"\n"},
        {"{\"text\": \"\"}", "$.text: expected a string of 1 to 7 bytes, got \"\"\n"},
        {"{\"text\": \"x\",\n \"integer\": 1.5}",
         "f:2:13: error: $.integer: expected a whole number from -5 to 1000000000, got 1.5\n"},
        {"{\"text\": \"x\", \"integer\": -6}", "got -6\n"},
        {"{\"text\": \"x\", \"integer\": \"7\"}", "got \"7\"\n"},
        {"{\"text\": \"x\", \"integer\": null}", "got null\n"},
        {"{\"text\": \"x\", \"boolean\": 1}", "$.boolean: expected true or false, got 1\n"},
        {"{\"text\": \"x\", \"word\": \"loud\"}", "$.word: expected \"low\", \"mid\" or \"high\", got \"loud\"\n"},
        {"{\"text\": \"x\", \"paths\": []}", "$.paths: expected a list of texts, got []\n"},
        {"{\"text\": \"x\", \"paths\": \"/a\"}", "$.paths: expected a list of texts, got \"/a\"\n"},
        {"{\"text\": \"x\", \"paths\": [\"/a\", [\"/b\", 1], \"c\"]}",
         "$.paths[1]: expected an absolute path, got [\"/b\", 1]\n"},
        {"{\"text\": \"x\", \"paths\": [\"/a\", [\"/b\", 1], \"c\"]}",
         "$.paths[2]: expected an absolute path, got \"c\"\n"},
        {"{\"text\": \"x\", \"txet\": {\"text\": 7}}", "f:1:15: error: $.txet: unknown key; did you mean \"text\"?\n"},
        {"{\"text\": \"x\", \"t\\u0065xt\": \"y\"}", "the key \"text\" is there twice\n"},
        {"{\"te\\\"xt\": \"x\"}", "$.te\"xt: unknown key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct record r = {0};
        const char *errors = errors_of(cases[i].json, &r, false);
        ck_assert_msg(strstr(errors, cases[i].error) != NULL, "%s: no \"%s\" in \"%s\"", cases[i].json, cases[i].error,
                      errors);
        free(r.copy);
    }
}
END_TEST

START_TEST(all_errors_at_once) {
    struct record r = {0};
    const char *errors = errors_of("{\"integer\": [], \"word\": {}, \"nothing\": 1}", &r, false);
    unsigned lines = 0;
    for (const char *p = errors; *p; p++)
        lines += *p == '\n';
    ck_assert_msg(lines == 4, "%s", errors); /* and "text" is missing */
}
END_TEST

START_TEST(lenient_about_what_is_unknown) {
    struct record r = {0};
    ck_assert_str_eq(errors_of("{\"new\": {\"text\": [1, {}]}, \"text\": \"x\", \"newer\": []}", &r, true), "");
    ck_assert_str_eq(r.text, "x");
    ck_assert_ptr_nonnull(strstr(errors_of("{\"new\": 1, \"text\": 7}", &r, true), "$.text: expected"));
}
END_TEST

START_TEST(halves_of_a_pair) {
    struct record r = {0};
    ck_assert_ptr_nonnull(strstr(errors_of("{\"text\": \"\\ud83dx\"}", &r, false), "half of a surrogate pair"));
    ck_assert_str_eq(r.text, "");
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_test(all, all_kinds);
    tcase_add_test(all, errors_say_where);
    tcase_add_test(all, all_errors_at_once);
    tcase_add_test(all, lenient_about_what_is_unknown);
    tcase_add_test(all, halves_of_a_pair);
    return suite_run("json_reader", all, NULL);
}
