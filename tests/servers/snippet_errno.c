/* errno is what the real call made it: untouched by success, exact after a failure; bad pointers are the kernel's to
 * refuse. */
#include "snippet.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

static void success(void) {
    struct pair pair = connected();
    char bytes[256];
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct iovec out = {(void *)request, strlen(request)};
    struct msghdr outgoing = {.msg_iov = &out, .msg_iovlen = 1};
    int count;

    QUIET(write(pair.client, request, strlen(request)));
    QUIET(read(pair.server, bytes, sizeof bytes));
    QUIET(send(pair.server, response, strlen(response), 0));
    QUIET(recv(pair.client, bytes, sizeof bytes, 0));
    QUIET(writev(pair.client, &out, 1));
    QUIET(ioctl(pair.server, FIONREAD, &count));
    CHECK(count == (int)strlen(request));
    QUIET(readv(pair.server, &iov, 1));
    QUIET(sendto(pair.server, response, strlen(response), 0, NULL, 0));
    QUIET(recvfrom(pair.client, bytes, sizeof bytes, 0, NULL, NULL));
    QUIET(sendmsg(pair.client, &outgoing, 0));
    iov.iov_len = sizeof bytes;
    QUIET(recvmsg(pair.server, &message, 0));
    int copy = QUIET(dup(pair.server));
    QUIET(fcntl(copy, F_GETFL));
    QUIET(dup2(pair.client, copy));
    QUIET(dup3(pair.client, copy, O_CLOEXEC));
    QUIET(close(copy));
    QUIET(shutdown(pair.server, SHUT_WR));
    int fd = QUIET(socket(AF_INET, SOCK_STREAM, 0));
    QUIET(close(fd));
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    CHECK(getsockname(pair.listening, (struct sockaddr *)&address, &length) == 0);
    int second = socket(AF_INET, SOCK_STREAM, 0);
    QUIET(connect(second, (struct sockaddr *)&address, sizeof address));
    int accepted = QUIET(accept4(pair.listening, (struct sockaddr *)&address, &length, SOCK_CLOEXEC));
    CHECK(length == sizeof address && fcntl(accepted, F_GETFD) == FD_CLOEXEC && fcntl(accepted, F_GETFL) == O_RDWR);
    QUIET(read(pair.client, bytes, sizeof bytes)); /* the end of the stream */
    CHECK(close(second) == 0 && close(accepted) == 0);
    disconnect(pair);
}

static void failure(void) {
    struct pair pair = connected();
    char bytes[64];
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec bad = {nowhere, 64};
    int file = open("/proc/self/exe", O_RDONLY);
    volatile int none = -1, too_many = 100000; /* the compiler would say so, too */

    FAILS(read(-1, bytes, 1), EBADF);
    FAILS(close(-1), EBADF);
    FAILS(close(2000000000), EBADF);
    FAILS(read(2000000000, bytes, 1), EBADF);
    FAILS(dup2(-1, pair.server), EBADF);
    FAILS(dup2(999, pair.server), EBADF);
    FAILS(dup3(pair.client, pair.server, 12345), EINVAL);
    exchange(pair.server, pair.client); /* a failed dup2 closes nothing */
    FAILS(recv(file, bytes, 1, 0), ENOTSOCK);
    FAILS(send(file, bytes, 1, 0), ENOTSOCK);
    FAILS(accept(file, NULL, NULL), ENOTSOCK);
    FAILS(accept(pair.client, NULL, NULL), EINVAL);
    FAILS(accept4(pair.listening, NULL, NULL, 0x12345), EINVAL);
    FAILS(connect(file, (struct sockaddr *)bytes, 16), ENOTSOCK);
    FAILS(connect(socket(AF_INET, SOCK_STREAM, 0), nowhere, sizeof(struct sockaddr_in)), EFAULT);
    FAILS(shutdown(socket(AF_INET, SOCK_STREAM, 0), SHUT_RDWR), ENOTCONN);
    FAILS(fcntl(-1, F_DUPFD, 0), EBADF);
    FAILS(ioctl(pair.server, FIONREAD, nowhere), EFAULT);
    FAILS(epoll_ctl(file, EPOLL_CTL_ADD, pair.server, nowhere), EFAULT);
    CHECK(write(pair.client, "x", 1) == 1);
    FAILS(read(pair.server, nowhere, 64), EFAULT);
    FAILS(recv(pair.server, nowhere, 64, 0), EFAULT);
    FAILS(readv(pair.server, &bad, 1), EFAULT);
    CHECK(read(pair.server, bytes, 64) == 1 && bytes[0] == 'x'); /* none of them took it */
    FAILS(write(pair.server, nowhere, 64), EFAULT);
    FAILS(send(pair.server, nowhere, 64, 0), EFAULT);
    FAILS(writev(pair.server, &bad, 1), EFAULT);
    FAILS(writev(pair.server, &bad, none), EINVAL);
    FAILS(readv(pair.server, &bad, too_many), EINVAL);
    FAILS(recv(pair.server, bytes, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(read(pair.server, bytes, 0) == 0);
    CHECK(write(pair.server, bytes, 0) == 0);
    disconnect(pair);
}

/* fcntl's third argument may be a pointer or a number of any size, or be absent. */
static void arguments(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10}, look = lock;
    char name[] = "/tmp/weir-snippet.XXXXXX";
    int file = mkstemp(name), fds[2];

    CHECK(unlink(name) == 0);
    CHECK(file >= 0 && fcntl(file, F_SETLK, &lock) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(fcntl(file, F_GETLK, &look) == 0 && look.l_type == F_WRLCK && look.l_pid == getppid());
        _exit(0);
    }
    ends_well(child);
    CHECK(fcntl(file, F_DUPFD, 500) == 500 && fcntl(500, F_GETFD) == 0);
    CHECK(fcntl(file, F_DUPFD_CLOEXEC, 500) == 501 && fcntl(501, F_GETFD) == FD_CLOEXEC);
    CHECK(pipe(fds) == 0 && fcntl(fds[0], F_SETPIPE_SZ, 1 << 16) == 1 << 16 && fcntl(fds[0], F_GETPIPE_SZ) == 1 << 16);
    CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(fds[0], F_GETFL) == O_NONBLOCK);
    FAILS(read(fds[0], name, 1), EAGAIN);
}

int main(void) {
    success();
    failure();
    arguments();
    return 0;
}
