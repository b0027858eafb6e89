#include "shim/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rules/rule.h"
#include "shim/arena.h"
#include "shim/fd_table.h"
#include "shim/guard.h"
#include "shim/lifecycle.h"
#include "shim/policy.h"
#include "shim/socket_io.h"
#include "shim/syscall_raw.h"

static struct arena_pool inbound, outbound;
static const struct stream_memory memory = {arena_take, arena_give};

static struct arena_pool *pool_of(uint8_t side)
{
    struct arena_pool *pool = side == SIDE_INBOUND ? &inbound : &outbound;

    pool->size = (uint32_t)(sizeof(struct connection) + (side == SIDE_INBOUND ? stream_size() : 0));
    return pool;
}

struct connection *connection_new(const struct admit_connection *admit)
{
    struct connection *connection = arena_pool_take(pool_of(admit->side));

    if (!connection)
        return NULL;
    /* Somebody with a stale word may be looking at holders: it stays 0 until all else is in place. */
    atomic_store(&connection->marks, 0);
    atomic_store(&connection->descriptors, 1);
    connection->cookie = 0;
    connection->admit = *admit;
    connection->admit.tcp.resources_count = 0;
    connection->admitted_epoch = lifecycle_epoch();
    atomic_store(&connection->epoch, connection->admitted_epoch);
    atomic_fetch_add(&connection->holders, 1);
    return connection;
}

void connection_open_stream(struct connection *connection, int fd)
{
    stream_open(connection_stream(connection), fd, &socket_io, &policy_stream, connection, &memory);
}

struct stream *connection_stream(struct connection *connection)
{
    return (struct stream *)connection->stream;
}

uint32_t connection_index(const struct connection *connection)
{
    return arena_index(connection);
}

struct connection *connection_hold(int fd, uint64_t word)
{
    if (fd_word_kind(word) < FD_OUTBOUND || fd_word_value(word) == 0)
        return NULL;
    struct connection *connection = arena_at(fd_word_value(word));
    uint32_t holders = atomic_load(&connection->holders);
    do {
        if (holders == 0)
            return NULL;
    } while (!atomic_compare_exchange_weak(&connection->holders, &holders, holders + 1));
    if (fd_table_get(fd) == word)
        return connection;
    connection_drop(connection);
    return NULL;
}

void connection_drop(struct connection *connection)
{
    if (atomic_fetch_sub(&connection->holders, 1) == 1)
        arena_pool_give(pool_of(connection->admit.side), connection);
}

void connection_share(struct connection *connection)
{
    atomic_fetch_add(&connection->holders, 1);
    atomic_fetch_add(&connection->descriptors, 1);
}

/* Did the attempt to connect fail, or was it cut off before an answer?  The error itself has been told to the
 * application long ago; what remains is that such a socket has no peer. */
static bool has_no_peer(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;

    return RAW3(SYS_getpeername, fd, &peer, &length) == -ENOTCONN;
}

static void end(struct connection *connection, int fd, bool fd_valid)
{
    bool error = connection_marked(connection, CONNECTION_FAILED);

    if (connection->admit.side == SIDE_INBOUND) {
        if (!connection_marked(connection, CONNECTION_ABANDONED))
            stream_close(connection_stream(connection));
    } else if (!error && !connection_marked(connection, CONNECTION_ANSWERED)) {
        error = fd_valid && has_no_peer(fd);
    }
    if (connection->admitted_epoch == lifecycle_epoch())
        admit_disconnect(&connection->admit, error); /* in a forked child it is the parent's to end */
}

void connection_release(uint64_t word, int fd, bool fd_valid)
{
    if (fd_word_kind(word) < FD_OUTBOUND || fd_word_value(word) == 0)
        return;
    struct connection *connection = arena_at(fd_word_value(word));
    struct guard_op *op = guard_top();
    /* A forked child that never used it has nothing to say on it: the parent does. */
    if (op && fd_valid && atomic_load(&connection->epoch) == lifecycle_epoch())
        op->fd = fd;
    connection_adopt(connection);
    if (atomic_fetch_sub(&connection->descriptors, 1) == 1)
        end(connection, fd, fd_valid);
    if (op)
        op->fd = -1;
    connection_drop(connection);
}

void connection_adopt(struct connection *connection)
{
    uint32_t now = lifecycle_epoch(), before = atomic_load(&connection->epoch);

    while (before != now)
        if (atomic_compare_exchange_weak(&connection->epoch, &before, now))
            return;
}

void connection_mark(struct connection *connection, enum connection_mark mark)
{
    atomic_fetch_or(&connection->marks, mark);
}

bool connection_marked(const struct connection *connection, unsigned marks)
{
    return atomic_load_explicit(&connection->marks, memory_order_relaxed) & marks;
}
