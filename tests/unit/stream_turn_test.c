/* Streams: requests that wait for their turn, and answers that come later. */
#include "tests/unit/stream_fixture.h"

/* --------------------------------------------------------------------------------------------------------- queueing */

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

int main(void) {
    const TTest *const tests[] = {
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
    };
    TCase *tcase = tcase_create("stream_turn");
    return stream_suite(tcase, tests, COUNT(tests));
}
