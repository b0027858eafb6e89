#include "shim/process/attach_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "shim/process/high_fd.h"
#include "shim/libc/syscall_raw.h"

static bool identify(int fd, uint64_t *ret_device, uint64_t *ret_inode) {
    struct stat status;
    if (OWN2(SYS_fstat, fd, &status) < 0)
        return false;
    *ret_device = status.st_dev;
    *ret_inode = status.st_ino;
    return true;
}

static bool still_ours(const struct ask *ask) {
    uint64_t device, inode;
    return ask->fd >= 0 && identify(ask->fd, &device, &inode) && device == ask->device && inode == ask->inode;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, length + 1);
    if (OWN3(SYS_faccessat, AT_FDCWD, path, 0) < 0) /* one cheap call where no agent ever was */
        return -1;
    long fd = OWN3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (OWN3(SYS_connect, fd, &address, sizeof address) == 0)
        return (int)fd;
    OWN1(SYS_close, fd);
    return -1;
}

static bool send_hello(int fd, const struct attach_hello *hello) {
    return OWN6(SYS_sendto, fd, hello, sizeof *hello, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0) == sizeof *hello;
}

bool ask_begin(struct ask *ask, const char *path, const struct attach_hello *hello, uint64_t now_ns) {
    int fd = connect_to(path);
    *ask = (struct ask){.fd = -1, .since_ns = now_ns};
    if (fd < 0)
        return false;
    fd = high_fd_move(fd);
    if (send_hello(fd, hello) && identify(fd, &ask->device, &ask->inode)) {
        ask->fd = fd;
        return true;
    }
    OWN1(SYS_close, fd);
    return false;
}

static void take_fds(struct msghdr *message, int fds[2]) {
    fds[0] = fds[1] = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (i < 2 && fds[i] < 0)
                fds[i] = fd;
            else
                OWN1(SYS_close, fd);
        }
    }
}

static enum ask_result receive(struct ask *ask, struct ask_answer *ret_answer) {
    union {
        struct attach_reply reply;
        char bytes[ATTACH_MESSAGE_MAX];
    } message_bytes = {0};
    struct iovec part = {&message_bytes, sizeof message_bytes};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    long got = OWN3(SYS_recvmsg, ask->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == -EAGAIN || got == -EINTR)
        return ASK_WAITING;
    if (got < 0)
        return ASK_FAILED;
    take_fds(&message, ret_answer->fds);
    ret_answer->reply = message_bytes.reply;
    const struct attach_reply *reply = &ret_answer->reply;
    bool right = got >= ATTACH_REPLY_LEAST && reply->magic == ATTACH_MAGIC &&
                 memchr(reply->app, 0, sizeof reply->app) &&
                 (reply->status != ATTACH_OK || (ret_answer->fds[0] >= 0 && ret_answer->fds[1] >= 0));
    if (right)
        return ASK_ANSWERED;
    for (int i = 0; i < 2; i++)
        if (ret_answer->fds[i] >= 0)
            OWN1(SYS_close, ret_answer->fds[i]);
    return ASK_FAILED;
}

enum ask_result ask_poll(struct ask *ask, int timeout_ms, bool keep, struct ask_answer *ret_answer) {
    enum ask_result result = ASK_FAILED;
    if (still_ours(ask)) {
        struct pollfd wait = {.fd = ask->fd, .events = POLLIN};
        struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
        if (timeout_ms > 0)
            OWN5(SYS_ppoll, &wait, 1, &timeout, 0, 0);
        result = receive(ask, ret_answer);
    } else {
        ask->fd = -1;
    }
    if (result == ASK_FAILED || (result == ASK_ANSWERED && !keep))
        ask_end(ask);
    return result;
}

bool ask_tell(struct ask *ask, const struct attach_hello *hello) {
    return still_ours(ask) && send_hello(ask->fd, hello);
}

void ask_end(struct ask *ask) {
    if (still_ours(ask))
        OWN1(SYS_close, ask->fd);
    ask->fd = -1;
}

void ask_forget(struct ask *ask) {
    ask->since_ns = 0; /* long over: the next look ends it */
}

bool ask_once(const char *path, const struct attach_hello *hello) {
    int fd = connect_to(path);
    if (fd < 0)
        return false;
    bool sent = send_hello(fd, hello);
    OWN1(SYS_close, fd);
    return sent;
}
