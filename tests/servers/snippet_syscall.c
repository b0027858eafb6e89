/* syscall() by number, as libuv uses it: results, errno, six arguments, and calls whose child returns twice. */
#include "snippet.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void by_number(void) {
    struct sockaddr_in address;
    char bytes[256];
    int listening = listener(&address);
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    CHECK(syscall(SYS_connect, fd, &address, sizeof address) == 0);
    int server = (int)syscall(SYS_accept4, listening, NULL, NULL, SOCK_CLOEXEC);
    CHECK(server >= 0 && fcntl(server, F_GETFD) == FD_CLOEXEC);
    exchange(server, fd);
    CHECK(syscall(SYS_write, fd, request, strlen(request)) == (long)strlen(request));
    errno = 4242;
    CHECK(syscall(SYS_read, server, bytes, sizeof bytes) == (long)strlen(request) && errno == 4242);
    struct iovec out = {(void *)response, strlen(response)}, in = {bytes, sizeof bytes};
    CHECK(syscall(SYS_writev, server, &out, 1) == (long)strlen(response));
    CHECK(syscall(SYS_readv, fd, &in, 1) == (long)strlen(response));
    CHECK(syscall(SYS_sendto, fd, request, strlen(request), 0, NULL, 0) == (long)strlen(request));
    CHECK(syscall(SYS_recvfrom, server, bytes, sizeof bytes, 0, NULL, NULL) == (long)strlen(request));
    int copy = (int)syscall(SYS_dup, server);
    CHECK(syscall(SYS_close, server) == 0);
    CHECK(write(copy, response, strlen(response)) > 0);
    expect(fd, response);
    CHECK(syscall(SYS_dup3, copy, 77, 0) == 77 && syscall(SYS_close, copy) == 0);
    exchange(77, fd);
    CHECK(syscall(SYS_fcntl, 77, F_DUPFD, 90) == 90 && syscall(SYS_close_range, 77, 80, 0) == 0);
    exchange(90, fd);
    CHECK(syscall(SYS_shutdown, 90, SHUT_RDWR) == 0 && close(90) == 0 && close(fd) == 0 && close(listening) == 0);
}

static void failures(void) {
    FAILS(syscall(SYS_close, -1), EBADF);
    FAILS(syscall(SYS_read, -1, NULL, 0), EBADF);
    FAILS(syscall(SYS_openat, AT_FDCWD, "/nowhere/at/all", O_RDONLY), ENOENT);
    FAILS(syscall(100000), ENOSYS);
    FAILS(syscall(-1), ENOSYS);
    FAILS(syscall(511), ENOSYS);
}

static void six_arguments(void) {
    char *page = (char *)syscall(SYS_mmap, NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/proc/self/exe", O_RDONLY);

    CHECK(page != MAP_FAILED);
    page[8191] = 'x';
    char *file = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 4096);
    char direct[16];
    CHECK(file != MAP_FAILED && pread(fd, direct, 16, 4096) == 16 && memcmp(direct, file, 16) == 0);
    CHECK(syscall(SYS_getpid) == getpid());
    CHECK(close(fd) == 0);
}

static int thread_body(void *argument) {
    *(volatile int *)argument = 1;
    return 0;
}

static void children(void) {
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    ends_well(child);
    static char stack[1 << 16] __attribute__((aligned(16)));
    volatile int seen = 0;
    child = clone(thread_body, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&seen);
    ends_well(child);
    CHECK(seen == 1);
}

int main(void) {
    by_number();
    failures();
    six_arguments();
    children();
    return 0;
}
