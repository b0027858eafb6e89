/* Calls that wait until descriptors are ready.  They concern us only while some connection waits for its turn (turn.h);
 * then those that are asked about it last until that turn at most, and say that it is readable.  An epoll set is told
 * by a timer; of its calls only the result is looked at. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shim/process/arena.h"
#include "shim/process/clock.h"
#include "shim/libc/real.h"
#include "shim/fd/wakeup.h"

enum { BITS = 64, SELECTABLE = 1 << 16 /* descriptors beyond are not looked at by select() */ };
#define NEVER UINT64_MAX
_Static_assert(sizeof(fd_set) * CHAR_BIT % BITS == 0 && sizeof(long) * CHAR_BIT == BITS, "sets are arrays of words");

/* What one call waits for: either an array of poll(), or the sets of select() and what they were before it. */
struct wait {
    const struct real *via;
    struct pollfd *fds; /* NULL: sets */
    nfds_t count;
    uint64_t *sets[3], *before; /* [3][words]; to be read, to be written, other */
    unsigned words;
    const sigset_t *mask;
    uint64_t end_ns; /* NEVER: no limit */
};

static uint64_t end_of(const struct timespec *timeout) {
    if (!timeout)
        return NEVER;
    uint64_t seconds = timeout->tv_sec < INT_MAX ? (uint64_t)timeout->tv_sec : INT_MAX;
    return clock_ns() + seconds * 1000000000 + (uint64_t)timeout->tv_nsec;
}

static struct timespec span(uint64_t from_ns, uint64_t to_ns) {
    uint64_t left_ns = to_ns > from_ns ? to_ns - from_ns : 0;
    return (struct timespec){.tv_sec = (time_t)(left_ns / 1000000000), .tv_nsec = (long)(left_ns % 1000000000)};
}

static bool wants_input(struct pollfd *look) {
    return look->fd >= 0 && (look->events & (POLLIN | POLLRDNORM));
}

/* Calls back for every descriptor that is waited for to be read and has a turn to come or come already. */
static uint64_t look_around(struct wait *w, int (*found)(struct wait *w, unsigned index, uint64_t turn_ns),
                            int *ret_sum) {
    uint64_t first_ns = NEVER, turn_ns;

    for (nfds_t n = 0; w->fds && n < w->count; n++)
        if (wants_input(&w->fds[n]) && (turn_ns = turn_of(w->fds[n].fd))) {
            *ret_sum += found(w, (unsigned)n, turn_ns);
            first_ns = turn_ns < first_ns ? turn_ns : first_ns;
        }
    for (unsigned n = 0; !w->fds && n < w->words && w->sets[0]; n++)
        for (uint64_t left = w->before[n]; left; left &= left - 1) {
            unsigned fd = n * BITS + (unsigned)__builtin_ctzll(left);
            if (!(turn_ns = turn_of((int)fd)))
                continue;
            *ret_sum += found(w, fd, turn_ns);
            first_ns = turn_ns < first_ns ? turn_ns : first_ns;
        }
    return first_ns;
}

static int nothing_more(struct wait *w, unsigned index, uint64_t turn_ns) {
    (void)w, (void)index, (void)turn_ns;
    return 0;
}

/* Says that it is readable.  Returns by how much the call's result is larger. */
static int add_ready(struct wait *w, unsigned index, uint64_t turn_ns) {
    if (turn_ns > clock_ns())
        return 0;
    if (w->fds) {
        struct pollfd *look = &w->fds[index];
        bool fresh = look->revents == 0;
        look->revents |= (short)(look->events & (POLLIN | POLLRDNORM));
        return fresh;
    }
    uint64_t bit = UINT64_C(1) << (index % BITS), *word = &w->sets[0][index / BITS];
    bool fresh = !(*word & bit);
    *word |= bit;
    return fresh;
}

