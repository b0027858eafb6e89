/* Descriptors that end, are copied or arrive. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

#include "shim/fd/classify.h"
#include "shim/fd/fd_custody.h"
#include "shim/fd/fd_table.h"
#include "shim/fd/linger.h"
#include "shim/fd/own_fd.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/libc/wrappers_stdio.h"
#include "shim/process/clock.h"
#include "shim/process/sandbox.h"

/* Our own code's descriptors are no business of the table, nor are those of a vfork() child. */
static bool unwatched(const void *frame) {
    return reentry_vforked || reentry_busy(frame);
}

static void release(uint64_t word, int fd, bool fd_valid, const void *frame) {
    if (fd_word_kind(word) < FD_OUTBOUND || fd_word_value(word) == 0)
        return;
    int saved = errno;
    struct reentry_op *op = reentry_enter(frame, NULL);
    if (!op)
        return; /* handlers within handlers: it stays as it is, and counts as in flight until the process ends */
    uint32_t serial = op->serial;
    connection_release(word, fd, fd_valid);
    reentry_leave(op, serial);
    errno = saved;
}

void fd_became(int fd, unsigned kind) {
    if (fd >= 0 && !unwatched(FRAME))
        release(fd_table_swap(fd, kind, 0), fd, false, FRAME);
}

/* Each descriptor that a message carries. */
static void each_right(const struct msghdr *message, void (*visit)(int fd, void *context), void *context) {
    struct msghdr *m = (struct msghdr *)message; /* CMSG_NXTHDR knows no const */
    const char *end = (const char *)m->msg_control + m->msg_controllen;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(m); header; header = CMSG_NXTHDR(m, header)) {
        if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_len > (size_t)(end - (const char *)header))
            break; /* the kernel says so */
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const int *fds = (const int *)CMSG_DATA(header);
        for (size_t n = 0; n < (header->cmsg_len - CMSG_LEN(0)) / sizeof *fds; n++)
            visit(fds[n], context);
    }
}

static void arrived(int fd, void *context) {
    (void)context;
    fd_became(fd, FD_UNKNOWN);
}

/* Who sent it may close it now: what it holds is this process's from here on. */
static void taken_over(int fd, void *context) {
    (void)context;
    classify(fd);
}

static void each_right_inside(const struct msghdr *message, void (*visit)(int fd, void *context), void *context,
                              const void *frame) {
    struct reentry_op *op = reentry_vforked ? NULL : reentry_enter(frame, NULL);
    if (!op)
        return;
    int saved = errno;
    uint32_t serial = op->serial;
    each_right(message, visit, context);
    reentry_leave(op, serial);
    errno = saved;
}

void fd_received(const struct msghdr *message) {
    each_right(message, arrived, NULL);
    if (fd_custody_used())
        each_right_inside(message, taken_over, NULL, FRAME);
}

static void send_right(int fd, void *context) {
    *(bool *)context |= fd_custody_send(fd);
}

static void unsend_right(int fd, void *context) {
    (void)context;
    fd_custody_unsend(fd);
}

bool fd_sends(const struct msghdr *message, const void *frame) {
    bool sent = false;
    if (fd_table_highest() >= 0 && caller_memory_readable(message, sizeof *message, frame) && message->msg_control &&
        message->msg_controllen >= sizeof(struct cmsghdr) &&
        caller_memory_readable(message->msg_control, message->msg_controllen, frame))
        each_right_inside(message, send_right, &sent, frame);
    return sent;
}

void fd_unsent(const struct msghdr *message, const void *frame) {
    each_right_inside(message, unsend_right, NULL, frame);
}

/* Before the real call: afterwards the number may be another thread's new descriptor already. */
static void fd_ends(int fd, const void *frame) {
    if (!unwatched(frame))
        release(fd_table_swap(fd, FD_PLAIN, 0), fd, true, frame);
}

/* A number that was never looked at is plain from now on: what it means next, it means by a call that we see, or it is
 * no socket. Only if it was open: a daemon that closes a million numbers must not make us write as many words. */
static int close_unknown(const struct real *via, int fd, uint64_t word) {
    int result = via->close(fd);

    if (result == 0 && !unwatched(FRAME))
        fd_table_replace(fd, word, FD_PLAIN, 0);
    return result;
}

