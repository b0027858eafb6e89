#include <check.h>
#include <string.h>

#include "shim/protocol/http1/http1.h"
#include "tests/guard_page.h"
#include "tests/unit/suite.h"

static const struct {
    const char *bytes;
    enum sniffed expected;
} cases[] = {
    {"", SNIFFED_MORE},
    {"G", SNIFFED_MORE},
    {"GET", SNIFFED_MORE},
    {"GET ", SNIFFED_MORE},
    {"GET /", SNIFFED_YES},
    {"GET * HTTP/1.1", SNIFFED_YES},
    {"GET h", SNIFFED_MORE},
    {"GET http", SNIFFED_YES},
    {"GET HTTP://x/", SNIFFED_YES},
    {"GET  /", SNIFFED_YES},
    {"GET hello", SNIFFED_MORE},
    {"GET key", SNIFFED_MORE},
    {"GET\r\n", SNIFFED_NO},
    {"GET\t/", SNIFFED_YES},
    {"GET\v/", SNIFFED_YES},
    {"GET\tkey", SNIFFED_MORE},
    {"GET\tkey\r\n", SNIFFED_NO},
    {"CONNECT", SNIFFED_MORE},
    {"CONNECT x:1", SNIFFED_YES},
    {"CONNECT \r\n", SNIFFED_NO},
    {"PROPFIND /", SNIFFED_YES},
    {"get /x HTTP/1.1", SNIFFED_YES},
    {"get", SNIFFED_MORE},
    {"BREW /pot", SNIFFED_YES},
    {"BREW ", SNIFFED_MORE},
    {"BRE", SNIFFED_MORE},
    {"PING\r\n", SNIFFED_NO},
    {"PING", SNIFFED_MORE},
    {"MSG = x\n", SNIFFED_NO},
    {"EHLO x\r\n", SNIFFED_NO},
    {"\r", SNIFFED_MORE},
    {"\n", SNIFFED_MORE},
    {"\n\n \tGET /", SNIFFED_YES},
    {"\nPING\r\n", SNIFFED_NO},
    {" \x16", SNIFFED_NO},
    {"\r\n", SNIFFED_MORE},
    {"\r\nGET /", SNIFFED_YES},
    {" GET /", SNIFFED_YES},
    {"*1\r\n$4\r\nPING\r\n", SNIFFED_NO},
    {"PRI", SNIFFED_MORE},
    {"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", SNIFFED_YES},
    {"PRI /x HTTP/1.1\r\n", SNIFFED_YES},
    {"PR", SNIFFED_MORE},
    {"PRI * HTTP/1.1\r\n", SNIFFED_YES},
    {"\x16\x03\x01", SNIFFED_NO},
    {"\x16", SNIFFED_NO},
    {"\x16x", SNIFFED_NO},
    {"SSH-2.0-x\r\n", SNIFFED_NO},
    {"\x80", SNIFFED_MORE},
    {"\x80\1", SNIFFED_NO},
    {"AVERYLONGWORDTHATISNOMETHODATALL /", SNIFFED_MORE},
    {"FOO x HTTP/1.1 x\r\n", SNIFFED_YES},
    {"FOO x HTTP/1.1\1", SNIFFED_YES},
    {"AVERYLONGWORDTHATISNOMETHODATALL / HTTP/1.1\r\n", SNIFFED_YES},
    {"GET ftp://x/y HTTP/1.0\r\n", SNIFFED_YES},
    {"GET key HTTP/1.1\r\n", SNIFFED_YES},
    {"G!T / HTTP/", SNIFFED_MORE},
    {"G!T / HTTP", SNIFFED_MORE},
    {"G!T  HTTP/1.1", SNIFFED_MORE},
    {"G!T  HTTP/1.1\n", SNIFFED_YES},
    {"SSH-2.0-x HTTP\r\n", SNIFFED_NO},
    {"FOO", SNIFFED_MORE},
    {"FOO x ", SNIFFED_MORE},
    {"FOO x HTT", SNIFFED_MORE},
    {"FOO x HTTP/", SNIFFED_MORE},
    {"FOO\r\n", SNIFFED_NO},
    {"FOO x\r\n", SNIFFED_NO},
    {"FOO x HTTX", SNIFFED_MORE},
    {"FOO x HTTX\r\n", SNIFFED_NO},
    /* whatever some server makes a request of */
    {"\xa0GET /x HTTP/1.1\r\n", SNIFFED_YES},
    {"\x1cGET /x", SNIFFED_YES},
    {"GET\x85/x", SNIFFED_YES},
    {"GET\x1f/x\r\n", SNIFFED_YES},
    {"\"GET\" /x http/1.1 \xa0\r\n", SNIFFED_YES},
    {"a b c d HTTP/1.1", SNIFFED_MORE},
    {"a b c d HTTP/1.1\n", SNIFFED_YES},
    {"\xef\xbb\xbfGET /x HTTP/1.0\n", SNIFFED_YES},
    /* and what is none, though it speaks of one */
    {"<13>host nginx: \"GET /x HTTP/1.1\" 200\n", SNIFFED_NO},
    {"{\"line\": \"GET /x HTTP/1.1\"}\n", SNIFFED_NO},
    {"\5\1 GET /x HTTP/1.1\r\n", SNIFFED_NO},
    {"xHTTP/1.1\n", SNIFFED_NO},
    {"HTTP/1.1\n", SNIFFED_NO},
};

