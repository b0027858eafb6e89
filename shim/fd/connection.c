#include "shim/admission/caller.h"
#include "shim/fd/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rules/rule.h"
#include "shim/process/reentry.h"
#include "shim/process/lifecycle.h"
#include "shim/process/sandbox.h"
#include "shim/libc/syscall_raw.h"
#include "shim/fd/linger.h"
#include "shim/fd/wakeup.h"

static struct arena_pool inbound, outbound;
static const struct stream_memory memory = {arena_take, arena_give};

static struct arena_pool *pool_of(uint8_t side) {
    struct arena_pool *pool = side == SIDE_INBOUND ? &inbound : &outbound;

    pool->size = (uint32_t)(sizeof(struct connection) + (side == SIDE_INBOUND ? stream_size() : 0));
    return pool;
}

void connection_give_back(struct connection *connection) {
    caller_forget(&connection->admit);
    arena_pool_give(pool_of(connection->admit.side), connection);
}

struct connection *connection_new(const struct admit_connection *admit) {
    struct connection *connection = arena_pool_take(pool_of(admit->side));

    if (!connection)
        return NULL;
    /* A thread with a stale word may be looking at holders: it stays 0 until everything else is in place. */
    atomic_store(&connection->marks, 0);
    atomic_store(&connection->descriptors, 1);
    connection->cookie = 0;
    connection->timer = 0;
    connection->more_watches = 0;
    connection->watch = (struct watch){.present = 0};
    connection->admit = *admit;
    memset(connection->admit.tcp, 0, sizeof connection->admit.tcp);
    atomic_store(&connection->epoch, lifecycle_epoch());
    alone_add32(&connection->holders, 1);
    return connection;
}

void connection_open_stream(struct connection *connection, int fd) {
    const struct stream_policy *policy = connection->admit.protocol == PROTOCOL_HTTP ? &admit_http_only : &admit_http;
    wakeup_begin(fd);
    connection->channel = (struct channel){.ops = &channel_socket, .fd = fd};
    stream_open(connection_stream(connection), &connection->channel, policy, &connection->admit, &memory);
    if (connection->admit.protocol == PROTOCOL_TCP)
        stream_opaque(connection_stream(connection), OPAQUE_AS_SAID);
}

uint32_t connection_index(const struct connection *connection) {
    return arena_index(connection);
}

void connection_share(struct connection *connection) {
    alone_add32(&connection->holders, 1);
    atomic_fetch_add(&connection->descriptors, 1);
}

/* Did the attempt to connect fail, or was it cut off before an answer?  The error itself has been reported to the
 * application long ago; what remains is that such a socket has no peer. */
static bool has_no_peer(int fd) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;

    return OWN3(SYS_getpeername, fd, &peer, &length) == -ENOTCONN;
}

/* The descriptor is still open.  A set would go on reporting a connection that lives on. */
static void speak_last(struct connection *connection, int fd) {
    struct stream *stream = connection_stream(connection);

    if (!stream_last_words(stream) || !stream_lock(stream))
        return;
    wakeup_leave_sets(connection);
    stream_unlock(stream);
    linger_keep(fd);
}

/* `own`: this process has used it. */
static void end(struct connection *connection, int fd, bool fd_valid, bool own) {
    bool error = connection_marked(connection, CONNECTION_FAILED);

    if (connection->admit.side == SIDE_INBOUND) {
        if (!connection_marked(connection, CONNECTION_ABANDONED)) {
            if (fd_valid && own && !sandbox_on())
                speak_last(connection, fd);
            if (fd_valid && own && !connection_marked(connection, CONNECTION_SENT | CONNECTION_FOREIGN))
                admit_count_end(&connection->admit, connection_stream(connection));
            stream_close(connection_stream(connection));
        }
        wakeup_end(connection);
    } else if (!error && !connection_marked(connection, CONNECTION_ANSWERED)) {
        error = fd_valid && has_no_peer(fd);
    }
    admit_disconnect(&connection->admit, error);
}

void connection_release(uint64_t word, int fd, bool fd_valid) {
    if (fd_word_kind(word) < FD_OUTBOUND || fd_word_value(word) == 0)
        return;
    struct connection *connection = connection_at(fd_word_value(word));
    struct reentry_op *op = reentry_top();
    /* A forked child that never used it has nothing to say on it: the parent does. */
    bool own = atomic_load(&connection->epoch) == lifecycle_epoch();
    if (op && fd_valid && own)
        op->fd = fd;
    connection_adopt(connection);
    if (atomic_fetch_sub(&connection->descriptors, 1) == 1)
        end(connection, fd, fd_valid, own);
    else
        wakeup_forget(connection, fd);
    if (op)
        op->fd = -1;
    connection_drop(connection);
}

void connection_adopt(struct connection *connection) {
    uint32_t now = lifecycle_epoch(), before = atomic_load(&connection->epoch);

    while (__builtin_expect(before != now, 0))
        if (atomic_compare_exchange_weak(&connection->epoch, &before, now)) {
            wakeup_adopt(connection);
            return;
        }
}

void connection_mark(struct connection *connection, enum connection_mark mark) {
    atomic_fetch_or(&connection->marks, mark);
}

void reentry_let_go(struct connection *connection, bool abandoned) {
    if (abandoned)
        connection_mark(connection, CONNECTION_ABANDONED);
    connection_drop(connection);
}
