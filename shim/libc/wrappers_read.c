/* Reading calls on a connection, by way of its stream. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>

#include "shim/fd/fd_table.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/wait.h"
#include "shim/process/clock.h"
#include "shim/process/sandbox.h"

/* Nothing asked for: the kernel says what there is to say. */
static ssize_t read_bytes(struct operation *operation, void *bytes, size_t size, int flags) {
    if (size == 0 && stream_readable(operation->stream))
        return 0; /* there would be something */
    if (size == 0) {
        operation->op->in_call = true;
        ssize_t result = real.recv(operation->fd, bytes, 0, flags);
        operation->op->in_call = false;
        return result;
    }
    return stream_read(operation->stream, &(struct iovec){bytes, size}, 1, flags);
}

ssize_t via_recv(struct operation *operation, int fd, void *bytes, size_t size, int flags) {
    (void)fd;
    return read_bytes(operation, bytes, size, flags);
}

ssize_t via_readv(struct operation *operation, int fd, const struct iovec *iov, int count) {
    if (count <= 0 || !caller_memory_buffers(iov, (size_t)count, operation->op->frame))
        return real.readv(fd, iov, count);
    return stream_read(operation->stream, iov, count, 0);
}

/* A stream socket leaves the address as it is (TCP) or says that there is none: as the kernel does it, without a
 * byte. */
ssize_t via_recvfrom(struct operation *operation, int fd, void *bytes, size_t size, int flags, __SOCKADDR_ARG from,
                     socklen_t *length) {
    struct iovec iov = {bytes, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = from.__sockaddr__};

    if (!from.__sockaddr__)
        return via_recv(operation, fd, bytes, size, flags);
    bool readable = caller_memory_readable(length, sizeof(*length), operation->op->frame);
    if (readable)
        message.msg_namelen = *length;
    ssize_t result = via_recvmsg(operation, &message, flags);
    if (result >= 0 && readable) {
        *length = message.msg_namelen;
    } else if (result >= 0) {
        errno = EFAULT; /* as the kernel has it: what was read is lost */
        result = -1;
    }
    return result;
}

/* Too large a read: the real one says so, and ends the program. */
ssize_t via___read_chk(struct operation *operation, int fd, void *bytes, size_t size, size_t room) {
    if (size > room)
        return real.__read_chk(fd, bytes, size, room);
    return size ? read_bytes(operation, bytes, size, 0) : 0;
}

ssize_t via___recv_chk(struct operation *operation, int fd, void *bytes, size_t size, size_t room, int flags) {
    if (size > room)
        return real.__recv_chk(fd, bytes, size, room, flags);
    return via_recv(operation, fd, bytes, size, flags);
}

ssize_t via___recvfrom_chk(struct operation *operation, int fd, void *bytes, size_t size, size_t room, int flags,
                           __SOCKADDR_ARG from, socklen_t *length) {
    if (size > room)
        return real.__recvfrom_chk(fd, bytes, size, room, flags, from, length);
    return via_recvfrom(operation, fd, bytes, size, flags, from, length);
}

/* The first real call gets the message's room for address and ancillary data (socket_io.c). */
ssize_t via_recvmsg(struct operation *operation, struct msghdr *message, int flags) {
    if (!caller_memory_message(message, operation->op->frame) || message->msg_iovlen == 0)
        return real.recvmsg(operation->fd, message, flags);
    operation->op->message = message;
    operation->op->ancillary = true;
    ssize_t result = stream_read(operation->stream, message->msg_iov, (int)message->msg_iovlen, flags);
    if (result >= 0 && operation->op->ancillary) { /* served from what we had: there is none */
        message->msg_namelen = 0;
        message->msg_controllen = 0;
        message->msg_flags = 0;
    }
    return result;
}

static __attribute__((noinline)) ssize_t slow_recvmsg(int fd, struct msghdr *message, int flags, enum call_kind kind) {
    struct operation operation;

    switch (operation_begin(&operation, fd, FRAME)) {
    case OPERATION_REAL: break;
    case OPERATION_AWAIT: return operation_awaited(&operation, true, real.recvmsg(fd, message, flags));
    case OPERATION_STREAM: {
        operation.op->kind = kind;
        ssize_t result = via_recvmsg(&operation, message, flags);
        if (!operation_end(&operation, result))
            return result;
    }
    }
    return real.recvmsg(fd, message, flags);
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    ssize_t result = fd_table_passes(fd) ? real.recvmsg(fd, message, flags)
                                         : slow_recvmsg(fd, message, flags, CALL_RECVMSG);

    if (result >= 0 && message->msg_controllen)
        fd_received(message);
    return result;
}

/* On a stream the messages are read one by one, as the kernel does it: the first may wait, and an error after some is
 * reported by the next call. */
static __attribute__((noinline)) int slow_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
                                                   struct timespec *timeout) {
    unsigned int done = 0;
    uint64_t end_ns = UINT64_MAX;

    if ((timeout && !(caller_memory_readable(timeout, sizeof(*timeout), FRAME) && wait_end(timeout, &end_ns))) ||
        count == 0 || fd_word_kind(fd_table_get(fd)) != FD_STREAM)
        return real.recvmmsg(fd, messages, count, flags, timeout);
    while (done < count && done < INT_MAX) {
        if (!caller_memory_readable(&messages[done], sizeof(*messages), FRAME)) {
            errno = EFAULT;
            break;
        }
        ssize_t result = slow_recvmsg(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE, CALL_RECVMMSG);
        if (result < 0)
            break;
        messages[done++].msg_len = (unsigned int)result;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (result == 0 || (timeout && clock_ns() >= end_ns)) /* the time is looked at after each message only */
            break;
    }
    if (timeout && done)
        *timeout = wait_left(end_ns);
    return done ? (int)done : -1;
}

EXPORTED int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) {
    int result = fd_table_passes(fd) ? real.recvmmsg(fd, messages, count, flags, timeout)
                                     : slow_recvmmsg(fd, messages, count, flags, timeout);

    for (int n = 0; n < result; n++)
        if (messages[n].msg_hdr.msg_controllen)
            fd_received(&messages[n].msg_hdr);
    return result;
}
