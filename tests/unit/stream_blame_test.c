/* What is the client's doing, and what the application's: latency and outcome as the engine gets them. */
#include "tests/unit/stream_fixture.h"

#define MS UINT64_C(1000000)
#define POST "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
#define HALF "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"

static struct {
    uint8_t flags;
    unsigned begun, begun_status;
    uint64_t latency_ns, begun_latency_ns;
    enum stream_end end;
    bool holds, gone; /* the peer has reset it, which writes do not say yet */
} blame;

static int blame_wait(struct channel *channel, short events, uint64_t timeout_ns) {
    return events ? sim_wait(channel, events, timeout_ns) : blame.gone;
}

static enum engine_verdict admit(void *context, const struct message *head, bool *close,
                                 struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                 size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    enum engine_verdict verdict = judge(context, head, close, ret_ticket, answer, ret_answer_size, ret_turn_ns);
    ret_ticket->start_ns = sim.now_ns;
    ret_ticket->flags = blame.flags;
    return verdict;
}

static void begun(void *context, struct engine_ticket *ticket, unsigned status, uint64_t now_ns) {
    (void)context;
    blame.begun++;
    blame.begun_status = status;
    blame.begun_latency_ns = engine_latency_ns(ticket, now_ns);
}

static void ended(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end, uint64_t now_ns) {
    complete(context, ticket, status, end, now_ns);
    blame.latency_ns = engine_latency_ns(ticket, now_ns);
    blame.end = end;
}

static bool holds(void *context) {
    (void)context;
    return blame.holds;
}

static const struct stream_policy blaming = {.request = admit,
                                             .begun = begun,
                                             .response = ended,
                                             .cancel = cancel,
                                             .undecided = note_undecided,
                                             .upgraded = holds};

static struct channel_ops blame_ops;
static struct channel blame_channel = {.ops = &blame_ops, .fd = 3};

static void open_blaming(const char *text, uint8_t flags) {
    open_with(text, strlen(text));
    memset(&blame, 0, sizeof(blame));
    blame.flags = flags;
    sim.now_ns = 1000 * MS;
    blame_ops = simulated_ops;
    blame_ops.wait = blame_wait;
    stream_open(stream, &blame_channel, &blaming, NULL, &simulated_memory);
}

static void after(uint64_t ms) {
    sim.now_ns += ms * MS;
}

#define ended_so(how, ms)                                                                                              \
    do {                                                                                                               \
        ck_assert_uint_eq(seen.completed, 1);                                                                          \
        ck_assert_int_eq(blame.end, how);                                                                              \
        ck_assert_uint_eq(blame.latency_ns, (ms)*MS);                                                                  \
    } while (0)

START_TEST(from_the_body_to_the_head) {
    static const char text[] = POST "abcd";
    open_blaming(text, 0);
    sim.arrived = sizeof(text) - 4;
    read_some(65536, 0);
    after(5000);
    sim.arrived = sizeof(text) - 1;
    read_some(65536, 0);
    after(30);
    write_all("HTTP/1.1 100 Continue\r\n\r\n");
    after(20);
    write_all(HALF);
    after(7000);
    write_all("cd");
    ended_so(STREAM_DONE, 50);
}
END_TEST

START_TEST(to_the_end_of_the_response) {
    open_blaming(GET("/"), TICKET_WHOLE);
    read_some(65536, 0);
    after(50);
    sim.window = strlen(HALF) - 1; /* then the client takes nothing for a while */
    write_all(HALF);
    after(7000);
    sim.window = SIZE_MAX;
    write_all("b");
    after(40);
    write_all("cd");
    ended_so(STREAM_DONE, 90);
}
END_TEST

START_TEST(events_end_when_they_end) {
    open_blaming(GET("/"), TICKET_WHOLE);
    read_some(65536, 0);
    after(50);
    write_all("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nContent-Length: 4\r\n\r\nab");
    after(7000);
    write_all("cd");
    ended_so(STREAM_DONE, 50);
}
END_TEST

START_TEST(the_turn_is_no_latency) {
    open_blaming(GET("/w"), 0);
    seen.wait_ns = 3000 * MS;
    blame_ops.notice = sim_notice;
    read_some(65536, 0);
    expect_eagain();
    after(3000);
    read_some(65536, 0);
    after(20);
    write_all(OK);
    ended_so(STREAM_DONE, 20);
}
END_TEST

