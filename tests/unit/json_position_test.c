#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/json_position.h"
#include "tests/unit/suite.h"

static const char *scan(const char *text, size_t *ret_at) {
    struct json_place places[64];
    struct json_fault fault = {0, NULL};
    size_t count;
    if (json_scan(text, strlen(text), places, 64, &count, &fault))
        return NULL;
    *ret_at = fault.at;
    return fault.expected;
}

START_TEST(comments_become_blanks) {
    char text[] = "{ // a \"b\n\"c//d\": /* x\n\"*/ 1, \"e\\\"/*\": 2 }";
    struct json_fault fault;
    ck_assert(json_blank_comments(text, sizeof(text) - 1, &fault));
    ck_assert_str_eq(text, "{        \n\"c//d\":     \n    1, \"e\\\"/*\": 2 }");
    char open[] = "[1, /* 2]";
    ck_assert(!json_blank_comments(open, sizeof(open) - 1, &fault));
    ck_assert_uint_eq(fault.at, 4);
}
END_TEST

START_TEST(places_are_in_document_order) {
    const char *text = "{\"a\": [1, {\"b\": \"x\"}], \"c\" : null}";
    struct json_place places[8];
    struct json_fault fault;
    size_t count;
    ck_assert(json_scan(text, strlen(text), places, 8, &count, &fault));
    ck_assert_uint_eq(count, 6);
    static const char *const values[] = {NULL, "[1, {\"b\": \"x\"}]", "1", "{\"b\": \"x\"}", "\"x\"", "null"};
    for (size_t i = 1; i < count; i++) {
        ck_assert_uint_eq(places[i].end - places[i].value, strlen(values[i]));
        ck_assert_mem_eq(text + places[i].value, values[i], strlen(values[i]));
    }
    ck_assert_mem_eq(text + places[1].key, "\"a\"", 3);
    ck_assert_mem_eq(text + places[4].key, "\"b\"", 3);
    ck_assert_mem_eq(text + places[5].key, "\"c\"", 3);
    ck_assert_uint_eq(places[2].key, places[2].value);
    ck_assert(json_scan(text, strlen(text), places, 2, &count, &fault)); /* goes on counting */
    ck_assert_uint_eq(count, 6);
}
END_TEST

static const struct {
    const char *text;
    size_t at;
    const char *expected; /* part of the message */
} faults[] = {
    {"", 0, "expected a value"},
    {"{", 1, "'}'"},
    {"{\"a\"}", 4, "':'"},
    {"{\"a\":1 \"b\":2}", 7, "','"},
    {"{\"a\":1,}", 7, "comma"},
    {"[1,]", 3, "comma"},
    {"[1 2]", 3, "','"},
    {"[01]", 1, "begin with 0"},
    {"[1.]", 3, "digit"},
    {"[+1]", 1, "expected a value"},
    {"[.5]", 1, "expected a value"},
    {"[1e]", 3, "digit"},
    {"[nul]", 1, "expected a value"},
    {"[\"a]", 1, "unterminated"},
    {"[\"a\nb\"]", 1, "unterminated"},
    {"[\"a\tb\"]", 3, "escapes"},
    {"[\"\\x\"]", 2, "escapes"},
    {"[\"\\u12g4\"]", 2, "hexadecimal"},
    {"[\"\\u0000\"]", 2, "\\u0000"},
    {"[\"\\ud800\"]", 2, "half"},
    {"[\"\\udc00\"]", 2, "half"},
    {"[\"\xc3(\"]", 2, "UTF-8"},
    {"[\"\xc0\x80\"]", 2, "UTF-8"},
    {"[\"\xed\xa0\x80\"]", 2, "UTF-8"},
    {"[\"\xf5\x80\x80\x80\"]", 2, "UTF-8"},
    {"[1] x", 4, "end of the file"},
    {"{'a':1}", 1, "key"},
};

START_TEST(faults_are_where_they_are) {
    size_t at = 0;
    const char *expected = scan(faults[_i].text, &at);
    ck_assert_msg(expected, "%s is no JSON", faults[_i].text);
    ck_assert_msg(strstr(expected, faults[_i].expected), "%s: %s", faults[_i].text, expected);
    ck_assert_msg(at == faults[_i].at, "%s: at %zu", faults[_i].text, at);
}
END_TEST

START_TEST(what_is_right_passes) {
    static const char *const texts[] = {"0",     "-0.5e+10", "\"\\ud83d\\ude00 \xc3\xa9 \xf0\x9f\x98\x80 \\u00e9\"",
                                        " [ ] ", "{}",       "[true,false,null]"};
    size_t at;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        ck_assert_msg(!scan(texts[i], &at), "%s", texts[i]);
}
END_TEST

START_TEST(depth_is_bounded) {
    char text[2 * JSON_DEPTH_MAX + 16] = "";
    size_t at;
    for (size_t i = 0; i < JSON_DEPTH_MAX; i++) {
        text[i] = '[';
        text[2 * JSON_DEPTH_MAX - 1 - i] = ']';
    }
    ck_assert(!scan(text, &at));
    memmove(text + 1, text, 2 * JSON_DEPTH_MAX);
    text[2 * JSON_DEPTH_MAX + 1] = ']';
    ck_assert(strstr(scan(text, &at), "deep"));
    size_t many = 1 << 20;
    char *deep = malloc(many + 1);
    memset(deep, '[', many);
    deep[many] = '\0';
    ck_assert(strstr(scan(deep, &at), "deep"));
    free(deep);
}
END_TEST

START_TEST(columns_count_characters) {
    const char *text = "a\n\xc3\xa9\xc3\xa9x\r\ny";
    unsigned line, column;
    json_line_column(text, strlen(text), 0, &line, &column);
    ck_assert_uint_eq(line, 1);
    ck_assert_uint_eq(column, 1);
    json_line_column(text, strlen(text), 6, &line, &column);
    ck_assert_uint_eq(line, 2);
    ck_assert_uint_eq(column, 3);
    json_line_column(text, strlen(text), 9, &line, &column);
    ck_assert_uint_eq(line, 3);
    ck_assert_uint_eq(column, 1);
    json_line_column(text, strlen(text), 1000, &line, &column); /* beyond: the end */
    ck_assert_uint_eq(line, 3);
    ck_assert_uint_eq(column, 2);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, comments_become_blanks);
    tcase_add_test(tests, places_are_in_document_order);
    tcase_add_loop_test(tests, faults_are_where_they_are, 0, sizeof(faults) / sizeof(*faults));
    tcase_add_test(tests, what_is_right_passes);
    tcase_add_test(tests, depth_is_bounded);
    tcase_add_test(tests, columns_count_characters);
    return suite_run("json_position", tests, NULL);
}
