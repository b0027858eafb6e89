/* Calls with pointers that lead nowhere, sizes that are none and descriptors that are not open: the error is the
 * kernel's, and nothing else happens.  On descriptors that are connections and on others. */
#include "snippet.h"

#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>

enum { PAGE = 4096, FAR = 987654 };

static char
    *nowhere; /* a page that cannot be touched; before it one that can, behind that one that cannot be written */
static char *constant;
static char bytes[64];
static volatile int negative_count = -1; /* (compilers know better) */
static volatile nfds_t too_many = UINT_MAX;

static void map(void) {
    char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(pages != MAP_FAILED);
    nowhere = pages + PAGE;
    constant = pages + 2 * PAGE;
    CHECK(mprotect(nowhere, PAGE, PROT_NONE) == 0 && mprotect(constant, PAGE, PROT_READ) == 0);
}

/* There is something to read at `fd`, of which nothing is taken. */
static void reads(int fd, bool is_socket) {
    struct iovec no_room = {nowhere, 10}, negative = {bytes, (size_t)-1}, many[IOV_MAX + 1] = {{bytes, 1}};
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)nowhere, .msg_iovlen = 1};

    FAILS(read(fd, nowhere, 10), EFAULT);
    FAILS(syscall(SYS_read, fd, nowhere, 10L), EFAULT);
    FAILS(readv(fd, (struct iovec *)(void *)nowhere, 1), EFAULT);
    FAILS(readv(fd, (struct iovec *)(void *)(nowhere - 8), 1), EFAULT);
    FAILS(readv(fd, &no_room, 1), EFAULT);
    FAILS(readv(fd, &negative, 1), EINVAL);
    FAILS(readv(fd, many, IOV_MAX + 1), EINVAL);
    FAILS(readv(fd, many, negative_count), EINVAL);
    CHECK(readv(fd, many, 0) == 0);
    if (!is_socket) {
        FAILS(recv(fd, bytes, 1, 0), ENOTSOCK);
        FAILS(recvmsg(fd, &message, 0), ENOTSOCK);
        return;
    }
    FAILS(recv(fd, nowhere, 10, 0), EFAULT);
    FAILS(recv(fd, nowhere, 10, MSG_PEEK), EFAULT);
    FAILS(recvfrom(fd, nowhere, 10, 0, NULL, NULL), EFAULT);
    FAILS(recvmsg(fd, (struct msghdr *)(void *)nowhere, 0), EFAULT);
    FAILS(recvmsg(fd, &message, 0), EFAULT);
    message = (struct msghdr){.msg_iov = many, .msg_iovlen = IOV_MAX + 1};
    FAILS(recvmsg(fd, &message, 0), EMSGSIZE);
    message = (struct msghdr){.msg_iov = &no_room, .msg_iovlen = 1};
    FAILS(recvmsg(fd, &message, 0), EFAULT);
    FAILS(recvmmsg(fd, (struct mmsghdr *)(void *)nowhere, 1, 0, NULL), EFAULT);
}

static void writes(int fd, bool is_socket) {
    struct iovec nothing_there = {nowhere, 10}, negative = {bytes, (size_t)-1}, many[IOV_MAX + 1] = {{bytes, 1}};
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)nowhere, .msg_iovlen = 1};

    FAILS(write(fd, nowhere, 10), EFAULT);
    FAILS(writev(fd, (struct iovec *)(void *)nowhere, 1), EFAULT);
    FAILS(writev(fd, &nothing_there, 1), EFAULT);
    FAILS(writev(fd, &negative, 1), EINVAL);
    FAILS(writev(fd, many, IOV_MAX + 1), EINVAL);
    FAILS(writev(fd, many, negative_count), EINVAL);
    if (!is_socket) {
        FAILS(send(fd, bytes, 1, 0), ENOTSOCK);
        return;
    }
    FAILS(send(fd, nowhere, 10, 0), EFAULT);
    FAILS(sendto(fd, nowhere, 10, 0, NULL, 0), EFAULT);
    FAILS(sendmsg(fd, (struct msghdr *)(void *)nowhere, 0), EFAULT);
    FAILS(sendmsg(fd, &message, 0), EFAULT);
    message = (struct msghdr){.msg_iov = many, .msg_iovlen = IOV_MAX + 1};
    FAILS(sendmsg(fd, &message, 0), EMSGSIZE);
    message = (struct msghdr){.msg_iov = &nothing_there, .msg_iovlen = 1};
    FAILS(sendmsg(fd, &message, 0), EFAULT);
    FAILS(sendmmsg(fd, (struct mmsghdr *)(void *)nowhere, 1, 0), EFAULT);
}

