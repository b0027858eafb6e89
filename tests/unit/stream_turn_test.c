/* Streams: requests that wait for their turn, and answers that come later. */
#include "tests/unit/stream_fixture.h"

/* --------------------------------------------------------------------------------------------------------- queueing */

START_TEST(waits_on_a_blocking_descriptor) {
    for (size_t first = 0; first < strlen(GET("/w")); first++) {
        open_announced(GET("/w"), strlen(GET("/w")));
        sim.notice = NOTICE_NEEDED;
        sim.nonblocking = false;
        seen.wait_ns = 30000000;
        uint64_t before = sim.now_ns;
        if (first) { /* handed over before the rest came */
            sim.arrived = first;
            ck_assert_int_eq(read_some(100, 0), (ssize_t)first);
            sim.arrived = sim.input_size;
        }
        if (first < strlen(GET("/w")) - 1)
            ck_assert_int_eq(read_some(100, 0), (ssize_t)(strlen(GET("/w")) - 1 - first));
        ck_assert_uint_eq(sim.now_ns, before);
        expect_read("\n");
        ck_assert_uint_eq(sim.now_ns - before, 30000000);
        write_all(OK);
        ck_assert_uint_eq(seen.completed, 1);
        stream_close(stream);
    }
}
END_TEST

/* MSG_WAITALL: the call itself sleeps until the turn has come. */
START_TEST(waits_for_all) {
    for (int first = 0; first < 2; first++) {
        open_announced(GET("/w") "more", strlen(GET("/w") "more"));
        sim.notice = NOTICE_NEEDED;
        sim.nonblocking = false;
        sim.arrived = first ? 10 : sim.input_size;
        seen.wait_ns = 30000000;
        uint64_t before = sim.now_ns;
        ck_assert_int_eq(read_some(strlen(GET("/w")) + 2, MSG_WAITALL), (ssize_t)strlen(GET("/w")) + 2);
        ck_assert(memcmp(buffer, GET("/w") "mo", strlen(GET("/w")) + 2) == 0);
        ck_assert_uint_eq(sim.now_ns - before, 30000000);
        expect_read("re");
        stream_close(stream);
    }
}
END_TEST

START_TEST(all_may_end_within_a_head) {
    open_announced(GET("/p") GET("/p"), strlen(GET("/p") GET("/p")));
    sim.nonblocking = false;
    ck_assert_int_eq(read_some(strlen(GET("/p")) + 5, MSG_WAITALL), (ssize_t)strlen(GET("/p")) + 5);
    expect_read(&GET("/p")[5]);
    ck_assert_uint_eq(seen.judged, 2);
}
END_TEST

START_TEST(client_leaves_who_waits_for_all) {
    open_announced(GET("/w"), strlen(GET("/w")));
    sim.nonblocking = false;
    sim.leaves = true;
    seen.wait_ns = 30000000;
    ck_assert_int_eq(read_some(strlen(GET("/w")), MSG_WAITALL), (ssize_t)strlen(GET("/w")) - 1);
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_uint_eq(seen.cancelled, 1);
}
END_TEST

/* A read gives all of this but for its last byte. */
static void expect_short(const char *head) {
    ck_assert_int_eq(read_some(65536, 0), (ssize_t)strlen(head) - 1);
    ck_assert(memcmp(buffer, head, strlen(head) - 1) == 0);
}

START_TEST(leaving_client_gives_its_turn_back) {
    open_announced(GET("/w"), strlen(GET("/w")));
    sim.notice = NOTICE_NEEDED;
    sim.nonblocking = false;
    sim.leaves = true;
    seen.wait_ns = 30000000;
    expect_short(GET("/w"));
    ck_assert_int_eq(read_some(100, 0), -1); /* an end of the stream could be taken for the head's */
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_uint_eq(seen.cancelled, 1);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 0);
}
END_TEST

