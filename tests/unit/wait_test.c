/* shim/libc/wait.c: what poll() and select() see while requests wait.  And caller_memory.c: what may be looked at. */
#include "tests/unit/fd_fixture.h"

#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "shim/libc/caller_memory.h"
#include "shim/libc/wait.h"

#define MS UINT64_C(1000000)
#define LATER (clock_ns() + 3600 * 1000 * MS)

/* A connection with bytes to be read, on which a request waits. */
static struct ends waiting(uint64_t turn_ns) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    wakeup_note_loop();
    client_sends(&ends, 10);
    ck_assert(stream_lock(connection_stream(connection)));
    ck_assert_int_eq(wakeup_announce(connection, turn_ns), NOTICE_GIVEN);
    stream_unlock(connection_stream(connection));
    connection_stream(connection)->turn_ns = turn_ns;
    return ends;
}

static void over(const struct ends *ends) {
    struct connection *connection = connection_at(fd_word_value(fd_table_get(ends->server)));
    connection_stream(connection)->turn_ns = 0;
    ck_assert(stream_lock(connection_stream(connection)));
    wakeup_announce(connection, 0);
    stream_unlock(connection_stream(connection));
}

/* Looks at one descriptor for so long; what the application sees, or 0. */
static short seen_within(int fd, short events, uint64_t timeout_ns) {
    struct wait w = {.via = &real, .end_ns = clock_ns() + timeout_ns};
    ck_assert(wait_open(&w, 1));
    w.looks[0] = (struct pollfd){.fd = fd};
    w.wanted[0] = events;
    int ready = wait_until_ready(&w, __builtin_frame_address(0));
    ck_assert_int_eq(ready, w.looks[0].revents != 0);
    wait_close(&w);
    return w.looks[0].revents;
}

START_TEST(not_before_the_turn) {
    struct ends ends = waiting(LATER);
    ck_assert(wait_concerns(__builtin_frame_address(0)));
    ck_assert_int_eq(seen_within(ends.server, POLLIN, 0), 0);
    ck_assert_int_eq(seen_within(ends.server, POLLIN | POLLRDNORM | POLLPRI, 5 * MS), 0);
    ck_assert_int_eq(seen_within(ends.server, POLLIN | POLLOUT, 0), POLLOUT);
    over(&ends);
    ck_assert(!wait_concerns(__builtin_frame_address(0)));
    ck_assert_int_eq(seen_within(ends.server, POLLIN, 0), POLLIN);
}
END_TEST

START_TEST(when_the_turn_has_come) {
    struct ends ends = waiting(clock_ns() + 10 * MS);
    ck_assert_int_eq(seen_within(ends.server, POLLIN, WAIT_FOR_EVER / 2), POLLIN);
    ck_assert_int_eq(seen_within(ends.server, POLLRDNORM | POLLOUT, 0), POLLRDNORM | POLLOUT);
}
END_TEST

START_TEST(client_leaves) {
    struct ends ends = waiting(LATER);
    client_ends(&ends);
    ck_assert_int_eq(seen_within(ends.server, POLLIN, WAIT_FOR_EVER / 2), POLLIN);
    ck_assert_int_eq(seen_within(ends.server, POLLIN | POLLRDHUP, WAIT_FOR_EVER / 2), POLLIN | POLLRDHUP);
    ck_assert_int_eq(seen_within(ends.server, POLLRDHUP, 0), POLLRDHUP);
}
END_TEST

static void *write_a_response(void *context) {
    over(context);
    return NULL;
}

/* Silent until another thread has written. */
START_TEST(silence_ends) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    pthread_t writer;
    wakeup_note_loop();
    client_sends(&ends, 10);
    ck_assert(stream_lock(connection_stream(connection)));
    ck_assert_int_eq(wakeup_announce(connection, CHANNEL_SILENT), NOTICE_GIVEN);
    stream_unlock(connection_stream(connection));
    ck_assert_int_eq(seen_within(ends.server, POLLIN, 0), 0);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_a_response, &ends), 0);
    ck_assert_int_eq(seen_within(ends.server, POLLIN, WAIT_FOR_EVER / 2), POLLIN);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
}
END_TEST

