/* What a connection begins with that is no request: a header of PROXY, TLS, HTTP/2; and offers to go on with that. */
#include "shim/protocol/preamble.h"
#include "tests/unit/stream_fixture.h"

#define PROXY1 "PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n"
#define PROXY2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\300\0\2\1\306\63\144\1\234\100\0\120\4\0\1x"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define OFFER(path) "GET " path " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"
#define CONSENT "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

static struct {
    unsigned proxied, opaque, refused;
    size_t length;
    enum opaque_reason why;
    enum proxy_header proxy;
    bool refuses, plain;
} begun;

static void note_proxied(void *context, const unsigned char *address, size_t length) {
    (void)context;
    begun.proxied++;
    begun.length = length;
    ck_assert(length != 4 || memcmp(address, "\300\0\2\1", 4) == 0);
}

static enum proxy_header expected(void *context) {
    (void)context;
    return begun.proxy;
}

static const struct protocol *refuses(void *context, enum opaque_reason why) {
    (void)context;
    begun.why = why;
    begun.refused += begun.refuses;
    return !begun.refuses ? NULL : why == OPAQUE_HTTP2 ? &preamble_http2 : &http1;
}

static bool plain(void *context) {
    (void)context;
    return begun.plain;
}

static void note_opaque(void *context, enum opaque_reason why) {
    (void)context;
    begun.opaque++;
    begun.why = why;
}

static const struct stream_policy beginning = {.request = judge,
                                               .response = complete,
                                               .cancel = cancel,
                                               .undecided = note_undecided,
                                               .early = note_early,
                                               .proxied = note_proxied,
                                               .proxy = expected,
                                               .refuses = refuses,
                                               .plain = plain,
                                               .opaque = note_opaque,
                                               .strict = strictness};

static void begin(const char *bytes, size_t size) {
    open_with(bytes, size);
    memset(&begun, 0, sizeof(begun));
    stream_open(stream, &simulated_channel, &beginning, NULL, &simulated_memory);
}
#define BEGIN(text) begin(text, sizeof(text) - 1)

static void read_all(const char *bytes, size_t size) {
    ck_assert_int_eq(read_some(65536, 0), (ssize_t)size);
    ck_assert_mem_eq(buffer, bytes, size);
}

static const struct {
    const char *bytes;
    size_t size;
} headers[] = {{PROXY1, sizeof(PROXY1) - 1}, {PROXY2, sizeof(PROXY2) - 1}, {"PROXY UNKNOWN\r\n", 15}};

START_TEST(requests_begin_behind_a_header) {
    char bytes[256];
    size_t size = headers[_i].size;
    memcpy(bytes, headers[_i].bytes, size);
    memcpy(bytes + size, GET("/a") GET("/r"), sizeof(GET("/a") GET("/r")) - 1);
    begin(bytes, size + sizeof(GET("/a") GET("/r")) - 1);
    read_all(bytes, size + sizeof(GET("/a")) - 1);
    ck_assert(begun.proxied == 1 && seen.judged == 2 && seen.rejected == 1 && !begun.opaque);
    ck_assert_uint_eq(begun.length, _i == 2 ? 0 : 4);
}
END_TEST

/* The pieces come to the application as they are; the refused request does not. */
START_TEST(header_in_pieces) {
    char bytes[256];
    size_t size = headers[_i].size, whole = size + sizeof(GET("/r")) - 1, got = 0;
    memcpy(bytes, headers[_i].bytes, size);
    memcpy(bytes + size, GET("/r"), sizeof(GET("/r")) - 1);
    begin(bytes, whole);
    for (sim.arrived = 1; sim.arrived < whole; sim.arrived++) {
        ck_assert_int_eq(read_some(65536, 0), 1);
        ck_assert_int_eq(buffer[0], bytes[got]);
        got++;
    }
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET); /* it has a part of the head */
    ck_assert(begun.proxied == 1 && seen.rejected == 1);
    expect_output(ANSWER_CLOSE);
}
END_TEST

START_TEST(peeking_at_a_header) {
    BEGIN(PROXY1 GET("/r"));
    ck_assert_int_eq(read_some(65536, MSG_PEEK), (ssize_t)sizeof(PROXY1) - 1);
    ck_assert_int_eq(read_some(65536, MSG_PEEK), (ssize_t)sizeof(PROXY1) - 1);
    ck_assert_int_eq(read_some(sizeof(PROXY1) - 1, 0), (ssize_t)sizeof(PROXY1) - 1);
    expect_eagain();
    ck_assert(begun.proxied == 1 && seen.rejected == 1);
    expect_output(ANSWER);
}
END_TEST