START_TEST(circuits_learn_at_the_head) {
    open_blaming(GET("/"), TICKET_ENDS);
    read_some(65536, 0);
    after(5);
    write_all(HALF);
    ck_assert_uint_eq(blame.begun, 1);
    ck_assert_uint_eq(blame.begun_status, 200);
    ck_assert_uint_eq(blame.begun_latency_ns, 5 * MS);
    write_all("cd");
    ended_so(STREAM_DONE, 5);
    ck_assert_uint_eq(blame.begun, 1);
}
END_TEST

START_TEST(one_write_needs_no_look_at_the_head) {
    open_blaming(GET("/"), TICKET_ENDS);
    read_some(65536, 0);
    after(5);
    write_all(OK);
    ended_so(STREAM_DONE, 5);
    ck_assert_uint_eq(blame.begun, 0);
}
END_TEST

/* Before the response, or in the middle of it; noticed by the application's read, by its write, or not at all. */
START_TEST(client_leaves) {
    open_blaming(GET("/"), TICKET_ENDS);
    read_some(65536, 0);
    after(5);
    if (_i & 1)
        write_all(HALF);
    sim.ends = sim.ended = true;
    if (_i & 2)
        ck_assert_int_eq(read_some(65536, 0), 0);
    stream_last_words(stream);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_int_eq(blame.end, STREAM_LEFT);
}
END_TEST

START_TEST(server_closes) {
    open_blaming(GET("/"), TICKET_ENDS);
    read_some(65536, 0);
    if (_i)
        write_all(HALF);
    stream_last_words(stream);
    stream_close(stream);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_int_eq(blame.end, STREAM_ABORTED);
}
END_TEST

/* A client that is gone answers the late response with a reset; one that has ended its side only does not. */
START_TEST(late_response) {
    open_blaming(GET("/"), TICKET_ENDS);
    read_some(65536, 0);
    sim.ended = true;
    blame.gone = _i & 1;
    after(_i & 2 ? 5000 : 1);
    write_all(_i & 2 ? OK : "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_int_eq(blame.end, _i & 1 ? STREAM_LEFT : STREAM_DONE);
}
END_TEST

/* Half a body, and then nothing, or the end: what the application says to it is not its failure. */
START_TEST(half_a_body) {
    static const char text[] = POST "ab";
    open_blaming(text, TICKET_ENDS);
    sim.ends = _i & 1;
    read_some(65536, 0);
    sim.ended = sim.ends;
    read_some(65536, 0); /* EAGAIN, or the end */
    after(3000);
    if (_i & 2)
        write_all("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    else
        stream_close(stream);
    ck_assert_uint_eq(seen.completed, 1);
    ck_assert_int_eq(blame.end, STREAM_LEFT);
}
END_TEST

START_TEST(early_response_to_a_body) {
    open_blaming(POST, TICKET_ENDS);
    read_some(65536, 0);
    after(3);
    write_all("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    ended_so(STREAM_DONE, 3);
}
END_TEST

START_TEST(another_protocol) {
    open_blaming(GET("/"), TICKET_ENDS);
    blame.holds = _i;
    read_some(65536, 0);
    after(5);
    write_all("HTTP/1.1 101 Switching\r\n\r\n");
    ck_assert_uint_eq(seen.completed, _i ? 0 : 1);
    after(60000);
    write_all("hello");
    stream_close(stream);
    ended_so(STREAM_DONE, 5);
    ck_assert_uint_eq(seen.status, 101);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("blame");
    const TTest *const tests[] = {from_the_body_to_the_head,  to_the_end_of_the_response,
                                  events_end_when_they_end,   the_turn_is_no_latency,
                                  circuits_learn_at_the_head, one_write_needs_no_look_at_the_head,
                                  early_response_to_a_body};
    tcase_add_loop_test(tcase, client_leaves, 0, 4);
    tcase_add_loop_test(tcase, server_closes, 0, 2);
    tcase_add_loop_test(tcase, late_response, 0, 4);
    tcase_add_loop_test(tcase, half_a_body, 0, 4);
    tcase_add_loop_test(tcase, another_protocol, 0, 2);
    return stream_suite(tcase, tests, COUNT(tests));
}