START_TEST(among_many) {
    enum { MANY = 3 * WAIT_FEW };
    struct ends ends = waiting(LATER);
    struct wait w = {.via = &real, .end_ns = clock_ns() + 1000 * MS};
    int pipe_ends[2];
    ck_assert_int_eq(pipe(pipe_ends), 0);
    ck_assert(wait_open(&w, MANY));
    for (int n = 0; n < MANY; n++) {
        w.looks[n] = (struct pollfd){.fd = n == 50 ? ends.server : n == 60 ? -1 : pipe_ends[0]};
        w.wanted[n] = POLLIN;
    }
    ck_assert(wait_has_turns(&w, __builtin_frame_address(0)));
    ck_assert_int_eq(write(pipe_ends[1], "x", 1), 1);
    ck_assert_int_eq(wait_until_ready(&w, __builtin_frame_address(0)), MANY - 2);
    for (int n = 0; n < MANY; n++)
        ck_assert_int_eq(w.looks[n].revents, n == 50 || n == 60 ? 0 : POLLIN);
    wait_close(&w);
    over(&ends);
    ck_assert(!wait_has_turns(&w, __builtin_frame_address(0)));
}
END_TEST

START_TEST(ends_of_waiting) {
    uint64_t end_ns;
    ck_assert(wait_end(NULL, &end_ns) && end_ns == WAIT_FOR_EVER);
    ck_assert(wait_end(&(struct timespec){0}, &end_ns) && end_ns <= clock_ns());
    ck_assert(wait_end(&(struct timespec){.tv_sec = LONG_MAX}, &end_ns) && end_ns > clock_ns());
    ck_assert(!wait_end(&(struct timespec){.tv_sec = -1}, &end_ns));
    ck_assert(!wait_end(&(struct timespec){.tv_nsec = -1}, &end_ns));
    ck_assert(!wait_end(&(struct timespec){.tv_nsec = 1000000000}, &end_ns));
    ck_assert_int_eq(wait_left(1).tv_sec + wait_left(1).tv_nsec, 0);
    ck_assert_int_ge(wait_left(clock_ns() + 10000 * MS).tv_sec, 9);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- caller_memory */

static bool readable(const void *bytes, size_t size) {
    return caller_memory_readable(bytes, size, __builtin_frame_address(0));
}

START_TEST(pages) {
    enum { PAGE = 4096 };
    char *pages = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(pages != MAP_FAILED && mprotect(pages + PAGE, PAGE, PROT_NONE) == 0);
    ck_assert(readable(pages, PAGE) && readable(pages + PAGE - 1, 1) && readable(pages + 2 * PAGE, PAGE));
    ck_assert(!readable(pages + PAGE - 1, 2) && !readable(pages + PAGE, 1) && !readable(pages + 2 * PAGE - 1, 1));
    ck_assert(!readable(pages, 3 * PAGE));
    ck_assert(readable(pages + PAGE, 0) && readable(NULL, 0));
    ck_assert(!readable(NULL, 1) && !readable((void *)8, 8) && !readable((void *)-1, 1) && !readable((void *)-8, 100));
    ck_assert(!readable(pages, SIZE_MAX));
}
END_TEST

START_TEST(errno_stays) {
    errno = 4242;
    ck_assert(!readable((void *)4096, 8) && readable(&seen, 8));
    ck_assert_int_eq(errno, 4242);
}
END_TEST

START_TEST(arrays_of_buffers) {
    const void *frame = __builtin_frame_address(0);
    struct iovec good[2] = {{(void *)1, 10}, {NULL, 0}}, negative = {NULL, (size_t)SSIZE_MAX + 1};
    struct msghdr message = {.msg_iov = good, .msg_iovlen = 2};
    ck_assert(caller_memory_buffers(good, 2, frame)); /* where they lead is the kernel's business */
    ck_assert(caller_memory_buffers(NULL, 0, frame));
    ck_assert(!caller_memory_buffers(NULL, 1, frame));
    ck_assert(!caller_memory_buffers(&negative, 1, frame));
    ck_assert(!caller_memory_buffers(good, IOV_MAX + 1, frame));
    ck_assert(!caller_memory_buffers(good, SIZE_MAX, frame));
    ck_assert(caller_memory_message(&message, frame));
    ck_assert(!caller_memory_message(NULL, frame));
    message.msg_iov = (void *)4096;
    ck_assert(!caller_memory_message(&message, frame));
}
END_TEST

int main(void) {
    TCase *waits = tcase_create("wait"), *memory = tcase_create("memory");

    tcase_add_test(waits, not_before_the_turn);
    tcase_add_test(waits, when_the_turn_has_come);
    tcase_add_test(waits, client_leaves);
    tcase_add_test(waits, silence_ends);
    tcase_add_test(waits, among_many);
    tcase_add_test(waits, ends_of_waiting);
    tcase_add_test(memory, pages);
    tcase_add_test(memory, errno_stays);
    tcase_add_test(memory, arrays_of_buffers);
    return suite_run("wait", waits, memory, NULL);
}
