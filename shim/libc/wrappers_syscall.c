/* syscall() by number: libuv accepts and closes that way.  What touches no descriptor that weir follows is made as
 * asked, without libc's function in between: syscall() is no cancellation point. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>

#include "shim/fd/fd_table.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/libc/wait.h"

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
    CASE(ppoll, wait_ppoll(a, b, c, d, e, FRAME))                                                                      \
    CASE(pselect6, wait_pselect(a, b, c, d, e, f, FRAME))                                                              \
    CASE(epoll_pwait, epoll_told((void *)b, (int)made(RAW6(SYS_epoll_pwait, a, b, c, d, e, f))))                       \
    CASE(epoll_pwait2, epoll_told((void *)b, (int)made(RAW6(SYS_epoll_pwait2, a, b, c, d, e, f))))                     \
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
    CASE(prctl, prctl_via(&raw, (int)a, (long[]){b, c, d, e}))                                                         \
    CASE(seccomp, sandbox_seccomp(a, b, c))                                                                            \
    CASE(pidfd_getfd, fetch(a, b, c))                                                                                  \
    OLD(CASE)

#ifdef SYS_dup2
#define OLD(CASE)                                                                                                      \
    CASE(dup2, dup2_via(&raw, (int)a, (int)b))                                                                         \
    CASE(poll, poll_via(&raw, (void *)a, (nfds_t)b, (int)c))                                                           \
    CASE(select, wait_select(a, b, c, d, e, FRAME))                                                                    \
    CASE(epoll_wait, epoll_told((void *)b, (int)made(RAW4(SYS_epoll_wait, a, b, c, d))))
#else
#define OLD(CASE)
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static long made(long result) {
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

/* Another process's descriptor, copied here. */
static long fetch(long pidfd, long target, long flags) {
    long result = made(RAW3(SYS_pidfd_getfd, pidfd, target, flags));

    if (result >= 0)
        fd_became((int)result, FD_UNKNOWN);
    return result;
}

/* Calls that wait are made just as asked, with whatever is wrong with them, unless a request waits: then what they lead
 * to is looked at here. */
enum { MASK_SIZE = 8 }; /* of the kernel's signal set */

static long wait_ppoll(long fds, long count, long timeout, long mask, long size, const void *frame) {
    if (wait_concerns(frame) && (!mask || size == MASK_SIZE) &&
        (!timeout || caller_memory_readable((void *)timeout, sizeof(struct timespec), frame)))
        return ppoll_via(&raw, (void *)fds, (nfds_t)count, (void *)timeout, (void *)mask);
    long result = made(RAW5(SYS_ppoll, fds, count, timeout, mask, size));
    if (result >= 0)
        poll_note((void *)fds, (nfds_t)count);
    return result;
}

static long wait_pselect(long count, long reads, long writes, long others, long timeout, long mask, const void *frame) {
    if (wait_concerns(frame) && !mask &&
        (!timeout || caller_memory_readable((void *)timeout, sizeof(struct timespec), frame)))
        return pselect_via(&raw, (int)count, (void *)reads, (void *)writes, (void *)others, (void *)timeout, NULL);
    long result = made(RAW6(SYS_pselect6, count, reads, writes, others, timeout, mask));
    if (result > 0)
        select_note((int)count, (void *)reads);
    return result;
}

#ifdef SYS_select
static long wait_select(long count, long reads, long writes, long others, long timeout, const void *frame) {
    if (wait_concerns(frame) && (!timeout || caller_memory_readable((void *)timeout, sizeof(struct timeval), frame)))
        return select_via(&raw, (int)count, (void *)reads, (void *)writes, (void *)others, (void *)timeout);
    long result = made(RAW5(SYS_select, count, reads, writes, others, timeout));
    if (result > 0)
        select_note((int)count, (void *)reads);
    return result;
}
#endif

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
