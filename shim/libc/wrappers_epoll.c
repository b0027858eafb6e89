/* epoll: the sets are followed, so that a timer can stand in for a connection (wakeup.h); of the calls that wait only
 * the result is looked at. */
#include "shim/libc/wrappers.h"

#include "shim/fd/fd_table.h"
#include "shim/fd/linger.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/real.h"
#include "shim/libc/wait.h"

/* Whatever it puts there, it waits by epoll: some read a connection before they put the first one into a set.  A
 * listener that reports edges only must not get EAGAIN while something is there (wrappers_accept.c). */
static void note_other(int fd, const struct epoll_event *event) {
    uint64_t word = fd_table_get(fd);
    enum fd_kind kind = fd_word_kind(word);

    if (kind == FD_SOCKET || kind == FD_LISTENER || kind == FD_UNKNOWN) {
        if (event->events & EPOLLET)
            fd_table_flag(fd, word, FD_EDGE);
        if ((event->events & EPOLLIN) && (unsigned)fd < FD_TABLE_SIZE)
            wakeup_note_polled((unsigned)fd / 64, UINT64_C(1) << (fd % 64));
    }
    wakeup_note_loop();
}

EXPORTED int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    struct operation on;
    enum fd_kind now = fd_word_kind(fd_table_get(fd));

    if ((now == FD_STREAM || now == FD_UNKNOWN) && operation_begin(&on, fd, FRAME) == OPERATION_STREAM) {
        int done = wakeup_epoll_ctl(on.connection, epoll, operation, fd, event, FRAME);
        operation_end(&on, done);
        return done;
    }
    int result = real.epoll_ctl(epoll, operation, fd, event);
    if (result == 0 && operation != EPOLL_CTL_DEL)
        note_other(fd, event);
    return result;
}

int epoll_told(struct epoll_event *events, int count) {
    linger_look();
    if (count > 0)
        wakeup_note_reported(events, count);
    return count > 0 && wakeup_any() ? wakeup_merge(events, count) : count;
}

EXPORTED int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms) {
    uint64_t began_ns = wait_begins();
    int count = epoll_told(events, real.epoll_wait(epoll, events, most, timeout_ms));
    wait_ended(began_ns, false);
    return count;
}

EXPORTED int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout_ms, const sigset_t *mask) {
    uint64_t began_ns = wait_begins();
    int count = epoll_told(events, real.epoll_pwait(epoll, events, most, timeout_ms, mask));
    wait_ended(began_ns, false);
    return count;
}

EXPORTED int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                          const sigset_t *mask) {
    uint64_t began_ns = wait_begins();
    int count = epoll_told(events, real.epoll_pwait2(epoll, events, most, timeout, mask));
    wait_ended(began_ns, false);
    return count;
}
