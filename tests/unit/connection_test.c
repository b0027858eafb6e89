/* shim/fd/connection.c and linger.c: the life of a connection under several descriptors and in several hands. */
#include "tests/unit/fd_fixture.h"

static uint64_t word_of(const struct connection *connection) {
    return (uint64_t)connection_index(connection) << 32 | FD_STREAM;
}

START_TEST(life) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct stream *stream = connection_stream(connection);
    ck_assert_uint_eq(stream->opened, 1);
    connection_close(ends.server);
    ck_assert_uint_eq(stream->last_words, 1);
    ck_assert_int_eq(stream->last_fd, ends.server); /* it was still open */
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(seen.disconnected, 1);
    ck_assert_uint_eq(seen.failed, 0);
    ck_assert_uint_eq(seen.forgotten, 1);
    ck_assert_uint_eq(linger_count, 0);
}
END_TEST

START_TEST(stale_words_lead_nowhere) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    uint64_t word = fd_table_get(ends.server);
    ck_assert_ptr_eq(connection_hold(ends.server, word), connection);
    connection_drop(connection);
    ck_assert_ptr_null(connection_hold(ends.server, word + (1ull << 32)));
    ck_assert_ptr_null(connection_hold(ends.server, (uint64_t)connection_index(connection) << 32 | FD_PLAIN));
    connection_close(ends.server);
    ck_assert_ptr_null(connection_hold(ends.server, word)); /* free memory */
    struct connection *next = connection_on(ends.client);
    ck_assert_ptr_eq(next, connection);
    ck_assert_ptr_null(connection_hold(ends.server, word)); /* another connection's */
    ck_assert_uint_eq(next->holders, 1);
}
END_TEST

/* What is under way on it keeps the memory, not the connection. */
START_TEST(held_beyond_its_end) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    ck_assert_ptr_eq(connection_hold(ends.server, fd_table_get(ends.server)), connection);
    connection_close(ends.server);
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(seen.forgotten, 0);
    ck_assert_ptr_ne(connection_on(ends.client), connection);
    connection_drop(connection);
    ck_assert_uint_eq(seen.forgotten, 1);
}
END_TEST

START_TEST(ends_with_its_last_descriptor) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    int copy = dup(ends.server);
    connection_share(connection);
    fd_table_swap(copy, FD_STREAM, connection_index(connection));
    connection_close(ends.server);
    ck_assert_uint_eq(connection_stream(connection)->last_words, 0);
    ck_assert_uint_eq(seen.closed, 0);
    connection_close(copy);
    ck_assert_int_eq(connection_stream(connection)->last_fd, copy);
    ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

START_TEST(closed_unseen) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct stream *stream = connection_stream(connection);
    stream->lingers = true;
    ck_assert_int_eq(close(ends.server), 0);
    connection_release(fd_table_swap(ends.server, FD_PLAIN, 0), ends.server, false);
    ck_assert_uint_eq(stream->last_words, 0); /* the number may mean something else by now */
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(linger_count, 0);
}
END_TEST

/* What a thread left half-way is not entered again; the rest ends all the same. */
START_TEST(abandoned) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    connection_mark(connection, CONNECTION_ABANDONED);
    connection_close(ends.server);
    ck_assert_uint_eq(seen.closed, 0);
    ck_assert_uint_eq(seen.disconnected, 1);
}
END_TEST

/* A forked child closes its copy of a descriptor that only the parent has used: the client hears nothing of it. */
START_TEST(closed_in_a_child) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    connection_stream(connection)->lingers = true;
    epoch++;
    connection_close(ends.server);
    ck_assert_uint_eq(connection_stream(connection)->last_words, 0);
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(linger_count, 0);
}
END_TEST

START_TEST(used_in_a_child) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    epoch++;
    connection_adopt(connection);
    connection_stream(connection)->lingers = true;
    connection_close(ends.server);
    ck_assert_uint_eq(connection_stream(connection)->last_words, 1);
    ck_assert_uint_eq(linger_count, 1);
}
END_TEST

static struct connection *outbound(int fd) {
    struct admit_connection admit = {.side = SIDE_OUTBOUND};
    struct connection *connection = connection_new(&admit);
    fd_table_swap(fd, FD_AWAITED, connection_index(connection));
    return connection;
}

