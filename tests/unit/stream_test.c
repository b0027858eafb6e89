/* Streams: what passes, how it is read, how responses are followed, and what is too much or ambiguous. */
#include "tests/smuggling.h"
#include "tests/unit/stream_fixture.h"

/* ----------------------------------------------------------------------------------------------- what passes, costs */

START_TEST(no_extra_calls) {
    open_with(GET("/p"), strlen(GET("/p")));
    expect_read(GET("/p"));
    write_all(OK);
    ck_assert_uint_eq(sim.calls, 2);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_uint_eq(seen.status, 200);
}
END_TEST

START_TEST(fits_into_its_units) {
    ck_assert_uint_le(stream_size(), 416);
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

/* Some servers overlook any number of empty lines before a request (nginx, node). */
START_TEST(empty_lines_hide_no_request) {
    static const size_t pieces[] = {7, 1000, MESSAGE_HEAD_MAX, sizeof(buffer)};
    static char input[2 * MESSAGE_HEAD_MAX + 100];
    for (size_t count = MESSAGE_HEAD_MAX / 2 - 1; count <= MESSAGE_HEAD_MAX; count += MESSAGE_HEAD_MAX / 4) {
        for (int i = 0; i < COUNT(pieces) * 4; i++) {
            size_t blanks = 2 * count, piece = pieces[i / 4], size = blanks + strlen(GET("/r"));
            for (size_t n = 0; n < blanks; n++)
                input[n] = "\r\n"[n % 2];
            memcpy(input + blanks, GET("/r"), strlen(GET("/r")));
            open_with(input, size);
            sim.arrived = blanks + (size_t)(i % 4) - 1; /* without the last LF … with two bytes of the request */
            for (ssize_t got; (got = read_some(piece, 0)) > 0 || sim.arrived < size; sim.arrived = size)
                ck_assert(got <= 0 || !memmem(buffer, (size_t)got, "x\r\n\r\n", 5));
            ck_assert_uint_eq(seen.rejected, 1);
            ck_assert_uint_eq(seen.undecided, 0);
            ck_assert(sim.output_size >= strlen(ANSWER) && memcmp(sim.output, ANSWER, 20) == 0);
            stream_close(stream);
        }
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

/* ------------------------------------------------------------------------------------------------------ odd reading */

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

/* All of it but its end, once it is decided that too. */
START_TEST(peek_of_a_partial_head) {
    for (size_t handed_over = 0; handed_over < 8; handed_over++) {
        open_with(GET("/p"), strlen(GET("/p")));
        sim.arrived = 8;
        if (handed_over)
            ck_assert_int_eq(read_some(handed_over, 0), (ssize_t)handed_over);
        ck_assert_int_eq(read_some(100, MSG_PEEK), 8 - (ssize_t)handed_over);
        sim.arrived = strlen(GET("/p"));
        ck_assert_int_eq(read_some(100, MSG_PEEK), (ssize_t)(strlen(GET("/p")) - handed_over));
        ck_assert_uint_eq(seen.judged, 1);
        expect_read(&GET("/p")[handed_over]);
        ck_assert_uint_eq(seen.judged, 1);
        stream_close(stream);
    }
}
END_TEST

START_TEST(peek_of_a_refused_head) {
    for (size_t handed_over = 0; handed_over < 8; handed_over++) {
        open_with(GET("/r") GET("/p"), strlen(GET("/r") GET("/p")));
        sim.arrived = 8;
        if (handed_over)
            ck_assert_int_eq(read_some(handed_over, 0), (ssize_t)handed_over);
        sim.arrived = sim.input_size;
        ssize_t shown = read_some(100, MSG_PEEK);
        ck_assert_int_eq(shown, handed_over ? -1 : (ssize_t)strlen(GET("/p")));
        if (handed_over)
            ck_assert_int_eq(errno, ECONNRESET);
        expect_output(handed_over ? ANSWER_CLOSE : ANSWER);
        stream_close(stream);
    }
}
END_TEST

START_TEST(peek_at_the_end) {
    open_with("GET ", 4);
    sim.ended = true;
    ck_assert_int_eq(read_some(100, MSG_PEEK), 4);
    expect_read("GET ");
    ck_assert_int_eq(read_some(100, MSG_PEEK), 0); /* not known to be a request */
    stream_close(stream);
    open_with("GET /", 5);
    sim.ended = true;
    expect_read("GET /");
    ck_assert_int_eq(read_some(100, MSG_PEEK), -1);
    ck_assert_int_eq(errno, ECONNRESET);
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

/* An end of the stream is the end of the head to some applications. */
START_TEST(end_with_a_partial_head) {
    open_with("GET /r HTTP/1.1\r\n", 17);
    sim.ended = true;
    ck_assert_int_eq(read_some(5, 0), 5);
    ck_assert_int_eq(read_some(50, 0), 12);
    for (int times = 0; times < 2; times++) {
        ck_assert_int_eq(read_some(50, 0), -1);
        ck_assert_int_eq(errno, ECONNRESET);
    }
    ck_assert_uint_eq(seen.judged, 0);
    ck_assert_uint_eq(sim.output_size, 0);
}
END_TEST

/* Behind a request some clients send an empty line. */
START_TEST(end_behind_an_empty_line) {
    open_with(GET("/p") "\r\n", strlen(GET("/p") "\r\n"));
    sim.ended = true;
    expect_read(GET("/p") "\r\n");
    ck_assert_int_eq(read_some(50, 0), 0);
    write_all(OK);
    expect_output(OK);
}
END_TEST

/* What may be no request at all is with the application at once. */
START_TEST(nothing_is_kept_that_is_no_head) {
    static const char *const pieces[][4] = {{" \n", "get x\r\n"},
                                            {"\r\n", "\r\n", "root\r\n"},
                                            {"GET / HTTP/1.0\r\n", "version\r\n"},
                                            {"set a 0 0 3\r\n", "GET", " /", "\r\n"},
                                            {"PRI", " * HTTP/2.0\r\n\r\n", "SM\r\n\r\n"}};
    for (int i = 0; i < COUNT(pieces); i++) {
        char text[100] = "";
        for (int piece = 0; piece < 4 && pieces[i][piece]; piece++)
            strcat(text, pieces[i][piece]);
        open_with(text, strlen(text));
        sim.arrived = 0;
        for (int piece = 0; piece < 4 && pieces[i][piece]; piece++) {
            sim.arrived += strlen(pieces[i][piece]);
            expect_read(pieces[i][piece]);
        }
        ck_assert_uint_eq(seen.judged, 0);
        stream_close(stream);
    }
}
END_TEST

START_TEST(what_is_no_request_behind_one_is_not_kept) {
    open_with(GET("/p") "nonsense\r\n", strlen(GET("/p") "nonsense\r\n"));
    expect_read(GET("/p") "nonsense\r\n");
    write_all(OK "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(seen.undecided, 1);
    ck_assert_uint_eq(seen.completed, 1);
}
END_TEST

/* A line without a version is a whole request to some servers. */
START_TEST(http_0_9) {
    static const char *const lines[] = {"GET /r\r\n", "GET /r\n", "GET /r \r\n", "\r\nGET /r\r\n"};
    for (int i = 0; i < COUNT(lines); i++)
        for (size_t first = 1; first <= strlen(lines[i]); first++) {
            bool split = first < strlen(lines[i]);
            open_with(lines[i], strlen(lines[i]));
            sim.arrived = first;
            ck_assert_int_eq(read_some(100, 0), split ? (ssize_t)first : -1);
            sim.arrived = sim.input_size;
            ck_assert_int_eq(read_some(100, 0), -1);
            ck_assert_int_eq(errno, split ? ECONNRESET : EAGAIN);
            ck_assert_uint_eq(seen.rejected, 1);
            expect_output(ANSWER_CLOSE);
            stream_close(stream);
        }
    open_with("GET /p\r\nGET /p2\r\n", 17);
    expect_read("GET /p\r\nGET /p2\r\n");
    write_all("<p>no head</p>");
    ck_assert_uint_eq(seen.judged, 2);
    ck_assert_uint_eq(seen.completed, 2);
    ck_assert_uint_eq(seen.status, 0); /* of the second: the response to the first ends the connection */
    write_all("<p>more</p>");
    expect_output("<p>no head</p><p>more</p>");
}
END_TEST

/* Programs that answer whatever one read brought. */
START_TEST(acting_early_is_counted) {
    open_with(GET("/p"), strlen(GET("/p")));
    sim.arrived = 20;
    ck_assert_int_eq(read_some(100, 0), 20);
    write_all(OK);
    ck_assert_uint_eq(seen.early, 1);
    stream_close(stream);
    open_with(GET("/p"), strlen(GET("/p")));
    sim.arrived = 20;
    ck_assert_int_eq(read_some(100, 0), 20);
    write_all("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(seen.early, 0);
}
END_TEST

START_TEST(reset_with_a_partial_head) {
    open_with("GET /r HTTP/1.1\r\n", 17);
    sim.ended = sim.reset = true;
    expect_read("GET /r HTTP/1.1\r\n");
    ck_assert_int_eq(read_some(50, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* The kernel's reports are the truth: nothing is kept of a head that is admitted. */
START_TEST(readiness_of_a_completed_head) {
    static const char text[] = GET("/p");
    open_with(text, sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        ck_assert_msg(sim_readable(), "byte %zu", i);
        ck_assert_int_eq(read_some(1, 0), 1);
        ck_assert_int_eq(buffer[0], text[i]);
        ck_assert_uint_eq(seen.judged, i == sizeof(text) - 2);
    }
    ck_assert(!sim_readable());
    ck_assert_uint_eq(simulated_memory_used, 0);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- responses */

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

/* Half a head comes with the request before it, whose response has more behind it than was asked for: that is no answer
 * to the half, which is judged when it is whole. */
START_TEST(half_a_head_behind_a_sloppy_response) {
    static const struct {
        const char *request, *head, *more;
    } cases[] = {
        {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", "\n"},
        {"HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello"},
        {"HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/"},
        {GET("/p"), OK, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {GET("/p"), "HTTP/1.1 204 No\r\n\r\n", "\r\n"},
    };
    for (int n = 0; n < 2 * COUNT(cases); n++) {
        int i = n / 2;
        char text[200];
        int size = snprintf(text, sizeof(text), "%s%s", cases[i].request, GET("/r"));
        size_t first = strlen(cases[i].request) + 6;
        open_with(text, (size_t)size);
        seen.strict = n % 2 ? STREAM_REJECT : STREAM_DEFEND;
        sim.arrived = first;
        ck_assert_int_eq(read_some(1000, 0), (ssize_t)first);
        write_all(cases[i].head);
        write_all(cases[i].more);
        sim.arrived = (size_t)size;
        ck_assert_int_le(read_some(1000, 0), 0);
        ck_assert_uint_eq(seen.judged, 2);
        ck_assert_uint_eq(seen.rejected, 1);
        ck_assert_uint_eq(seen.completed, 1);
        stream_close(stream);
    }
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

/* ----------------------------------------------------------------------------------------------- many, and too many */

START_TEST(many_unanswered_are_held_back) {
    static char text[200 * 64];
    size_t size = 0, one = strlen(GET("/p"));
    for (int i = 0; i < 200; i++)
        size += (size_t)sprintf(text + size, GET("/p"));
    open_announced(text, size);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(read_some(one, 0), (ssize_t)one);
    ck_assert_int_eq(read_some(one, 0), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert(!sim_readable());
    ck_assert(stream_turn_ns(stream) == CHANNEL_SILENT);
    sim.edge = false;
    for (int i = 0; i < 40; i++)
        write_all(OK);
    ck_assert(sim_readable());
    ck_assert(sim.edge);
    ck_assert_int_eq(read_some(one, 0), (ssize_t)one);
}
END_TEST

/* The most that one connection may have unanswered; the rest of what was read comes when these are answered. */
START_TEST(thousands_in_one_read) {
    static char text[3000 * 32];
    size_t size = 0, one = strlen(GET("/p")), total = 0;
    for (int i = 0; i < 3000; i++)
        size += (size_t)sprintf(text + size, GET("/p"));
    open_announced(text, size);
    for (unsigned answered = 0; answered < 3000;) {
        ssize_t got = read_some(sizeof(buffer), 0);
        if (got > 0)
            total += (size_t)got;
        ck_assert_uint_le(seen.passed - answered, 512 + 64);
        ck_assert_uint_gt(seen.passed, answered);
        while (answered < seen.passed && answered < total / one) {
            write_all(OK);
            answered++;
        }
    }
    ck_assert_uint_eq(total, size);
    ck_assert_uint_eq(seen.completed, 3000);
    ck_assert(!sim.shut_write);
    ck_assert_uint_eq(stream_turn_ns(stream), 0);
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
    ssize_t got;
    for (sim.arrived = 100; sim.arrived < MESSAGE_HEAD_MAX; sim.arrived += 1000)
        ck_assert_int_gt(read_some(sizeof(buffer), 0), 0);
    ck_assert_uint_le(simulated_memory_used, MESSAGE_HEAD_MAX);
    sim.arrived = sizeof(text);
    while ((got = read_some(sizeof(buffer), 0)) > 0)
        ;
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_uint_eq(seen.judged + seen.undecided, 0);
    ck_assert(memmem(sim.output, sim.output_size, "HTTP/1.1 431 ", 13) == sim.output);
    ck_assert(sim.shut_write);
    ck_assert_uint_eq(simulated_memory_used, 0);
    stream_close(stream);
    open_with(text, sizeof(text)); /* in one piece */
    ck_assert_int_eq(read_some(sizeof(buffer), 0), -1);
    ck_assert(memmem(sim.output, sim.output_size, "HTTP/1.1 431 ", 13) == sim.output);
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
    stream_open(stream, &simulated_channel, &policy, NULL, &none);
    expect_read(text); /* one can be remembered; from the next on all passes */
    ck_assert_uint_eq(seen.undecided, 1);
    write_all(OK OK OK);
    ck_assert_uint_eq(seen.completed, 1);
    expect_output(OK OK OK);
    stream_close(stream);

    open_with(text, sizeof(text) - 1);
    stream_open(stream, &simulated_channel, &policy, NULL, &none);
    sim.arrived = 5;
    ck_assert_int_eq(read_some(3, 0), 3); /* nowhere to keep half a head */
    expect_read(" /");
    ck_assert_uint_eq(seen.undecided, 1);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- smuggling,
 * H3 */

/* The application gets every byte as it is, and all of it counts as undecided; or nothing, and the client a 400 (505: a
 * version that is not spoken). */
static void check_smuggling(const struct smuggling_case *c, size_t first, enum stream_strictness how, unsigned judged) {
    bool strict = how != STREAM_OPAQUE;
    size_t size = 0;
    static char got[1 << 16];
    open_with(c->bytes, c->size);
    seen.strict = how;
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
    ck_assert_msg(seen.malformed == strict, "%s: %u malformed", c->name, seen.malformed);
    bool version = memmem(c->bytes, c->size, " HTTP/0.", 8) || memmem(c->bytes, c->size, " HTTP/2.", 8);
    const char *answer = version ? "HTTP/1.1 505" : "HTTP/1.1 400";
    if (strict && !judged)
        ck_assert_msg(sim.output_size > 12 && memcmp(sim.output, answer, 12) == 0, "%s", c->name);
    stream_close(stream);
}

START_TEST(ambiguous_heads) {
    const struct smuggling_case *c = &smuggling_heads[_i];
    for (size_t first = 1; first <= c->size; first++)
        for (enum stream_strictness how = STREAM_OPAQUE; how <= STREAM_DEFEND; how++)
            check_smuggling(c, first, how, 0);
}
END_TEST

/* What is only odd is judged, where that is wished, and so is what is behind it. */
START_TEST(odd_heads) {
    const struct smuggling_case *c = &smuggling_odd[_i];
    struct message head;
    ck_assert_int_eq(http1_request(c->bytes, c->size, 0, &head), PARSED_DONE);
    for (size_t first = 1; first <= c->size; first++) {
        if (head.odd) {
            check_smuggling(c, first, STREAM_OPAQUE, 0);
            check_smuggling(c, first, STREAM_REJECT, 0);
        }
        open_with(c->bytes, c->size);
        seen.strict = STREAM_DEFEND;
        size_t size = 0;
        for (sim.arrived = first; sim.arrived <= c->size; sim.arrived++)
            for (ssize_t step; (step = read_some(7, 0)) > 0; size += (size_t)step)
                ck_assert(memcmp(buffer, c->bytes + size, (size_t)step) == 0);
        ck_assert_msg(size == c->size && seen.judged == 2, "%s: %zu bytes, %u judged", c->name, size, seen.judged);
        ck_assert_msg(!seen.undecided && !seen.malformed && !sim.output_size, "%s", c->name);
        stream_close(stream);
    }
}
END_TEST

START_TEST(ambiguous_chunks) {
    const struct smuggling_case *c = &smuggling_chunks[_i];
    for (size_t first = 1; first <= c->size; first++)
        for (enum stream_strictness how = STREAM_OPAQUE; how <= STREAM_DEFEND; how++)
            check_smuggling(c, first, how, 1);
}
END_TEST

START_TEST(forced_http_is_not_sniffed) {
    struct stream_policy forced = policy;
    forced.protocol = &http1;
    open_with("hello world\r\n", 13);
    stream_open(stream, &simulated_channel, &forced, NULL, &simulated_memory);
    seen.strict = STREAM_REJECT;
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert(sim.output_size > 12 && memcmp(sim.output, "HTTP/1.1 400", 12) == 0);
}
END_TEST

/* Responses that cannot be followed make no connection unlimited: HEAD with a body, more than was asked for, nonsense.
 * What passed counts as outstanding until the next request comes. */
START_TEST(lost_responses_leave_requests_judged) {
    static const char *const responses[] = {OK "and more", "nonsense\n\n", "HTTP/1.1 204 No\r\n\r\nbody",
                                            "ICY 200 OK\r\n\r\n"};
    static const char text[] = GET("/p") GET("/p2") GET("/p3") GET("/r") GET("/p4");
    for (int i = 0; i < COUNT(responses); i++)
        for (int round = 0; round < 4; round++) {
            bool head = round % 2;
            open_with(text, sizeof(text) - 1);
            seen.strict = round < 2 ? STREAM_DEFEND : STREAM_REJECT;
            sim.arrived = strlen(GET("/p"));
            expect_read(GET("/p"));
            write_all(responses[i]);
            ck_assert_uint_eq(seen.completed, 1);
            sim.arrived += strlen(GET("/p2")) - (head ? 5 : 0);
            ck_assert_int_gt(read_some(65536, 0), 0);
            write_all(OK);
            sim.arrived = strlen(GET("/p") GET("/p2") GET("/p3"));
            ck_assert_int_gt(read_some(65536, 0), 0);
            ck_assert_uint_eq(seen.judged, 3);
            ck_assert_uint_eq(seen.completed, 2);
            write_all(OK);
            sim.arrived = sim.input_size;
            ck_assert_int_eq(read_some(65536, 0), 0);
            ck_assert_uint_eq(seen.rejected, 1);
            ck_assert_uint_eq(seen.judged, 4);
            ck_assert_uint_eq(seen.undecided, 0);
            stream_close(stream);
            ck_assert_uint_eq(seen.completed, 3);
        }
}
END_TEST

/* With an injected response in line nothing more is taken. */
START_TEST(lost_with_our_answer_in_line) {
    open_with(GET("/p") GET("/r") GET("/p2"), strlen(GET("/p") GET("/r")));
    seen.strict = STREAM_DEFEND;
    expect_read(GET("/p"));
    write_all("nonsense\n\n");
    sim.input_size = sim.arrived = strlen(GET("/p") GET("/r") GET("/p2"));
    ck_assert_int_le(read_some(65536, 0), 0);
    ck_assert_uint_eq(seen.judged, 2);
}
END_TEST

/* Whether a CONNECT was understood shows in what the client sends then. */
START_TEST(connect_to_a_sloppy_server) {
    static const char *const answers[] = {OK, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello"};
#define CONNECT_X "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"
    for (int n = 0; n < 2 * COUNT(answers); n++) {
        open_with(CONNECT_X GET("/p") GET("/r"), strlen(CONNECT_X GET("/p") GET("/r")));
        seen.strict = n % 2 ? STREAM_REJECT : STREAM_DEFEND;
        sim.arrived = strlen(CONNECT_X);
        expect_read(CONNECT_X);
        write_all(answers[n / 2]);
        write_all("tail");
        sim.arrived += strlen(GET("/p"));
        expect_read(GET("/p"));
        write_all(OK);
        ck_assert_uint_eq(seen.completed, 2);
        sim.arrived = sim.input_size;
        ck_assert_int_eq(read_some(65536, 0), -1);
        ck_assert_uint_eq(seen.judged, 3);
        ck_assert_uint_eq(seen.rejected, 1);
        stream_close(stream);
    }
    open_with(CONNECT_X "\x16\x03\x01 GET /r", strlen(CONNECT_X) + 10);
    seen.strict = STREAM_DEFEND;
    sim.arrived = strlen(CONNECT_X);
    expect_read(CONNECT_X);
    write_all("HTTP/1.1 200 OK\r\n\r\n");
    write_all("220 hello\r\n");
    sim.arrived = sim.input_size;
    expect_read("\x16\x03\x01 GET /r");
    ck_assert_uint_eq(seen.malformed + seen.undecided, 0);
}
END_TEST

/* HTTP/0.9 and lines that are no request: judged or passed as first bytes, refused once it is HTTP for certain. */
START_TEST(lines_of_a_known_protocol) {
    open_with("get /key\r\nGET /p\r\n", 18);
    seen.strict = STREAM_DEFEND;
    expect_read("get /key\r\nGET /p\r\n");
    ck_assert_uint_eq(seen.judged + seen.malformed + seen.undecided, 0);
    stream_close(stream);
    open_with("GET /key\r\nquit\n", 15);
    seen.strict = STREAM_DEFEND;
    sim.arrived = 10;
    expect_read("GET /key\r\n");
    write_all("$-1\r\n"); /* what answers so is no server of HTTP */
    sim.arrived = 15;
    expect_read("quit\n");
    ck_assert_uint_eq(seen.judged, 1);
    ck_assert_uint_eq(seen.malformed, 0);
    stream_close(stream);
    open_with("GET /key\r\nquit\n", 15);
    seen.strict = STREAM_DEFEND;
    sim.arrived = 10;
    expect_read("GET /key\r\n");
    write_all(OK);
    sim.arrived = 15;
    ck_assert_int_le(read_some(100, 0), 0);
    ck_assert_uint_eq(seen.malformed, 1);
    stream_close(stream);
    open_with("GET /p \r\nHost: x\r\n\r\n" GET("/r"), strlen("GET /p \r\nHost: x\r\n\r\n" GET("/r")));
    seen.strict = STREAM_DEFEND; /* some servers read headers behind a line without a version */
    expect_read("GET /p \r\n");
    ck_assert_uint_eq(seen.judged, 1);
    ck_assert_uint_eq(seen.malformed, 1);
    stream_close(stream);
    static const char *const second[] = {"get /key\r\n", "GET /p2\r\n", "hello\r\n", "\x16\x03\x01\n"};
    for (int i = 0; i < COUNT(second); i++) {
        char text[100];
        open_with(text, (size_t)sprintf(text, "%s%s", GET("/p"), second[i]));
        seen.strict = STREAM_DEFEND;
        ck_assert_int_eq(read_some(65536, 0), (ssize_t)strlen(GET("/p")));
        ck_assert_uint_eq(seen.malformed, 1);
        write_all(OK);
        expect_output(OK "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream_close(stream);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        no_extra_calls,
        fits_into_its_units,
        lost_responses_leave_requests_judged,
        lost_with_our_answer_in_line,
        connect_to_a_sloppy_server,
        lines_of_a_known_protocol,
        errors_are_the_kernels_own,
        foreign_protocols_pass,
        empty_lines_hide_no_request,
        server_speaks_first,
        peek_shows_what_a_read_would_give,
        peek_of_a_partial_head,
        peek_of_a_refused_head,
        peek_at_the_end,
        trunc_throws_away,
        end_with_a_partial_head,
        end_behind_an_empty_line,
        nothing_is_kept_that_is_no_head,
        what_is_no_request_behind_one_is_not_kept,
        http_0_9,
        acting_early_is_counted,
        reset_with_a_partial_head,
        readiness_of_a_completed_head,
        response_in_single_bytes,
        early_response,
        until_close,
        aborted,
        upgrade,
        refused_upgrade_stays_http,
        tunnel,
        half_a_head_behind_a_sloppy_response,
        response_that_is_none,
        many_unanswered_are_held_back,
        thousands_in_one_read,
        ten_thousand_in_one_read,
        endless_head,
        no_memory,
        forced_http_is_not_sniffed,
    };
    TCase *tcase = tcase_create("stream");
    tcase_add_loop_test(tcase, odd_heads, 0, COUNT(smuggling_odd));
    tcase_add_loop_test(tcase, ambiguous_heads, 0, COUNT(smuggling_heads));
    tcase_add_loop_test(tcase, ambiguous_chunks, 0, COUNT(smuggling_chunks));
    return stream_suite(tcase, tests, COUNT(tests));
}
