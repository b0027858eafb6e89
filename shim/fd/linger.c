#include "shim/fd/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/fd/own_fd.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/clock.h"

enum {
    MOST = 64,
    AT_ONCE = 1 << 20, /* bytes thrown away in one look at one connection */
};
#define LONGEST_NS (2000 * UINT64_C(1000000))
#define PAUSE_NS (10 * UINT64_C(1000000))

_Atomic uint32_t linger_count;
static struct lingerer {
    _Atomic int fd; /* 0: a free place; -1: being filled */
    uint64_t until_ns;
} lingerers[MOST];
static _Atomic uint32_t oldest;
static _Atomic uint64_t next_sweep_ns;

/* False: the client has closed, or is gone. */
static bool drain(int fd) {
    for (size_t total = 0; total < AT_ONCE;) {
        long got = OWN6(SYS_recvfrom, fd, 0, AT_ONCE, MSG_DONTWAIT | MSG_TRUNC, 0, 0);
        if (got <= 0)
            return got == -EAGAIN || got == -EINTR;
        total += (size_t)got;
    }
    return true;
}

/* Who takes it out of its place closes it. */
static void release(struct lingerer *place, int fd) {
    if (!atomic_compare_exchange_strong(&place->fd, &fd, 0))
        return;
    atomic_fetch_sub(&linger_count, 1);
    own_fd_close(fd, OWN_LINGERS);
}

static struct lingerer *take_place(void) {
    for (int n = 0; n < MOST; n++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&lingerers[n].fd, &none, -1))
            return &lingerers[n];
    }
    struct lingerer *place = &lingerers[atomic_fetch_add(&oldest, 1) % MOST];
    int fd = atomic_load(&place->fd), none = 0;
    if (fd > 0)
        release(place, fd);
    return atomic_compare_exchange_strong(&place->fd, &none, -1) ? place : NULL;
}

/* The application may have asked for a reset at the close (SO_LINGER). */
static void keep_copy(struct lingerer *place, int fd) {
    struct linger none = {.l_onoff = 0};
    long copy = OWN3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0) {
        atomic_store(&place->fd, 0);
        return;
    }
    int high = own_fd_adopt((int)copy, OWN_LINGERS);
    OWN5(SYS_setsockopt, high, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    place->until_ns = clock_ns() + LONGEST_NS;
    atomic_fetch_add(&linger_count, 1);
    atomic_store(&place->fd, high);
}

void linger_keep(int fd) {
    struct lingerer *place = drain(fd) ? take_place() : NULL;

    if (place)
        keep_copy(place, fd);
}

void linger_end(int fd) {
    for (int n = 0; n < MOST; n++)
        if (atomic_load(&lingerers[n].fd) == fd)
            release(&lingerers[n], fd);
}

void linger_sweep(void) {
    uint64_t now_ns = clock_ns(), due_ns = atomic_load(&next_sweep_ns);

    if (now_ns < due_ns || !atomic_compare_exchange_strong(&next_sweep_ns, &due_ns, now_ns + PAUSE_NS))
        return;
    for (int n = 0; n < MOST; n++) {
        int fd = atomic_load(&lingerers[n].fd);
        if (fd > 0 && (!drain(fd) || now_ns >= lingerers[n].until_ns))
            release(&lingerers[n], fd);
    }
}

/* The copies themselves are closed with all that is ours. */
void linger_after_fork(void) {
    for (int n = 0; n < MOST; n++)
        atomic_store(&lingerers[n].fd, 0);
    atomic_store(&linger_count, 0);
    atomic_store(&next_sweep_ns, 0);
}