START_TEST(ended_client_is_not_made_to_wait) {
    for (int blocking = 0; blocking < 2; blocking++) {
        open_announced(GET("/w"), strlen(GET("/w")));
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
    open_announced(GET("/w") GET("/p"), strlen(GET("/w") GET("/p")));
    seen.wait_ns = 30000000;
    expect_short(GET("/w"));
    sim.ended = true;
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_uint_eq(seen.cancelled, 1);
    ck_assert_uint_eq(sim.announced_ns, 0);
    ck_assert_uint_eq(seen.judged, 1); /* what it sent behind is not looked at any more */
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 0);
}
END_TEST

/* With a rejection, if that has its place. */
START_TEST(closed_while_it_waits) {
    static const char rejection[] = "HTTP/1.1 503 ";
    for (int how = 0; how < 6; how++) {
        bool behind = how & 1;
        open_announced(behind ? GET("/p") GET("/w") : GET("/w"), strlen(behind ? GET("/p") GET("/w") : GET("/w")));
        seen.wait_ns = 30000000;
        expect_short(behind ? GET("/p") GET("/w") : GET("/w"));
        ck_assert_uint_ne(sim.announced_ns, 0);
        if (how / 2 == 1)
            ck_assert_int_eq(stream_last_words(stream), !behind);
        else if (how / 2 == 2)
            stream_shutdown_write(stream);
        stream_close(stream);
        ck_assert_uint_eq(seen.cancelled, 1);
        ck_assert_uint_eq(seen.completed, behind);
        ck_assert_uint_eq(seen.aborted, behind);
        ck_assert_uint_eq(sim.announced_ns, 0);
        ck_assert_int_eq(sim.output_size > sizeof(rejection) && !memcmp(sim.output, rejection, sizeof(rejection) - 1),
                         !behind);
    }
}
END_TEST

START_TEST(turn_lasts_until_all_is_read) {
    static const char text[] = GET("/w") GET("/p") GET("/w") "GET /p";
    open_announced(text, sizeof(text) - 1);
    seen.wait_ns = 30000000;
    expect_short(GET("/w"));
    expect_eagain();
    uint64_t turn_ns = sim.now_ns += seen.wait_ns;
    ck_assert_uint_eq(stream_turn_ns(stream), turn_ns);
    size_t size = strlen("\n" GET("/p") GET("/w")) - 1;
    for (size_t n = 0; n < size; n++) {
        ck_assert_int_eq(read_some(1, 0), 1);
        ck_assert_uint_ne(sim.announced_ns, 0);
        if (n < size - 1)
            ck_assert_uint_le(stream_turn_ns(stream), sim.now_ns);
    }
    expect_eagain(); /* the next one waits, too */
    ck_assert_uint_eq(sim.announced_ns, turn_ns + seen.wait_ns);
    sim.now_ns += seen.wait_ns;
    expect_read("\nGET /p");
    ck_assert_uint_eq(sim.announced_ns, 0); /* from here on the kernel knows */
    ck_assert_uint_eq(stream_turn_ns(stream), 0);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 3);
}
END_TEST

/* A forked child: what was announced, was announced to its parent. */
START_TEST(goes_on_in_a_child) {
    open_announced(GET("/w") GET("/p"), strlen(GET("/w") GET("/p")));
    seen.wait_ns = 30000000;
    expect_short(GET("/w"));
    uint64_t turn_ns = sim.announced_ns;
    sim.announced_ns = 0;
    stream_adopt(stream);
    ck_assert_uint_eq(sim.announced_ns, turn_ns);
    expect_eagain();
    sim.now_ns = turn_ns;
    ck_assert_int_eq(read_some(1, 0), 1);
    sim.announced_ns = 0;
    stream_adopt(stream);
    ck_assert_uint_eq(sim.announced_ns, turn_ns); /* more is to be had than the kernel knows */
    expect_read(GET("/p"));
    ck_assert_uint_eq(sim.announced_ns, 0);
    stream_adopt(stream);
    ck_assert_uint_eq(sim.announced_ns, 0);
}
END_TEST

