/* agent/core/server: slow writers, slow readers, silent peers, too much input, many connections, answers made
 * elsewhere. None of them holds the loop: it is stepped without waiting. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/core/server.h"
#include "agent/core/sockets.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

enum { INPUT_MAX = 32, OUTPUT_MAX = 4 << 20, CONNECTIONS_MAX = 4 };
static const uint64_t MS = 1000000u;

static char folder[FOLDER_MAX];
static struct loop loop;
static struct server server;
static unsigned opened, closed;
static uint64_t waiting; /* id of the connection that waits */

static void on_open(struct server_connection *c) {
    *(unsigned *)server_state(c) = ++opened;
    ck_assert_ptr_eq(server_context(c), &waiting);
}

static void on_close(struct server_connection *c) {
    ck_assert_uint_gt(*(unsigned *)server_state(c), 0);
    closed++;
}

/* A line: "echo…" comes back, "big" is many bytes, "wait" is answered later, "quit" is answered and the end. */
static enum server_next on_input(struct server_connection *c, char *bytes, size_t length, bool end, bool full,
                                 size_t *ret_consumed) {
    char *newline = memchr(bytes, '\n', length);
    ck_assert_uint_le(length, INPUT_MAX);
    ck_assert(full == (length == INPUT_MAX));
    if (!newline)
        return SERVER_MORE;
    (void)end;
    *ret_consumed = (size_t)(newline - bytes) + 1;
    if (strncmp(bytes, "big", 3) == 0) {
        char *big = malloc(OUTPUT_MAX);
        memset(big, 'b', OUTPUT_MAX);
        server_give(c, big, OUTPUT_MAX);
        return SERVER_AGAIN;
    }
    if (strncmp(bytes, "wait", 4) == 0) {
        waiting = server_id(c);
        return SERVER_WAIT;
    }
    server_send(c, bytes, *ret_consumed);
    return strncmp(bytes, "quit", 4) == 0 ? SERVER_END : SERVER_AGAIN;
}

static struct server_protocol protocol = {
    .name = "test",
    .connections_max = CONNECTIONS_MAX,
    .state_size = sizeof(unsigned),
    .input_max = INPUT_MAX,
    .output_max = OUTPUT_MAX,
    .opened = on_open,
    .input = on_input,
    .closed = on_close,
};

static void start(uint64_t reading_ns, uint64_t waiting_ns, uint64_t writing_ns) {
    protocol.reading_ns = reading_ns;
    protocol.waiting_ns = waiting_ns;
    protocol.writing_ns = writing_ns;
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = sockets_listen(directory, folder, "s", SOCK_STREAM, 0600, 64);
    close(directory);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(server_open(&server, &loop, &protocol, fd, &waiting), 0);
}

static void set_up(void) {
    opened = closed = 0;
    folder_make(folder);
    ck_assert_int_eq(loop_open(&loop), 0);
}

static void tear_down(void) {
    server_close(&server);
    ck_assert_uint_eq(opened, closed);
    ck_assert_ptr_null(loop.timers);
    loop_close(&loop);
    folder_remove(folder);
}

static int connected(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void step(void) {
    ck_assert_int_eq(loop_step(&loop, 0), 0);
}

static void say(int fd, const char *text) {
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    step();
}

/* What is there to be read, or "": nothing yet; NULL: the connection has ended. */
static const char *heard(int fd) {
    static char bytes[256];
    ssize_t got = recv(fd, bytes, sizeof bytes - 1, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        return NULL;
    bytes[got > 0 ? got : 0] = 0;
    return bytes;
}

/* Steps until the connection has ended, which only a deadline does. */
static void until_closed(unsigned count) {
    while (closed < count)
        ck_assert_int_eq(loop_step(&loop, 1000), 0);
}

START_TEST(requests_and_answers) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    step();
    say(fd, "echo 1\necho 2\nec");
    ck_assert_str_eq(heard(fd), "echo 1\necho 2\n");
    say(fd, "ho 3\nquit\necho 4\n");
    ck_assert_str_eq(heard(fd), "echo 3\nquit\n"); /* what came behind the last request is thrown away */
    ck_assert_ptr_null(heard(fd));
    ck_assert_uint_eq(closed, 1);
    close(fd);
}
END_TEST

START_TEST(an_end_of_input_that_leaves_something) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    say(fd, "echo 1\nhalf");
    shutdown(fd, SHUT_WR);
    step();
    ck_assert_str_eq(heard(fd), "echo 1\n");
    ck_assert_ptr_null(heard(fd));
    close(fd);
}
END_TEST

START_TEST(drop_by_drop) {
    start(80 * MS, 10000 * MS, 10000 * MS);
    int slow = connected(), other = connected();
    say(slow, "e");
    say(other, "echo\n");
    ck_assert_str_eq(heard(other), "echo\n");
    while (closed == 0) { /* a byte now and then does not move the deadline */
        (void)send(slow, "c", 1, MSG_NOSIGNAL);
        ck_assert_int_eq(loop_step(&loop, 10), 0);
        if (closed == 0 && server.first && server.count == 2)
            say(other, "echo\n");
    }
    ck_assert_ptr_null(heard(slow));
    close(slow);
    close(other);
}
END_TEST