START_TEST(one_header_only) {
    BEGIN(PROXY1 PROXY1 GET("/r"));
    read_all(PROXY1 PROXY1 GET("/r"), sizeof(PROXY1 PROXY1 GET("/r")) - 1);
    ck_assert(begun.proxied == 1 && begun.why == OPAQUE_FOREIGN);
}
END_TEST

START_TEST(header_required) {
    BEGIN(GET("/a"));
    begun.proxy = PROXY_ON;
    begun.refuses = true;
    expect_eagain();
    ck_assert(begun.why == OPAQUE_MALFORMED && !seen.judged && sim.output_size);
    BEGIN(PROXY1 GET("/a"));
    begun.proxy = PROXY_ON;
    read_all(PROXY1 GET("/a"), sizeof(PROXY1 GET("/a")) - 1);
    ck_assert(begun.proxied && seen.judged == 1);
}
END_TEST

START_TEST(header_not_looked_for) {
    BEGIN(PROXY1 GET("/a"));
    begun.proxy = PROXY_OFF;
    begun.refuses = true;
    expect_eagain();
    ck_assert(!begun.proxied && begun.why == OPAQUE_FOREIGN && begun.refused == 1);
}
END_TEST

START_TEST(two_readings_of_a_header) {
    BEGIN("PROXY UNKNOWN\n" GET("/a"));
    read_all("PROXY UNKNOWN\n" GET("/a"), sizeof("PROXY UNKNOWN\n" GET("/a")) - 1);
    ck_assert(begun.opaque == 1 && begun.why == OPAQUE_MALFORMED && seen.undecided == 1);
}
END_TEST

START_TEST(preface) {
    BEGIN(PREFACE "frames");
    begun.refuses = _i;
    if (_i)
        expect_eagain();
    else
        read_all(PREFACE "frames", sizeof(PREFACE "frames") - 1);
    ck_assert(begun.why == OPAQUE_HTTP2 && begun.opaque == !_i && begun.refused == (unsigned)_i);
    ck_assert(!_i || memcmp(sim.output, "\0\0\0\4", 4) == 0);
}
END_TEST

/* Wherever it is cut, and whatever it only begins as. */
START_TEST(beginning_of_a_preface) {
    static const char text[] = "PRI /rx HTTP/1.1\r\nHost: x\r\n\r\n";
    enum { HEAD = sizeof("PRI * HTTP/2.0\r\n\r\n") - 1 };
    begin(text, sizeof(text) - 1);
    sim.arrived = (size_t)_i;
    ck_assert_int_eq(read_some(65536, 0), _i);
    sim.arrived = sizeof(text) - 1;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert(seen.rejected == 1 && !begun.opaque);

    begin(PREFACE, sizeof(PREFACE) - 1);
    begun.refuses = true;
    sim.arrived = (size_t)_i;
    ck_assert_int_eq(read_some(65536, 0), _i < HEAD ? _i : -1);
    sim.arrived = sizeof(PREFACE) - 1;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, _i < HEAD ? ECONNRESET : EAGAIN);
    ck_assert_int_eq(write_all("settings"), 8); /* goes nowhere */
    ck_assert(sim.output_size < 100 && memcmp(sim.output, "\0\0\0\4", 4) == 0);
    ck_assert(begun.refused && begun.why == OPAQUE_HTTP2);
}
END_TEST

START_TEST(tls_passes) {
    BEGIN("\x16\3\1\2\0\1hello");
    read_all("\x16\3\1\2\0\1hello", 11);
    ck_assert(begun.opaque == 1 && begun.why == OPAQUE_TLS && seen.undecided == 0);
}
END_TEST

/* Some servers take the first bytes of TLS for a method.  Where HTTP is served it is TLS when the server answers so. */
START_TEST(tls_where_http_is_served) {
    static const char text[] = "\x16\3\1\0\5\1GET /p HTTP/1.1\r\nHost: x\r\n\r\n" GET("/r");
    enum { VERSION = sizeof("\x16\3\1\0\5\1GET /p HTTP/") - 1 };
    BEGIN(text);
    begun.plain = begun.refuses = true;
    sim.arrived = (size_t)_i;
    ck_assert_int_eq(read_some(65536, 0), _i < VERSION ? _i : -1);
    sim.arrived = sizeof(text) - 1;
    ck_assert_int_le(read_some(65536, 0), 0);
    ck_assert(begun.why == OPAQUE_FOREIGN && begun.refused == 1 && !begun.opaque);
    stream_close(stream);

    BEGIN("\x16\3\1\2\0\1hello\x17\3 HTTP/");
    begun.plain = begun.refuses = true;
    sim.arrived = 11;
    ck_assert_int_eq(read_some(65536, 0), 11);
    ck_assert_int_eq(write_all("\x16\3\3 server hello"), 16);
    ck_assert(begun.opaque == 1 && begun.why == OPAQUE_TLS && seen.undecided == 0);
    sim.arrived = sim.input_size;
    ck_assert_int_eq(read_some(65536, 0), 8);
}
END_TEST

