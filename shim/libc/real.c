#include "shim/libc/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>

#include "shim/libc/syscall_raw.h"

static long checked(long result) {
    if (result < 0 && result >= -4095) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static ssize_t raw_read(int fd, void *bytes, size_t size) {
    return checked(RAW3(SYS_read, fd, bytes, size));
}

static ssize_t raw_readv(int fd, const struct iovec *iov, int count) {
    return checked(RAW3(SYS_readv, fd, iov, count));
}

static ssize_t raw_recvfrom(int fd, void *bytes, size_t size, int flags, __SOCKADDR_ARG from, socklen_t *length) {
    return checked(RAW6(SYS_recvfrom, fd, bytes, size, flags, from.__sockaddr__, length));
}

static ssize_t raw_recv(int fd, void *bytes, size_t size, int flags) {
    return checked(RAW6(SYS_recvfrom, fd, bytes, size, flags, 0, 0));
}

/* What a program finds that overruns its buffer before libc is there to say so. */
static void overrun(size_t size, size_t room) {
    if (size > room)
        __builtin_trap();
}

static ssize_t raw___read_chk(int fd, void *bytes, size_t size, size_t room) {
    overrun(size, room);
    return raw_read(fd, bytes, size);
}

static ssize_t raw___recv_chk(int fd, void *bytes, size_t size, size_t room, int flags) {
    overrun(size, room);
    return raw_recv(fd, bytes, size, flags);
}

static ssize_t raw___recvfrom_chk(int fd, void *bytes, size_t size, size_t room, int flags, __SOCKADDR_ARG from,
                                  socklen_t *length) {
    overrun(size, room);
    return raw_recvfrom(fd, bytes, size, flags, from, length);
}

static ssize_t raw_write(int fd, const void *bytes, size_t size) {
    return checked(RAW3(SYS_write, fd, bytes, size));
}

static ssize_t raw_writev(int fd, const struct iovec *iov, int count) {
    return checked(RAW3(SYS_writev, fd, iov, count));
}

static ssize_t raw_sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to,
                          socklen_t length) {
    return checked(RAW6(SYS_sendto, fd, bytes, size, flags, to.__sockaddr__, length));
}

static ssize_t raw_send(int fd, const void *bytes, size_t size, int flags) {
    return checked(RAW6(SYS_sendto, fd, bytes, size, flags, 0, 0));
}

static ssize_t raw_sendfile(int fd, int in, off_t *offset, size_t size) {
    return checked(RAW4(SYS_sendfile, fd, in, offset, size));
}

static ssize_t raw_sendfile64(int fd, int in, off64_t *offset, size_t size) {
    return checked(RAW4(SYS_sendfile, fd, in, offset, size));
}

static ssize_t raw_sendmsg(int fd, const struct msghdr *message, int flags) {
    return checked(RAW3(SYS_sendmsg, fd, message, flags));
}

static int raw_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
    return (int)checked(RAW4(SYS_sendmmsg, fd, messages, count, flags));
}

static ssize_t raw_recvmsg(int fd, struct msghdr *message, int flags) {
    return checked(RAW3(SYS_recvmsg, fd, message, flags));
}

static int raw_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) {
    return (int)checked(RAW5(SYS_recvmmsg, fd, messages, count, flags, timeout));
}

static ssize_t raw_splice(int in, off64_t *in_offset, int fd, off64_t *offset, size_t size, unsigned int flags) {
    return checked(RAW6(SYS_splice, in, in_offset, fd, offset, size, flags));
}

static int raw_accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags) {
    return (int)checked(RAW4(SYS_accept4, fd, address.__sockaddr__, length, flags));
}

static int raw_accept(int fd, __SOCKADDR_ARG address, socklen_t *length) {
    return raw_accept4(fd, address, length, 0);
}

static int raw_connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
    return (int)checked(RAW3(SYS_connect, fd, address.__sockaddr__, length));
}

static int raw_socket(int domain, int type, int protocol) {
    return (int)checked(RAW3(SYS_socket, domain, type, protocol));
}

static int raw_socketpair(int domain, int type, int protocol, int fds[2]) {
    return (int)checked(RAW4(SYS_socketpair, domain, type, protocol, fds));
}

static int raw_shutdown(int fd, int how) {
    return (int)checked(RAW2(SYS_shutdown, fd, how));
}

static int raw_close(int fd) {
    return (int)checked(RAW1(SYS_close, fd));
}

static int raw_close_range(unsigned int first, unsigned int last, int flags) {
    return (int)checked(RAW3(SYS_close_range, first, last, flags));
}

static void raw_closefrom(int first) {
    RAW3(SYS_close_range, first < 0 ? 0 : first, ~0u, 0);
}

