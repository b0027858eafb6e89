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
    {"/a?x=1#y=2&x=3", "x", "1|1#y=2|1,3|3"}, /* a fragment, or not */
    {"/a?y=1#&x=2", "x", "2"},
    {"/u#?user=alice", "user", "alice"},
    {"/u#/?user=alice&b#c", "user", "alice"},
    {"/u?user=alice#?user=bob", "user", "alice|alice#?user=bob"},
    {"/u?user=alice;1", "user", "alice;1|alice"}, /* ';' separates, or not */
    {"/u?a=1;user=alice", "user", "alice"},
    {"/u?a=1;user=alice#;&b", "user", "alice|alice#;|alice#"},
    {"/u?user=a+b%2Bc", "user", "a b+c|a+b+c"},
    {"/u?user[]=alice", "user", "alice"}, /* PHP's names, and those of its like */
    {"/u?user%5Bx%5D=alice", "user", "alice"},
    {"/u?user.name=alice&user+name=bob", "user_name", "alice|alice,bob|bob"},
    {"/u?+%20user=alice", "user", "alice"},
    {"/u?user%00x=alice", "user", "alice"},
    {"/u?users=alice", "user", "-"},
    {"/u?use=alice", "user", "-"},
    {"/u?user=alice%00x", "user", "alice"}, /* what is stripped, or cut */
    {"/u?user=%09alice%20%0d%0A%7F", "user", "alice"},
    {"/u?user=%A0alice%A0%85", "user", "alice"},
    {"/u?user=%C2%A0alice%E2%80%83%E3%80%80", "user", "alice"},
    {"/u?user=voil%C3%A0", "user", "voil\xc3\xa0"},
    {"/u?user=%E2%82%A0", "user", "\xe2\x82\xa0"},
    {"/u?user=%20", "user", ""},
    {"/a?&&x=1", "x", "1"},
    {"http://h/a?x=1", "x", "1"},
    {"/a?x=%31", "x", "1"},
    {"/a?x=%e4%E4", "x", "\xe4\xe4"},
    {"/a?%78=1", "x", "1"},
    {"/a?%78%3d=1", "x=", "1"},
    {"/a?a%20b=1&a+b=2", "a b", "1|1,2|2"},
    {"/a?x=a+b", "x", "a b|a+b"},
    {"/a?x=a%2Bb", "x", "a+b"},
    {"/a?x=%2531", "x", "%31"}, /* decoded once */
    {"/a?x=%", "x", "%"},
    {"/a?x=%4", "x", "%4"},
    {"/a?x=%zz%3", "x", "%zz%3"},
    {"/a?x=a%26y=b", "x", "a&y=b"},
    {"/a?x=1&x=2", "x", "1|1,2|2"},
    {"/a?x=1&x=%31&x=1", "x", "1|1,1,1"},
    {"/a?x=1&x=2&x=3&x=4&x=5&x=6&x=7&x=8&x=9&x=10", "x", "1|2|3|4|5|6|7|8|1,2,3,4,5,6,7,8,10|10"},
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
    {"Cookie: b a=x\r\n", "a", "x"},
    {"Cookie: a=\"x y\"; b=\"\r\n", "a", "x y"},
    {"Cookie: a=\"x y\"; b=\"\r\n", "b", "\""},
    {"Cookie: a=%78+y\r\n", "a", "x+y|x y"},
    {"Cookie: session=\"\\141lice\"\r\n", "session", "\\141lice|alice"}, /* Python's SimpleCookie */
    {"Cookie: session=\"\\a\\lice\"\r\n", "session", "\\a\\lice|alice"},
    {"Cookie: session=\"al;i,c e\"\r\n", "session", "\"al|al;i,c e"},
    {"Cookie: session=\"a\\\"b\"; x\r\n", "session", "a\\\"b|a\"b"},
    {"Cookie: x=1, session=alice\r\n", "session", "alice"},
    {"Cookie: x=1 session=alice\r\n", "session", "alice"},
    {"Cookie: x=1,session=alice\r\n", "session", "alice"},
    {"Cookie: session=alice x; y\r\n", "session", "alice x|alice"},
    {"Cookie: session=alice,x; y\r\n", "session", "alice,x|alice"},
    {"Cookie: session=alice,x y\r\n", "session", "alice,x y|alice"},
    {"Cookie: x=\"; session=alice\r\n", "session", "alice"},
    {"Cookie: x=\"\\\"; session=alice\r\n", "session", "alice"},
    {"Cookie: x, session = alice\r\n", "session", "alice"},
    {"Cookie: session; session=alice\r\n", "session", "alice"},
    {"Cookie: $Version=1; session=alice; $Path=/\r\n", "session", "alice"},
    {"Cookie: session={\"a\":1, \"b\":2}; c\r\n", "session", "{\"a\":1, \"b\":2}"},
    {"Cookie: x={\"session=1\":2}; session=alice\r\n", "session", "alice"},
    {"Cookie: session=alice\xa0\r\n", "session", "alice"},
    {"Cookie: %73ession=alice; session[]=bob\r\n", "session", "alice|bob"},
    {"Cookie: xsession=alice\r\n", "session", "-"},
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
    {"X-User: a\r\nx-user: b\r\nX-User: a\r\n", "x-user", "a|b|a,b,a|a, b, a"},
    {"X_User: a\r\n", "x-user", "a"}, /* CGI, WSGI */
    {"X_USER: a\r\nX-User: b\r\n", "x-user", "a|a,b|a, b|b"},
    {"X-User: a\r\n", "x_user", "a"},
    {"X-User: a, b\r\n", "x-user", "a, b"},
    {"X-User: alice\xa0\r\n", "x-user", "alice"}, /* Python's strip() */
    {"X-User: \x7f\xc2\xa0"
     "alice\xe2\x80\x8a \xa0\xa0\r\n",
     "x-user", "alice"},
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
    {"http://A.example:80/x", "Host: b.example\r\n", "a.example|b.example"},
    {"http://user:pw@a.example/x@b", "Host: b.example\r\n", "a.example|b.example"},
    {"http://a.example?x@b", "Host: b.example\r\n", "a.example|b.example"},
    {"http://a.example/", "Host: A.example.:80\r\n", "a.example"},
    {"/", "Host: shop.example:8x\r\n", "shop.example"}, /* what is no port */
    {"/", "Host: shop.example:\r\n", "shop.example"},
    {"/", "Host: shop.example:80:90\r\n", "shop.example"},
    {"/", "Host: [::1]:8x\r\n", "[::1]"},
    {"/", "Host: [::1]8x\r\n", "[::1]"},
    {"/", "Host: a.example\r\nHost: B.example\r\n", "a.example|b.example"},
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
    ck_assert_str_eq(said(PARAM_PATH, "1", "/a/b%20c%2bd", "Host: h\r\n"), "b c+d");
    ck_assert_str_eq(said(PARAM_PATH, "1", "/a/alice;x=1", "Host: h\r\n"), "alice;x=1|alice");
    ck_assert_str_eq(said(PARAM_PATH, "1", "/a/alice%2Fb", "Host: h\r\n"), "alice/b|alice");
    ck_assert_str_eq(said(PARAM_PATH, "1", "//h/a/alice", "Host: h\r\n"), "a|alice");
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
    ck_assert_uint_eq(strlen(both), VALUES_ROOM / 3 + 2);
    ck_assert_str_eq(both + VALUES_ROOM / 3, "|1");
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