static uint64_t first_turn(struct wait *w, const void *frame) {
    int sum = 0;
    struct reentry_op *op = reentry_enter(frame, NULL);

    if (!op)
        return NEVER;
    uint32_t serial = op->serial;
    uint64_t turn_ns = look_around(w, nothing_more, &sum);
    reentry_leave(op, serial);
    return turn_ns;
}

static int more_ready(struct wait *w, const void *frame) {
    int sum = 0, saved = errno;
    struct reentry_op *op = reentry_enter(frame, NULL);

    if (!op)
        return 0;
    uint32_t serial = op->serial;
    look_around(w, add_ready, &sum);
    reentry_leave(op, serial);
    errno = saved;
    return sum;
}

static int real_wait(struct wait *w, const struct timespec *timeout) {
    if (w->fds)
        return w->via->ppoll(w->fds, w->count, timeout, w->mask);
    for (int n = 0; n < 3; n++)
        if (w->sets[n])
            memcpy(w->sets[n], w->before + n * w->words, w->words * sizeof(*w->before));
    return w->via->pselect((int)w->count, (fd_set *)w->sets[0], (fd_set *)w->sets[1], (fd_set *)w->sets[2], timeout,
                           w->mask);
}

/* Until something is ready, a turn has come, or the time is over. */
static int wait_for_turns(struct wait *w, const void *frame) {
    for (;;) {
        uint64_t now_ns = clock_ns(), turn_ns = first_turn(w, frame), until_ns = w->end_ns;
        if (turn_ns != NEVER) {
            uint64_t nap_ns = turn_ns > now_ns ? clock_nap_ns(turn_ns - now_ns) : 0;
            until_ns = now_ns + nap_ns < until_ns ? now_ns + nap_ns : until_ns;
        }
        struct timespec timeout = span(now_ns, until_ns);
        int result = real_wait(w, until_ns == NEVER ? NULL : &timeout);
        if (result < 0)
            return result;
        result += more_ready(w, frame);
        if (result || clock_ns() >= w->end_ns)
            return result;
    }
}

/* ------------------------------------------------------------------------------------------------------------- poll */

/* False: nothing waits, or it is our own code's call. */
static bool concerns(const void *frame) {
    return turn_any() && !reentry_vforked && !reentry_busy(frame);
}

static void note_polled(struct pollfd *fds, nfds_t count) {
    for (nfds_t n = 0; n < count; n++)
        if (wants_input(&fds[n]) && fds[n].fd < FD_TABLE_SIZE)
            turn_note_polled((unsigned)fds[n].fd / BITS, UINT64_C(1) << (fds[n].fd % BITS));
}

static __attribute__((noinline)) int slow_ppoll(const struct real *via, struct pollfd *fds, nfds_t count,
                                                const struct timespec *timeout, const sigset_t *mask) {
    struct wait w = {.via = via, .fds = fds, .count = count, .mask = mask, .end_ns = end_of(timeout)};
    return wait_for_turns(&w, FRAME);
}

int ppoll_via(const struct real *via, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
              const sigset_t *mask) {
    note_polled(fds, count);
    return count && concerns(FRAME) ? slow_ppoll(via, fds, count, timeout, mask)
                                    : via->ppoll(fds, count, timeout, mask);
}