static void copies_of_files(int fd) {
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), ends[2];

    CHECK(file >= 0 && pipe(ends) == 0);
    FAILS(sendfile(fd, file, (off_t *)(void *)nowhere, 10), EFAULT);
    FAILS(sendfile(fd, -1, NULL, 10), EBADF);
    FAILS(sendfile(-1, file, NULL, 10), EBADF);
    FAILS(splice(ends[0], (off64_t *)(void *)nowhere, fd, NULL, 10, SPLICE_F_NONBLOCK), ESPIPE);
    FAILS(splice(ends[0], NULL, fd, (off64_t *)(void *)nowhere, 10, SPLICE_F_NONBLOCK), EFAULT);
    FAILS(splice(fd, (off64_t *)(void *)nowhere, ends[1], NULL, 10, SPLICE_F_NONBLOCK), EFAULT);
    FAILS(splice(-1, NULL, fd, NULL, 10, 0), EBADF);
    CHECK(close(file) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* Sets of the usual size, at the very end of memory; a count beyond the process's table of descriptors. */
static void selected(int fd) {
    fd_set *last = (fd_set *)(void *)(nowhere - sizeof(fd_set)), *bad = (fd_set *)(void *)nowhere;
    struct timeval now = {0};
    struct timespec short_time = {0};

    FD_ZERO(last);
    FD_SET(fd, last);
    CHECK(select(65536, last, NULL, NULL, &now) == 1 && FD_ISSET(fd, last));
    CHECK(pselect(65536, NULL, last, NULL, &short_time, NULL) >= 0);
    FD_SET(fd, last);
    CHECK(syscall(SYS_pselect6, 65536L, last, NULL, NULL, &short_time, NULL) == 1);
    CHECK(select(0, last, NULL, NULL, &now) == 0);
    FAILS(select(fd + 1, bad, NULL, NULL, &now), EFAULT);
    FAILS(select(fd + 1, NULL, bad, NULL, &now), EFAULT);
    FAILS(pselect(fd + 1, NULL, NULL, bad, &short_time, NULL), EFAULT);
    FAILS(select(fd + 1, (fd_set *)(void *)constant, NULL, NULL, &now), EFAULT);
    FAILS(select(-1, last, NULL, NULL, &now), EINVAL);
    FAILS(syscall(SYS_pselect6, 1L, last, NULL, NULL, nowhere, NULL), EFAULT);
    FAILS(syscall(SYS_pselect6, 1L, last, NULL, NULL, &short_time, nowhere), EFAULT);
    short_time.tv_nsec = 1000000000;
    FAILS(pselect(fd + 1, last, NULL, NULL, &short_time, NULL), EINVAL);
    FD_ZERO(last);
    FD_SET(60, last);
    FAILS(select(61, last, NULL, NULL, &now), EBADF);
}

static void polled(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN}, *bad = (struct pollfd *)(void *)nowhere;
    struct timespec now = {0};

    FAILS(poll(bad, 1, 0), EFAULT);
    FAILS(poll((struct pollfd *)(void *)(nowhere - sizeof look), 2, 0), EFAULT);
    FAILS(poll((struct pollfd *)(void *)constant, 1, 0), EFAULT);
    FAILS(poll(&look, too_many, 0), EINVAL);
    FAILS(ppoll(bad, 1, &now, NULL), EFAULT);
    FAILS(syscall(SYS_ppoll, &look, 1L, nowhere, NULL, 8L), EFAULT);
    FAILS(syscall(SYS_ppoll, &look, 1L, &now, nowhere, 8L), EFAULT);
    FAILS(syscall(SYS_ppoll, &look, 1L, &now, bytes, 3L), EINVAL);
    now.tv_nsec = -1;
    FAILS(ppoll(&look, 1, &now, NULL), EINVAL);
    CHECK(poll(NULL, 0, 0) == 0 && poll(&look, 1, 0) == 1 && look.revents == POLLIN);
    look.fd = FAR;
    CHECK(poll(&look, 1, 0) == 1 && look.revents == POLLNVAL);
}

static void in_sets(int fd) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7}, *bad = (struct epoll_event *)(void *)nowhere;

    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, bad), EFAULT);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event), ENOENT);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), ENOENT);
    FAILS(epoll_ctl(epoll, 99, fd, &event), EINVAL);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, FAR, &event), EBADF);
    FAILS(epoll_ctl(FAR, EPOLL_CTL_ADD, fd, &event), EBADF);
    FAILS(epoll_ctl(fd, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EEXIST);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, bad), EFAULT);
    FAILS(epoll_wait(epoll, bad, 1, 0), EFAULT);
    FAILS(epoll_wait(epoll, &event, 0, 0), EINVAL);
    FAILS(epoll_wait(fd, &event, 1, 0), EINVAL);
    FAILS(epoll_wait(FAR, &event, 1, 0), EBADF);
    FAILS(epoll_pwait(epoll, bad, 1, 0, NULL), EFAULT);
    FAILS(syscall(SYS_epoll_pwait, epoll, &event, 1L, 0L, bytes, 3L), EINVAL);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 7 && event.events == EPOLLIN);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, (struct epoll_event *)(void *)nowhere) == 0 && close(epoll) == 0);
}

