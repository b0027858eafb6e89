/* The table of interposed functions: one line each, expanded into the real pointer, its binding, its stand-in before
 * binding (real.[ch]) and, for READS and WRITES, the wrapper (wrappers.c).  shim.map exports exactly these and the two
 * that are not C: syscall() and vfork().  tests/process/shim_exports.py compares the three.
 *
 *   READS, WRITES   the first parameter is `fd`; a descriptor that is not tracked goes straight to the real call
 *   OTHER           written by hand
 *
 * The system headers come first, so that a wrong prototype does not compile. */
#ifndef WEIR_SHIM_CALLS_H
#define WEIR_SHIM_CALLS_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The fortified twins, which the headers declare only to those who are built with them. */
ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t room, int flags, __SOCKADDR_ARG from,
                       socklen_t *length);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room);

#define SHIM_CALLS(READS, WRITES, OTHER)                                                                               \
    READS(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))                                        \
    READS(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))                              \
    READS(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))                      \
    READS(ssize_t, recvfrom, (int fd, void *bytes, size_t size, int flags, __SOCKADDR_ARG from, socklen_t *length),    \
          (fd, bytes, size, flags, from, length))                                                                      \
    READS(ssize_t, __read_chk, (int fd, void *bytes, size_t size, size_t room), (fd, bytes, size, room))               \
    READS(ssize_t, __recv_chk, (int fd, void *bytes, size_t size, size_t room, int flags),                             \
          (fd, bytes, size, room, flags))                                                                              \
    READS(ssize_t, __recvfrom_chk,                                                                                     \
          (int fd, void *bytes, size_t size, size_t room, int flags, __SOCKADDR_ARG from, socklen_t *length),          \
          (fd, bytes, size, room, flags, from, length))                                                                \
    WRITES(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))                                \
    WRITES(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count))                            \
    WRITES(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))               \
    WRITES(ssize_t, sendfile, (int fd, int in, off_t *offset, size_t size), (fd, in, offset, size))                    \
    WRITES(ssize_t, sendfile64, (int fd, int in, off64_t *offset, size_t size), (fd, in, offset, size))                \
    OTHER(ssize_t, sendto,                                                                                             \
          (int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to, socklen_t length),              \
          (fd, bytes, size, flags, to, length))                                                                        \
    OTHER(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))                   \
    OTHER(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned int count, int flags),                            \
          (fd, messages, count, flags))                                                                                \
    OTHER(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))                         \
    OTHER(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout),  \
          (fd, messages, count, flags, timeout))                                                                       \
    OTHER(ssize_t, splice, (int in, off64_t *in_offset, int fd, off64_t *offset, size_t size, unsigned int flags),     \
          (in, in_offset, fd, offset, size, flags))                                                                    \
    OTHER(int, accept, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))                     \
    OTHER(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags), (fd, address, length, flags))  \
    OTHER(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length))               \
    OTHER(int, socket, (int domain, int type, int protocol), (domain, type, protocol))                                 \
    OTHER(int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))            \
    OTHER(int, shutdown, (int fd, int how), (fd, how))                                                                 \
    OTHER(int, close, (int fd), (fd))                                                                                  \
    OTHER(int, close_range, (unsigned int first, unsigned int last, int flags), (first, last, flags))                  \
    OTHER(void, closefrom, (int first), (first))                                                                       \
    OTHER(int, fclose, (FILE * file), (file))                                                                          \
    OTHER(FILE *, fdopen, (int fd, const char *mode), (fd, mode))                                                      \
    OTHER(int, dup, (int fd), (fd))                                                                                    \
    OTHER(int, dup2, (int fd, int copy), (fd, copy))                                                                   \
    OTHER(int, dup3, (int fd, int copy, int flags), (fd, copy, flags))                                                 \
    OTHER(int, fcntl, (int fd, int command, ...), (fd, command))                                                       \
    OTHER(int, fcntl64, (int fd, int command, ...), (fd, command))                                                     \
    OTHER(int, ioctl, (int fd, unsigned long request, ...), (fd, request))                                             \
    OTHER(int, prctl, (int option, ...), (option))                                                                     \
    OTHER(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),                               \
          (epoll, operation, fd, event))                                                                               \
    OTHER(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout_ms),                          \
          (epoll, events, most, timeout_ms))                                                                           \
    OTHER(int, epoll_pwait, (int epoll, struct epoll_event *events, int most, int timeout_ms, const sigset_t *mask),   \
          (epoll, events, most, timeout_ms, mask))                                                                     \
    OTHER(int, epoll_pwait2,                                                                                           \
          (int epoll, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask),     \
          (epoll, events, most, timeout, mask))                                                                        \
    OTHER(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms), (fds, count, timeout_ms))                    \
    OTHER(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),       \
          (fds, count, timeout, mask))                                                                                 \
    OTHER(int, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout_ms, size_t room),                           \
          (fds, count, timeout_ms, room))                                                                              \
    OTHER(int, __ppoll_chk,                                                                                            \
          (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room),      \
          (fds, count, timeout, mask, room))                                                                           \
    OTHER(int, select, (int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout),            \
          (count, reads, writes, others, timeout))                                                                     \
    OTHER(int, pselect,                                                                                                \
          (int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,                   \
           const sigset_t *mask),                                                                                      \
          (count, reads, writes, others, timeout, mask))

#endif
