/* shim/admission/values.c: each of the values that a request says, in one spelling. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "shim/admission/values.h"
#include "shim/protocol/http1/http1.h"
#include "tests/unit/suite.h"

/* What a parameter is in a request, joined by "|"; "-" if there is none. */
static const char *said(enum rule_param_source source, const char *field, const char *target, const char *lines) {
    static char joined[16384];
    static struct values values;
    char text[12000];
    struct message head;
    size_t size, at = 0;
    struct ruleset_builder *builder = ruleset_builder_new("t");
    struct rule_param param = {.source = (uint8_t)source, .field = ruleset_add_text(builder, field, strlen(field))};
    if (source == PARAM_PATH)
        param.segment = (uint16_t)atoi(field);
    void *ruleset = ruleset_builder_finish(builder, &size);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s\r\n", target, lines);
    ck_assert_msg(http1_request(text, strlen(text), 0, &head) == PARSED_DONE, "%s", text);
    struct values_peer peer = {(const unsigned char *)"\x0a\0\0\1", 4, "10.0.0.1", 8};
    values_of(&head, ruleset, &peer, &param, &values);
    snprintf(joined, sizeof(joined), "%s", values.count ? "" : "-");
    for (size_t i = 0; i < values.count; i++)
        at += (size_t)sprintf(joined + at, "%s%.*s", i ? "|" : "", (int)values.list[i].size, values.list[i].at);
    free(ruleset);
    return joined;
}

static const struct {
    const char *target, *name, *values;
} parameters[] = {
    {"/a?x=1&y=2", "y", "2"},
    {"/a?x=1&y=2", "z", "-"},
    {"/a", "x", "-"},
    {"/a?", "x", "-"},
    {"/a?xx=1&x=2", "x", "2"},
    {"/a?x", "x", ""},
    {"/a?x=", "x", ""},
    {"/a?x=a=b", "x", "a=b"},
    {"/a?x=1#y=2&x=3", "x", "1"},
    {"/a?y=1#&x=2", "x", "-"},
    {"/a?&&x=1", "x", "1"},
    {"http://h/a?x=1", "x", "1"},
    {"/a?x=%31", "x", "1"},
    {"/a?x=%e4%E4", "x", "\xe4\xe4"},
    {"/a?%78=1", "x", "1"},
    {"/a?%78%3d=1", "x=", "1"},
    {"/a?a%20b=1&a+b=2", "a b", "1|2"},
    {"/a?x=a+b", "x", "a b"},
    {"/a?x=a%2Bb", "x", "a+b"},
    {"/a?x=%2531", "x", "%31"}, /* decoded once */
    {"/a?x=%", "x", "%"},
    {"/a?x=%4", "x", "%4"},
    {"/a?x=%zz%3", "x", "%zz%3"},
    {"/a?x=a%26y=b", "x", "a&y=b"},
    {"/a?x=1&x=2", "x", "1|2"},
    {"/a?x=1&x=%31&x=1", "x", "1"},
    {"/a?x=1&x=2&x=3&x=4&x=5&x=6&x=7&x=8&x=9&x=10", "x", "1|2|3|4|5|6|7|10"},
};
START_TEST(url_parameters) {
    ck_assert_str_eq(said(PARAM_URL, parameters[_i].name, parameters[_i].target, "Host: h\r\n"), parameters[_i].values);
}
END_TEST

static const struct {
    const char *lines, *name, *values;
} cookies[] = {
    {"Cookie: a=1; b=2\r\n", "b", "2"},
    {"Cookie: a=1;b=2\r\n", "b", "2"},
    {"cookie: aa=1; a=2\r\n", "a", "2"},
    {"Cookie: a=1\r\nCookie: b=2\r\n", "b", "2"},
    {"Cookie: a\r\n", "a", "-"},
    {"Cookie: a=\r\n", "a", ""},
    {"X-Cookie: a=1\r\n", "a", "-"},
    {"", "a", "-"},
    {"Cookie: ;;; a=x\r\n", "a", "x"},
    {"Cookie: a=x ;b=y\r\n", "a", "x"},
    {"Cookie: a =x\r\n", "a", "x"},
    {"Cookie: b=1; \ta\t=  \"x\" ;\r\n", "a", "x"},
    {"Cookie: a = ;=a\r\n", "a", ""},
    {"Cookie: b a=x\r\n", "a", "-"},
    {"Cookie: a=\"x y\"; b=\"\r\n", "a", "x y"},
    {"Cookie: a=\"x y\"; b=\"\r\n", "b", "\""},
    {"Cookie: a=%78+y\r\n", "a", "x+y"},
    {"Cookie: A=1; a=2\r\nCookie: a=3\r\n", "a", "2|3"},
};
START_TEST(cookie_values) {
    ck_assert_str_eq(said(PARAM_COOKIE, cookies[_i].name, "/", cookies[_i].lines), cookies[_i].values);
}
END_TEST