int poll_via(const struct real *via, struct pollfd *fds, nfds_t count, int timeout_ms) {
    note_polled(fds, count);
    if (!count || !concerns(FRAME))
        return via->poll(fds, count, timeout_ms);
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    return slow_ppoll(via, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
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

/* ----------------------------------------------------------------------------------------------------------- select */

static void note_selected(int count, const fd_set *reads) {
    const uint64_t *words = (const uint64_t *)reads;
    unsigned last = count < 0 || !reads ? 0 : count < SELECTABLE ? (unsigned)count : SELECTABLE;

    for (unsigned n = 0; n * BITS < last; n++) {
        uint64_t asked = last - n * BITS < BITS ? words[n] & ((UINT64_C(1) << (last - n * BITS)) - 1) : words[n];
        if (asked)
            turn_note_polled(n, asked);
    }
}

static __attribute__((noinline)) int slow_pselect(const struct real *via, int count, fd_set *sets[static 3],
                                                  const struct timespec *timeout, const sigset_t *mask,
                                                  uint64_t *ret_end_ns) {
    uint64_t few[3 * FD_SETSIZE / BITS];
    unsigned words = ((unsigned)count + BITS - 1) / BITS;
    size_t size = 3 * words * sizeof(*few);
    uint64_t *before = size <= sizeof(few) ? few : arena_take(size);
    *ret_end_ns = end_of(timeout);
    if (!before)
        return via->pselect(count, sets[0], sets[1], sets[2], timeout, mask);
    struct wait w = {
        .via = via, .count = (nfds_t)count, .before = before, .words = words, .mask = mask, .end_ns = *ret_end_ns};
    for (unsigned n = 0; n < 3; n++) {
        w.sets[n] = (uint64_t *)sets[n];
        if (sets[n])
            memcpy(before + n * words, sets[n], words * sizeof(*before));
    }
    unsigned beyond = (unsigned)count % BITS;
    if (sets[0] && beyond)
        before[words - 1] &= (UINT64_C(1) << beyond) - 1;
    int result = wait_for_turns(&w, FRAME);
    if (before != few)
        arena_give(before, size);
    return result;
}

static bool selects_for_turns(int count, const fd_set *reads, const void *frame) {
    note_selected(count, reads);
    return reads && count > 0 && count <= SELECTABLE && concerns(frame);
}

/* As Linux does it, the rest of the time is told. */
int select_via(const struct real *via, int count, fd_set *reads, fd_set *writes, fd_set *others,
               struct timeval *timeout) {
    fd_set *sets[] = {reads, writes, others};
    uint64_t end_ns;

    if (!selects_for_turns(count, reads, FRAME) ||
        (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000)))
        return via->select(count, reads, writes, others, timeout);
    struct timespec limit = {0};
    if (timeout)
        limit = (struct timespec){.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000};
    int result = slow_pselect(via, count, sets, timeout ? &limit : NULL, NULL, &end_ns);
    if (timeout) {
        limit = span(clock_ns(), end_ns);
        *timeout = (struct timeval){.tv_sec = limit.tv_sec, .tv_usec = limit.tv_nsec / 1000};
    }
    return result;
}

EXPORTED int select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout) {
    return select_via(&real, count, reads, writes, others, timeout);
}

EXPORTED int pselect(int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,
                     const sigset_t *mask) {
    fd_set *sets[] = {reads, writes, others};
    uint64_t end_ns;

    if (!selects_for_turns(count, reads, FRAME))
        return real.pselect(count, reads, writes, others, timeout, mask);
    return slow_pselect(&real, count, sets, timeout, mask, &end_ns);
}

/* ------------------------------------------------------------------------------------------------------------ epoll */

static int merged(struct epoll_event *events, int count) {
    return count > 1 && turn_any() ? turn_merge(events, count) : count;
}

int epoll_wait_via(const struct real *via, int epoll, struct epoll_event *events, int most, int timeout_ms) {
    return merged(events, via->epoll_wait(epoll, events, most, timeout_ms));
}

int epoll_pwait_via(const struct real *via, int epoll, struct epoll_event *events, int most, int timeout_ms,
                    const sigset_t *mask) {
    return merged(events, via->epoll_pwait(epoll, events, most, timeout_ms, mask));
}

EXPORTED int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms) {
    return epoll_wait_via(&real, epoll, events, most, timeout_ms);
}

EXPORTED int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout_ms, const sigset_t *mask) {
    return epoll_pwait_via(&real, epoll, events, most, timeout_ms, mask);
}

EXPORTED int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                          const sigset_t *mask) {
    return merged(events, real.epoll_pwait2(epoll, events, most, timeout, mask));
}