/* A stream of libc exists only where libc does: this is called before its turn, if ever, and closes what it can. */
static int raw_fclose(FILE *file) {
    int flushed = fflush(file);

    return raw_close(fileno(file)) == 0 && flushed == 0 ? 0 : EOF;
}

/* The same: there is none without libc. */
static FILE *raw_fdopen(int fd, const char *mode) {
    (void)fd, (void)mode;
    errno = ENOSYS;
    return NULL;
}

static int raw_dup(int fd) {
    return (int)checked(RAW1(SYS_dup, fd));
}

static int raw_dup3(int fd, int copy, int flags) {
    return (int)checked(RAW3(SYS_dup3, fd, copy, flags));
}

static int raw_dup2(int fd, int copy) {
    if (fd == copy) /* dup3 refuses that, dup2 only checks the descriptor */
        return checked(RAW2(SYS_fcntl, fd, F_GETFD)) < 0 ? -1 : fd;
    return raw_dup3(fd, copy, 0);
}

/* Each takes one argument or none; reading one that was not given is harmless in both conventions (a register). */
#define ONE_ARGUMENT(after)                                                                                            \
    va_list list;                                                                                                      \
    va_start(list, after);                                                                                             \
    long argument = va_arg(list, long);                                                                                \
    va_end(list)

static int raw_fcntl(int fd, int command, ...) {
    ONE_ARGUMENT(command);
    return (int)checked(RAW3(SYS_fcntl, fd, command, argument));
}

static int raw_fcntl64(int fd, int command, ...) {
    ONE_ARGUMENT(command);
    return (int)checked(RAW3(SYS_fcntl, fd, command, argument));
}

static int raw_ioctl(int fd, unsigned long request, ...) {
    ONE_ARGUMENT(request);
    return (int)checked(RAW3(SYS_ioctl, fd, request, argument));
}

static int raw_prctl(int option, ...) {
    va_list list;
    long a[4];

    va_start(list, option);
    for (int n = 0; n < 4; n++)
        a[n] = va_arg(list, long);
    va_end(list);
    return (int)checked(RAW5(SYS_prctl, option, a[0], a[1], a[2], a[3]));
}

static int raw_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    return (int)checked(RAW4(SYS_epoll_ctl, epoll, operation, fd, event));
}

enum { MASK_SIZE = 8 }; /* of the kernel's signal set */

static int raw_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms) {
    return (int)checked(RAW6(SYS_epoll_pwait, epoll, events, most, timeout_ms, 0, MASK_SIZE));
}

static int raw_epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout_ms, const sigset_t *mask) {
    return (int)checked(RAW6(SYS_epoll_pwait, epoll, events, most, timeout_ms, mask, MASK_SIZE));
}

static int raw_epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                            const sigset_t *mask) {
    return (int)checked(RAW6(SYS_epoll_pwait2, epoll, events, most, timeout, mask, MASK_SIZE));
}

/* The kernel writes the rest of the time; libc's functions do not let that be seen. */
static int raw_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    struct timespec left = timeout ? *timeout : (struct timespec){0};

    return (int)checked(RAW5(SYS_ppoll, fds, count, timeout ? &left : NULL, mask, MASK_SIZE));
}

static int raw_poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};

    return raw_ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

static int raw___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room) {
    overrun(count, room / sizeof *fds);
    return raw_poll(fds, count, timeout_ms);
}

static int raw___ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                           size_t room) {
    overrun(count, room / sizeof *fds);
    return raw_ppoll(fds, count, timeout, mask);
}

static int raw_pselect(int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,
                       const sigset_t *mask) {
    struct timespec left = timeout ? *timeout : (struct timespec){0};
    struct {
        const sigset_t *mask;
        size_t size;
    } blocked = {mask, MASK_SIZE};

    return (int)checked(RAW6(SYS_pselect6, count, reads, writes, others, timeout ? &left : NULL, &blocked));
}

static int raw_select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout) {
    return (int)checked(RAW5(SYS_select, count, reads, writes, others, timeout));
}

#define STAND_IN(ret, name, params, args) .name = raw_##name,
const struct real raw = {SHIM_CALLS(STAND_IN, STAND_IN, STAND_IN)};
struct real real = {SHIM_CALLS(STAND_IN, STAND_IN, STAND_IN)};

/* A libc that lacks a name (closefrom before 2.34) leaves the stand-in in its place. */
#define BIND(ret, name, params, args)                                                                                  \
    do {                                                                                                               \
        void *found = dlsym(RTLD_NEXT, #name);                                                                         \
        if (found)                                                                                                     \
            __atomic_store_n(&real.name, (ret(*) params)found, __ATOMIC_RELAXED);                                      \
    } while (0);

void real_bind(void) {
    SHIM_CALLS(BIND, BIND, BIND)
}
