/* The timers: descriptors of the application's that it did not open, so they are few, reused, and moved where it wants
 * their number. */
#include "shim/fd/wakeup_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "shim/fd/own_fd.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/clock.h"

enum {
    SHARE = 4,   /* so much of the descriptors that the process may open: a quarter */
    SPARES = 16, /* timers kept for the next ones that wait */
};

static _Atomic int spare[SPARES]; /* their numbers; 0: none */

void timer_set(int timer, uint64_t at_ns) {
    uint64_t at = clock_monotonic_ns(at_ns);
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
    OWN4(SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME, &when, 0);
}

static bool too_many(void) {
    struct rlimit limit;
    return OWN4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit) < 0 ||
           atomic_load(&wakeup_waiting) > limit.rlim_cur / SHARE;
}

static int take_spare(uint32_t index) {
    for (int n = 0; n < SPARES; n++) {
        int timer = atomic_load_explicit(&spare[n], memory_order_relaxed) ? atomic_exchange(&spare[n], 0) : 0;
        if (timer && own_fd_change(timer, OWN_SPARE, index))
            return timer;
    }
    return -1;
}

/* -1: none to be had. */
static int open_timer(uint32_t index) {
    int timer = take_spare(index);
    if (timer >= 0 || too_many())
        return timer;
    long fd = OWN2(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -1 : own_fd_adopt((int)fd, index);
}

/* It is in no set any more. */
static void put_away(uint32_t index, int timer) {
    if (!own_fd_change(timer, index, OWN_SPARE))
        return;
    for (int n = 0; n < SPARES; n++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&spare[n], &none, timer))
            return;
    }
    own_fd_close(timer, OWN_SPARE);
}

void timer_discard(struct connection *connection, int timer) {
    EACH_WATCH(connection, watch) {
        watch_take_out(watch, timer);
    }
    put_away(connection_index(connection), timer);
}

bool timer_start(struct connection *connection, uint64_t at_ns) {
    bool placed = true;
    int timer = open_timer(connection_index(connection));
    if (timer < 0)
        return false;
    timer_set(timer, at_ns);
    EACH_WATCH(connection, watch) {
        if (!watch_rests(watch))
            placed &= watch_place(watch, timer);
    }
    if (placed)
        connection->timer = timer;
    else
        timer_discard(connection, timer);
    return placed;
}

/* Where no other number is to be had, the connection ends: nothing would announce its turn. */
static void move(struct connection *connection, int timer) {
    uint32_t index = connection_index(connection);
    long copy = OWN3(SYS_fcntl, timer, F_DUPFD_CLOEXEC, timer + 1);
    int next = copy > 0 ? own_fd_adopt((int)copy, index) : TIMER_NONE;
    EACH_WATCH(connection, watch) {
        watch_take_out(watch, timer);
        if ((next < 0 || (!watch_rests(watch) && !watch_place(watch, next))) &&
            fd_word_value(fd_table_get(watch->fd)) == index)
            OWN2(SYS_shutdown, watch->fd, SHUT_RD);
    }
    connection->timer = next;
    own_fd_close(timer, index);
}

void wakeup_vacate(int timer, uint32_t index) {
    struct connection *connection = connection_at(index);
    struct stream *stream = connection_stream(connection);
    if (!stream_lock(stream))
        return;
    if (connection->timer == timer)
        move(connection, timer);
    stream_unlock(stream);
}

void timer_after_fork(void) {
    for (int n = 0; n < SPARES; n++)
        atomic_store(&spare[n], 0);
}
