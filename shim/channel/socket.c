#include "shim/channel/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include "shim/process/clock.h"
#include "shim/process/reentry.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/fd/connection.h"
#include "shim/fd/wakeup.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.14; the libc's headers may be older */
#endif
enum { GROW_BY = 64 << 10 };

/* The mark is set last and taken first, so that a handler that comes in between finds our own code running.  Only this
 * thread's handlers look at it: the order matters to the compiler alone. */
static inline struct reentry_op *call_begin(void) {
    struct reentry_op *op = reentry_top();

    if (op)
        op->in_call = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return op;
}

/* The stream knows the number it began with; the application may have closed that one and gone on with a copy of it. */
static int fd_of(const struct reentry_op *op, int fd) {
    return op ? op->fd : fd;
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

/* The application's own message: ancillary data and addresses go the first time, with the first bytes. */
static struct msghdr *message_of(struct reentry_op *op) {
    if (!op || !op->ancillary)
        return NULL;
    op->ancillary = false;
    return (struct msghdr *)op->message;
}

static ssize_t io_recvmsg(struct reentry_op *op, struct msghdr *message, int fd, const struct iovec *iov, int count,
                          int flags) {
    struct msghdr copy = *message;

    copy.msg_iov = (struct iovec *)iov;
    copy.msg_iovlen = (size_t)count;
    ssize_t result = call_end(op, real.recvmsg(fd_of(op, fd), &copy, flags));
    if (result >= 0) {
        message->msg_namelen = copy.msg_namelen;
        message->msg_controllen = copy.msg_controllen;
        message->msg_flags = copy.msg_flags;
    }
    return result;
}

static ssize_t io_recv(int fd, void *bytes, size_t size, int flags) {
    struct reentry_op *op = call_begin();
    struct msghdr *message = bytes ? message_of(op) : NULL;

    if (message)
        return io_recvmsg(op, message, fd, &(struct iovec){bytes, size}, 1, flags);
    return call_end(op, real.recv(fd_of(op, fd), bytes, size, flags));
}

static ssize_t io_readv(int fd, const struct iovec *iov, int count) {
    struct reentry_op *op = call_begin();
    struct msghdr *message = message_of(op), plain = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};

    if (message)
        return io_recvmsg(op, message, fd, iov, count, 0);
    return call_end(op, real.recvmsg(fd_of(op, fd), &plain, 0)); /* readv would take a file for a socket */
}

/* Without flags by the application's own kind of call: the kernel has less to copy, and a number that means a file by
 * now gets what was meant for it. */
static ssize_t io_sendmsg(int fd, const struct iovec *iov, int count, int flags) {
    struct reentry_op *op = call_begin();
    struct msghdr *message = message_of(op), copy = {0};

    if (!message && !flags)
        return call_end(op, count == 1 ? real.write(fd_of(op, fd), iov->iov_base, iov->iov_len)
                                       : real.writev(fd_of(op, fd), iov, count));
    if (message)
        copy = *message;
    copy.msg_iov = (struct iovec *)iov;
    copy.msg_iovlen = (size_t)count;
    return call_end(op, real.sendmsg(fd_of(op, fd), &copy, flags));
}

static ssize_t io_send(int fd, const void *bytes, size_t size, int flags) {
    struct reentry_op *op = reentry_top();

    if (op && op->ancillary)
        return io_sendmsg(fd, &(struct iovec){(void *)bytes, size}, 1, flags);
    op = call_begin();
    return call_end(op, real.send(fd_of(op, fd), bytes, size, flags));
}

static int io_shutdown(int fd, int how) {
    long result = RAW2(SYS_shutdown, fd_of(reentry_top(), fd), how);

    return result < 0 ? errno = (int)-result, -1 : 0;
}

static int wait_for(int fd, short events, uint64_t timeout_ns) {
    struct reentry_op *op = call_begin();
    struct pollfd look = {.fd = fd_of(op, fd), .events = events};
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000), .tv_nsec = (long)(timeout_ns % 1000000000)};

    return (int)call_end(op, real.ppoll(&look, 1, &timeout, NULL)); /* libc's: a cancelled thread may end here */
}

static int io_poll_in(int fd, int timeout_ms) {
    return wait_for(fd, POLLIN, (uint64_t)timeout_ms * 1000000);
}

static int io_wait_hangup(int fd, uint64_t timeout_ns) {
    return wait_for(fd, POLLRDHUP, clock_nap_ns(timeout_ns)); /* (whoever waits looks at the clock again) */
}

static bool io_nonblocking(int fd) {
    long flags = RAW2(SYS_fcntl, fd_of(reentry_top(), fd), F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK);
}

/* SO_SNDBUF set by hand ends the kernel's own tuning of it; SO_BUF_LOCK 0 starts that again. */
static int io_grow_send_buffer(int fd) {
    int size = 0, lock = 0;
    socklen_t length = sizeof size;

    fd = fd_of(reentry_top(), fd);
    if (RAW5(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0)
        return -1;
    int larger = size / 2 + GROW_BY; /* the kernel reports twice what was asked for */
    if (RAW5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &larger, sizeof larger) < 0)
        return -1;
    RAW5(SYS_setsockopt, fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof lock);
    length = sizeof size;
    int now = size;
    RAW5(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &now, &length);
    return now > size ? 0 : -1;
}

/* Of the stream sockets only TCP heeds the low-water mark when it wakes. */
static bool io_hold_back(int fd, bool on) {
    int low_water = on ? 1 << 16 : 1; /* more than 64 KiB would grow the receive buffer for good */
    int protocol = 0;
    socklen_t length = sizeof protocol;

    fd = fd_of(reentry_top(), fd);
    if (RAW5(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0 || protocol != IPPROTO_TCP)
        return false;
    return RAW5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water) == 0;
}

/* The stream lies in its connection. */
static struct connection *connection_of(struct stream *stream) {
    return (struct connection *)((char *)stream - offsetof(struct connection, stream));
}

static enum stream_notice io_announce(struct stream *stream, uint64_t at_ns, bool much) {
    static const uint8_t notices[] = {
        [WAKEUP_NONE] = NOTICE_NONE, [WAKEUP_GIVEN] = NOTICE_GIVEN, [WAKEUP_NEEDED] = NOTICE_NEEDED};
    (void)much;
    return (enum stream_notice)notices[wakeup_announce(connection_of(stream), at_ns)];
}

const struct stream_io socket_io = {
    .recv = io_recv,
    .readv = io_readv,
    .send = io_send,
    .sendmsg = io_sendmsg,
    .shutdown = io_shutdown,
    .poll_in = io_poll_in,
    .nonblocking = io_nonblocking,
    .grow_send_buffer = io_grow_send_buffer,
    .now_ns = clock_ns,
    .wait_hangup = io_wait_hangup,
    .hold_back = io_hold_back,
    .announce = io_announce,
};