static const struct {
    const char *lines, *name, *values;
} headers[] = {
    {"X-User: a\r\n", "x-user", "a"},
    {"x-USER:   A b \r\n", "x-user", "A b"},
    {"X-User: a\r\nx-user: b\r\nX-User: a\r\n", "x-user", "a|b"},
    {"X-User: a%31\r\n", "x-user", "a%31"},
    {"X-User:\r\n", "x-user", ""},
    {"X-Users: a\r\n", "x-user", "-"},
};
START_TEST(header_values) {
    ck_assert_str_eq(said(PARAM_HEADER, headers[_i].name, "/", headers[_i].lines), headers[_i].values);
}
END_TEST

static const struct {
    const char *target, *host, *value;
} hosts[] = {
    {"/", "Host: Shop.Example\r\n", "shop.example"},
    {"/", "Host: shop.example.:8080\r\n", "shop.example"},
    {"/", "Host: [2001:DB8::1]:8080\r\n", "[2001:db8::1]"},
    {"http://A.example:80/x", "Host: b.example\r\n", "a.example"},
    {"http://user:pw@a.example/x@b", "Host: b.example\r\n", "a.example"},
    {"http://a.example?x@b", "Host: b.example\r\n", "a.example"},
    {"/?x=http://a.example/", "Host: b.example\r\n", "b.example"},
    {"/", "Host:\r\n", ""},
};
START_TEST(host_values) {
    ck_assert_str_eq(said(PARAM_HOST, "", hosts[_i].target, hosts[_i].host), hosts[_i].value);
}
END_TEST

START_TEST(other_values) {
    ck_assert_str_eq(said(PARAM_PATH, "1", "/a//%62?c", "Host: h\r\n"), "b");
    ck_assert_str_eq(said(PARAM_PATH, "2", "/a/b", "Host: h\r\n"), "-");
    ck_assert_str_eq(said(PARAM_CLIENT_IP, "", "/", "Host: h\r\n"), "10.0.0.1");
    ck_assert_str_eq(said(PARAM_CLIENT_IP, "", "/", "Host: h\r\nX-Real-IP: 192.0.2.9:1\r\n"), "192.0.2.9");
}
END_TEST

/* Values too long for the room are cut, each at its share: none takes another's. */
START_TEST(long_values) {
    enum { LONG = 5000 };
    char target[2 * LONG + 64], expected[LONG + 1];
    memset(expected, 'v', LONG);
    expected[LONG] = 0;
    snprintf(target, sizeof(target), "/?x=%s", expected);
    ck_assert_str_eq(said(PARAM_URL, "x", target, ""), expected); /* nothing to write anew */
    snprintf(target, sizeof(target), "/?x=%%76%s", expected + 1);
    ck_assert_uint_eq(strlen(said(PARAM_URL, "x", target, "")), VALUES_ROOM);
    snprintf(target, sizeof(target), "/?x=%%77%s&x=%%31", expected);
    const char *both = said(PARAM_URL, "x", target, "");
    ck_assert_uint_eq(strlen(both), VALUES_ROOM / 2 + 2);
    ck_assert_str_eq(both + VALUES_ROOM / 2, "|1");
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(all, test, 0, sizeof(table) / sizeof((table)[0]))
int main(void) {
    TCase *all = tcase_create("all");
    LOOP(url_parameters, parameters);
    LOOP(cookie_values, cookies);
    LOOP(header_values, headers);
    LOOP(host_values, hosts);
    tcase_add_test(all, other_values);
    tcase_add_test(all, long_values);
    return suite_run("values", all, NULL);
}
