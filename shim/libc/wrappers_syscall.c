/* syscall() by number: libuv accepts and closes that way.  What touches no descriptor of ours is made as asked,
 * without libc's function in between: syscall() is no cancellation point. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>

#include "shim/fd/fd_table.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"

#define PLAIN(fd, name, ...)                                                                                           \
    (fd_table_passes((int)(fd)) ? raw.name((int)(fd), __VA_ARGS__) : name((int)(fd), __VA_ARGS__))

#define INTERPOSED(CASE)                                                                                               \
    CASE(read, PLAIN(a, read, (void *)b, (size_t)c))                                                                   \
    CASE(readv, PLAIN(a, readv, (void *)b, (int)c))                                                                    \
    CASE(write, PLAIN(a, write, (void *)b, (size_t)c))                                                                 \
    CASE(writev, PLAIN(a, writev, (void *)b, (int)c))                                                                  \
    CASE(recvfrom, PLAIN(a, recvfrom, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t *)f))             \
    CASE(sendto, PLAIN(a, sendto, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t)f))                   \
    CASE(sendmsg, PLAIN(a, sendmsg, (void *)b, (int)c))                                                                \
    CASE(sendmmsg, PLAIN(a, sendmmsg, (void *)b, (unsigned)c, (int)d))                                                 \
    CASE(sendfile, PLAIN(a, sendfile, (int)b, (void *)c, (size_t)d))                                                   \
    CASE(recvmsg, recvmsg((int)a, (void *)b, (int)c))                                                                  \
    CASE(recvmmsg, recvmmsg((int)a, (void *)b, (unsigned)c, (int)d, (void *)e))                                        \
    CASE(splice, splice((int)a, (void *)b, (int)c, (void *)d, (size_t)e, (unsigned)f))                                 \
    CASE(shutdown, shutdown((int)a, (int)b))                                                                           \
    CASE(ioctl, ioctl((int)a, (unsigned long)b, (void *)c))                                                            \
    CASE(epoll_ctl, epoll_ctl((int)a, (int)b, (int)c, (void *)d))                                                      \
    CASE(ppoll, ppoll_via(&raw, (void *)a, (nfds_t)b, (void *)c, (void *)d))                                           \
    CASE(epoll_pwait, epoll_pwait_via(&raw, (int)a, (void *)b, (int)c, (int)d, (void *)e))                             \
    CASE(accept, accept_via(&raw, (int)a, (void *)b, (void *)c, -1, FRAME))                                            \
    CASE(accept4, accept_via(&raw, (int)a, (void *)b, (void *)c, (int)d &INT_MAX, FRAME))                              \
    CASE(connect, connect_by(connect_via, (int)a, (void *)b, (socklen_t)c, &raw, FRAME))                               \
    CASE(socket, socket_via(&raw, (int)a, (int)b, (int)c))                                                             \
    CASE(socketpair, socketpair_via(&raw, (int)a, (int)b, (int)c, (void *)d))                                          \
    CASE(close, close_via(&raw, (int)a))                                                                               \
    CASE(close_range, close_range_via(&raw, (unsigned)a, (unsigned)b, (int)c))                                         \
    CASE(dup, dup_via(&raw, (int)a))                                                                                   \
    CASE(dup3, dup3_via(&raw, (int)a, (int)b, (int)c))                                                                 \
    CASE(fcntl, fcntl_via(&raw, (int)a, (int)b, (void *)c))                                                            \
    CASE(pidfd_getfd, fetch(a, b, c))                                                                                  \
    OLD(CASE)

#ifdef SYS_dup2
#define OLD(CASE)                                                                                                      \
    CASE(dup2, dup2_via(&raw, (int)a, (int)b))                                                                         \
    CASE(poll, poll_via(&raw, (void *)a, (nfds_t)b, (int)c))                                                           \
    CASE(select, select_via(&raw, (int)a, (void *)b, (void *)c, (void *)d, (void *)e))                                 \
    CASE(epoll_wait, epoll_wait_via(&raw, (int)a, (void *)b, (int)c, (int)d))
#else
#define OLD(CASE)
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* Another process's descriptor, copied here. */
static long fetch(long pidfd, long target, long flags) {
    long result = RAW3(SYS_pidfd_getfd, pidfd, target, flags);

    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    fd_became((int)result, FD_UNKNOWN);
    return result;
}

#define MARK(name, call) [SYS_##name] = 1,
const unsigned char syscall_interposes[SYSCALL_NUMBERS] = {INTERPOSED(MARK)};

#define MAKE(name, call)                                                                                               \
    case SYS_##name: return call;
long syscall_interposed(long number, long a, long b, long c, long d, long e, long f) {
    switch (number) {
        INTERPOSED(MAKE)
    default: /* the trampoline asked the same table */ errno = ENOSYS; return -1;
    }
}
