/* shim/fd/operation.c: what is to be done with a reading or writing call, and the clean-up after it. */
#include "tests/unit/fd_fixture.h"

#include "shim/fd/operation.h"

#define FRAME __builtin_frame_address(0)

START_TEST(real_calls) {
    static const enum fd_kind kinds[] = {FD_PLAIN, FD_EPOLL, FD_OURS, FD_SOCKET, FD_LISTENER, FD_OUTBOUND};
    struct operation operation;
    for (unsigned n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        fd_table_swap(50, kinds[n], 0);
        ck_assert_int_eq(operation_begin(&operation, 50, FRAME), OPERATION_REAL);
    }
    ck_assert_int_eq(operation_begin(&operation, -1, FRAME), OPERATION_REAL);
    ck_assert_int_eq(operation_begin(&operation, FD_TABLE_SIZE, FRAME), OPERATION_REAL);
    ck_assert_ptr_null(reentry_top());
}
END_TEST

START_TEST(by_way_of_the_stream) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct operation operation;
    ck_assert_int_eq(operation_begin(&operation, ends.server, FRAME), OPERATION_STREAM);
    ck_assert_ptr_eq(operation.stream, connection_stream(connection));
    ck_assert_ptr_eq(operation.op, reentry_top());
    ck_assert_int_eq(operation.op->fd, ends.server);
    ck_assert_uint_eq(connection->holders, 2);
    ck_assert(!operation_end(&operation, 5));
    ck_assert_uint_eq(connection->holders, 1);
    ck_assert_ptr_null(reentry_top());
}
END_TEST

START_TEST(errno_is_kept_on_success) {
    struct ends ends = ends_open();
    struct operation operation;
    connection_on(ends.server);
    for (int result = -1; result <= 1; result++) {
        errno = 4242;
        operation_begin(&operation, ends.server, FRAME);
        errno = EAGAIN;
        operation_end(&operation, result);
        ck_assert_int_eq(errno, result < 0 ? EAGAIN : 4242);
    }
}
END_TEST

/* Inherited, or passed over a socket: looked at once. */
START_TEST(unknown_descriptors) {
    struct ends ends = ends_open();
    struct operation operation;
    int ends_of_a_pipe[2];
    ck_assert_int_eq(operation_begin(&operation, ends.server, FRAME), OPERATION_STREAM);
    operation_end(&operation, 0);
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.server)), FD_STREAM);
    ck_assert_int_eq(pipe(ends_of_a_pipe), 0);
    ck_assert_int_eq(operation_begin(&operation, ends_of_a_pipe[0], FRAME), OPERATION_REAL);
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends_of_a_pipe[0])), FD_PLAIN);
    ck_assert_int_eq(operation_begin(&operation, ends.listening, FRAME), OPERATION_REAL);
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.listening)), FD_SOCKET);
}
END_TEST

/* One socket under two inherited numbers is one connection. */
START_TEST(unknown_twice) {
    struct ends ends = ends_open();
    struct operation one, other;
    int copy = dup(ends.server);
    operation_begin(&one, ends.server, FRAME);
    operation_end(&one, 0);
    operation_begin(&other, copy, FRAME);
    operation_end(&other, 0);
    ck_assert_ptr_eq(one.connection, other.connection);
    ck_assert_uint_eq(one.connection->descriptors, 2);
}
END_TEST

/* The number means a file by now. */
START_TEST(not_a_socket_any_more) {
    struct ends ends = ends_open();
    struct operation operation;
    connection_on(ends.server);
    errno = 4242;
    operation_begin(&operation, ends.server, FRAME);
    operation.op->not_a_socket = true;
    errno = ENOTSOCK;
    ck_assert(operation_end(&operation, -1));
    ck_assert_int_eq(errno, 4242); /* the real call comes now */
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.server)), FD_PLAIN);
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(seen.forgotten, 1);
}
END_TEST

/* … and means something else already that we know of. */
START_TEST(not_what_it_was) {
    struct ends ends = ends_open();
    struct operation operation;
    connection_on(ends.server);
    operation_begin(&operation, ends.server, FRAME);
    uint64_t before = fd_table_swap(ends.server, FD_SOCKET, 0);
    operation.op->not_a_socket = true;
    ck_assert(operation_end(&operation, -1));
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.server)), FD_SOCKET);
    ck_assert_uint_eq(seen.closed, 0);
    connection_release(before, ends.server, false);
    ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

/* A signal handler comes while our own code runs: its calls are the real ones, and the stream is no longer understood.
 */
START_TEST(inside_our_own_code) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct operation outer, inner;
    operation_begin(&outer, ends.server, FRAME);
    ck_assert_int_eq(operation_begin(&inner, ends.server, (char *)FRAME - 1000), OPERATION_REAL);
    ck_assert(connection_marked(connection, CONNECTION_FOREIGN));
    operation_end(&outer, 0);
    ck_assert_uint_eq(connection_stream(connection)->opaque, 0);
    operation_begin(&outer, ends.server, FRAME);
    ck_assert_uint_eq(connection_stream(connection)->opaque, 1);
    operation_end(&outer, 0);
}
END_TEST