START_TEST(silent) {
    start(30 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    step();
    ck_assert_uint_eq(opened, 1);
    until_closed(1);
    ck_assert_ptr_null(heard(fd));
    close(fd);
}
END_TEST

START_TEST(too_long) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected(), exact = connected();
    char line[INPUT_MAX + 1];
    memset(line, 'x', sizeof line);
    line[INPUT_MAX] = 0;
    say(fd, line);
    step();
    ck_assert_ptr_null(heard(fd));
    line[INPUT_MAX - 1] = '\n';
    say(exact, line);
    ck_assert_str_eq(heard(exact), line);
    close(fd);
    close(exact);
}
END_TEST

START_TEST(does_not_read) {
    start(10000 * MS, 10000 * MS, 50 * MS);
    int slow = connected(), other = connected();
    say(slow, "big\necho\n");
    say(other, "echo\n");
    ck_assert_str_eq(heard(other), "echo\n");
    until_closed(1);
    say(other, "echo 2\n");
    ck_assert_str_eq(heard(other), "echo 2\n");
    size_t total = 0;
    const char *got;
    while ((got = heard(slow)) != NULL && *got)
        total += strlen(got);
    ck_assert_ptr_null(got);
    ck_assert_uint_lt(total, OUTPUT_MAX);
    close(slow);
    close(other);
}
END_TEST

START_TEST(reads_late_but_all) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    say(fd, "big\necho\n");
    size_t total = 0;
    while (total < OUTPUT_MAX + strlen("echo\n")) {
        const char *got = heard(fd);
        ck_assert_ptr_nonnull(got);
        total += strlen(got);
        step();
    }
    ck_assert_str_eq(heard(fd), "");
    close(fd);
}
END_TEST

START_TEST(more_output_than_bounded) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    say(fd, "wait\n");
    struct server_connection *c = server_find(&server, waiting);
    ck_assert_ptr_nonnull(c);
    char *big = malloc(OUTPUT_MAX + 1);
    memset(big, 'b', OUTPUT_MAX + 1);
    server_give(c, big, OUTPUT_MAX + 1);
    server_resume(c, false);
    ck_assert_ptr_null(heard(fd));
    close(fd);
}
END_TEST

/* Those beyond the limit take the places of those that have been silent for longest, not of those that speak. */
START_TEST(many) {
    int fds[CONNECTIONS_MAX + 3];
    start(10000 * MS, 10000 * MS, 10000 * MS);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        fds[i] = connected();
    step();
    ck_assert_uint_eq(server.count, CONNECTIONS_MAX);
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_null(heard(fds[i]));
    for (size_t i = 3; i < sizeof fds / sizeof *fds; i++) {
        say(fds[i], "ec"); /* begun, and so not silent */
        ck_assert_str_eq(heard(fds[i]), "");
    }
    int again = connected();
    step();
    ck_assert_ptr_null(heard(again));
    for (size_t i = 3; i < sizeof fds / sizeof *fds; i++) {
        say(fds[i], "ho\n");
        ck_assert_str_eq(heard(fds[i]), "echo\n");
    }
    close(again);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}
END_TEST

START_TEST(an_answer_made_elsewhere) {
    start(10000 * MS, 10000 * MS, 10000 * MS);
    int fd = connected();
    say(fd, "wait\necho\n");
    shutdown(fd, SHUT_WR); /* as a client does that has asked all it has to */
    step();
    ck_assert_str_eq(heard(fd), "");
    ck_assert_ptr_null(server_find(&server, waiting + 1));
    struct server_connection *c = server_find(&server, waiting);
    ck_assert_ptr_nonnull(c);
    server_send(c, "answer\n", 7);
    server_resume(c, false);
    step();
    ck_assert_str_eq(heard(fd), "answer\necho\n");
    ck_assert_ptr_null(heard(fd));
    ck_assert_ptr_null(server_find(&server, waiting));
    close(fd);
}
END_TEST

START_TEST(an_answer_that_does_not_come) {
    start(10000 * MS, 40 * MS, 10000 * MS);
    int fd = connected(), gone = connected();
    say(fd, "wait\n");
    until_closed(1);
    ck_assert_ptr_null(server_find(&server, waiting));
    say(gone, "wait\n");
    close(gone); /* its asker is gone: noticed before the deadline, or by it */
    until_closed(2);
    ck_assert_ptr_null(server_find(&server, waiting));
    close(fd);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, requests_and_answers);
    tcase_add_test(all, an_end_of_input_that_leaves_something);
    tcase_add_test(all, drop_by_drop);
    tcase_add_test(all, silent);
    tcase_add_test(all, too_long);
    tcase_add_test(all, does_not_read);
    tcase_add_test(all, reads_late_but_all);
    tcase_add_test(all, more_output_than_bounded);
    tcase_add_test(all, many);
    tcase_add_test(all, an_answer_made_elsewhere);
    tcase_add_test(all, an_answer_that_does_not_come);
    return suite_run("server", all, NULL);
}