static void numbers(int fd) {
    FAILS(dup(FAR), EBADF);
    FAILS(dup2(FAR, fd), EBADF);
    FAILS(dup2(fd, -1), EBADF);
    FAILS(dup2(fd, INT_MAX), EBADF);
    CHECK(dup2(fd, fd) == fd);
    FAILS(dup3(fd, fd, 0), EINVAL);
    FAILS(dup3(0, fd, 12345), EINVAL);
    FAILS(dup3(-1, fd, 0), EBADF);
    FAILS(fcntl(fd, F_DUPFD, -1), EINVAL);
    FAILS(fcntl(FAR, F_DUPFD, 0), EBADF);
    FAILS(close(-1), EBADF);
    FAILS(close(FAR), EBADF);
    FAILS(close_range((unsigned)fd + 1, (unsigned)fd, 0), EINVAL);
    FAILS(close_range(3, ~0u, 1 << 30), EINVAL);
    FAILS(shutdown(FAR, SHUT_WR), EBADF);
    FAILS(ioctl(fd, FIONREAD, nowhere), EFAULT);
    FAILS(ioctl(FAR, FIONREAD, bytes), EBADF);
}

static void peers(struct sockaddr_in *address, int listening) {
    struct sockaddr *bad = (struct sockaddr *)(void *)nowhere, *here = (struct sockaddr *)address;
    socklen_t length = sizeof *address, negative = (socklen_t)-1, none = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    FAILS(connect(fd, bad, length), EFAULT);
    FAILS(connect(fd, here, 1), EINVAL);
    FAILS(connect(fd, here, negative), EINVAL);
    FAILS(connect(FAR, here, length), EBADF);
    FAILS(sendto(fd, bytes, 1, MSG_FASTOPEN, bad, length), EFAULT);
    FAILS(sendmsg(fd, (struct msghdr *)(void *)nowhere, MSG_FASTOPEN), EFAULT);
    FAILS(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)(void *)nowhere), EFAULT);
    FAILS(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(accept(FAR, NULL, NULL), EBADF);
    FAILS(accept(fd, NULL, NULL), EINVAL);
    FAILS(accept4(listening, NULL, NULL, 12345), EINVAL);
    CHECK(close(fd) == 0);
    int clients[4] = {client(address), client(address), client(address), client(address)};
    FAILS(accept(listening, here, (socklen_t *)(void *)nowhere), EFAULT);
    FAILS(accept(listening, bad, &length), EFAULT);
    FAILS(accept(listening, here, &negative), EINVAL);
    int accepted = accept(listening, bad, &none);
    CHECK(accepted >= 0 && none == sizeof *address && close(accepted) == 0);
    for (int n = 0; n < 4; n++)
        CHECK(close(clients[n]) == 0);
}

/* Something to be read has come. */
static void arrives(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};

    CHECK(poll(&look, 1, -1) == 1);
}

static void connection(void) {
    struct pair pair = connected();
    struct sockaddr_in address;
    char got[4096];

    exchange(pair.server, pair.client);
    CHECK(write(pair.client, request, strlen(request)) == (ssize_t)strlen(request));
    arrives(pair.server);
    reads(pair.server, true);
    selected(pair.server);
    polled(pair.server);
    in_sets(pair.server);
    numbers(pair.server);
    FAILS(shutdown(pair.server, 99), EINVAL);
    FAILS(recvfrom(pair.server, got, sizeof got, 0, (struct sockaddr *)&address, (socklen_t *)(void *)nowhere), EFAULT);
    writes(pair.server, true);
    copies_of_files(pair.server);
    CHECK(write(pair.server, response, strlen(response)) == (ssize_t)strlen(response));
    expect(pair.client, response);
    exchange(pair.server, pair.client);
    CHECK(write(pair.server, response, strlen(response)) == (ssize_t)strlen(response));
    arrives(pair.client);
    reads(pair.client, true);
    writes(pair.client, true);
    expect(pair.client, response);
    disconnect(pair);
}

static void others(void) {
    int ends[2];
    struct sockaddr_in address;
    int listening = listener(&address);

    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    reads(ends[0], false);
    selected(ends[0]);
    polled(ends[0]);
    in_sets(ends[0]);
    numbers(ends[0]);
    writes(ends[1], false);
    FAILS(shutdown(ends[0], SHUT_RDWR), ENOTSOCK);
    peers(&address, listening);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(listening) == 0);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    map();
    others();
    connection();
    return 0;
}