START_TEST(first_bytes) {
    struct guard_page guard = guard_page_new(4096);
    size_t size = strlen(cases[_i].bytes);
    enum sniffed got = http1_sniff(guard_page_put(&guard, cases[_i].bytes, size), size, 0);
    ck_assert_msg(got == cases[_i].expected, "\"%s\": %d, not %d", cases[_i].bytes, (int)got, (int)cases[_i].expected);
    guard_page_free(&guard);
}
END_TEST

/* What is said of a beginning is not taken back by what follows, unless it was MORE. */
START_TEST(stays_decided) {
    const char *bytes = cases[_i].bytes;
    enum sniffed before = SNIFFED_MORE;
    for (size_t size = 0; size <= strlen(bytes); size++) {
        enum sniffed now = http1_sniff(bytes, size, 0);
        if (before == SNIFFED_YES)
            ck_assert_int_eq(now, before);
        before = now;
    }
}
END_TEST

/* What was seen before is not looked at again, and makes no difference. */
START_TEST(in_pieces) {
    const char *bytes = cases[_i].bytes;
    size_t size = strlen(bytes), seen = 0;
    enum sniffed now = SNIFFED_MORE;
    for (size_t piece = 0; piece <= size && now == SNIFFED_MORE; piece++) {
        now = http1_sniff(bytes, piece, seen);
        ck_assert_int_eq(now, http1_sniff(bytes, piece, 0));
        seen = piece;
    }
}
END_TEST

/* A first line of any length is recognised when its version has come, and its bytes are looked at a few times each. */
START_TEST(long_line_byte_by_byte) {
    static char line[60000];
    static const char end[] = " HTTP/1.1\n";
    enum { END = sizeof(end) - 1 };
    memset(line, 'M', sizeof(line));
    line[_i ? 8 : 30000] = ' ';
    memcpy(line + sizeof(line) - END, end, END);
    for (size_t size = 100; size < sizeof(line); size++) { /* spoilt behind its back: whether it looks there shows */
        char kept = line[size / 2];
        line[size / 2] = '\1';
        ck_assert_int_eq(http1_sniff(line, size, size - 1), SNIFFED_MORE);
        line[size / 2] = kept;
    }
    ck_assert_int_eq(http1_sniff(line, sizeof(line), sizeof(line) - 1), SNIFFED_YES);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("client");
    tcase_add_loop_test(tcase, first_bytes, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_loop_test(tcase, stays_decided, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_loop_test(tcase, in_pieces, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_loop_test(tcase, long_line_byte_by_byte, 0, 2);
    return suite_run("sniff", tcase, NULL);
}