/* Without a byte: was it the destination's fault? */
START_TEST(outbound_ends) {
    struct ends ends = ends_open();
    int alone = socket(AF_INET, SOCK_STREAM, 0), answered = socket(AF_INET, SOCK_STREAM, 0);
    outbound(ends.client);
    connection_close(ends.client);
    ck_assert_uint_eq(seen.failed, 0); /* it has a peer */
    outbound(alone);
    connection_close(alone);
    ck_assert_uint_eq(seen.failed, 1);
    connection_mark(outbound(answered), CONNECTION_ANSWERED);
    connection_close(answered);
    ck_assert_uint_eq(seen.failed, 1);
    connection_mark(outbound(ends.server), CONNECTION_FAILED);
    connection_close(ends.server);
    ck_assert_uint_eq(seen.failed, 2);
    ck_assert_uint_eq(seen.disconnected, 4);
    ck_assert_uint_eq(seen.closed, 0); /* there were no streams */
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- lingering */

static bool is_reset(int client) {
    int error = 0;
    socklen_t length = sizeof(error);
    ck_assert_int_eq(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error != 0;
}

static void close_while_client_sends(const struct ends *ends, bool lingers) {
    struct connection *connection = connection_on(ends->server);
    connection_stream(connection)->lingers = lingers;
    client_sends(ends, 100);
    ck_assert_int_eq(shutdown(ends->server, SHUT_WR), 0);
    connection_close(ends->server);
}

START_TEST(no_reset_after_last_words) {
    struct ends ends = ends_open();
    close_while_client_sends(&ends, _i);
    ck_assert_uint_eq(linger_count, (unsigned)_i);
    ck_assert_int_eq(is_reset(ends.client), !_i);
}
END_TEST

/* The client may go on, and the copy goes when the client does. */
START_TEST(lingers_until_the_client_ends) {
    struct ends ends = ends_open();
    close_while_client_sends(&ends, true);
    unsigned copy = own_fd_next(0);
    ck_assert_int_eq(fcntl((int)copy, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    struct pollfd more = {.fd = (int)copy, .events = POLLIN}, end = {.fd = (int)copy, .events = POLLRDHUP};
    ck_assert_int_eq(send(ends.client, "more", 4, 0), 4);
    ck_assert_int_eq(poll(&more, 1, -1), 1);
    linger_look();
    ck_assert_uint_eq(linger_count, 1);
    ck_assert_int_eq(poll(&more, 1, 0), 0); /* read away */
    ck_assert(!is_reset(ends.client));
    ck_assert_int_eq(close(ends.client), 0);
    ck_assert_int_eq(poll(&end, 1, -1), 1);
    while (linger_count) /* (not more often than a hundred times a second) */
        linger_look();
    ck_assert_int_eq(fcntl((int)copy, F_GETFD), -1);
    ck_assert_int_eq(fd_word_kind(fd_table_get((int)copy)), FD_PLAIN);
}
END_TEST

/* A set would go on reporting it under a number that may mean another connection by then. */
START_TEST(lingers_outside_of_sets) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    ck_assert_int_eq(wakeup_epoll_ctl(connection, set, EPOLL_CTL_ADD, ends.server, &event, __builtin_frame_address(0)),
                     0);
    client_sends(&ends, 1);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 1);
    connection_stream(connection)->lingers = true;
    connection_close(ends.server);
    ck_assert_uint_eq(linger_count, 1);
    ck_assert_int_eq(send(ends.client, "more", 4, 0), 4);
    struct pollfd look = {.fd = (int)own_fd_next(0), .events = POLLIN};
    ck_assert_int_eq(poll(&look, 1, -1), 1);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 0);
}
END_TEST

START_TEST(few_linger) {
    enum { MANY = 100, MOST = 64 };
    unsigned copies = 0;
    for (int n = 0; n < MANY; n++) {
        struct ends ends = ends_open();
        close_while_client_sends(&ends, true);
        ck_assert_int_eq(close(ends.listening), 0);
    }
    for (unsigned fd = own_fd_next(0); fd < UINT32_MAX; fd = own_fd_next(fd + 1))
        copies++;
    ck_assert_uint_eq(copies, MOST);
    ck_assert_uint_eq(linger_count, MOST);
}
END_TEST

START_TEST(number_of_a_copy_is_taken) {
    struct ends ends = ends_open();
    close_while_client_sends(&ends, true);
    unsigned copy = own_fd_next(0);
    own_fd_vacate((int)copy);
    ck_assert_uint_eq(linger_count, 0);
    ck_assert_int_eq(fcntl((int)copy, F_GETFD), -1);
}
END_TEST

START_TEST(a_child_lets_go) {
    struct ends ends = ends_open();
    close_while_client_sends(&ends, true);
    unsigned copy = own_fd_next(0);
    pid_t child = fork();
    if (child == 0) {
        linger_after_fork();
        own_fd_after_fork();
        _exit(linger_count || fcntl((int)copy, F_GETFD) >= 0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(linger_count, 1);
}
END_TEST

START_TEST(words_are_of_their_kind) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.server)), FD_STREAM);
    ck_assert_uint_eq(fd_word_value(fd_table_get(ends.server)), fd_word_value(word_of(connection)));
    connection_release(FD_PLAIN, ends.server, true); /* not a connection's: nothing happens */
    connection_release(FD_STREAM, ends.server, true);
    ck_assert_uint_eq(seen.closed, 0);
}
END_TEST

int main(void) {
    TCase *life_case = tcase_create("life"), *children = tcase_create("children"), *out = tcase_create("outbound"),
          *linger = tcase_create("linger");

    tcase_add_test(life_case, life);
    tcase_add_test(life_case, stale_words_lead_nowhere);
    tcase_add_test(life_case, held_beyond_its_end);
    tcase_add_test(life_case, ends_with_its_last_descriptor);
    tcase_add_test(life_case, closed_unseen);
    tcase_add_test(life_case, abandoned);
    tcase_add_test(life_case, words_are_of_their_kind);
    tcase_add_test(children, closed_in_a_child);
    tcase_add_test(children, used_in_a_child);
    tcase_add_test(out, outbound_ends);
    tcase_add_loop_test(linger, no_reset_after_last_words, 0, 2);
    tcase_add_test(linger, lingers_until_the_client_ends);
    tcase_add_test(linger, lingers_outside_of_sets);
    tcase_add_test(linger, few_linger);
    tcase_add_test(linger, number_of_a_copy_is_taken);
    tcase_add_test(linger, a_child_lets_go);
    return suite_run("connection", life_case, children, out, linger, NULL);
}