int close_via(const struct real *via, int fd) {
    uint64_t word = fd_table_get(fd);

    if (fd_word_kind(word) == FD_UNKNOWN)
        return close_unknown(via, fd, word);
    if (fd_word_kind(word) == FD_OURS && !reentry_vforked) {
        errno = EBADF;
        return -1;
    }
    if (fd_word_kind(word) != FD_PLAIN)
        fd_ends(fd, FRAME);
    linger_look();
    int result = via->close(fd);
    sandbox_note(CALL_CLOSE);
    return result;
}

EXPORTED int close(int fd) {
    return close_via(&real, fd);
}

void fd_ended(int fd) {
    fd_ends(fd, FRAME);
}

static void range_ends(unsigned int first, unsigned int last, const void *frame) {
    int highest = fd_table_highest();

    if (highest < 0 || unwatched(frame))
        return;
    for (unsigned int fd = first; fd <= last && fd <= (unsigned int)highest; fd++)
        if (fd_word_kind(fd_table_get((int)fd)) > FD_PLAIN && fd_word_kind(fd_table_get((int)fd)) != FD_OURS)
            fd_ends((int)fd, frame);
}

/* Piece by piece, around what is ours. */
static int close_pieces(const struct real *via, unsigned int first, unsigned int last, int flags) {
    unsigned int ours;

    while ((ours = own_fd_next(first)) <= last && ours != UINT_MAX) {
        if (ours > first && via->close_range(first, ours - 1, flags) < 0)
            return -1;
        if (ours == last)
            return 0;
        first = ours + 1;
    }
    return via->close_range(first, last, flags);
}

int close_range_via(const struct real *via, unsigned int first, unsigned int last, int flags) {
    if (first <= last && (flags & ~CLOSE_RANGE_UNSHARE) == 0)
        range_ends(first, last, FRAME);
    return first <= last && !reentry_vforked ? close_pieces(via, first, last, flags)
                                             : via->close_range(first, last, flags);
}

EXPORTED int close_range(unsigned int first, unsigned int last, int flags) {
    return close_range_via(&real, first, last, flags);
}

EXPORTED void closefrom(int first) {
    unsigned int from = first < 0 ? 0 : (unsigned int)first;

    range_ends(from, ~0u, FRAME);
    if (own_fd_next(from) == UINT_MAX || reentry_vforked || close_pieces(&real, from, ~0u, 0) < 0)
        real.closefrom(first);
}

/* ------------------------------------------------------------------------------------------------------ copies */

/* What a copy is of something that is no connection. */
static const uint8_t copied[] = {
    [FD_UNKNOWN] = FD_UNKNOWN, [FD_PLAIN] = FD_PLAIN,      [FD_SOCKET] = FD_SOCKET,
    [FD_LISTENER] = FD_SOCKET, [FD_OUTBOUND] = FD_UNKNOWN, [FD_STREAM] = FD_UNKNOWN,
    [FD_AWAITED] = FD_UNKNOWN, [FD_EPOLL] = FD_UNKNOWN,    [FD_OURS] = FD_PLAIN,
};

/* A stream is allocated, which in the child of a program with threads its allocator may not survive. */
static bool is_single_threaded(void) {
#if __has_include(<sys/single_threaded.h>)
    return __libc_single_threaded;
#else
    return false;
#endif
}

static void fd_copied(int fd, int copy, const void *frame) {
    uint64_t word = fd_table_get(fd), before;
    enum fd_kind kind = fd_word_kind(word);

    if (copy < 0 || copy == fd || unwatched(frame))
        return;
    struct connection *connection = connection_hold(fd, word);
    if (connection) {
        connection_share(connection);
        before = fd_table_swap(copy, kind, fd_word_value(word));
        if (copy >= FD_TABLE_SIZE)
            release(word, copy, false, frame); /* a number too high to be followed: the original's end is the end */
        connection_drop(connection);
    } else {
        before = fd_table_swap(copy, copied[kind], 0);
    }
    release(before, copy, false, frame);
    if (copy <= STDERR_FILENO && kind == FD_STREAM && is_single_threaded())
        stdio_adopt(copy);
}

int dup_via(const struct real *via, int fd) {
    int copy = via->dup(fd);

    fd_copied(fd, copy, FRAME);
    return copy;
}