/* An application that loses patience with a request of which it has but the end. */
START_TEST(answered_before_its_turn) {
    static const char timeout[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for (int early = 0; early < 2; early++) {
        open_announced(GET("/w"), strlen(GET("/w")));
        seen.wait_ns = 30000000;
        expect_short(GET("/w"));
        write_all(early ? OK : timeout);
        expect_output(early ? OK : timeout);
        ck_assert_uint_eq(seen.completed, 1);
        ck_assert_uint_eq(seen.early, early);
        sim.ended = true;
        while (read_some(100, 0) > 0)
            ;
        stream_close(stream);
        ck_assert_uint_eq(seen.completed, 1);
        ck_assert_uint_eq(seen.cancelled, 0);
    }
}
END_TEST

START_TEST(waiting_is_not_shown) {
    open_announced(GET("/w"), strlen(GET("/w")));
    seen.wait_ns = 30000000;
    expect_short(GET("/w"));
    ck_assert_int_eq(read_some(100, MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(stream_readable(stream), 0);
    sim.now_ns += seen.wait_ns;
    ck_assert_int_eq(read_some(100, MSG_PEEK), 1);
    ck_assert_uint_eq(stream_readable(stream), 1);
    expect_read("\n");
    stream_close(stream);
}
END_TEST

/* A thread that reads what came together with it first, and sleeps in its next read; one that turns out not to sleep
 * is not left alone. */
START_TEST(blocking_reader_waits_later) {
    for (int turns_over = 0; turns_over < 2; turns_over++) {
        open_announced(GET("/p") GET("/w"), strlen(GET("/p") GET("/w")));
        sim.nonblocking = false;
        sim.notice = NOTICE_NEEDED;
        seen.wait_ns = 30000000;
        uint64_t before_ns = sim.now_ns;
        expect_short(GET("/p") GET("/w"));
        ck_assert_uint_eq(sim.now_ns, before_ns);
        sim.nonblocking = turns_over;
        expect_read("\n");
        ck_assert_uint_eq(sim.now_ns, turns_over ? before_ns : before_ns + seen.wait_ns);
        stream_close(stream);
        ck_assert_uint_eq(seen.completed, 2);
    }
}
END_TEST

/* An answer that is held back: nothing behind it is looked at, its request never reaches the application. */
START_TEST(answers_later_in_an_event_loop) {
    static const char input[] = "POST /r HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody" GET("/p");
    size_t head = strlen("POST /r HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
    for (size_t at_first = 1; at_first <= strlen(input); at_first++) {
        bool split = at_first < head;
        open_announced(input, strlen(input));
        sim.arrived = at_first;
        seen.delay_ns = 30000000;
        ck_assert_int_eq(read_some(100, 0), split ? (ssize_t)at_first : -1);
        sim.arrived = sim.input_size;
        expect_eagain();
        expect_output("");
        ck_assert_uint_eq(seen.judged, 1);
        ck_assert_uint_eq(stream_turn_ns(stream), sim.now_ns + 30000000);
        ck_assert_uint_eq(sim.announced_ns, sim.now_ns + 30000000);
        sim.now_ns += 30000000;
        if (split) { /* the application has part of it, and gets no end of it */
            ck_assert_int_eq(read_some(100, 0), -1);
            ck_assert_int_eq(errno, ECONNRESET);
            expect_output(ANSWER_CLOSE);
        } else {
            expect_read(GET("/p"));
            expect_output(ANSWER);
            write_all(OK);
            expect_output(ANSWER OK);
        }
        ck_assert_uint_eq(stream_turn_ns(stream), 0);
        stream_close(stream);
        ck_assert_uint_eq(seen.cancelled, 0);
        ck_assert_uint_eq(seen.completed, !split);
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
        open_announced(GET("/p") GET("/r") GET("/p"), strlen(GET("/p") GET("/r") GET("/p")));
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
        open_announced(GET("/r") GET("/p"), strlen(GET("/r") GET("/p")));
        seen.delay_ns = 300000000;
        expect_eagain();
        expect_output("");
        sim.now_ns += 100000000; /* not because of the EAGAIN */
        if (how == 0)
            stream_close(stream); /* the application has lost patience */
        else if (how == 1)
            stream_shutdown_write(stream);
        else
            stream_opaque(stream, OPAQUE_SHARED); /* and what follows is not looked at any more */
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
        open_announced(GET("/r") GET("/p"), strlen(GET("/r") GET("/p")));
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

START_TEST(none_waits_unannounced) {
    open_announced(GET("/w"), strlen(GET("/w")));
    sim.notice = NOTICE_NONE;
    seen.wait_ns = 30000000;
    seen.refuses_to_wait = true;
    expect_eagain();
    expect_output(ANSWER);
    ck_assert_uint_eq(seen.cancelled, 1);
    stream_close(stream);
}
END_TEST

/* Where the last byte comes alone there is nothing to hand over: a program that takes EAGAIN for the end is not made to
 * wait, and is refused with a close. */
START_TEST(programs_that_end_on_eagain) {
    for (int times = 0; times < 3; times++) {
        open_announced(GET("/r") GET("/w"), strlen(GET("/r") GET("/w")));
        sim.arrived = strlen(GET("/r"));
        expect_eagain();
        expect_output(times < 2 ? ANSWER : ANSWER_CLOSE);
        stream_close(stream); /* at once */
    }
    open_announced(GET("/w"), strlen(GET("/w")));
    seen.wait_ns = 30000000;
    seen.refuses_to_wait = true;
    sim.arrived--;
    expect_short(GET("/w"));
    sim.arrived++;
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    expect_output(ANSWER_CLOSE);
    stream_close(stream);
}
END_TEST

/* Responses that are on their way come before the refusal, and before the reset. */
START_TEST(refused_in_pieces_behind_a_response) {
    open_announced(GET("/p") GET("/r"), strlen(GET("/p") GET("/r")));
    sim.arrived = strlen(GET("/p") "GET /");
    expect_read(GET("/p") "GET /");
    sim.arrived = sim.input_size;
    expect_eagain();
    write_all(OK);
    expect_output(OK ANSWER_CLOSE);
    ck_assert(sim.shut_write);
    ck_assert_int_eq(read_some(100, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(write_all(OK), (ssize_t)strlen(OK)); /* which goes nowhere */
    expect_output(OK ANSWER_CLOSE);
    ck_assert(stream_last_words(stream)); /* the client's bytes are to be drained */
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
    static const char text[] = GET("/w") GET("/r");
    size_t head = strlen(GET("/w"));
    for (size_t at_first = 1; at_first <= strlen(text); at_first++) {
        open_announced(text, sizeof(text) - 1);
        sim.arrived = at_first;
        seen.wait_ns = 30000000;
        size_t got = (size_t)read_some(100, 0);
        ck_assert_uint_eq(got, at_first < head ? at_first : head - 1);
        sim.arrived = sim.input_size;
        if (got < head - 1)
            ck_assert_int_eq(read_some(100, 0), (ssize_t)(head - 1 - got));
        expect_eagain();
        ck_assert_uint_eq(stream_turn_ns(stream), sim.now_ns + 30000000);
        ck_assert_uint_eq(sim.announced_ns, sim.now_ns + 30000000);
        ck_assert_uint_eq(seen.judged, 1);
        sim.now_ns += 30000000;
        expect_read("\n");
        write_all(OK);
        if (sim_readable() || stream_turn_ns(stream))
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
        waits_for_all,
        all_may_end_within_a_head,
        client_leaves_who_waits_for_all,
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
        goes_on_in_a_child,
        answered_before_its_turn,
        waiting_is_not_shown,
        blocking_reader_waits_later,
        none_waits_unannounced,
        programs_that_end_on_eagain,
        refused_in_pieces_behind_a_response,
    };
    TCase *tcase = tcase_create("stream_turn");
    return stream_suite(tcase, tests, COUNT(tests));
}