/* … or inside a real call of ours on the application's behalf: then it is the application's, up to a depth. */
START_TEST(inside_a_real_call) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct operation operations[REENTRY_DEPTH + 1];
    for (int n = 0; n < REENTRY_DEPTH; n++) {
        ck_assert_int_eq(operation_begin(&operations[n], ends.server, (char *)FRAME - 1000 * n), OPERATION_STREAM);
        operations[n].op->in_call = true;
    }
    ck_assert_int_eq(operation_begin(&operations[REENTRY_DEPTH], ends.server, (char *)FRAME - 1000 * REENTRY_DEPTH),
                     OPERATION_REAL);
    ck_assert(connection_marked(connection, CONNECTION_FOREIGN));
    for (int n = REENTRY_DEPTH; n > 0; n--)
        operation_end(&operations[n - 1], 0);
    ck_assert_uint_eq(connection->holders, 1);
}
END_TEST

/* siglongjmp() out of our own code, or out of a real call: found by the next call of the same height. */
START_TEST(left_half_way) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct operation left, next;
    operation_begin(&left, ends.server, (char *)FRAME - 1000);
    left.op->in_call = _i;
    ck_assert_int_eq(operation_begin(&next, ends.server, FRAME), _i ? OPERATION_STREAM : OPERATION_REAL);
    ck_assert_int_eq(connection_marked(connection, CONNECTION_ABANDONED), !_i);
    if (_i)
        operation_end(&next, 0);
    ck_assert_uint_eq(connection->holders, 1);
    ck_assert_ptr_null(reentry_top());
}
END_TEST

START_TEST(closed_meanwhile) {
    struct ends ends = ends_open();
    struct operation operation;
    connection_on(ends.server);
    operation_begin(&operation, ends.server, FRAME);
    operation.op->in_call = true;
    connection_release(fd_table_swap(ends.server, FD_PLAIN, 0), ends.server, true);
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(seen.forgotten, 0);
    operation_end(&operation, 0);
    ck_assert_uint_eq(seen.forgotten, 1);
}
END_TEST

START_TEST(in_a_child) {
    struct ends ends = ends_open();
    struct connection *connection = connection_on(ends.server);
    struct operation operation;
    connection->timer = 99; /* the parent's */
    epoch++;
    operation_begin(&operation, ends.server, FRAME);
    ck_assert_int_eq(connection->timer, 0);
    ck_assert_uint_eq(connection->epoch, epoch);
    operation_end(&operation, 0);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- outbound */

static struct connection *awaited(int fd) {
    struct admit_connection admit = {.side = SIDE_OUTBOUND};
    struct connection *connection = connection_new(&admit);
    fd_table_swap(fd, FD_AWAITED, connection_index(connection));
    return connection;
}

static ssize_t awaits(int fd, bool reads, ssize_t result, int error) {
    struct operation operation;
    ck_assert_int_eq(operation_begin(&operation, fd, FRAME), OPERATION_AWAIT);
    ck_assert(operation.op->in_call);
    errno = error;
    result = operation_awaited(&operation, reads, result);
    ck_assert_int_eq(errno, error);
    ck_assert_ptr_null(reentry_top());
    return result;
}

START_TEST(first_bytes_back) {
    struct ends ends = ends_open();
    struct connection *connection = awaited(ends.client);
    ck_assert_int_eq(awaits(ends.client, false, 10, 0), 10);
    ck_assert_int_eq(awaits(ends.client, true, -1, EAGAIN), -1);
    ck_assert_int_eq(awaits(ends.client, true, 0, 0), 0);
    ck_assert(!connection_marked(connection, CONNECTION_ANSWERED | CONNECTION_FAILED));
    ck_assert_int_eq(awaits(ends.client, true, 10, 0), 10);
    ck_assert(connection_marked(connection, CONNECTION_ANSWERED));
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.client)), FD_OUTBOUND);
    ck_assert(fd_table_passes(ends.client));
}
END_TEST

START_TEST(broken_before_that) {
    static const int errors[] = {ECONNRESET, ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EPIPE};
    struct ends ends = ends_open();
    struct connection *connection = awaited(ends.client);
    awaits(ends.client, _i % 2, -1, errors[_i]);
    ck_assert(connection_marked(connection, CONNECTION_FAILED));
}
END_TEST

START_TEST(awaited_by_a_file) {
    struct ends ends = ends_open();
    awaited(ends.client);
    awaits(ends.client, true, -1, ENOTSOCK);
    ck_assert_int_eq(fd_word_kind(fd_table_get(ends.client)), FD_PLAIN);
    ck_assert_uint_eq(seen.disconnected, 1);
}
END_TEST

int main(void) {
    TCase *ways = tcase_create("ways"), *stale = tcase_create("stale"), *nested = tcase_create("nested"),
          *outbound = tcase_create("outbound");

    tcase_add_test(ways, real_calls);
    tcase_add_test(ways, by_way_of_the_stream);
    tcase_add_test(ways, errno_is_kept_on_success);
    tcase_add_test(ways, unknown_descriptors);
    tcase_add_test(ways, unknown_twice);
    tcase_add_test(stale, not_a_socket_any_more);
    tcase_add_test(stale, not_what_it_was);
    tcase_add_test(stale, closed_meanwhile);
    tcase_add_test(stale, in_a_child);
    tcase_add_test(nested, inside_our_own_code);
    tcase_add_test(nested, inside_a_real_call);
    tcase_add_loop_test(nested, left_half_way, 0, 2);
    tcase_add_test(outbound, first_bytes_back);
    tcase_add_loop_test(outbound, broken_before_that, 0, 6);
    tcase_add_test(outbound, awaited_by_a_file);
    return suite_run("operation", ways, stale, nested, outbound, NULL);
}
