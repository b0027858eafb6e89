/* What the tests of streams share: a stream over the simulated socket, and a policy that goes by the path: /r… is
 * rejected, /w… has to wait, all else passes. */
#ifndef WEIR_TESTS_STREAM_FIXTURE_H
#define WEIR_TESTS_STREAM_FIXTURE_H

#include <check.h>
#include <stdio.h>

#include "shim/protocol/http1/http1.h"
#include "tests/simulated_socket.h"
#include "tests/unit/suite.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define ANSWER "HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\nno"
#define ANSWER_CLOSE "HTTP/1.1 429 Too Many\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct {
    unsigned judged, passed, rejected, completed, aborted, left, begun, cancelled, undecided, early, status;
    unsigned malformed;
    enum stream_strictness strict;
    uint64_t wait_ns, delay_ns;
    bool refuses_to_wait;
} seen;

static inline enum engine_verdict judge(void *context, const struct message *head, bool *close,
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

static inline void complete(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end,
                            uint64_t now_ns) {
    (void)context, (void)now_ns;
    ck_assert_uint_eq(ticket->acquire, 7);
    seen.completed++;
    seen.aborted += end == STREAM_ABORTED;
    seen.left += end == STREAM_LEFT;
    seen.status = status;
}

static inline void cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)answered;
    (void)context, (void)now_ns;
    ck_assert_uint_eq(ticket->acquire, 7);
    seen.cancelled++;
}

static inline void note_undecided(void *context) {
    (void)context;
    seen.undecided++;
}

static inline void note_early(void *context) {
    (void)context;
    seen.early++;
}

static inline enum stream_strictness strictness(void *context) {
    (void)context;
    return seen.strict;
}

static inline void note_malformed(void *context) {
    (void)context;
    seen.malformed++;
}

static const struct stream_policy policy = {.request = judge,
                                            .response = complete,
                                            .cancel = cancel,
                                            .undecided = note_undecided,
                                            .early = note_early,
                                            .strict = strictness,
                                            .malformed = note_malformed};

static struct stream *stream;
static char buffer[1 << 18];

static inline void open_with(const char *input, size_t size) {
    sim_reset(input, size);
    sim.arrived = size;
    memset(&seen, 0, sizeof(seen));
    stream_open(stream, &simulated_channel, &policy, NULL, &simulated_memory);
}

/* In an event loop that can be informed. */
static inline void open_announced(const char *text, size_t size) {
    static struct channel_ops ops;
    static struct channel channel = {.ops = &ops, .fd = 3};
    ops = simulated_ops;
    ops.notice = sim_notice;
    open_with(text, size);
    stream_open(stream, &channel, &policy, NULL, &simulated_memory);
}

static inline void setup(void) {
    stream = calloc(1, stream_size());
}

static inline void teardown(void) {
    stream_close(stream);
    ck_assert_uint_eq(simulated_memory_used, 0);
    free(stream);
}

static inline ssize_t read_some(size_t size, int flags) {
    struct iovec iov = {buffer, size};
    memset(buffer, '#', sizeof(buffer) < size + 100 ? sizeof(buffer) : size + 100);
    return stream_read(stream, &iov, 1, flags);
}

static inline ssize_t write_all(const char *text) {
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    return stream_write(stream, &iov, 1, MSG_NOSIGNAL);
}

static inline void expect_read(const char *text) {
    ssize_t got = read_some(65536, 0);
    ck_assert_int_eq(got, (ssize_t)strlen(text));
    ck_assert(memcmp(buffer, text, strlen(text)) == 0);
}

static inline void expect_eagain(void) {
    errno = 0;
    ck_assert_int_eq(read_some(65536, 0), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

static inline void expect_output(const char *text) {
    ck_assert_msg(sim.output_size == strlen(text) &&
                      (!sim.output_size || memcmp(sim.output, text, sim.output_size) == 0),
                  "output: %.*s", (int)sim.output_size, sim.output);
}

/* Runs these tests, each with a stream of its own. */
static inline int stream_suite(TCase *tcase, const TTest *const tests[], int count) {
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (int i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    return suite_run("stream", tcase, NULL);
}

#endif
