#include "shim/fd/operation.h"

#include <errno.h>

#include "shim/fd/classify.h"
#include "shim/fd/fd_table.h"
#include "rules/alone.h"
#include "shim/process/arena.h"
#include "shim/process/lifecycle.h"

/* What every call does with its connection stands here, where it is done. */
void connection_drop(struct connection *connection) {
    if (__builtin_expect(alone_add32(&connection->holders, UINT32_MAX) == 1, 0))
        connection_give_back(connection);
}

struct connection *connection_hold(int fd, uint64_t word) {
    if (fd_word_kind(word) < FD_OUTBOUND || fd_word_value(word) == 0)
        return NULL;
    struct connection *connection = connection_at(fd_word_value(word));
    uint32_t holders = __atomic_load_n(&connection->holders, __ATOMIC_SEQ_CST);
    do {
        if (holders == 0)
            return NULL;
    } while (__builtin_expect(!alone_take32(&connection->holders, &holders, holders + 1), 0));
    if (__builtin_expect(fd_table_get(fd) == word, 1))
        return connection;
    connection_drop(connection);
    return NULL;
}

/* Our own code, interrupted by a handler that uses the very connection, or one handler too many in another: nothing can
 * be parsed now. */
static __attribute__((noinline, cold)) void note_foreign_use(int fd, uint64_t word) {
    struct connection *connection = fd_word_kind(word) == FD_STREAM ? connection_hold(fd, word) : NULL;

    if (!connection)
        return;
    connection_mark(connection, CONNECTION_FOREIGN);
    connection_drop(connection);
}

static __attribute__((noinline, cold)) uint64_t learn(int fd, const void *frame) {
    struct reentry_op *op = reentry_enter(frame, NULL);

    if (!op)
        return fd_table_get(fd);
    uint32_t serial = op->serial;
    uint64_t word = classify(fd);
    reentry_leave(op, serial);
    return word;
}

/* There is no connection any more, or none to be used. */
static __attribute__((noinline, cold)) enum operation_way give_up(struct reentry_op *op) {
    reentry_leave(op, op->serial);
    return OPERATION_REAL;
}

enum operation_way operation_begin(struct operation *operation, int fd, const void *frame) {
    uint64_t word = fd_table_get(fd);

    if (__builtin_expect(reentry_vforked, 0))
        return OPERATION_REAL;
    if (__builtin_expect(fd_word_kind(word) == FD_UNKNOWN, 0))
        word = learn(fd, frame);
    enum fd_kind kind = fd_word_kind(word);
    if (kind < FD_STREAM)
        return OPERATION_REAL;
    struct reentry_op *op = reentry_open(frame, NULL);
    if (!op) {
        note_foreign_use(fd, word);
        return OPERATION_REAL;
    }
    struct connection *connection = op->connection = connection_hold(fd, word);
    if (!connection)
        return give_up(op);
    unsigned marks = atomic_load_explicit(&connection->marks, memory_order_relaxed);
    if (marks & CONNECTION_ABANDONED)
        return give_up(op);
    op->fd = fd;
    *operation = (struct operation){.fd = fd,
                                    .saved_errno = errno,
                                    .word = word,
                                    .connection = connection,
                                    .stream = (struct stream *)connection->stream,
                                    .op = op,
                                    .serial = op->serial};
    if (__builtin_expect(atomic_load_explicit(&connection->epoch, memory_order_relaxed) !=
                             atomic_load_explicit(lifecycle_mark, memory_order_relaxed),
                         0))
        connection_adopt(connection);
    if (kind == FD_AWAITED) {
        op->in_call = true;
        return OPERATION_AWAIT;
    }
    if (__builtin_expect(marks & CONNECTION_FOREIGN, 0))
        stream_opaque(operation->stream, OPAQUE_SHARED);
    return OPERATION_STREAM;
}

/* The number was closed by a call that we do not see, and now means a file. */
static __attribute__((noinline, cold)) void forget(struct operation *operation) {
    if (fd_table_replace(operation->fd, operation->word, FD_PLAIN, 0))
        connection_release(operation->word, operation->fd, false);
}

bool operation_end(struct operation *operation, ssize_t result) {
    bool stale = operation->op->not_a_socket; /* whatever the stream had to give belongs to what is gone */

    if (__builtin_expect(stale, 0))
        forget(operation);
    struct connection *connection = reentry_close(operation->op, operation->serial);
    if (connection)
        connection_drop(connection);
    if (stale || result >= 0)
        errno = operation->saved_errno;
    return stale;
}

static bool is_broken(int error) {
    return error == ECONNRESET || error == ECONNREFUSED || error == ETIMEDOUT || error == EHOSTUNREACH ||
           error == ENETUNREACH || error == ENETDOWN || error == EPIPE || error == ECONNABORTED;
}

ssize_t operation_awaited(struct operation *operation, bool reads, ssize_t result) {
    int error = errno;

    operation->op->in_call = false;
    if (result > 0 && reads) {
        connection_mark(operation->connection, CONNECTION_ANSWERED);
        fd_table_replace(operation->fd, operation->word, FD_OUTBOUND, fd_word_value(operation->word));
    } else if (result < 0 && is_broken(error)) {
        connection_mark(operation->connection, CONNECTION_FAILED);
    } else if (result < 0 && error == ENOTSOCK) {
        forget(operation);
    }
    reentry_leave(operation->op, operation->serial);
    errno = error;
    return result;
}
