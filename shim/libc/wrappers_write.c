/* Writing calls on a connection, by way of its stream. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "shim/fd/fd_table.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/sandbox.h"

enum { PHANTOM_WAIT_MS = 2000 };

ssize_t via_send(struct operation *operation, int fd, const void *bytes, size_t size, int flags) {
    return size ? stream_write(operation->stream, &(struct iovec){(void *)bytes, size}, 1, flags)
                : real.send(fd, bytes, 0, flags);
}

ssize_t via_writev(struct operation *operation, int fd, const struct iovec *iov, int count) {
    if (count <= 0 || !caller_memory_buffers(iov, (size_t)count, operation->op->frame))
        return real.writev(fd, iov, count);
    return stream_write(operation->stream, iov, count, 0);
}

/* The first real call carries the address and the ancillary data (socket_io.c): a descriptor passed along is not
 * lost. */
ssize_t via_sendmsg(struct operation *operation, const struct msghdr *message, int flags) {
    if (!caller_memory_message(message, operation->op->frame) || message->msg_iovlen == 0)
        return real.sendmsg(operation->fd, message, flags);
    operation->op->message = message;
    operation->op->ancillary = message->msg_control || message->msg_name;
    return stream_write(operation->stream, message->msg_iov, (int)message->msg_iovlen, flags);
}

static __attribute__((noinline)) ssize_t slow_sendmsg(int fd, const struct msghdr *message, int flags,
                                                      enum call_kind kind) {
    struct operation operation;

    switch (operation_begin(&operation, fd, FRAME)) {
    case OPERATION_REAL: break;
    case OPERATION_AWAIT: return operation_awaited(&operation, false, real.sendmsg(fd, message, flags));
    case OPERATION_STREAM: {
        operation.op->kind = kind;
        ssize_t result = via_sendmsg(&operation, message, flags);
        if (!operation_end(&operation, result))
            return result;
    }
    }
    return real.sendmsg(fd, message, flags);
}

/* TCP fast open connects and sends in one call. */
struct fast_open {
    const struct msghdr *message;
    const void *bytes;
    size_t size;
    int flags;
};

static ssize_t sendmsg_fast_open(int fd, const struct sockaddr *address, socklen_t length, const void *context) {
    const struct fast_open *send = context;

    if (send->message)
        return real.sendmsg(fd, send->message, send->flags);
    return real.sendto(fd, send->bytes, send->size, send->flags, (__CONST_SOCKADDR_ARG){address}, length);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!fd_table_passes(fd))
        return slow_sendmsg(fd, message, flags, CALL_SENDMSG);
    if ((flags & MSG_FASTOPEN) && caller_memory_readable(message, sizeof(*message), FRAME) && message->msg_name) {
        struct fast_open send = {.message = message, .flags = flags};
        return connect_by(sendmsg_fast_open, fd, message->msg_name, message->msg_namelen, &send, FRAME);
    }
    bool carries = fd_sends(message, FRAME);
    ssize_t result = real.sendmsg(fd, message, flags);
    if (carries && result < 0)
        fd_unsent(message, FRAME);
    return result;
}

static __attribute__((noinline)) ssize_t slow_sendto(int fd, const void *bytes, size_t size, int flags,
                                                     __CONST_SOCKADDR_ARG to, socklen_t length) {
    struct iovec iov = {(void *)bytes, size};
    struct msghdr message = {
        .msg_name = (void *)to.__sockaddr__, .msg_namelen = length, .msg_iov = &iov, .msg_iovlen = 1};
    struct operation operation;

    switch (operation_begin(&operation, fd, FRAME)) {
    case OPERATION_REAL: break;
    case OPERATION_AWAIT: return operation_awaited(&operation, false, real.sendto(fd, bytes, size, flags, to, length));
    case OPERATION_STREAM: {
        operation.op->kind = CALL_SEND;
        ssize_t result = to.__sockaddr__ && size ? via_sendmsg(&operation, &message, flags)
                                                 : via_send(&operation, fd, bytes, size, flags);
        if (!operation_end(&operation, result))
            return result;
    }
    }
    return real.sendto(fd, bytes, size, flags, to, length);
}

EXPORTED ssize_t sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to, socklen_t length) {
    if (!fd_table_passes(fd))
        return slow_sendto(fd, bytes, size, flags, to, length);
    if ((flags & MSG_FASTOPEN) && to.__sockaddr__) {
        struct fast_open send = {.bytes = bytes, .size = size, .flags = flags};
        return connect_by(sendmsg_fast_open, fd, to.__sockaddr__, length, &send, FRAME);
    }
    return real.sendto(fd, bytes, size, flags, to, length);
}

EXPORTED int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
    unsigned int done = 0, most = count < IOV_MAX ? count : IOV_MAX; /* as the kernel has it */

    if (fd_word_kind(fd_table_get(fd)) != FD_STREAM || count == 0)
        return real.sendmmsg(fd, messages, count, flags);
    while (done < most) {
        if (!caller_memory_readable(&messages[done], sizeof(*messages), FRAME)) {
            errno = EFAULT;
            break;
        }
        ssize_t result = slow_sendmsg(fd, &messages[done].msg_hdr, flags, CALL_SENDMMSG);
        if (result < 0)
            break;
        messages[done++].msg_len = (unsigned int)result;
    }
    return done ? (int)done : -1;
}

/* ------------------------------------------------------------------------------------- calls that show no bytes */

static void move(int in, off64_t *offset, ssize_t by) {
    if (offset)
        *offset += by;
    else
        OWN3(SYS_lseek, in, by, SEEK_CUR);
}

