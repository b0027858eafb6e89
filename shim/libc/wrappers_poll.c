/* poll() and ppoll().  What is asked for is noted when the kernel has looked at it; what is done otherwise concerns
 * only arrays with a descriptor on which a request waits (wait.h). */
#include "shim/libc/wrappers.h"

#include "shim/fd/fd_table.h"
#include "shim/fd/linger.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/wait.h"

void poll_note(const struct pollfd *fds, nfds_t count) {
    enum { BITS = 64 };

    linger_look();
    for (nfds_t n = 0; n < count; n++)
        if (fds[n].fd >= 0 && fds[n].fd < FD_TABLE_SIZE && (fds[n].events & (POLLIN | POLLRDNORM)))
            wakeup_note_polled((unsigned)fds[n].fd / BITS, UINT64_C(1) << (fds[n].fd % BITS));
}

/* Nothing but connections that were accepted: as a server's that waits for the rest of a request. */
static bool are_clients(const struct pollfd *fds, nfds_t count) {
    enum { FEW = 4 };
    bool are = count > 0 && count <= FEW;
    for (nfds_t n = 0; are && n < count; n++)
        are = fd_word_kind(fd_table_get(fds[n].fd)) == FD_STREAM;
    return are;
}

/* The kernel judges the array first, in a look that does not wait: only then is it known that it can be written to. */
static int judged(struct wait *w, struct pollfd *fds, const void *frame) {
    struct timespec now = {0};
    int result = w->via->ppoll(fds, w->count, &now, w->mask);

    if (result < 0 || (result = wait_until_ready(w, frame)) < 0)
        return result;
    for (size_t n = 0; n < w->count; n++)
        fds[n].revents = w->looks[n].revents;
    return result;
}

/* False: no request waits on any of them, or they cannot be read. */
static __attribute__((noinline)) bool polls_turns(struct wait *w, struct pollfd *fds, nfds_t count, const void *frame,
                                                  int *ret_result) {
    if (count > FD_TABLE_SIZE || !caller_memory_readable(fds, count * sizeof(*fds), frame) || !wait_open(w, count))
        return false;
    for (size_t n = 0; n < count; n++) {
        w->looks[n] = fds[n];
        w->wanted[n] = fds[n].events;
    }
    bool turns = wait_has_turns(w, frame);
    if (turns)
        *ret_result = judged(w, fds, frame);
    wait_close(w);
    return turns;
}

static __attribute__((noinline)) bool slow_ppoll(const struct real *via, struct pollfd *fds, nfds_t count,
                                                 const struct timespec *timeout, const sigset_t *mask,
                                                 int *ret_result) {
    struct wait w = {.via = via, .mask = mask};
    return wait_end(timeout, &w.end_ns) && polls_turns(&w, fds, count, FRAME, ret_result);
}

int ppoll_via(const struct real *via, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
              const sigset_t *mask) {
    uint64_t began_ns = wait_begins();
    int result;

    if (!wait_concerns(FRAME) || !slow_ppoll(via, fds, count, timeout, mask, &result))
        result = via->ppoll(fds, count, timeout, mask);
    wait_ended(began_ns, began_ns && result >= 0 && are_clients(fds, count));
    if (result >= 0)
        poll_note(fds, count);
    return result;
}

int poll_via(const struct real *via, struct pollfd *fds, nfds_t count, int timeout_ms) {
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    uint64_t began_ns = wait_begins();
    int result;

    if (!wait_concerns(FRAME) || !slow_ppoll(via, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL, &result))
        result = via->poll(fds, count, timeout_ms);
    wait_ended(began_ns, began_ns && result >= 0 && are_clients(fds, count));
    if (result >= 0)
        poll_note(fds, count);
    return result;
}

EXPORTED int poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    return poll_via(&real, fds, count, timeout_ms);
}

EXPORTED int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    return ppoll_via(&real, fds, count, timeout, mask);
}

/* Too small an array: the real one says so, and ends the program. */
EXPORTED int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room) {
    return room / sizeof(*fds) < count ? real.__poll_chk(fds, count, timeout_ms, room)
                                       : poll_via(&real, fds, count, timeout_ms);
}

EXPORTED int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                         size_t room) {
    return room / sizeof(*fds) < count ? real.__ppoll_chk(fds, count, timeout, mask, room)
                                       : ppoll_via(&real, fds, count, timeout, mask);
}
