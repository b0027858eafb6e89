#include <check.h>
#include <string.h>

#include "shim/protocol/sniff.h"
#include "tests/guard_page.h"
#include "tests/unit/suite.h"

static const struct {
    const char *bytes;
    enum sniff expected;
} cases[] = {
    {"", SNIFF_MORE},
    {"G", SNIFF_MORE},
    {"GET", SNIFF_MORE},
    {"GET ", SNIFF_MORE},
    {"GET /", SNIFF_HTTP1},
    {"GET * HTTP/1.1", SNIFF_HTTP1},
    {"GET h", SNIFF_MORE},
    {"GET http", SNIFF_HTTP1},
    {"GET HTTP://x/", SNIFF_HTTP1},
    {"GET  /", SNIFF_HTTP1},
    {"GET hello", SNIFF_UNKNOWN},
    {"GET key", SNIFF_UNKNOWN},
    {"GET\r\n", SNIFF_UNKNOWN},
    {"GET\t/", SNIFF_HTTP1},
    {"GET\v/", SNIFF_HTTP1},
    {"GET\tkey", SNIFF_UNKNOWN},
    {"CONNECT", SNIFF_MORE},
    {"CONNECT x:1", SNIFF_HTTP1},
    {"CONNECT \r\n", SNIFF_UNKNOWN},
    {"PROPFIND /", SNIFF_HTTP1},
    {"get /x HTTP/1.1", SNIFF_HTTP1},
    {"get", SNIFF_UNKNOWN},
    {"BREW /pot", SNIFF_HTTP1},
    {"BREW ", SNIFF_UNKNOWN},
    {"BRE", SNIFF_UNKNOWN},
    {"PING\r\n", SNIFF_UNKNOWN},
    {"PING", SNIFF_UNKNOWN},
    {"MSG = x\n", SNIFF_UNKNOWN},
    {"EHLO x\r\n", SNIFF_UNKNOWN},
    {"\r", SNIFF_MORE},
    {"\n", SNIFF_MORE},
    {"\n\n \tGET /", SNIFF_HTTP1},
    {"\nPING\r\n", SNIFF_UNKNOWN},
    {" \x16", SNIFF_UNKNOWN},
    {"\r\n", SNIFF_MORE},
    {"\r\nGET /", SNIFF_HTTP1},
    {" GET /", SNIFF_HTTP1},
    {"*1\r\n$4\r\nPING\r\n", SNIFF_UNKNOWN},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_HTTP2},
    {"PRI", SNIFF_HTTP2},
    {"PR", SNIFF_MORE},
    {"PRI * HTTP/1.1\r\n", SNIFF_HTTP1},
    {"\x16\x03\x01", SNIFF_TLS},
    {"\x16", SNIFF_TLS},
    {"\x16x", SNIFF_UNKNOWN},
    {"SSH-2.0-x\r\n", SNIFF_UNKNOWN},
    {"\x80", SNIFF_UNKNOWN},
    {"AVERYLONGWORDTHATISNOMETHODATALL /", SNIFF_UNKNOWN},
    {"AVERYLONGWORDTHATISNOMETHODATALL / HTTP/1.1\r\n", SNIFF_HTTP1},
    {"GET ftp://x/y HTTP/1.0\r\n", SNIFF_HTTP1},
    {"GET key HTTP/1.1\r\n", SNIFF_HTTP1},
    {"G!T / HTTP/", SNIFF_HTTP1},
    {"G!T / HTTP", SNIFF_UNKNOWN},
    {"G!T  HTTP/1.1", SNIFF_UNKNOWN},
    {"SSH-2.0-x HTTP\r\n", SNIFF_UNKNOWN},
};

/* Where HTTP was spoken before. */
static const struct {
    const char *bytes;
    enum sniff expected;
} at_known_ports[] = {
    {"F", SNIFF_MORE},
    {"FOO", SNIFF_MORE},
    {"FOO ", SNIFF_MORE},
    {"FOO x", SNIFF_MORE},
    {"FOO x ", SNIFF_MORE},
    {"FOO x HTT", SNIFF_MORE},
    {"FOO x HTTP/", SNIFF_HTTP1},
    {"GET ftp", SNIFF_MORE},
    {"AVERYLONGWORDTHATISNOMETHODATALL", SNIFF_MORE},
    {"FOO\r\n", SNIFF_UNKNOWN},
    {"FOO x\r\n", SNIFF_UNKNOWN},
    {"FOO x HTTX", SNIFF_UNKNOWN},
    {"*1\r\n$4\r\nPING\r\n", SNIFF_UNKNOWN},
    {"SSH-2.0-x\r\n", SNIFF_UNKNOWN},
    {"\x80", SNIFF_UNKNOWN},
    {"\x16\x03\x01", SNIFF_TLS},
};
START_TEST(first_bytes_where_http_is_expected) {
    struct guard_page guard = guard_page_new(4096);
    const char *bytes = at_known_ports[_i].bytes;
    size_t size = strlen(bytes);
    enum sniff got = sniff_client(guard_page_put(&guard, bytes, size), size, true);
    ck_assert_msg(got == at_known_ports[_i].expected, "\"%s\": %d", bytes, (int)got);
    guard_page_free(&guard);
}
END_TEST

START_TEST(first_bytes) {
    struct guard_page guard = guard_page_new(4096);
    size_t size = strlen(cases[_i].bytes);
    enum sniff got = sniff_client(guard_page_put(&guard, cases[_i].bytes, size), size, false);
    ck_assert_msg(got == cases[_i].expected, "\"%s\": %d, not %d", cases[_i].bytes, (int)got, (int)cases[_i].expected);
    guard_page_free(&guard);
}
END_TEST

/* What is said of a beginning is not taken back by what follows, unless it was MORE. */
START_TEST(stays_decided) {
    const char *bytes = cases[_i].bytes;
    enum sniff before = SNIFF_MORE;
    for (size_t size = 0; size <= strlen(bytes); size++) {
        enum sniff now = sniff_client(bytes, size, false);
        if (before == SNIFF_HTTP1)
            ck_assert_int_eq(now, before);
        before = now;
    }
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("client");
    tcase_add_loop_test(tcase, first_bytes, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_loop_test(tcase, first_bytes_where_http_is_expected, 0,
                        sizeof(at_known_ports) / sizeof(at_known_ports[0]));
    tcase_add_loop_test(tcase, stays_decided, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    return suite_run("sniff", tcase, NULL);
}