static ssize_t real_sendfile(struct operation *operation, int in, off64_t *offset, size_t size) {
    operation->op->in_call = true;
    ssize_t sent = real.sendfile64(operation->fd, in, offset, size);
    operation->op->in_call = false;
    if (sent < 0 && errno == ENOTSOCK)
        operation->op->not_a_socket = true;
    return sent;
}

/* What the stream lets go at once may be less than asked for, if an injected response is due in between.  That is no
 * reason to return early: a server takes a short count for a full socket, and waits for an event that does not come. */
static ssize_t send_file(struct operation *operation, int in, off64_t *offset, size_t size) {
    size_t total = 0;

    while (total < size) {
        size_t skip, allowed = stream_sendfile_begin(operation->stream, size - total, &skip);
        if (!allowed && !skip) {
            errno = EAGAIN;
            break;
        }
        if (skip)
            move(in, offset, (ssize_t)skip);
        ssize_t sent = allowed ? real_sendfile(operation, in, offset, allowed) : 0;
        int error = errno;
        size_t done = sent > 0 ? (size_t)sent : 0, claimed = stream_sendfile_done(operation->stream, done);
        if (claimed < done)
            move(in, offset, -1);
        total += skip + claimed;
        errno = error;
        if (sent == 0 && allowed)
            return (ssize_t)total; /* the file ends here */
        if (done < allowed || claimed < done)
            break;
    }
    return total ? (ssize_t)total : -1;
}

ssize_t via_sendfile64(struct operation *operation, int fd, int in, off64_t *offset, size_t size) {
    if (size == 0 || (offset && !caller_memory_readable(offset, sizeof(*offset), operation->op->frame)))
        return real.sendfile64(fd, in, offset, size);
    return send_file(operation, in, offset, size);
}

ssize_t via_sendfile(struct operation *operation, int fd, int in, off_t *offset, size_t size) {
    _Static_assert(sizeof(off_t) == sizeof(off64_t), "one offset");
    return via_sendfile64(operation, fd, in, offset, size);
}

/* What was taken out of a pipe cannot be put back: an injected response that is half sent after it is finished here, or
 * the connection ends. */
static void settle_phantom(struct operation *operation) {
    struct pollfd look = {.fd = operation->fd, .events = POLLOUT};
    struct timespec patience = {.tv_sec = PHANTOM_WAIT_MS / 1000};
    size_t skip = 0;

    while (OWN5(SYS_ppoll, &look, 1, &patience, 0, 0) > 0 && !(look.revents & (POLLERR | POLLHUP))) {
        size_t allowed = stream_sendfile_begin(operation->stream, 1, &skip);
        if (allowed || skip)
            stream_sendfile_done(operation->stream, 0);
        if (skip)
            return;
    }
    OWN2(SYS_shutdown, operation->fd, SHUT_RDWR);
}

/* What is only to be claimed leaves the pipe all the same.  Returns how much did. */
static size_t take_away(int in, size_t size) {
    char scratch[1024];
    size_t total = 0;

    while (total < size) {
        size_t step = size - total < sizeof scratch ? size - total : sizeof scratch;
        long got = OWN3(SYS_read, in, scratch, step);
        total += got > 0 ? (size_t)got : 0;
        if (got < (long)step)
            break;
    }
    return total;
}

static ssize_t splice_out(struct operation *operation, int in, size_t size, unsigned int flags) {
    size_t skip, allowed = stream_sendfile_begin(operation->stream, size, &skip);

    if (!allowed && !skip) {
        errno = EAGAIN;
        return -1;
    }
    skip = take_away(in, skip);
    operation->op->in_call = true;
    ssize_t sent = allowed ? real.splice(in, NULL, operation->fd, NULL, allowed, flags) : 0;
    operation->op->in_call = false;
    int error = errno;
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (stream_sendfile_done(operation->stream, done) < done)
        settle_phantom(operation);
    errno = error;
    return sent < 0 && !skip ? -1 : (ssize_t)(skip + done);
}

/* Bytes that go from a connection into a pipe are not seen: from here on nothing is recognised.  What we still hold
 * can only be read; EINVAL, "cannot be spliced", sends the program there. */
static ssize_t splice_in(struct operation *operation, int fd, size_t size, unsigned int flags) {
    stream_opaque(operation->stream, OPAQUE_SHARED);
    if (stream_readable(operation->stream)) {
        errno = EINVAL;
        return -1;
    }
    operation->op->in_call = true;
    ssize_t result = real.splice(operation->fd, NULL, fd, NULL, size, flags);
    operation->op->in_call = false;
    return result;
}

static __attribute__((noinline)) ssize_t slow_splice(int in, int fd, size_t size, unsigned int flags) {
    struct operation operation;
    enum operation_way way = OPERATION_REAL;
    bool reads = true;
    ssize_t result;

    if (!fd_table_passes(in))
        way = operation_begin(&operation, in, FRAME);
    if (way == OPERATION_REAL && !fd_table_passes(fd)) {
        reads = false;
        way = operation_begin(&operation, fd, FRAME);
    }
    switch (way) {
    case OPERATION_REAL: break;
    case OPERATION_AWAIT: return operation_awaited(&operation, reads, real.splice(in, NULL, fd, NULL, size, flags));
    case OPERATION_STREAM:
        result = reads ? splice_in(&operation, fd, size, flags) : splice_out(&operation, in, size, flags);
        operation_end(&operation, result);
        return result;
    }
    return real.splice(in, NULL, fd, NULL, size, flags);
}

/* Neither a connection nor the pipe on its other side has offsets: the kernel says so. */
EXPORTED ssize_t splice(int in, off64_t *in_offset, int fd, off64_t *offset, size_t size, unsigned int flags) {
    if (size == 0 || in_offset || offset || (fd_table_passes(in) && fd_table_passes(fd)))
        return real.splice(in, in_offset, fd, offset, size, flags);
    return slow_splice(in, fd, size, flags);
}
