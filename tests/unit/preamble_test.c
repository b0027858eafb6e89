#include <check.h>
#include <string.h>

#include "shim/protocol/preamble.h"
#include "shim/protocol/refusal.h"
#include "tests/guard_page.h"
#include "tests/unit/suite.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define V4                                                                                                             \
    "\300\0\2\1"                                                                                                       \
    "\306\63\144\1"                                                                                                    \
    "\234\100"                                                                                                         \
    "\0\120"
#define V6                                                                                                             \
    "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                                                            \
    "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2"                                                                            \
    "\234\100"                                                                                                         \
    "\0\120"
#define MAPPED                                                                                                         \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\300\0\2\1"                                                                           \
    "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2"                                                                            \
    "\234\100"                                                                                                         \
    "\0\120"
#define ONE "PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n"
#define CASE(text, is, of, length)                                                                                     \
    { text, sizeof(text) - 1, is, of, length }

static const struct {
    const char *bytes;
    size_t size;
    enum preamble is;
    size_t header;
    unsigned length;
} cases[] = {
    CASE("", PREAMBLE_MORE, 0, 0),
    CASE("G", PREAMBLE_NONE, 0, 0),
    CASE("P", PREAMBLE_MORE, 0, 0),
    CASE("PO", PREAMBLE_NONE, 0, 0),
    CASE("PR", PREAMBLE_MORE, 0, 0),
    CASE("PROXY ", PREAMBLE_MORE, 0, 0),
    CASE("PROXY /", PREAMBLE_NONE, 0, 0),
    CASE("PROXY tcp4", PREAMBLE_NONE, 0, 0),
    CASE("PROXY UDP4 192.0.2.1", PREAMBLE_NONE, 0, 0),
    CASE(ONE, PREAMBLE_PROXY, sizeof(ONE) - 1, 4),
    CASE(ONE "GET / HTTP/1.1\r\n", PREAMBLE_PROXY, sizeof(ONE) - 1, 4),
    CASE("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", PREAMBLE_PROXY, 40, 16),
    CASE("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", PREAMBLE_PROXY, 37, 4),
    CASE("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", PREAMBLE_PROXY, 32, 0),
    CASE("PROXY TCP4 999.0.2.1 192.0.2.1 1 2\r\n", PREAMBLE_PROXY, 36, 0),
    CASE("PROXY TCP4 192.0.2.0/24 192.0.2.1 1 2\r\n", PREAMBLE_PROXY, 39, 0),
    CASE("PROXY TCP4\r\n", PREAMBLE_PROXY, 12, 0),
    CASE("PROXY UNKNOWN\r\n", PREAMBLE_PROXY, 15, 0),
    CASE("PROXY UNKNOWN what ever\r\n", PREAMBLE_PROXY, 25, 0),
    CASE("PROXY UNKNOWN\r", PREAMBLE_MORE, 0, 0),
    CASE("PROXY UNKNOWN\n", PREAMBLE_BROKEN, 0, 0),
    CASE("PROXY UNKNOWN\rx\r\n", PREAMBLE_BROKEN, 0, 0),
    CASE("PROXY UNKNOWN\0\r\n", PREAMBLE_BROKEN, 0, 0),
    CASE("PROXY UNKNOWN HTTP/1.1\r\n", PREAMBLE_NONE, 0, 0),
    CASE("PROXY TCP4 HTTP/1.0\n", PREAMBLE_NONE, 0, 0),
    CASE("PROXY UNKNOWN HTT", PREAMBLE_MORE, 0, 0),
    CASE("\r", PREAMBLE_MORE, 0, 0),
    CASE("\r\n\r\n", PREAMBLE_MORE, 0, 0),
    CASE("\r\n\r\nG", PREAMBLE_NONE, 0, 0),
    CASE("\n", PREAMBLE_NONE, 0, 0),
    CASE(SIGNATURE, PREAMBLE_MORE, 0, 0),
    CASE(SIGNATURE "\x11", PREAMBLE_NONE, 0, 0),
    CASE(SIGNATURE "\x21\x11\0\xc", PREAMBLE_MORE, 0, 0),
    CASE(SIGNATURE "\x21\x11\0\xc" V4, PREAMBLE_PROXY, 28, 4),
    CASE(SIGNATURE "\x21\x11\0\x10" V4 "\4\0\1x"
                   "GET",
         PREAMBLE_PROXY, 32, 4),
    CASE(SIGNATURE "\x21\x11\0\x10" V4 "\4\0\1", PREAMBLE_MORE, 0, 0),
    CASE(SIGNATURE "\x21\x12\0\xc" V4, PREAMBLE_PROXY, 28, 4),
    CASE(SIGNATURE "\x21\x11\0\x4"
                   "\300\0\2\1",
         PREAMBLE_PROXY, 20, 0),
    CASE(SIGNATURE "\x21\x21\0\x24" V6, PREAMBLE_PROXY, 52, 16),
    CASE(SIGNATURE "\x21\x21\0\x24" MAPPED, PREAMBLE_PROXY, 52, 4),
    CASE(SIGNATURE "\x20\0\0\0", PREAMBLE_PROXY, 16, 0),
    CASE(SIGNATURE "\x20\x11\0\xc" V4, PREAMBLE_PROXY, 28, 0),
    CASE(SIGNATURE "\x2f\x11\0\xc" V4, PREAMBLE_PROXY, 28, 0),
    CASE(SIGNATURE "\x21\0\0\0", PREAMBLE_PROXY, 16, 0),
    CASE(SIGNATURE "\x21\x31\0\2xx", PREAMBLE_PROXY, 18, 0),
    CASE(SIGNATURE "\x21\x11\xff\xff", PREAMBLE_BROKEN, 0, 0),
    CASE("\x16", PREAMBLE_MORE, 0, 0),
    CASE("\x16\3\1\2\0", PREAMBLE_MORE, 0, 0),
    CASE("\x16\3\1\2\0\1", PREAMBLE_TLS, 0, 0),
    CASE("\x16\3\3\0\5\2", PREAMBLE_NONE, 0, 0),
    CASE("\x16\2\1\2\0\1", PREAMBLE_NONE, 0, 0),
    CASE("\x16\3\5", PREAMBLE_NONE, 0, 0),
    CASE("\x16GET / HTTP/1.1", PREAMBLE_NONE, 0, 0),
    CASE("PRI * HTTP/2.0\r\n\r", PREAMBLE_MORE, 0, 0),
    CASE("PRI * HTTP/2.0\r\n\r\n", PREAMBLE_HTTP2_HEAD, 0, 0),
    CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", PREAMBLE_HTTP2_HEAD, 0, 0),
    CASE(PREFACE, PREAMBLE_HTTP2, 0, 0),
    CASE(PREFACE "\0", PREAMBLE_HTTP2, 0, 0),
    CASE("PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", PREAMBLE_NONE, 0, 0),
    CASE("PRINT", PREAMBLE_NONE, 0, 0),
    CASE("PRI /x HTTP/1.1\r\n", PREAMBLE_NONE, 0, 0),
};

