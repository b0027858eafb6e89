#include "shim/channel/same_call.h"

#include <errno.h>
#include <sys/socket.h>

#include "shim/libc/real.h"
#include "shim/process/sandbox.h"

/* The application's own message, where the address and the ancillary data have not been taken yet, with these bytes. */
static struct msghdr message_for(struct reentry_op *op, const struct iovec *iov, int count) {
    struct msghdr message = {0};

    if (op->ancillary)
        message = *op->message;
    message.msg_iov = (struct iovec *)iov;
    message.msg_iovlen = (size_t)count;
    return message;
}

static ssize_t failed(int error) {
    errno = error;
    return -1;
}

/* ------------------------------------------------------------------------------------------------------ reading */

static ssize_t recv_message(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags) {
    bool ancillary = op->ancillary;
    struct mmsghdr one = {.msg_hdr = message_for(op, iov, count)};
    ssize_t got;

    op->ancillary = false;
    if (op->kind == CALL_RECVMSG)
        got = real.recvmsg(fd, &one.msg_hdr, flags);
    else
        got = real.recvmmsg(fd, &one, 1, flags, NULL) == 1 ? (ssize_t)one.msg_len : -1;
    if (got >= 0 && ancillary) {
        struct msghdr *message = (struct msghdr *)op->message;
        message->msg_namelen = one.msg_hdr.msg_namelen;
        message->msg_controllen = one.msg_hdr.msg_controllen;
        message->msg_flags = one.msg_hdr.msg_flags;
    }
    return got;
}

static ssize_t recv_bytes(struct reentry_op *op, int fd, const struct iovec *iov, int flags) {
    struct msghdr *message = op->ancillary ? (struct msghdr *)op->message : NULL;

    op->ancillary = false;
    if (!message)
        return real.recv(fd, iov->iov_base, iov->iov_len, flags);
    message->msg_controllen = 0;
    message->msg_flags = 0;
    return real.recvfrom(fd, iov->iov_base, iov->iov_len, flags, (__SOCKADDR_ARG){message->msg_name},
                         &message->msg_namelen);
}

ssize_t same_call_recv(struct reentry_op *op, bool nonblocking, int fd, const struct iovec *iov, int count, int flags) {
    switch (op ? op->kind : CALL_NONE) {
    case CALL_RECV: return recv_bytes(op, fd, iov, flags);
    case CALL_RECVMSG:
    case CALL_RECVMMSG: return recv_message(op, fd, iov, count, flags);
    case CALL_READ:
    case CALL_READV: break;
    default: return failed(EAGAIN);
    }
    if (flags & ~MSG_DONTWAIT)
        return failed(EINVAL);
    if (flags && !nonblocking)
        return failed(EAGAIN);
    return op->kind == CALL_READ ? real.read(fd, iov->iov_base, iov->iov_len) : real.readv(fd, iov, count);
}

/* ------------------------------------------------------------------------------------------------------ writing */

static bool writes(unsigned kind) {
    return kind == CALL_WRITE || kind == CALL_WRITEV || kind == CALL_SEND || kind == CALL_SENDMSG ||
           kind == CALL_SENDMMSG;
}

/* Those with flags first: they raise no SIGPIPE. */
static unsigned known_kind(void) {
    static const uint8_t kinds[] = {CALL_SEND, CALL_SENDMSG, CALL_SENDMMSG, CALL_WRITE, CALL_WRITEV};

    for (unsigned n = 0; n < sizeof kinds; n++)
        if (sandbox_allows((enum call_kind)kinds[n]))
            return kinds[n];
    return CALL_NONE;
}

static ssize_t send_message(struct reentry_op *op, unsigned kind, int fd, const struct iovec *iov, int count,
                            int flags) {
    struct mmsghdr one = {.msg_hdr = message_for(op, iov, count)};

    op->ancillary = false;
    if (kind == CALL_SENDMSG)
        return real.sendmsg(fd, &one.msg_hdr, flags);
    return real.sendmmsg(fd, &one, 1, flags) == 1 ? (ssize_t)one.msg_len : -1;
}

static ssize_t send_bytes(struct reentry_op *op, int fd, const struct iovec *iov, int flags) {
    const struct msghdr *message = op->ancillary ? op->message : NULL;

    op->ancillary = false;
    if (!message)
        return real.send(fd, iov->iov_base, iov->iov_len, flags);
    return real.sendto(fd, iov->iov_base, iov->iov_len, flags, (__CONST_SOCKADDR_ARG){message->msg_name},
                       message->msg_namelen);
}

ssize_t same_call_send(struct reentry_op *op, int fd, const struct iovec *iov, int count, int flags) {
    bool own = op && writes(op->kind);
    unsigned kind = own ? op->kind : op ? known_kind() : CALL_NONE;
    ssize_t sent = -1;

    switch (kind) {
    case CALL_SEND: sent = send_bytes(op, fd, iov, flags); break;
    case CALL_SENDMSG:
    case CALL_SENDMMSG: sent = send_message(op, kind, fd, iov, count, flags); break;
    case CALL_WRITE: sent = real.write(fd, iov->iov_base, iov->iov_len); break;
    case CALL_WRITEV: sent = real.writev(fd, iov, count); break;
    default: return failed(EPERM);
    }
    if (own)
        sandbox_note((enum call_kind)kind);
    return sent;
}
