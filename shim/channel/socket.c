#include "shim/channel/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include "shim/process/clock.h"
#include "shim/process/reentry.h"
#include "shim/process/sandbox.h"
#include "shim/channel/same_call.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/fd/connection.h"
#include "shim/fd/wakeup.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.14; the libc's headers may be older */
#endif
enum { GROW_BY = 64 << 10 };

/* The stream knows the number it began with; the application may have closed that one and gone on with a copy of it. */
static int fd_of(struct channel *channel) {
    const struct reentry_op *op = reentry_top();
    return op ? op->fd : channel->fd;
}

/* The mark is set last and taken first, so that a handler that comes in between finds our own code running.  Only this
 * thread's handlers look at it: the order matters to the compiler alone. */
static inline struct reentry_op *call_begin(struct channel *channel, int *ret_fd) {
    struct reentry_op *op = reentry_top();

    *ret_fd = op ? op->fd : channel->fd;
    if (op)
        op->in_call = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return op;
}

static inline ssize_t call_end(struct reentry_op *op, ssize_t result) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (op) {
        op->in_call = false;
        if (__builtin_expect(result < 0, 0) && errno == ENOTSOCK)
            op->not_a_socket = true;
    }
    return result;
}

static ssize_t recv_message(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags) {
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    return call_end(op, real.recvmsg(fd, &message, flags));
}

/* The application's own message: ancillary data and addresses go the first time, with the first bytes. */
static ssize_t recv_ancillary(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags) {
    struct msghdr *message = (struct msghdr *)op->message, copy = *message;

    op->ancillary = false;
    copy.msg_iov = (struct iovec *)iov;
    copy.msg_iovlen = (size_t)count;
    ssize_t result = call_end(op, real.recvmsg(fd, &copy, flags));
    if (result >= 0) {
        message->msg_namelen = copy.msg_namelen;
        message->msg_controllen = copy.msg_controllen;
        message->msg_flags = copy.msg_flags;
    }
    return result;
}

/* The channel lies in its connection. */
static struct connection *connection_of(struct channel *channel) {
    return (struct connection *)((char *)channel - offsetof(struct connection, channel));
}

/* Under a filter.  A call that could have waited and says EAGAIN tells what fcntl() cannot be asked. */
static __attribute__((noinline, cold)) ssize_t same_recv(struct channel *channel, struct reentry_op *op, int fd,
                                                         const struct iovec *iov, int count, int flags) {
    struct connection *connection = connection_of(channel);
    if (connection_marked(connection, CONNECTION_REFUSED)) {
        errno = ECONNRESET;
        return -1;
    }
    bool nonblocking = connection_marked(connection, CONNECTION_NONBLOCKING);
    ssize_t got = call_end(op, same_call_recv(op, nonblocking, fd, iov, count, flags));

    if (got < 0 && errno == EAGAIN && !(flags & MSG_DONTWAIT))
        connection_mark(connection, CONNECTION_NONBLOCKING);
    return got;
}

/* Is it to be measured how long a read waits for its client? */
#define MEASURED() __builtin_expect(atomic_load_explicit(&admit_asked_ns, memory_order_relaxed) != 0, 0)

static ssize_t socket_recv(struct channel *channel, void *bytes, size_t size, int flags) {
    int fd;
    struct reentry_op *op = call_begin(channel, &fd);
    uint64_t began_ns = MEASURED() ? clock_ns() : 0;
    ssize_t got;

    if (sandbox_on())
        got = same_recv(channel, op, fd, &(struct iovec){bytes, size}, 1, flags);
    else if (__builtin_expect(bytes && op && op->ancillary, 0))
        got = recv_ancillary(op, fd, &(struct iovec){bytes, size}, 1, flags);
    else
        got = call_end(op, real.recv(fd, bytes, size, flags)); /* read would take a file for a socket */
    if (__builtin_expect(began_ns != 0, 0))
        admit_slept(began_ns, true);
    return got;
}

static ssize_t socket_recvv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    int fd;
    struct reentry_op *op = call_begin(channel, &fd);
    uint64_t began_ns = MEASURED() ? clock_ns() : 0;
    ssize_t got = sandbox_on()          ? same_recv(channel, op, fd, iov, count, flags)
                  : op && op->ancillary ? recv_ancillary(op, fd, iov, count, flags)
                                        : recv_message(op, fd, iov, count, flags);
    if (__builtin_expect(began_ns != 0, 0))
        admit_slept(began_ns, true);
    return got;
}

