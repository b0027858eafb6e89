/* select() and pselect().  Of the caller's sets no more is looked at than the kernel looks at: it stops at the end of
 * the process's table of descriptors, however large the count is, and the sets may end there, too. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shim/fd/wakeup.h"
#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/libc/wait.h"
#include "shim/process/arena.h"
#include "shim/process/lifecycle.h"

enum {
    BITS = 64,
    TABLE_LEAST = 64, /* descriptors of the smallest table of a process (NR_OPEN_DEFAULT) */
    READS = POLLIN | POLLRDNORM | POLLRDBAND,
    WRITES = POLLOUT | POLLWRNORM | POLLWRBAND,
    OTHERS = POLLPRI,
};
_Static_assert(sizeof(fd_set) * CHAR_BIT % BITS == 0 && sizeof(long) * CHAR_BIT == BITS, "sets are arrays of words");

/* ------------------------------------------------------------------------------------- what the kernel looks at */

/* How large the process's table of descriptors was found to be: it grows, but not in a forked child.  The epoch of the
 * process, and the size. */
static _Atomic uint64_t table;

static uint64_t bit_of(unsigned fd) {
    return UINT64_C(1) << (fd % BITS);
}

/* A descriptor beyond the table is left as it is; one in the table is looked at, or does not exist (EBADF). */
static bool is_looked_at(unsigned fd) {
    struct timespec now = {0};
    size_t size = (fd / BITS + 1) * sizeof(uint64_t);
    uint64_t *set = arena_take(size);
    long result;

    if (!set)
        return false;
    do {
        memset(set, 0, size);
        set[fd / BITS] = bit_of(fd);
        result = OWN6(SYS_pselect6, fd + 1, set, 0, 0, &now, 0);
    } while (result == -EINTR);
    bool looked = result > 0 || result == -EBADF || (result == 0 && set[fd / BITS] == 0);
    arena_give(set, size);
    return looked;
}

/* The first so many descriptors of a set are the kernel's business. */
static unsigned looked_at(unsigned count) {
    uint64_t before = atomic_load(&table), epoch = lifecycle_epoch();
    unsigned size = before >> 32 == epoch ? (uint32_t)before : TABLE_LEAST;

    while (size < count && is_looked_at(size))
        size = is_looked_at(2 * size - 1) ? 2 * size : size + BITS;
    atomic_store(&table, epoch << 32 | size);
    return size < count ? size : count;
}

/* After the call, when only those are left that are ready.  What was never noted is no connection. */
void select_note(int count, const fd_set *reads) {
    const uint64_t *words = (const uint64_t *)reads;
    int last = fd_table_highest() + 1 < count ? fd_table_highest() + 1 : count;

    for (int fd = 0; reads && fd < last; fd += BITS) {
        uint64_t ready = words[fd / BITS];
        if (last - fd < BITS)
            ready &= bit_of((unsigned)last) - 1;
        if (ready)
            wakeup_note_polled((unsigned)fd / BITS, ready);
    }
}

/* ----------------------------------------------------------------------------------------- while a request waits */

struct selection {
    uint64_t *sets[3]; /* the caller's: to be read, to be written, other */
    unsigned count;
};
static const short kinds[3] = {READS, WRITES, OTHERS};

/* All that the call is about in the `nth` word of the sets. */
static uint64_t all_of(const struct selection *s, unsigned nth) {
    uint64_t all = 0, beyond = s->count / BITS == nth ? bit_of(s->count) - 1 : UINT64_MAX;

    for (int kind = 0; kind < 3; kind++)
        all |= s->sets[kind] ? s->sets[kind][nth] : 0;
    return all & beyond;
}

static unsigned words_of(const struct selection *s) {
    return (s->count + BITS - 1) / BITS;
}

static bool is_readable(const struct selection *s, const void *frame) {
    for (int kind = 0; kind < 3; kind++)
        if (s->sets[kind] && !caller_memory_readable(s->sets[kind], words_of(s) * sizeof(uint64_t), frame))
            return false;
    return true;
}

static size_t size_of(const struct selection *s) {
    size_t size = 0;

    for (unsigned nth = 0; nth < words_of(s); nth++)
        size += (size_t)__builtin_popcountll(all_of(s, nth));
    return size;
}

static void copy_in(const struct selection *s, struct wait *w) {
    size_t at = 0;

    for (unsigned nth = 0; nth < words_of(s); nth++)
        for (uint64_t left = all_of(s, nth); left && at < w->count; left &= left - 1) {
            unsigned fd = nth * BITS + (unsigned)__builtin_ctzll(left);
            w->looks[at] = (struct pollfd){.fd = (int)fd};
            w->wanted[at] = 0;
            for (int kind = 0; kind < 3; kind++)
                if (s->sets[kind] && (s->sets[kind][nth] & bit_of(fd)))
                    w->wanted[at] |= kinds[kind];
            at++;
        }
    w->count = at;
}

