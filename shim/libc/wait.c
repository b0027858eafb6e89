#include "shim/libc/wait.h"

#include <errno.h>
#include <limits.h>

#include "shim/fd/connection.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/real.h"
#include "shim/process/arena.h"
#include "shim/process/clock.h"
#include "shim/process/reentry.h"

enum { INPUT = POLLIN | POLLRDNORM };
#define SECOND_NS UINT64_C(1000000000)
/* A connection that is silent until another thread has written: when that is so, this thread looks again. */
#define RELIEF_NS (20 * UINT64_C(1000000))

uint64_t wait_begins(void) {
    return admit_asks_idle() ? clock_ns() : 0;
}

void wait_ended(uint64_t began_ns, bool client) {
    if (began_ns)
        admit_slept(began_ns, client);
}

bool wait_concerns(const void *frame) {
    return wakeup_any() && !reentry_vforked && !reentry_busy(frame);
}

bool wait_end(const struct timespec *timeout, uint64_t *ret_end_ns) {
    *ret_end_ns = WAIT_FOR_EVER;
    if (!timeout)
        return true;
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= (long)SECOND_NS)
        return false;
    uint64_t seconds = timeout->tv_sec < INT_MAX ? (uint64_t)timeout->tv_sec : INT_MAX;
    *ret_end_ns = clock_ns() + seconds * SECOND_NS + (uint64_t)timeout->tv_nsec;
    return true;
}

static struct timespec span(uint64_t from_ns, uint64_t to_ns) {
    uint64_t left_ns = to_ns > from_ns ? to_ns - from_ns : 0;
    return (struct timespec){.tv_sec = (time_t)(left_ns / SECOND_NS), .tv_nsec = (long)(left_ns % SECOND_NS)};
}

struct timespec wait_left(uint64_t end_ns) {
    return span(clock_ns(), end_ns);
}

bool wait_open(struct wait *w, size_t count) {
    w->count = count;
    w->size = 0;
    w->looks = w->few;
    w->wanted = w->few_wanted;
    if (count <= WAIT_FEW)
        return true;
    size_t size = count * (sizeof(*w->looks) + sizeof(*w->wanted));
    void *block = arena_take(size);
    if (!block)
        return false;
    w->size = size;
    w->looks = block;
    w->wanted = (short *)(w->looks + count);
    return true;
}

void wait_close(struct wait *w) {
    if (w->size)
        arena_give(w->looks, w->size);
}

static uint64_t turn_of(const struct wait *w, size_t n) {
    return w->looks[n].fd >= 0 && (w->wanted[n] & INPUT) ? wakeup_of(w->looks[n].fd) : 0;
}

/* What the kernel is to be asked; returns when the first turn comes. */
static uint64_t ask(struct wait *w) {
    uint64_t first_ns = WAIT_FOR_EVER;

    for (size_t n = 0; n < w->count; n++) {
        uint64_t turn_ns = turn_of(w, n);
        w->looks[n].events = turn_ns ? (short)((w->wanted[n] & ~INPUT) | POLLRDHUP) : w->wanted[n];
        if (turn_ns && turn_ns < first_ns)
            first_ns = turn_ns;
        if (turn_ns == CHANNEL_SILENT)
            first_ns = first_ns < clock_ns() + RELIEF_NS ? first_ns : clock_ns() + RELIEF_NS;
    }
    return first_ns;
}

/* What the application is to see of it.  Returns how many are ready. */
static int report(struct wait *w) {
    uint64_t now_ns = clock_ns();
    int ready = 0;

    for (size_t n = 0; n < w->count; n++) {
        struct pollfd *look = &w->looks[n];
        if (look->events != w->wanted[n]) {
            uint64_t turn_ns = turn_of(w, n);
            bool left = look->revents & (POLLRDHUP | POLLHUP | POLLERR);
            if (left || (turn_ns && turn_ns <= now_ns))
                look->revents |= (short)(w->wanted[n] & INPUT);
            if (!(w->wanted[n] & POLLRDHUP))
                look->revents &= (short)~POLLRDHUP;
        }
        ready += look->revents != 0;
    }
    return ready;
}

bool wait_has_turns(struct wait *w, const void *frame) {
    struct reentry_op *op = reentry_enter(frame, NULL);
    bool found = false;

    if (!op)
        return false;
    uint32_t serial = op->serial;
    for (size_t n = 0; n < w->count && !found; n++)
        found = turn_of(w, n) != 0;
    reentry_leave(op, serial);
    return found;
}

static uint64_t guarded_ask(struct wait *w, const void *frame) {
    struct reentry_op *op = reentry_enter(frame, NULL);

    if (!op)
        return WAIT_FOR_EVER;
    uint32_t serial = op->serial;
    uint64_t turn_ns = ask(w);
    reentry_leave(op, serial);
    return turn_ns;
}

static int guarded_tell(struct wait *w, const void *frame) {
    int saved = errno;
    struct reentry_op *op = reentry_enter(frame, NULL);

    if (!op)
        return 0;
    uint32_t serial = op->serial;
    int ready = report(w);
    reentry_leave(op, serial);
    errno = saved;
    return ready;
}

int wait_until_ready(struct wait *w, const void *frame) {
    for (;;) {
        uint64_t turn_ns = guarded_ask(w, frame), now_ns = clock_ns(), until_ns = w->end_ns;
        if (turn_ns != WAIT_FOR_EVER) {
            uint64_t nap_ns = turn_ns > now_ns ? clock_nap_ns(turn_ns - now_ns) : 0;
            until_ns = now_ns + nap_ns < until_ns ? now_ns + nap_ns : until_ns;
        }
        struct timespec timeout = span(now_ns, until_ns);
        if (w->via->ppoll(w->looks, w->count, until_ns == WAIT_FOR_EVER ? NULL : &timeout, w->mask) < 0)
            return -1;
        int ready = guarded_tell(w, frame);
        if (ready || clock_ns() >= w->end_ns)
            return ready;
    }
}
