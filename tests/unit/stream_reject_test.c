/* Streams: requests that are rejected, and answers that do not fit into a full send buffer. */
#include "tests/unit/stream_fixture.h"

/* -------------------------------------------------------------------------------------------------------- rejection */

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
    expect_read("GET /r");
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

/* ------------------------------------------------------------------------------------------------ full send buffers */

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
    sim_send("0123456789", 10);
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

/* --------------------------------------------------------------------------------------------- blocking descriptors */

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

/* Its thread does not sleep for the rest of a head longer than it would without us. */
START_TEST(a_blocking_reader_gets_what_there_is) {
    static const char text[] = GET("/r");
    for (size_t first = 1; first < sizeof(text) - 1; first++) {
        open_with(text, sizeof(text) - 1);
        sim.arrived = first;
        sim.nonblocking = false;
        ck_assert_int_eq(read_some(100, 0), (ssize_t)first);
        sim.arrived = sizeof(text) - 1;
        ck_assert_int_eq(read_some(100, 0), -1);
        ck_assert_int_eq(errno, ECONNRESET);
        ck_assert_uint_eq(seen.judged, 1);
        ck_assert_uint_eq(seen.undecided, 0);
        expect_output(ANSWER_CLOSE);
        stream_close(stream);
    }
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
    static const char text[] = GET("/r");
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

/* Another thread reads while one is in its call, and what it reads is refused. */
static bool first_is_in;
static ssize_t recv_after_another(struct channel *channel, void *bytes, size_t size, int flags) {
    char others[200];
    struct iovec iov = {others, sizeof(others)};
    if (!first_is_in) {
        first_is_in = true;
        ck_assert_int_eq(stream_read(stream, &iov, 1, 0), -1);
        sim.arrived = sim.input_size;
    }
    return sim_recv(channel, bytes, size, flags);
}

START_TEST(refused_by_another_reader) {
    static const char last[] = "GET /r HTTP/1.1\r\nConnection: close\r\n\r\n",
                      all[] = "GET /r HTTP/1.1\r\nConnection: close\r\n\r\n" GET("/p");
    static struct channel_ops ops;
    static struct channel channel = {.ops = &ops, .fd = 3};
    ops = simulated_ops;
    ops.recv = recv_after_another;
    open_with(all, sizeof(all) - 1);
    stream_open(stream, &channel, &policy, NULL, &simulated_memory);
    sim.arrived = sizeof(last) - 1;
    first_is_in = false;
    expect_eagain();
    ck_assert_ptr_null(memmem(buffer, 100, "GET", 3));
    ck_assert_uint_eq(seen.judged, 1);
    expect_output(ANSWER_CLOSE);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        refused_by_another_reader,
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
        a_blocking_reader_gets_what_there_is,
        receive_timeout,
        msg_dontwait_on_a_blocking_descriptor,
        msg_waitall,
    };
    TCase *tcase = tcase_create("stream_reject");
    return stream_suite(tcase, tests, COUNT(tests));
}
