#include <check.h>
#include <stdio.h>

#include "shim/protocol/http1.h"
#include "tests/simulated_socket.h"
#include "tests/smuggling.h"
#include "tests/unit/suite.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define ANSWER "HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\nno"
#define ANSWER_CLOSE "HTTP/1.1 429 Too Many\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ------------------------------------------------------------------------------------- a policy that goes by the path
 */

static struct {
    unsigned judged, passed, rejected, completed, aborted, cancelled, undecided, status;
    bool strict;
    uint64_t wait_ns, delay_ns;
    bool refuses_to_wait;
} seen;

static enum engine_verdict judge(void *context, const struct http_head *head, bool *close,
                                 struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                 size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    (void)context;
    bool waits = head->target.size > 1 && head->target.at[1] == 'w',
         rejects = head->target.size > 1 && head->target.at[1] == 'r';
    seen.judged++;
    *ret_ticket = (struct engine_ticket){.acquire = 7};
    if (rejects || (waits && seen.refuses_to_wait))
        *ret_answer_size = (size_t)sprintf(answer, "%s", *close ? ANSWER_CLOSE : ANSWER);
    seen.rejected += rejects;
    seen.passed += !rejects;
    *ret_turn_ns = rejects ? seen.delay_ns ? sim.now_ns + seen.delay_ns : 0 : sim.now_ns + seen.wait_ns;
    return rejects ? ENGINE_BLOCK : waits ? ENGINE_WAIT : ENGINE_PASS;
}

static void complete(void *context, struct engine_ticket *ticket, unsigned status, bool aborted, uint64_t now_ns) {
    (void)context, (void)now_ns;
    ck_assert_uint_eq(ticket->acquire, 7);
    seen.completed++;
    seen.aborted += aborted;
    seen.status = status;
}

static void cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)answered;
    (void)context, (void)now_ns;
    ck_assert_uint_eq(ticket->acquire, 7);
    seen.cancelled++;
}

static void note_undecided(void *context) {
    (void)context;
    seen.undecided++;
}

static bool is_strict(void *context) {
    (void)context;
    return seen.strict;
}

static const struct stream_policy policy = {
    .request = judge, .response = complete, .cancel = cancel, .undecided = note_undecided, .strict = is_strict};

static struct stream *stream;
static char buffer[1 << 18];

static void open_with(const char *input, size_t size) {
    sim_reset(input, size);
    sim.arrived = size;
    memset(&seen, 0, sizeof(seen));
    stream_open(stream, 3, &simulated_io, &policy, NULL, &simulated_memory);
}

static void setup(void) {
    stream = calloc(1, stream_size());
}

static void teardown(void) {
    stream_close(stream);
    ck_assert_uint_eq(simulated_memory_used, 0);
    free(stream);
}

static ssize_t read_some(size_t size, int flags) {
    struct iovec iov = {buffer, size};
    memset(buffer, '#', sizeof(buffer) < size + 100 ? sizeof(buffer) : size + 100);
    return stream_read(stream, &iov, 1, flags);
}

static ssize_t write_all(const char *text) {
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    return stream_write(stream, &iov, 1, MSG_NOSIGNAL);
}

static void expect_read(const char *text) {
    ssize_t got = read_some(65536, 0);
    ck_assert_int_eq(got, (ssize_t)strlen(text));
    ck_assert(memcmp(buffer, text, strlen(text)) == 0);
}

static void expect_eagain(void) {
    errno = 0;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

static void expect_output(const char *text) {
    ck_assert_msg(sim.output_size == strlen(text) &&
                      (!sim.output_size || memcmp(sim.output, text, sim.output_size) == 0),
                  "output: %.*s", (int)sim.output_size, sim.output);
}

/* ------------------------------------------------------------------------------------------------- what passes, costs
 */

START_TEST(no_extra_calls) {
    open_with(GET("/p"), strlen(GET("/p")));
    expect_read(GET("/p"));
    write_all(OK);
    ck_assert_uint_eq(sim.calls, 2);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.status, 200);
}
END_TEST

START_TEST(fits_into_512_bytes) {
    ck_assert_uint_le(stream_size(), 512);
}
END_TEST

START_TEST(errors_are_the_kernels_own) {
    open_with("", 0);
    expect_eagain();
    sim.receive_error = EINTR;
    ck_assert_int_eq(read_some(10, 0), -1);
    ck_assert_int_eq(errno, EINTR);
    sim.receive_error = EFAULT;
    ck_assert_int_eq(read_some(10, 0), -1);
    ck_assert_int_eq(errno, EFAULT);
    sim.ended = true;
    ck_assert_int_eq(read_some(10, 0), 0);
    ck_assert_int_eq(read_some(0, 0), 0);
}
END_TEST