static ssize_t send_message(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags) {
    struct msghdr message = {0};

    if (op && op->ancillary) {
        message = *op->message;
        op->ancillary = false;
    }
    message.msg_iov = (struct iovec *)iov;
    message.msg_iovlen = (size_t)count;
    return call_end(op, real.sendmsg(fd, &message, flags));
}

/* Without flags by the application's own kind of call: the kernel has less to copy, and a number that means a file by
 * now gets what was meant for it. */
static ssize_t socket_sendv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    int fd;
    struct reentry_op *op = call_begin(channel, &fd);

    if (sandbox_on())
        return call_end(op, same_call_send(op, fd, iov, count, flags));
    if (__builtin_expect((op && op->ancillary) || (flags && count != 1), 0))
        return send_message(op, fd, iov, count, flags);
    if (flags)
        return call_end(op, real.send(fd, iov->iov_base, iov->iov_len, flags));
    return call_end(op, count == 1 ? real.write(fd, iov->iov_base, iov->iov_len) : real.writev(fd, iov, count));
}

static int socket_finish(struct channel *channel, int how) {
    long result = sandbox_allows(CALL_SHUTDOWN) ? RAW2(SYS_shutdown, fd_of(channel), how)
                                                : OWN2(SYS_shutdown, fd_of(channel), how);

    return result < 0 ? errno = (int)-result, -1 : 0;
}

static bool socket_may_wait(struct channel *channel) {
    (void)channel;
    return !sandbox_on();
}

static int socket_wait(struct channel *channel, short events, uint64_t timeout_ns) {
    if (sandbox_on())
        return 0;
    int fd;
    struct reentry_op *op = call_begin(channel, &fd);
    struct pollfd look = {.fd = fd, .events = events};
    uint64_t nap_ns = events & POLLIN ? timeout_ns : clock_nap_ns(timeout_ns); /* (the clock is looked at again) */
    struct timespec timeout = {.tv_sec = (time_t)(nap_ns / 1000000000), .tv_nsec = (long)(nap_ns % 1000000000)};

    return (int)call_end(op, real.ppoll(&look, 1, &timeout, NULL)); /* libc's: a cancelled thread may end here */
}

static bool socket_nonblocking(struct channel *channel) {
    long flags = OWN2(SYS_fcntl, fd_of(channel), F_GETFL);

    if (sandbox_on())
        return connection_marked(connection_of(channel), CONNECTION_NONBLOCKING);
    return flags >= 0 && (flags & O_NONBLOCK);
}

static uint64_t socket_patience_ns(struct channel *channel) {
    struct timeval limit = {0};
    socklen_t length = sizeof limit;

    if (OWN5(SYS_getsockopt, fd_of(channel), SOL_SOCKET, SO_RCVTIMEO, &limit, &length) < 0 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0))
        return UINT64_MAX;
    return (uint64_t)limit.tv_sec * 1000000000 + (uint64_t)limit.tv_usec * 1000;
}

static bool socket_usable(struct channel *channel, const void *bytes, size_t size) {
    const struct reentry_op *op = reentry_top();
    (void)channel;
    return !op || caller_memory_readable(bytes, size, op->frame);
}

/* SO_SNDBUF set by hand ends the kernel's own tuning of it; SO_BUF_LOCK 0 starts that again. */
static bool socket_make_room(struct channel *channel) {
    int size = 0, lock = 0, fd = fd_of(channel);
    socklen_t length = sizeof size;

    if (OWN5(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0)
        return false;
    int larger = size / 2 + GROW_BY; /* the kernel reports twice what was asked for */
    if (OWN5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &larger, sizeof larger) < 0)
        return false;
    OWN5(SYS_setsockopt, fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof lock);
    length = sizeof size;
    int now = size;
    OWN5(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &now, &length);
    return now > size;
}

static enum notice socket_notice(struct channel *channel, uint64_t at_ns) {
    if (at_ns && sandbox_on())
        return NOTICE_NONE;
    return wakeup_announce(connection_of(channel), at_ns);
}

static bool socket_stir(struct channel *channel) {
    return !sandbox_on() && wakeup_again(connection_of(channel));
}

const struct channel_ops channel_socket = {
    .recv = socket_recv,
    .recvv = socket_recvv,
    .sendv = socket_sendv,
    .finish = socket_finish,
    .may_wait = socket_may_wait,
    .wait = socket_wait,
    .nonblocking = socket_nonblocking,
    .patience_ns = socket_patience_ns,
    .usable = socket_usable,
    .make_room = socket_make_room,
    .notice = socket_notice,
    .stir = socket_stir,
    .now_ns = clock_ns,
};
