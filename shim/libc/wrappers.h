/* The parts of the wrappers, between the files that make them. */
#ifndef WEIR_SHIM_WRAPPERS_H
#define WEIR_SHIM_WRAPPERS_H

#include "shim/libc/calls.h"
#include "shim/fd/operation.h"

#define EXPORTED __attribute__((visibility("default")))
#define FRAME __builtin_frame_address(0)
#define UNPACK(...) __VA_ARGS__

/* What each reading and writing call is, said to the stream: via_read(&operation, fd, bytes, size) and so on. */
#define DECLARE_VIA(ret, name, params, args) ret via_##name(struct operation *operation, UNPACK params);
#define DECLARE_NOTHING(ret, name, params, args)
SHIM_CALLS(DECLARE_VIA, DECLARE_VIA, DECLARE_NOTHING)
#undef DECLARE_VIA
#undef DECLARE_NOTHING

ssize_t via_sendmsg(struct operation *operation, const struct msghdr *message, int flags);
ssize_t via_recvmsg(struct operation *operation, struct msghdr *message, int flags);

/* What is done around a call, whichever way it is made: `via` is &real, or &raw for syscall(). */
struct real;

/* wrappers_fd.c */
void fd_became(int fd, unsigned kind); /* a new descriptor: whatever the number meant before has ended unseen */
void fd_ended(int fd);                 /* is about to be closed by a call that is not close() */
void fd_received(const struct msghdr *message); /* SCM_RIGHTS */
/* A message is about to be sent; true: its descriptors take something with them, and fd_unsent is to follow if it is
 * not sent after all. */
bool fd_sends(const struct msghdr *message, const void *frame);
void fd_unsent(const struct msghdr *message, const void *frame);
int close_via(const struct real *via, int fd);
int close_range_via(const struct real *via, unsigned int first, unsigned int last, int flags);
int dup_via(const struct real *via, int fd);
int dup2_via(const struct real *via, int fd, int copy);
int dup3_via(const struct real *via, int fd, int copy, int flags);
int fcntl_via(const struct real *via, int fd, int command, void *argument);

/* wrappers_open.c */
/* Our own code begins, as reentry_enter has it; NULL also in a vfork() child.  Then reentry_leave. */
struct reentry_op *wrapper_enter(const void *frame, uint32_t *ret_serial);
bool wrapper_blocks(int fd);            /* is it without O_NONBLOCK? */
bool wrapper_nap(uint64_t duration_ns); /* inside wrapper_enter; false: a signal came */
/* Sleeps until the turn of a connection on a blocking descriptor; what cannot wait goes at once. */
void wrapper_pause(int fd, uint64_t wait_ns);
int socket_via(const struct real *via, int domain, int type, int protocol);
int socketpair_via(const struct real *via, int domain, int type, int protocol, int fds[2]);
/* wrappers_accept.c: `flags` < 0 stands for accept(), which has none.  `frame` as for the reentry. */
int accept_via(const struct real *via, int fd, struct sockaddr *address, socklen_t *length, int flags,
               const void *frame);
typedef ssize_t connect_call(int fd, const struct sockaddr *address, socklen_t length, const void *context);
ssize_t connect_by(connect_call *call, int fd, const struct sockaddr *address, socklen_t length, const void *context,
                   const void *frame);
ssize_t connect_via(int fd, const struct sockaddr *address, socklen_t length, const void *via);

/* wrappers_poll.c, wrappers_select.c.  The notes are taken after a call that succeeded. */
int poll_via(const struct real *via, struct pollfd *fds, nfds_t count, int timeout_ms);
int ppoll_via(const struct real *via, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
              const sigset_t *mask);
void poll_note(const struct pollfd *fds, nfds_t count);
int select_via(const struct real *via, int count, fd_set *reads, fd_set *writes, fd_set *others,
               struct timeval *timeout);
int pselect_via(const struct real *via, int count, fd_set *reads, fd_set *writes, fd_set *others,
                const struct timespec *timeout, const sigset_t *mask);
void select_note(int count, const fd_set *reads);

/* wrappers_epoll.c: what a waiting call gave, as the application is to see it. */
int epoll_told(struct epoll_event *events, int count);

/* wrappers_sandbox.c */
int prctl_via(const struct real *via, int option, const long arguments[4]);
long sandbox_seccomp(long operation, long flags, long arguments);

/* wrappers_syscall.c: what syscall() passes on, for syscall_x86_64.S. */
enum { SYSCALL_NUMBERS = 512 };
extern const unsigned char syscall_interposes[SYSCALL_NUMBERS];
long syscall_interposed(long number, long a, long b, long c, long d, long e, long f);

#endif