START_TEST(tls_is_no_http) {
    struct stream_policy forced = beginning;
    BEGIN("\x16\3\1\2\0\1 /p HTTP/1.1\r\nHost: x\r\n\r\n");
    forced.protocol = &http1;
    stream_open(stream, &simulated_channel, &forced, NULL, &simulated_memory);
    seen.strict = STREAM_DEFEND;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert(sim.output_size > 12 && memcmp(sim.output, "HTTP/1.1 400", 12) == 0);
    ck_assert_uint_eq(begun.opaque, 0);
}
END_TEST

START_TEST(unknown_method_in_pieces) {
    static const char text[] = "FOO /rx HTTP/1.1\r\nHost: x\r\n\r\n";
    begin(text, sizeof(text) - 1);
    sim.arrived = (size_t)_i;
    ck_assert_int_eq(read_some(65536, 0), _i);
    sim.arrived = sizeof(text) - 1;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_uint_eq(seen.rejected, 1);
}
END_TEST

START_TEST(offer_is_withheld) {
    static const char text[] = OFFER("/a");
    begin(text, sizeof(text) - 1);
    begun.refuses = true;
    ck_assert_int_eq(read_some(65536, 0), (ssize_t)sizeof(text) - 1);
    ck_assert_ptr_nonnull(strstr(buffer, "Upgrade: websocket,    \r\n"));
    ck_assert(begun.refused == 1 && begun.why == OPAQUE_UPGRADED);
    ck_assert_int_eq(write_all(OK), (ssize_t)strlen(OK));
    ck_assert(seen.completed == 1 && !begun.opaque);
}
END_TEST

START_TEST(offer_passes) {
    BEGIN(OFFER("/a"));
    read_all(OFFER("/a"), sizeof(OFFER("/a")) - 1);
    ck_assert_int_eq(write_all(CONSENT), (ssize_t)strlen(CONSENT));
    ck_assert(begun.opaque == 1 && begun.why == OPAQUE_UPGRADED && seen.completed == 1);
}
END_TEST

/* It is with the application before the head is whole: its consent does not go out, however it is written. */
START_TEST(consent_is_refused) {
    static const char text[] = OFFER("/a");
    begin(text, sizeof(text) - 1);
    begun.refuses = true;
    sim.arrived = (size_t)(strstr(text, "h2c") - text) + (size_t)_i;
    ck_assert_int_gt(read_some(65536, 0), 0);
    sim.arrived = sizeof(text) - 1;
    ck_assert_int_gt(read_some(65536, 0), 0);
    ck_assert_int_eq(write_all(CONSENT), (ssize_t)strlen(CONSENT));
    sim.output[sim.output_size] = '\0';
    ck_assert_ptr_null(strstr(sim.output, "101"));
    ck_assert_ptr_nonnull(strstr(sim.output, "503"));
    ck_assert(seen.completed == 1 && !begun.opaque);
    ck_assert_int_eq(write_all("more"), 4); /* goes nowhere */
    ck_assert_ptr_null(strstr(sim.output, "more"));
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* A consent to what was not offered in a way that is seen: the connection ends. */
START_TEST(consent_unasked) {
    BEGIN(GET("/a"));
    begun.refuses = true;
    expect_read(GET("/a"));
    ck_assert_int_eq(write_all(CONSENT "frames"), (ssize_t)strlen(CONSENT "frames"));
    ck_assert(begun.refused == 1 && !begun.opaque && seen.completed == 1);
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

int main(void) {
    enum { HEADERS = COUNT(headers) };
    const TTest *const tests[] = {peeking_at_a_header,      one_header_only, header_required,   header_not_looked_for,
                                  two_readings_of_a_header, tls_passes,      offer_is_withheld, offer_passes,
                                  consent_unasked,          tls_is_no_http};
    TCase *tcase = tcase_create("begin");
    tcase_add_loop_test(tcase, requests_begin_behind_a_header, 0, HEADERS);
    tcase_add_loop_test(tcase, header_in_pieces, 0, HEADERS);
    tcase_add_loop_test(tcase, preface, 0, 2);
    tcase_add_loop_test(tcase, beginning_of_a_preface, 1, 23);
    tcase_add_loop_test(tcase, tls_where_http_is_served, 1, 40);
    tcase_add_loop_test(tcase, unknown_method_in_pieces, 1, 29);
    tcase_add_loop_test(tcase, consent_is_refused, 3, 5);
    return stream_suite(tcase, tests, COUNT(tests));
}