EXPORTED int dup(int fd) {
    return dup_via(&real, fd);
}

/* A connection that the copy is put over ends before the call, while its descriptor is still its own; but only if the
 * call will not fail, and leave it open. */
static void make_way(int fd, int copy, const void *frame) {
    enum fd_kind kind = fd_word_kind(fd_table_get(copy));

    if (fd == copy || kind < FD_OURS || sandbox_on() || OWN2(SYS_fcntl, fd, F_GETFD) < 0)
        return;
    if (kind >= FD_OUTBOUND)
        fd_ends(copy, frame);
    else if (kind == FD_OURS && !unwatched(frame))
        own_fd_vacate(copy);
}

int dup2_via(const struct real *via, int fd, int copy) {
    make_way(fd, copy, FRAME);
    int result = via->dup2(fd, copy);
    fd_copied(fd, result, FRAME);
    return result;
}

EXPORTED int dup2(int fd, int copy) {
    return dup2_via(&real, fd, copy);
}

int dup3_via(const struct real *via, int fd, int copy, int flags) {
    if ((flags & ~O_CLOEXEC) == 0)
        make_way(fd, copy, FRAME);
    int result = via->dup3(fd, copy, flags);
    fd_copied(fd, result, FRAME);
    return result;
}

EXPORTED int dup3(int fd, int copy, int flags) {
    return dup3_via(&real, fd, copy, flags);
}

/* For when the kernel cannot be asked (sandbox.h). */
static void note_mode(int fd, bool nonblocking) {
    uint64_t word = fd_table_get(fd);
    struct connection *connection = fd_word_kind(word) == FD_STREAM ? connection_hold(fd, word) : NULL;

    if (!connection)
        return;
    if (nonblocking)
        connection_mark(connection, CONNECTION_NONBLOCKING);
    else
        atomic_fetch_and(&connection->marks, ~(uint32_t)CONNECTION_NONBLOCKING);
    connection_drop(connection);
}

int fcntl_via(const struct real *via, int fd, int command, void *argument) {
    int result = via->fcntl(fd, command, argument);

    if (command == F_SETFL && result == 0)
        note_mode(fd, (long)argument & O_NONBLOCK);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        fd_copied(fd, result, FRAME);
    return result;
}

/* The argument is a number or a pointer, or is not there: passed on as wide as it can be. */
EXPORTED int fcntl(int fd, int command, ...) {
    va_list list;

    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fcntl_via(&real, fd, command, argument);
}

EXPORTED int fcntl64(int fd, int command, ...) {
    va_list list;

    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fcntl_via(&real, fd, command, argument);
}

/* -------------------------------------------------------------------------------------------- what else is asked */

/* Bytes that we hold are bytes to be read; while a request waits there are none. */
static void add_readable(int fd, int *count, const void *frame) {
    struct operation operation;

    if (operation_begin(&operation, fd, frame) == OPERATION_STREAM) {
        uint64_t turn_ns = stream_turn_ns(operation.stream);
        if (turn_ns > clock_ns())
            *count = 0;
        else
            *count += (int)stream_readable(operation.stream);
        operation_end(&operation, 0);
    }
}

EXPORTED int ioctl(int fd, unsigned long request, ...) {
    va_list list;

    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    int result = real.ioctl(fd, request, argument);
    if (request == FIONBIO && result == 0)
        note_mode(fd, *(int *)argument);
    if (request == FIONREAD && result == 0 && fd_word_kind(fd_table_get(fd)) == FD_STREAM)
        add_readable(fd, argument, FRAME);
    return result;
}

/* Where our last response is out, the client's side stays open until the descriptor is closed: what it still sends
 * would be answered with a reset, which destroys the response. */
EXPORTED int shutdown(int fd, int how) {
    struct operation operation;

    if ((how == SHUT_WR || how == SHUT_RDWR) && fd_word_kind(fd_table_get(fd)) == FD_STREAM &&
        operation_begin(&operation, fd, FRAME) == OPERATION_STREAM) {
        if (stream_last_words(operation.stream))
            how = SHUT_WR;
        stream_shutdown_write(operation.stream);
        operation_end(&operation, 0);
    }
    int result = real.shutdown(fd, how);
    sandbox_note(CALL_SHUTDOWN);
    return result;
}