/* As the kernel has it: an end or an error is something to be read, an error something to be written. */
static short seen_by(int kind, short revents) {
    static const short more[3] = {POLLHUP | POLLERR, POLLERR, 0};
    return revents & (short)(kinds[kind] | more[kind]);
}

/* Returns how many bits that are. */
static int copy_out(const struct selection *s, struct wait *w) {
    int bits = 0;

    for (size_t n = 0; n < w->count; n++) {
        struct pollfd *look = &w->looks[n];
        int before = bits;
        for (int kind = 0; kind < 3; kind++)
            if ((w->wanted[n] & kinds[kind]) && seen_by(kind, look->revents)) {
                s->sets[kind][(unsigned)look->fd / BITS] |= bit_of((unsigned)look->fd);
                bits++;
            }
        if (look->revents && bits == before)
            look->fd = -1; /* poll() says more than was asked for: not again */
    }
    return bits;
}

/* The kernel judges the sets first, in a look that does not wait: only then is it known that they can be written to. */
static int judged(const struct selection *s, struct wait *w, const void *frame) {
    struct timespec now = {0};
    int result = w->via->pselect((int)s->count, (fd_set *)s->sets[0], (fd_set *)s->sets[1], (fd_set *)s->sets[2], &now,
                                 w->mask),
        bits = 0;

    for (int kind = 0; result >= 0 && kind < 3; kind++)
        if (s->sets[kind])
            memset(s->sets[kind], 0, words_of(s) * sizeof(uint64_t));
    while (result >= 0 && bits == 0) {
        result = wait_until_ready(w, frame);
        if (result <= 0)
            break;
        bits = copy_out(s, w);
    }
    return result < 0 ? result : bits;
}

/* False: no request waits on any of them, or they cannot be read. */
static __attribute__((noinline)) bool slow_pselect(const struct real *via, int count, fd_set *const sets[static 3],
                                                   const sigset_t *mask, uint64_t end_ns, int *ret_result) {
    struct selection s = {.count = looked_at((unsigned)count)};
    struct wait w = {.via = via, .mask = mask, .end_ns = end_ns};

    for (int kind = 0; kind < 3; kind++)
        s.sets[kind] = (uint64_t *)sets[kind];
    if (!is_readable(&s, FRAME) || !wait_open(&w, size_of(&s)))
        return false;
    copy_in(&s, &w);
    bool turns = wait_has_turns(&w, FRAME);
    if (turns)
        *ret_result = judged(&s, &w, FRAME);
    wait_close(&w);
    return turns;
}

static bool selects_turns(const struct real *via, int count, fd_set *const sets[static 3],
                          const struct timespec *timeout, const sigset_t *mask, uint64_t *ret_end_ns, int *ret_result) {
    return sets[0] && count > 0 && wait_concerns(FRAME) && wait_end(timeout, ret_end_ns) &&
           slow_pselect(via, count, sets, mask, *ret_end_ns, ret_result);
}

/* As Linux does it, the rest of the time is returned. */
int select_via(const struct real *via, int count, fd_set *reads, fd_set *writes, fd_set *others,
               struct timeval *timeout) {
    fd_set *sets[] = {reads, writes, others};
    struct timespec limit = {0};
    uint64_t end_ns, began_ns = wait_begins();
    int result;

    if (timeout && wakeup_any())
        limit = (struct timespec){.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000};
    if (!selects_turns(via, count, sets, timeout ? &limit : NULL, NULL, &end_ns, &result)) {
        result = via->select(count, reads, writes, others, timeout);
    } else if (timeout) {
        limit = wait_left(end_ns);
        *timeout = (struct timeval){.tv_sec = limit.tv_sec, .tv_usec = limit.tv_nsec / 1000};
    }
    wait_ended(began_ns, false);
    if (result > 0)
        select_note(count, reads);
    return result;
}

int pselect_via(const struct real *via, int count, fd_set *reads, fd_set *writes, fd_set *others,
                const struct timespec *timeout, const sigset_t *mask) {
    fd_set *sets[] = {reads, writes, others};
    uint64_t end_ns, began_ns = wait_begins();
    int result;

    if (!selects_turns(via, count, sets, timeout, mask, &end_ns, &result))
        result = via->pselect(count, reads, writes, others, timeout, mask);
    wait_ended(began_ns, false);
    if (result > 0)
        select_note(count, reads);
    return result;
}

EXPORTED int select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout) {
    return select_via(&real, count, reads, writes, others, timeout);
}

EXPORTED int pselect(int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,
                     const sigset_t *mask) {
    return pselect_via(&real, count, reads, writes, others, timeout, mask);
}