START_TEST(foreign_protocols_pass) {
    static const char *const first[] = {"*1\r\n$4\r\nPING\r\n", "PING", "\x16\x03\x01\x02",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello"};
    for (int i = 0; i < COUNT(first); i++) {
        open_with(first[i], strlen(first[i]));
        expect_read(first[i]);
        write_all("+PONG\r\n");
        expect_output("+PONG\r\n");
        ck_assert_uint_eq(seen.judged + seen.undecided, 0);
        stream_close(stream);
    }
}
END_TEST

START_TEST(server_speaks_first) {
    open_with(GET("/r"), strlen(GET("/r")));
    write_all("220 hello\r\n");
    expect_read(GET("/r"));
    ck_assert_uint_eq(seen.judged, 0);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- rejection
 */

START_TEST(rejection_is_cut_out) {
    static const char text[] = GET("/p1") GET("/r") GET("/p2");
    open_with(text, sizeof(text) - 1);
    expect_read(GET("/p1") GET("/p2"));
    for (size_t i = strlen(GET("/p1") GET("/p2")); i < sizeof(text) - 1; i++)
        ck_assert_int_eq(buffer[i], 0);
    expect_output("");
    ck_assert_int_eq(write_all(OK OK), (ssize_t)strlen(OK OK));
    expect_output(OK ANSWER OK);
    ck_assert_uint_eq(seen.completed, 2);
}
END_TEST

START_TEST(rejection_at_once_when_nothing_is_in_flight) {
    static const char text[] = GET("/r1") GET("/r2") "GET /r";
    open_with(text, sizeof(text) - 1);
    expect_eagain();
    expect_output(ANSWER ANSWER);
    ck_assert_uint_eq(seen.rejected, 2);
}
END_TEST

START_TEST(body_of_a_rejected_request_is_swallowed) {
    static const char text[] = "POST /r HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789" GET("/p");
    open_with(text, sizeof(text) - 1);
    sim.arrived = 45; /* in the body */
    expect_eagain();
    expect_output(ANSWER);
    sim.arrived = sizeof(text) - 1;
    expect_read(GET("/p"));
}
END_TEST

START_TEST(long_body_ends_the_connection) {
    static const char text[] = "POST /r HTTP/1.1\r\nContent-Length: 70000\r\n\r\n0123456789" GET("/p");
    open_with(text, sizeof(text) - 1);
    expect_eagain();
    expect_output(ANSWER_CLOSE);
    ck_assert(sim.shut_write);
    ck_assert_uint_eq(sim.read, sizeof(text) - 1); /* drained, so that no reset destroys the answer */
    sim.ended = true;
    ck_assert_int_eq(read_some(100, 0), 0);
    ck_assert_uint_eq(seen.judged, 1);
}
END_TEST

START_TEST(long_chunked_body_ends_the_connection) {
    static char text[100000];
    int start = sprintf(text, "POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n");
    memset(text + start, 'x', sizeof(text) - (size_t)start);
    open_with(text, sizeof(text));
    ck_assert_int_eq(read_some(1000, 0), -1);
    expect_output(ANSWER);
    ck_assert(sim.shut_write);
}
END_TEST

START_TEST(broken_body_of_a_rejected_request) {
    static const char text[] = "POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" GET("/p");
    open_with(text, sizeof(text) - 1);
    expect_eagain();
    ck_assert_uint_eq(seen.judged, 1);
    ck_assert(sim.shut_write);
    ck_assert(sim.output_size > strlen(ANSWER) && memcmp(sim.output + strlen(ANSWER), "HTTP/1.1 400 ", 13) == 0);
}
END_TEST

START_TEST(expect_continue_gets_the_final_status) {
    static const char text[] = "POST /r HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    open_with(text, sizeof(text) - 1);
    expect_eagain();
    expect_output(ANSWER_CLOSE);
}
END_TEST

START_TEST(http_1_0_is_closed) {
    open_with("GET /r HTTP/1.0\r\n\r\n", 19);
    expect_eagain();
    expect_output(ANSWER_CLOSE);
    ck_assert(sim.shut_write);
}
END_TEST

/* It takes silence about the connection for "read until the end". */
START_TEST(http_1_0_is_told_that_it_stays) {
    static const char text[] = "GET /r HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    open_with(text, sizeof(text) - 1);
    expect_eagain();
    expect_output("HTTP/1.1 429 Too Many\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno");
    ck_assert(!sim.shut_write);
}
END_TEST

START_TEST(nothing_but_rejections_ends_politely) {
    static char text[STREAM_TEXT_MAX * 32];
    size_t size = 0;
    while (size + 64 < sizeof(text))
        size += (size_t)sprintf(text + size, GET("/r"));
    open_with(text, size);
    sim.arrived = strlen(GET("/r"));
    expect_eagain();
    expect_output(ANSWER);
    sim.now_ns += 2500000000;
    sim.arrived *= 2;
    expect_eagain();
    expect_output(ANSWER ANSWER_CLOSE);
    ck_assert(sim.shut_write);
    stream_close(stream);

    open_with(text, size); /* and by number */
    expect_eagain();
    ck_assert_uint_eq(seen.judged, 1001);
}
END_TEST

/* Rejected as fast as it sends: it may not keep the application's loop in one call, nor be forgotten. */
START_TEST(a_flood_of_rejections_lets_others_on) {
    static char text[40 * 200];
    size_t size = 0;
    while (size + 64 < sizeof(text))
        size += (size_t)sprintf(text + size, GET("/r"));
    open_with(text, size);
    for (unsigned rounds = 1; sim.read < sim.arrived; rounds++) {
        sim.edge = false;
        ck_assert_int_eq(read_some(strlen(GET("/r")), 0), -1);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_uint_le(seen.judged, rounds * 33);
        ck_assert(sim.edge || sim.read == sim.arrived);
    }
    ck_assert_uint_eq(seen.judged, size / strlen(GET("/r")));
}
END_TEST

START_TEST(an_admission_ends_the_streak) {
    static const char text[] = GET("/r") GET("/p") GET("/r");
    size_t one = strlen(GET("/r"));
    open_with(text, sizeof(text) - 1);
    sim.arrived = one;
    expect_eagain();
    sim.arrived = 2 * one;
    expect_read(GET("/p"));
    write_all(OK);
    sim.now_ns += 2500000000;
    sim.arrived = 3 * one;
    expect_eagain();
    expect_output(ANSWER OK ANSWER);
}
END_TEST

START_TEST(client_that_stays_after_our_close) {
    open_with("GET /r HTTP/1.0\r\n\r\n", 19);
    expect_eagain();
    expect_eagain();
    sim.now_ns += 3000000000;
    ck_assert_int_eq(read_some(10, 0), 0);
    ck_assert_int_eq(write_all("HTTP/1.1 408 Timeout\r\n\r\n"), 24); /* nobody asked for it */
    expect_output(ANSWER_CLOSE);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- full send buffers
 */

START_TEST(phantom_byte) {
    static const char text[] = GET("/p") GET("/r") GET("/p2");
    open_with(text, sizeof(text) - 1);
    expect_read(GET("/p") GET("/p2"));
    for (size_t room = 1; room < strlen(ANSWER); room++) {
        stream_close(stream);
        open_with(text, sizeof(text) - 1);
        expect_read(GET("/p") GET("/p2"));
        sim.window = strlen(OK) + room;
        ck_assert_int_eq(write_all(OK), (ssize_t)strlen(OK) - 1);
        ck_assert_int_eq(write_all("k"), -1);
        ck_assert_int_eq(errno, EAGAIN);
        sim.window = SIZE_MAX;
        ck_assert_int_eq(write_all("k" OK), 1 + (ssize_t)strlen(OK));
        expect_output(OK ANSWER OK);
    }
}
END_TEST

START_TEST(phantom_byte_of_sendfile) {
    static const char text[] = GET("/p") GET("/r") GET("/p2"), head[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    size_t skip;
    open_with(text, sizeof(text) - 1);
    expect_read(GET("/p") GET("/p2"));
    write_all(head);
    ck_assert_uint_eq(stream_sendfile_begin(stream, 100, &skip), 10);
    ck_assert_uint_eq(skip, 0);
    sim_send(3, "0123456789", 10, 0);
    sim.window = 3;
    ck_assert_uint_eq(stream_sendfile_done(stream, 10), 9);
    ck_assert_uint_eq(stream_sendfile_begin(stream, 1, &skip), 0);
    ck_assert_uint_eq(skip, 0);
    sim.window = SIZE_MAX;
    ck_assert_uint_eq(stream_sendfile_begin(stream, 1, &skip), 0);
    ck_assert_uint_eq(skip, 1);
    ck_assert_uint_eq(stream_sendfile_done(stream, 0), 0);
    write_all(OK);
    expect_output("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789" ANSWER OK);
    ck_assert_uint_eq(seen.completed, 2);
}
END_TEST

START_TEST(send_buffer_grows_twice_at_most) {
    static const char text[] = GET("/r");
    open_with(text, sizeof(text) - 1);
    sim.window = 0;
    sim.growth = strlen(ANSWER) / 2 + 1;
    expect_eagain();
    expect_output(ANSWER);
    stream_close(stream);
    open_with(text, sizeof(text) - 1);
    sim.window = 0;
    sim.growth = 1;
    ck_assert_int_eq(read_some(100, 0), 0); /* shut down: the end */
    ck_assert(sim.shut_write && sim.shut_read);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ blocking descriptors
 */

START_TEST(blocking_rejection_closes) {
    static const char text[] = "POST /r HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234"
                               "56789";
    open_with(text, sizeof(text) - 1);
    sim.arrived -= 5;
    sim.nonblocking = false;
    ck_assert_int_eq(read_some(100, 0), 0);
    expect_output(ANSWER_CLOSE);
    ck_assert(sim.shut_write);
    ck_assert_uint_eq(sim.read, sizeof(text) - 1);
    ck_assert_int_eq(read_some(100, 0), 0);
}
END_TEST

START_TEST(blocking_rejection_behind_a_response) {
    static const char text[] = GET("/p") GET("/r");
    open_with(text, sizeof(text) - 1);
    sim.nonblocking = false;
    expect_read(GET("/p"));
    ck_assert_int_eq(write_all(OK), (ssize_t)strlen(OK));
    expect_output(OK ANSWER_CLOSE);
    ck_assert(sim.shut_write);
    ck_assert_int_eq(read_some(100, 0), 0);
}
END_TEST

START_TEST(blocking_waits_for_a_head_with_bounds) {
    static const char text[] = "GET /r HTTP/1.1\r\nHost: x\r\n\r\n" GET("/r");
    open_with(text, sizeof(text) - 1);
    sim.arrived = 10;
    sim.silent = true;
    sim.nonblocking = false;
    uint64_t before = sim.now_ns;
    ck_assert_int_eq(read_some(4, 0), 4);
    ck_assert_uint_eq(sim.now_ns - before, 50000000);
    ck_assert_uint_eq(seen.undecided, 1);
    ck_assert_uint_eq(stream_readable(stream), 6);
    ck_assert_int_eq(read_some(100, 0), 6);
    ck_assert(memcmp(buffer, text + 4, 6) == 0);
    sim.arrived = strlen(GET("/r"));
    ck_assert_int_eq(read_some(100, 0), (ssize_t)strlen(GET("/r")) - 10);
    ck_assert_uint_eq(seen.judged, 0);
    write_all(OK); /* its response is framed all the same, and the next request is judged */
    sim.arrived = sizeof(text) - 1;
    ck_assert_int_eq(read_some(100, 0), 0);
    ck_assert_uint_eq(seen.judged, 1);
    expect_output(OK ANSWER_CLOSE);
    ck_assert_uint_eq(seen.completed, 0);
}
END_TEST

START_TEST(receive_timeout) {
    open_with("GET /", 5);
    sim.arrived = 0;
    sim.input_size = 0;
    sim.nonblocking = false; /* the simulated socket says EAGAIN when nothing will come: as with SO_RCVTIMEO */
    expect_eagain();
}
END_TEST

START_TEST(msg_dontwait_on_a_blocking_descriptor) {
    static const char text[] = GET("/r") "GET /p";
    open_with(text, sizeof(text) - 1);
    sim.nonblocking = false;
    ck_assert_int_eq(read_some(100, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    expect_output(ANSWER); /* kept alive */
}
END_TEST

START_TEST(msg_waitall) {
    static const char text[] = "POST /p HTTP/1.1\r\nContent-Length: 100\r\n\r\n";
    static char whole[200];
    memcpy(whole, text, sizeof(text) - 1);
    memset(whole + sizeof(text) - 1, 'b', 100);
    open_with(whole, sizeof(text) - 1 + 100);
    sim.nonblocking = false;
    sim.arrived = 10;
    sim.random = 5;
    ck_assert_int_eq(read_some(sizeof(text) - 1 + 100, MSG_WAITALL), (ssize_t)sizeof(text) - 1 + 100);
    ck_assert(memcmp(buffer, whole, sizeof(text) - 1 + 100) == 0);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- odd reading
 */

START_TEST(peek_shows_what_a_read_would_give) {
    static const char text[] = GET("/r") GET("/p") GET("/p2");
    open_with(text, sizeof(text) - 1);
    ck_assert_int_eq(read_some(3, MSG_PEEK), 3);
    ck_assert(memcmp(buffer, "GET", 3) == 0);
    ck_assert_int_eq(read_some(1000, MSG_PEEK), (ssize_t)strlen(GET("/p")));
    ck_assert(memcmp(buffer, GET("/p"), strlen(GET("/p"))) == 0);
    expect_output(ANSWER);
    expect_read(GET("/p") GET("/p2"));
    ck_assert_uint_eq(seen.judged, 3);
}
END_TEST

START_TEST(peek_of_a_partial_head) {
    open_with(GET("/p"), strlen(GET("/p")));
    sim.arrived = 8;
    ck_assert_int_eq(read_some(100, MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
    sim.arrived = strlen(GET("/p"));
    ck_assert_int_eq(read_some(100, MSG_PEEK), (ssize_t)strlen(GET("/p")));
    expect_read(GET("/p"));
}
END_TEST

START_TEST(peek_at_the_end) {
    open_with("GET /", 5);
    sim.ended = true;
    ck_assert_int_eq(read_some(100, MSG_PEEK), 5);
    expect_read("GET /");
    ck_assert_int_eq(read_some(100, MSG_PEEK), 0);
}
END_TEST

START_TEST(trunc_throws_away) {
    static const char text[] = GET("/r") "POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789" GET("/p");
    size_t size = strlen("POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    open_with(text, sizeof(text) - 1);
    ck_assert_int_eq(read_some(size, 0), (ssize_t)size);
    struct iovec nowhere = {NULL, 10};
    ck_assert_int_eq(stream_read(stream, &nowhere, 1, MSG_TRUNC), 10);
    expect_read(GET("/p"));
}
END_TEST

START_TEST(end_with_a_partial_head) {
    open_with("GET /r HTTP/1.1\r\n", 17);
    expect_eagain();
    sim.ended = true;
    ck_assert_int_eq(read_some(5, 0), 5);
    ck_assert_uint_eq(stream_readable(stream), 12);
    ck_assert_int_eq(read_some(50, 0), 12);
    ck_assert_int_eq(read_some(50, 0), 0);
    ck_assert_uint_eq(seen.judged, 0);
}
END_TEST

START_TEST(reset_with_a_partial_head) {
    open_with("GET /r HTTP/1.1\r\n", 17);
    sim.ended = sim.reset = true;
    expect_read("GET /r HTTP/1.1\r\n");
    ck_assert_int_eq(read_some(50, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(read_some(50, 0), 0);
}
END_TEST

START_TEST(readiness_of_a_completed_head) {
    static const char text[] = GET("/p");
    open_with(text, sizeof(text) - 1);
    sim.arrived = 10;
    expect_eagain();
    sim.arrived = sizeof(text) - 1;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        ck_assert_msg(sim_readable(), "byte %zu", i); /* a level-triggered waiter is told for every single byte */
        ck_assert_int_eq(read_some(1, 0), 1);
        ck_assert_int_eq(buffer[0], text[i]);
    }
    ck_assert(!sim_readable());
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- responses
 */

START_TEST(response_in_single_bytes) {
    static const char text[] = GET("/p") GET("/r") GET("/p2");
    static const char response[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "5;x\r\n12345\r\n0\r\nT: x\r\n\r\n";
    open_with(text, sizeof(text) - 1);
    expect_read(GET("/p") GET("/p2"));
    for (size_t i = 0; i < sizeof(response) - 1; i++) {
        ck_assert_uint_eq(seen.completed, 0);
        struct iovec iov = {(char *)(uintptr_t)response + i, 1};
        ck_assert_int_eq(stream_write(stream, &iov, 1, 0), 1);
    }
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert(sim.output_size == sizeof(response) - 1 + strlen(ANSWER));
}
END_TEST

START_TEST(early_response) {
    static const char text[] = "POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789" GET("/r");
    size_t head = strlen("POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    open_with(text, sizeof(text) - 1);
    sim.arrived = head;
    ck_assert_int_eq(read_some(1000, 0), (ssize_t)head);
    write_all(OK);
    ck_assert_uint_eq(seen.completed, 1);
    sim.arrived = sizeof(text) - 1;
    expect_read("0123456789");
    expect_output(OK ANSWER);
    ck_assert_uint_eq(seen.completed, 1);
}
END_TEST

START_TEST(until_close) {
    open_with("GET /p HTTP/1.0\r\n\r\n", 19);
    read_some(100, 0);
    write_all("HTTP/1.0 200 OK\r\n\r\nsome");
    write_all("thing");
    ck_assert_uint_eq(seen.completed, 0);
    stream_shutdown_write(stream);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.aborted, 0);
    ck_assert_uint_eq(seen.status, 200);
}
END_TEST

START_TEST(aborted) {
    open_with(GET("/p") GET("/p"), strlen(GET("/p") GET("/p")));
    read_some(100, 0);
    write_all("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 2);
    ck_assert_uint_eq(seen.aborted, 2);
    ck_assert_uint_eq(seen.status, 0); /* of the second */
}
END_TEST

START_TEST(upgrade) {
    static const char text[] = "GET /p HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" GET("/r");
    size_t first = sizeof(text) - 1 - strlen(GET("/r"));
    open_with(text, sizeof(text) - 1);
    sim.arrived = first;
    ck_assert_int_eq(read_some(1000, 0), (ssize_t)first);
    write_all("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81\x05hello");
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.status, 101);
    sim.arrived = sizeof(text) - 1;
    expect_read(GET("/r"));
    write_all("\x81\x05hello");
    ck_assert_uint_eq(seen.judged, 1);
    ck_assert_uint_eq(seen.undecided, 0);
}
END_TEST

START_TEST(refused_upgrade_stays_http) {
    static const char text[] = "GET /p HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" GET("/r");
    open_with(text, sizeof(text) - 1);
    ck_assert_int_gt(read_some(1000, 0), 0);
    write_all(OK);
    expect_output(OK ANSWER);
    ck_assert_uint_eq(seen.judged, 2);
}
END_TEST

START_TEST(tunnel) {
    static const char text[] = "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n" GET("/r");
    size_t first = sizeof(text) - 1 - strlen(GET("/r"));
    open_with(text, sizeof(text) - 1);
    sim.arrived = first;
    ck_assert_int_eq(read_some(1000, 0), (ssize_t)first);
    write_all("HTTP/1.1 200 OK\r\n\r\n");
    ck_assert_uint_eq(seen.completed, 1);
    sim.arrived = sizeof(text) - 1;
    expect_read(GET("/r"));
}
END_TEST

START_TEST(response_that_is_none) {
    open_with(GET("/p") GET("/r"), strlen(GET("/p") GET("/r")));
    expect_read(GET("/p"));
    write_all("hello, this is no HTTP\r\n");
    expect_output("hello, this is no HTTP\r\n");
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert(sim.shut_read); /* the answer that has lost its place: let the connection end */
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ queueing
 */

START_TEST(waits_on_a_blocking_descriptor) {
    open_with(GET("/w"), strlen(GET("/w")));
    sim.nonblocking = false;
    seen.wait_ns = 30000000;
    uint64_t before = sim.now_ns;
    expect_read(GET("/w"));
    ck_assert_uint_eq(sim.now_ns - before, 30000000);
    write_all(OK);
    ck_assert_uint_eq(seen.completed, 1);
}
END_TEST

/* In an event loop that can be told. */
static void open_announced(const char *text) {
    static struct stream_io io;
    io = simulated_io;
    io.announce = sim_announce;
    open_with(text, strlen(text));
    stream_open(stream, 3, &io, &policy, NULL, &simulated_memory);
    sim.arrived = sim.input_size;
}

START_TEST(leaving_client_gives_its_turn_back) {
    open_with(GET("/w"), strlen(GET("/w")));
    sim.nonblocking = false;
    sim.leaves = true;
    seen.wait_ns = 30000000;
    ck_assert_int_eq(read_some(100, 0), 0);
    ck_assert_uint_eq(seen.cancelled, 1);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 0);
}
END_TEST

START_TEST(ended_client_is_not_made_to_wait) {
    for (int blocking = 0; blocking < 2; blocking++) {
        open_announced(GET("/w"));
        sim.nonblocking = !blocking;
        sim.ended = true;
        seen.wait_ns = 30000000;
        seen.refuses_to_wait = true;
        ck_assert_int_eq(read_some(100, 0), 0);
        ck_assert_int_eq(strncmp(sim.output, "HTTP/1.1 429", 12), 0);
        ck_assert_uint_eq(seen.cancelled, 1);
        stream_close(stream);
        ck_assert_uint_eq(seen.completed, 0);
    }
}
END_TEST

START_TEST(client_leaves_an_event_loop) {
    open_announced(GET("/w") GET("/p"));
    seen.wait_ns = 30000000;
    expect_eagain();
    sim.ended = true;
    ck_assert_int_eq(read_some(100, 0), 0);
    ck_assert_uint_eq(seen.cancelled, 1);
    ck_assert_uint_eq(sim.announced_ns, 0);
    ck_assert_uint_eq(seen.judged, 1); /* what it sent behind is nobody's any more */
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 0);
}
END_TEST

START_TEST(closed_while_it_waits) {
    open_announced(GET("/p") GET("/w"));
    seen.wait_ns = 30000000;
    expect_read(GET("/p"));
    expect_eagain();
    ck_assert_uint_ne(sim.announced_ns, 0);
    stream_close(stream);
    ck_assert_uint_eq(seen.cancelled, 1);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.aborted, 1);
    ck_assert_uint_eq(sim.announced_ns, 0);
}
END_TEST

START_TEST(turn_lasts_until_all_is_read) {
    open_announced(GET("/w") GET("/p") GET("/w") "GET /p");
    seen.wait_ns = 30000000;
    expect_eagain();
    uint64_t turn_ns = sim.now_ns += seen.wait_ns;
    ck_assert_uint_eq(stream_turn_ns(stream), turn_ns);
    for (size_t n = 0; n < strlen(GET("/w") GET("/p")); n++) {
        ck_assert_int_eq(read_some(1, 0), 1);
        ck_assert_uint_ne(sim.announced_ns, 0);
        ck_assert_uint_le(stream_turn_ns(stream), sim.now_ns);
    }
    expect_eagain(); /* the next one waits, too */
    ck_assert_uint_eq(sim.announced_ns, turn_ns + seen.wait_ns);
    sim.now_ns += seen.wait_ns;
    expect_read(GET("/w"));
    expect_eagain(); /* what is left is part of a head: the kernel will say when there is more */
    ck_assert_uint_eq(sim.announced_ns, 0);
    ck_assert_uint_eq(stream_turn_ns(stream), 0);
    ck_assert_uint_eq(sim.low_water, 1);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 3);
}
END_TEST

/* An application that loses patience with a request of which it has seen nothing. */
START_TEST(answered_before_its_turn) {
    static const char timeout[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    open_announced(GET("/w"));
    seen.wait_ns = 30000000;
    expect_eagain();
    write_all(timeout);
    expect_output(timeout);
    ck_assert_uint_eq(seen.completed, 1);
    sim.ended = true;
    while (read_some(100, 0) > 0)
        ;
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.cancelled, 0);
}
END_TEST

START_TEST(waiting_is_not_shown) {
    open_announced(GET("/w"));
    seen.wait_ns = 30000000;
    expect_eagain();
    ck_assert_int_eq(read_some(100, MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(stream_readable(stream), 0);
    sim.now_ns += seen.wait_ns;
    ck_assert_int_eq(read_some(100, MSG_PEEK), (ssize_t)strlen(GET("/w")));
    expect_read(GET("/w"));
    stream_close(stream);
}
END_TEST

/* A thread that reads what came together with it first, and sleeps in its next read; one that turns out not to sleep
 * is not left alone. */
START_TEST(blocking_reader_waits_later) {
    for (int turns_over = 0; turns_over < 2; turns_over++) {
        open_announced(GET("/p") GET("/w"));
        sim.nonblocking = false;
        sim.notice = NOTICE_NEEDED;
        seen.wait_ns = 30000000;
        uint64_t before_ns = sim.now_ns;
        expect_read(GET("/p"));
        ck_assert_uint_eq(sim.now_ns, before_ns);
        sim.nonblocking = turns_over;
        expect_read(GET("/w"));
        ck_assert_uint_eq(sim.now_ns, turns_over ? before_ns : before_ns + seen.wait_ns);
        stream_close(stream);
        ck_assert_uint_eq(seen.completed, 2);
    }
}
END_TEST

/* An answer that is held back: nothing behind it is looked at, its request never reaches the application. */
START_TEST(answers_later_in_an_event_loop) {
    static const char input[] = "POST /r HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody" GET("/p");
    for (size_t at_first = 1; at_first <= strlen(input); at_first++) {
        open_announced(input);
        sim.arrived = at_first;
        seen.delay_ns = 30000000;
        expect_eagain();
        sim.arrived = sim.input_size;
        expect_eagain();
        expect_output("");
        ck_assert_uint_eq(seen.judged, 1);
        ck_assert_uint_eq(stream_turn_ns(stream), sim.now_ns + 30000000);
        ck_assert_uint_eq(sim.announced_ns, sim.now_ns + 30000000);
        sim.now_ns += 30000000;
        expect_read(GET("/p"));
        expect_output(ANSWER);
        write_all(OK);
        expect_output(ANSWER OK);
        ck_assert_uint_eq(stream_turn_ns(stream), 0);
        stream_close(stream);
        ck_assert_uint_eq(seen.cancelled, 0);
        ck_assert_uint_eq(seen.completed, 1);
    }
}
END_TEST

START_TEST(answers_later_on_a_blocking_descriptor) {
    open_with(GET("/r") GET("/p"), strlen(GET("/r") GET("/p")));
    sim.nonblocking = false;
    seen.delay_ns = 30000000;
    uint64_t before_ns = sim.now_ns;
    ck_assert_int_eq(read_some(100, 0), 0);
    ck_assert_uint_ge(sim.now_ns, before_ns + 30000000);
    expect_output(ANSWER_CLOSE);
    stream_close(stream);
}
END_TEST

/* Behind a response of the application's: after it, and not before its own time. */
START_TEST(answers_later_behind_a_response) {
    for (int late = 0; late < 2; late++) {
        open_announced(GET("/p") GET("/r") GET("/p"));
        seen.delay_ns = 30000000;
        expect_read(GET("/p"));
        expect_eagain();
        if (late)
            sim.now_ns += 30000000;
        if (late)
            expect_read(GET("/p"));
        write_all(OK);
        expect_output(late ? OK ANSWER : OK);
        sim.now_ns += 30000000;
        if (!late)
            expect_read(GET("/p"));
        write_all(OK);
        expect_output(OK ANSWER OK);
        stream_close(stream);
    }
}
END_TEST

START_TEST(an_answer_held_back_is_given_at_the_end) {
    for (int how = 0; how < 3; how++) {
        open_announced(GET("/r") GET("/p"));
        seen.delay_ns = 30000000;
        expect_eagain();
        expect_output("");
        if (how == 0)
            stream_close(stream); /* the application has lost patience */
        else if (how == 1)
            stream_shutdown_write(stream);
        else
            stream_opaque(stream); /* and what follows is nobody's business any more */
        expect_output(ANSWER);
        if (how == 2)
            expect_read(GET("/p"));
        if (how)
            stream_close(stream);
        ck_assert_uint_eq(seen.cancelled, 0);
    }
}
END_TEST

START_TEST(who_cannot_wait_is_answered_at_once) {
    for (int how = 0; how < 3; how++) {
        open_announced(GET("/r") GET("/p"));
        seen.delay_ns = 30000000;
        if (how == 0)
            sim.notice = NOTICE_NONE;
        else if (how == 1)
            sim.ended = true;
        if (how == 2)
            ck_assert_int_eq(read_some(100, MSG_PEEK), (ssize_t)strlen(GET("/p")));
        expect_read(GET("/p"));
        expect_output(ANSWER);
        stream_close(stream);
    }
}
END_TEST

START_TEST(nobody_waits_unannounced) {
    open_announced(GET("/w"));
    sim.notice = NOTICE_NONE;
    seen.wait_ns = 30000000;
    seen.refuses_to_wait = true;
    expect_eagain();
    expect_output(ANSWER);
    ck_assert_uint_eq(seen.cancelled, 1);
    ck_assert_uint_eq(sim.low_water, 1);
    stream_close(stream);
}
END_TEST

START_TEST(cannot_wait_without_a_timer) {
    open_with(GET("/w"), strlen(GET("/w")));
    seen.wait_ns = 30000000;
    expect_read(GET("/w")); /* the policy has no answer to give: at once */
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 1);
    open_with(GET("/w") GET("/p"), strlen(GET("/w") GET("/p")));
    seen.wait_ns = 30000000;
    seen.refuses_to_wait = true;
    expect_read(GET("/p"));
    expect_output(ANSWER);
    ck_assert_uint_eq(seen.cancelled, 1);
}
END_TEST

START_TEST(waits_for_a_notice) {
    for (size_t at_first = 1; at_first <= strlen(GET("/w") GET("/r")); at_first++) {
        open_announced(GET("/w") GET("/r"));
        sim.arrived = at_first;
        seen.wait_ns = 30000000;
        expect_eagain();
        sim.arrived = sim.input_size;
        expect_eagain();
        ck_assert_uint_eq(stream_turn_ns(stream), sim.now_ns + 30000000);
        ck_assert_uint_eq(sim.announced_ns, sim.now_ns + 30000000);
        ck_assert_uint_eq(seen.judged, 1);
        sim.now_ns += 30000000;
        expect_read(GET("/w"));
        write_all(OK);
        if (sim_readable())
            expect_eagain();
        expect_output(OK ANSWER);
        stream_close(stream);
        ck_assert_uint_eq(seen.completed, 1);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------- many, and too many
 */

START_TEST(many_unanswered_are_held_back) {
    static char text[200 * 64];
    size_t size = 0, one = strlen(GET("/p"));
    for (int i = 0; i < 200; i++)
        size += (size_t)sprintf(text + size, GET("/p"));
    open_with(text, size);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(read_some(one, 0), (ssize_t)one);
    ck_assert_int_eq(read_some(one, 0), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_gt(sim.low_water, 1);
    sim.edge = false;
    for (int i = 0; i < 40; i++)
        write_all(OK);
    ck_assert_uint_eq(sim.low_water, 1);
    ck_assert(sim.edge);
    ck_assert_int_eq(read_some(one, 0), (ssize_t)one);
}
END_TEST

START_TEST(ten_thousand_in_one_read) {
    static char text[10000 * 32];
    size_t size = 0;
    for (int i = 0; i < 10000; i++)
        size += (size_t)sprintf(text + size, GET("/p"));
    open_with(text, size);
    ck_assert_int_gt(read_some(sizeof(buffer), 0), 0);
    ck_assert_uint_le(seen.passed, 1100);
    ck_assert_uint_eq(seen.cancelled, 1); /* what cannot be remembered is refused, not passed */
    ck_assert_uint_lt(simulated_memory_used, 300000);
    unsigned kept = seen.passed - seen.cancelled;
    for (unsigned i = 0; i < kept; i++)
        write_all(OK);
    ck_assert_uint_eq(seen.completed, kept);
    ck_assert(sim.shut_write);
    ck_assert(memmem(sim.output, sim.output_size, "503 Service Unavailable", 23) != NULL);
}
END_TEST

START_TEST(endless_head) {
    static char text[70000];
    int start = sprintf(text, "GET /r HTTP/1.1\r\nX: ");
    memset(text + start, 'x', sizeof(text) - (size_t)start);
    open_with(text, sizeof(text));
    for (sim.arrived = 100; sim.arrived < HTTP_HEAD_MAX; sim.arrived += 1000)
        expect_eagain();
    ck_assert_uint_le(simulated_memory_used, 65536);
    sim.arrived = sizeof(text);
    ck_assert_int_eq(read_some(sizeof(buffer), 0), (ssize_t)sizeof(text)); /* beyond 64 KiB it is no HTTP for us */
    ck_assert_uint_eq(seen.undecided, 1);
    ck_assert_uint_eq(simulated_memory_used, 0);
}
END_TEST

static void *take_nothing(size_t size) {
    (void)size;
    return NULL;
}

START_TEST(no_memory) {
    static const struct stream_memory none = {take_nothing, sim_give};
    static const char text[] = GET("/p") GET("/p2") GET("/r") "GET /half";
    open_with(text, sizeof(text) - 1);
    stream_open(stream, 3, &simulated_io, &policy, NULL, &none);
    expect_read(text); /* one can be remembered; from the next on all passes */
    ck_assert_uint_eq(seen.undecided, 1);
    write_all(OK OK OK);
    ck_assert_uint_eq(seen.completed, 1);
    expect_output(OK OK OK);
    stream_close(stream);

    open_with(text, sizeof(text) - 1);
    stream_open(stream, 3, &simulated_io, &policy, NULL, &none);
    sim.arrived = 5;
    ck_assert_int_eq(read_some(3, 0), 3); /* nowhere to keep half a head */
    expect_read(" /");
    ck_assert_uint_eq(seen.undecided, 1);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- smuggling,
 * H3 */

/* The application gets every byte as it is, and all of it counts as undecided; or nothing, and the client a 400. */
static void check_smuggling(const struct smuggling_case *c, size_t first, bool strict, unsigned judged) {
    size_t size = 0;
    static char got[1 << 16];
    open_with(c->bytes, c->size);
    seen.strict = strict;
    for (sim.arrived = first; sim.arrived <= c->size; sim.arrived++) {
        ssize_t step;
        while ((step = read_some(7, 0)) > 0) {
            memcpy(got + size, buffer, (size_t)step);
            size += (size_t)step;
        }
    }
    ck_assert_msg(seen.judged == judged, "%s: %u judged", c->name, seen.judged);
    ck_assert_msg(size <= c->size && memcmp(got, c->bytes, size) == 0, "%s: changed bytes", c->name);
    ck_assert_msg(strict ? seen.undecided == 0 : seen.undecided == 1, "%s: %u undecided", c->name, seen.undecided);
    ck_assert_msg(strict ? size < c->size - strlen(SMUGGLED) + 2 : size == c->size, "%s: %zu bytes", c->name, size);
    if (strict && !judged)
        ck_assert_msg(size == 0 && sim.output_size > 12 && memcmp(sim.output, "HTTP/1.1 400", 12) == 0, "%s", c->name);
    stream_close(stream);
}

START_TEST(ambiguous_heads) {
    const struct smuggling_case *c = &smuggling_heads[_i];
    for (size_t first = 1; first <= c->size; first++) {
        check_smuggling(c, first, false, 0);
        check_smuggling(c, first, true, 0);
    }
}
END_TEST

START_TEST(ambiguous_chunks) {
    const struct smuggling_case *c = &smuggling_chunks[_i];
    for (size_t first = 1; first <= c->size; first++) {
        check_smuggling(c, first, false, 1);
        check_smuggling(c, first, true, 1);
    }
}
END_TEST

START_TEST(forced_http_is_not_sniffed) {
    struct stream_policy forced = policy;
    forced.http_only = true;
    open_with("hello world\r\n", 13);
    stream_open(stream, 3, &simulated_io, &forced, NULL, &simulated_memory);
    seen.strict = true;
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert(sim.output_size > 12 && memcmp(sim.output, "HTTP/1.1 400", 12) == 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        no_extra_calls,
        fits_into_512_bytes,
        errors_are_the_kernels_own,
        foreign_protocols_pass,
        server_speaks_first,
        rejection_is_cut_out,
        rejection_at_once_when_nothing_is_in_flight,
        body_of_a_rejected_request_is_swallowed,
        long_body_ends_the_connection,
        long_chunked_body_ends_the_connection,
        broken_body_of_a_rejected_request,
        expect_continue_gets_the_final_status,
        http_1_0_is_closed,
        http_1_0_is_told_that_it_stays,
        nothing_but_rejections_ends_politely,
        a_flood_of_rejections_lets_others_on,
        an_admission_ends_the_streak,
        client_that_stays_after_our_close,
        phantom_byte,
        phantom_byte_of_sendfile,
        send_buffer_grows_twice_at_most,
        blocking_rejection_closes,
        blocking_rejection_behind_a_response,
        blocking_waits_for_a_head_with_bounds,
        receive_timeout,
        msg_dontwait_on_a_blocking_descriptor,
        msg_waitall,
        peek_shows_what_a_read_would_give,
        peek_of_a_partial_head,
        peek_at_the_end,
        trunc_throws_away,
        end_with_a_partial_head,
        reset_with_a_partial_head,
        readiness_of_a_completed_head,
        response_in_single_bytes,
        early_response,
        until_close,
        aborted,
        upgrade,
        refused_upgrade_stays_http,
        tunnel,
        response_that_is_none,
        waits_on_a_blocking_descriptor,
        leaving_client_gives_its_turn_back,
        cannot_wait_without_a_timer,
        waits_for_a_notice,
        answers_later_in_an_event_loop,
        answers_later_on_a_blocking_descriptor,
        answers_later_behind_a_response,
        an_answer_held_back_is_given_at_the_end,
        who_cannot_wait_is_answered_at_once,
        ended_client_is_not_made_to_wait,
        client_leaves_an_event_loop,
        closed_while_it_waits,
        turn_lasts_until_all_is_read,
        answered_before_its_turn,
        waiting_is_not_shown,
        blocking_reader_waits_later,
        nobody_waits_unannounced,
        many_unanswered_are_held_back,
        ten_thousand_in_one_read,
        endless_head,
        no_memory,
        forced_http_is_not_sniffed,
    };
    TCase *tcase = tcase_create("stream");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (int i = 0; i < COUNT(tests); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, ambiguous_heads, 0, COUNT(smuggling_heads));
    tcase_add_loop_test(tcase, ambiguous_chunks, 0, COUNT(smuggling_chunks));
    return suite_run("stream", tcase, NULL);
}