START_TEST(first_bytes) {
    struct guard_page guard = guard_page_new(4096);
    struct preamble_proxy header;
    const char *bytes = guard_page_put(&guard, cases[_i].bytes, cases[_i].size);
    enum preamble is = preamble_find(bytes, cases[_i].size, true, &header);
    ck_assert_msg(is == cases[_i].is, "\"%s\": %d, not %d", cases[_i].bytes, (int)is, (int)cases[_i].is);
    if (is == PREAMBLE_PROXY) {
        ck_assert_uint_eq(header.size, cases[_i].header);
        ck_assert_uint_eq(header.length, cases[_i].length);
        if (header.length == 4)
            ck_assert_mem_eq(header.address, "\300\0\2\1", 4);
        if (header.length == 16)
            ck_assert_mem_eq(header.address, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    }
    guard_page_free(&guard);
}
END_TEST

/* Every beginning of it says MORE until the answer is there, and that one stays. */
START_TEST(in_pieces) {
    struct preamble_proxy header;
    enum preamble before = PREAMBLE_MORE;
    for (size_t size = 0; size <= cases[_i].size; size++) {
        enum preamble now = preamble_find(cases[_i].bytes, size, true, &header);
        ck_assert_msg(before == PREAMBLE_MORE || before == PREAMBLE_HTTP2_HEAD || now == before, "\"%s\": %zu bytes",
                      cases[_i].bytes, size);
        before = now;
    }
}
END_TEST

START_TEST(without_proxy) {
    struct preamble_proxy header;
    ck_assert_int_eq(preamble_find(ONE, sizeof(ONE) - 1, false, &header), PREAMBLE_NONE);
    ck_assert_int_eq(preamble_find(SIGNATURE "\x20\0\0\0", 16, false, &header), PREAMBLE_NONE);
    ck_assert_int_eq(preamble_find(PREFACE, sizeof(PREFACE) - 1, false, &header), PREAMBLE_HTTP2);
}
END_TEST

START_TEST(long_line) {
    char line[8192];
    struct preamble_proxy header;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    ck_assert_int_eq(preamble_find(line, 4096, true, &header), PREAMBLE_MORE);
    ck_assert_int_eq(preamble_find(line, sizeof(line), true, &header), PREAMBLE_BROKEN);
}
END_TEST

START_TEST(refusal_of_http2) {
    unsigned char bytes[1024];
    struct refusal refusal = {.kind = REFUSED_MALFORMED, .close = true};
    size_t size = preamble_http2.refuse(NULL, &refusal, (char *)bytes, sizeof(bytes)), at = 0, frames = 0;
    for (; at + 9 <= size; frames++) {
        ck_assert_uint_eq(bytes[at + 3], frames ? 7 : 4); /* SETTINGS, GOAWAY */
        at += 9 + (size_t)(bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2]);
    }
    ck_assert(at == size && frames == 2 && bytes[9 + 9 + 7] == 13);
}
END_TEST

int main(void) {
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    TCase *tcase = tcase_create("preamble");
    tcase_add_loop_test(tcase, first_bytes, 0, CASES);
    tcase_add_loop_test(tcase, in_pieces, 0, CASES);
    tcase_add_test(tcase, without_proxy);
    tcase_add_test(tcase, long_line);
    tcase_add_test(tcase, refusal_of_http2);
    return suite_run("preamble", tcase, NULL);
}
