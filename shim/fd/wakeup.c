#include "shim/fd/wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "shim/process/clock.h"
#include "shim/fd/connection.h"
#include "shim/process/reentry.h"
#include "shim/process/high_fd.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"

enum {
    GENERATIONS = 1 << 19,
    WITHOUT_TIMER = -1,
    TIMERS_SHARE = 4, /* so much of the descriptors that the process may open: a quarter */
    SPARE = 16,       /* timers kept for the next ones who wait */
};

_Atomic uint32_t turn_waiting, turn_timers;
static _Atomic int spare[SPARE]; /* their numbers; 0: none.  Their words lead to no connection */
_Atomic uint64_t turn_polled[FD_TABLE_SIZE / 64];

/* The second and further sets of one connection. */
struct more_watches {
    struct watch watch;
    uint32_t next;
};

static _Atomic bool loops;

void turn_note_loop(void) {
    if (!atomic_load_explicit(&loops, memory_order_relaxed))
        atomic_store_explicit(&loops, true, memory_order_relaxed);
}

void turn_learn_polled(unsigned word, uint64_t bits) {
    uint64_t fresh = bits & ~atomic_fetch_or_explicit(&turn_polled[word], bits, memory_order_relaxed);
    for (; fresh; fresh &= fresh - 1) {
        enum fd_kind kind = fd_word_kind(fd_table_get((int)(word * 64 + (unsigned)__builtin_ctzll(fresh))));
        if (kind == FD_LISTENER || kind == FD_SOCKET || kind == FD_STREAM)
            turn_note_loop();
    }
}

static struct connection *connection_of(struct stream *stream) {
    return (struct connection *)((char *)stream - offsetof(struct connection, stream));
}

static struct more_watches *more(uint32_t index) {
    return index ? arena_at(index) : NULL;
}

static struct watch *next_watch(struct connection *connection, struct watch *watch) {
    struct more_watches *next;
    if (watch == &connection->watch)
        next = more(connection->more_watches);
    else
        next = more(((struct more_watches *)((char *)watch - offsetof(struct more_watches, watch)))->next);
    return next ? &next->watch : NULL;
}

#define EACH_WATCH(connection, watch)                                                                                  \
    for (struct watch *watch = &(connection)->watch; watch; watch = next_watch(connection, watch))                     \
        if (watch->present)

/* ------------------------------------------------------------------------------------------------------- the sets */

/* The number may have come to mean another set, or something else. */
static bool is_valid(const struct watch *watch) {
    uint64_t word = fd_table_get(watch->epoll);
    return fd_word_kind(word) == FD_EPOLL && fd_word_generation(word) % GENERATIONS == watch->generation;
}

static bool note_epoll(int epoll, uint32_t *ret_generation) {
    uint64_t word = fd_table_get(epoll);
    if ((unsigned)epoll >= FD_TABLE_SIZE)
        return false;
    if (fd_word_kind(word) <= FD_PLAIN && fd_table_replace(epoll, word, FD_EPOLL, 1))
        word = fd_table_get(epoll);
    *ret_generation = fd_word_generation(word) % GENERATIONS;
    return fd_word_kind(word) == FD_EPOLL;
}

static struct watch *find(struct connection *connection, int epoll, int fd) {
    EACH_WATCH(connection, watch) {
        if (watch->epoll == (unsigned)epoll && watch->fd == (unsigned)fd)
            return watch;
    }
    return NULL;
}

static struct watch *new_watch(struct connection *connection) {
    for (struct watch *watch = &connection->watch; watch; watch = next_watch(connection, watch))
        if (!watch->present)
            return watch;
    struct more_watches *fresh = arena_take(sizeof(*fresh));
    if (!fresh)
        return NULL;
    fresh->next = connection->more_watches;
    connection->more_watches = arena_index(fresh);
    return &fresh->watch;
}

/* The timer into the set, with the connection's data; not where the application wants to hear nothing now.  False: that
 * failed. */
static bool place(const struct watch *watch, int timer) {
    struct epoll_event event = {.events = EPOLLIN | (watch->edge ? (uint32_t)EPOLLET : 0), .data.u64 = watch->data};
    if (!is_valid(watch))
        return true;
    if (!watch->reads || watch->once) {
        RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_DEL, timer, &event);
        return true;
    }
    long result = RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_ADD, timer, &event);
    if (result == -EEXIST)
        result = RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_MOD, timer, &event);
    return result == 0;
}

static void take_out(const struct watch *watch, int timer) {
    struct epoll_event event = {0};
    if (timer > 0 && is_valid(watch))
        RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_DEL, timer, &event);
}

/* Is the connection in the set, as we think?  It may have left in a way that we did not see. */
static bool is_in(const struct watch *watch) {
    struct epoll_event nothing = {.data.u64 = watch->data};
    if (!is_valid(watch))
        return false;
    if (RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_ADD, watch->fd, &nothing) == -EEXIST)
        return true;
    RAW4(SYS_epoll_ctl, watch->epoll, EPOLL_CTL_DEL, watch->fd, &nothing);
    return false;
}

static void note(struct connection *connection, int epoll, int fd, const struct epoll_event *event) {
    struct watch *watch = find(connection, epoll, fd);
    uint32_t generation;
    if (!note_epoll(epoll, &generation) || (unsigned)fd >= FD_TABLE_SIZE ||
        (!watch && !(watch = new_watch(connection))))
        return;
    *watch = (struct watch){
        .data = event->data.u64,
        .epoll = (unsigned)epoll,
        .fd = (unsigned)fd,
        .generation = generation,
        .present = 1,
        .reads = (event->events & (EPOLLIN | EPOLLRDNORM)) != 0,
        .once = (event->events & EPOLLONESHOT) != 0,
        .edge = (event->events & EPOLLET) != 0,
    };
    if (connection->timer > 0 && !place(watch, connection->timer))
        RAW2(SYS_shutdown, fd, SHUT_RD); /* better a connection that ends than one that waits for ever */
}

/* The timer leaves first: nothing of it is reported once the call has returned. */
static void forget(struct connection *connection, struct watch *watch) {
    take_out(watch, connection->timer);
    watch->present = 0;
    watch->left = 1;
}

int turn_epoll_ctl(struct connection *connection, int epoll, int operation, int fd, struct epoll_event *event) {
    struct stream *stream = connection_stream(connection);
    if (!stream_lock(stream))
        return real.epoll_ctl(epoll, operation, fd, event);
    struct watch *watch = operation == EPOLL_CTL_DEL ? find(connection, epoll, fd) : NULL;
    if (watch)
        forget(connection, watch);
    int result = real.epoll_ctl(epoll, operation, fd, event), error = errno;
    turn_note_loop();
    if (result == 0 && operation != EPOLL_CTL_DEL)
        note(connection, epoll, fd, event);
    stream_unlock(stream);
    errno = error;
    return result;
}

/* ------------------------------------------------------------------------------------------------------ the timer */

static void set(int timer, uint64_t at_ns) {
    uint64_t at = clock_monotonic_ns(at_ns);
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
    RAW4(SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME, &when, 0);
}

static bool too_many(void) {
    struct rlimit limit;
    return RAW4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit) < 0 ||
           atomic_load(&turn_waiting) >= limit.rlim_cur / TIMERS_SHARE;
}

/* Is this still the timer that stands for it (0: a spare one)?  Then it stands for `next` from now on. */
static bool pass_on(int timer, uint32_t index, enum fd_kind kind, uint32_t next) {
    uint64_t word = fd_table_get(timer);
    return fd_word_kind(word) == FD_OURS && fd_word_value(word) == index && fd_table_replace(timer, word, kind, next);
}

static int take_spare(struct connection *connection) {
    for (int n = 0; n < SPARE; n++) {
        int timer = atomic_load_explicit(&spare[n], memory_order_relaxed) ? atomic_exchange(&spare[n], 0) : 0;
        if (timer && pass_on(timer, 0, FD_OURS, connection_index(connection)))
            return timer;
    }
    return -1;
}

/* -1: none to be had. */
static int open_timer(struct connection *connection) {
    int timer = take_spare(connection);
    if (timer >= 0 || too_many())
        return timer;
    long fd = RAW2(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return -1;
    timer = high_fd_move((int)fd);
    fd_table_swap(timer, FD_OURS, connection_index(connection));
    atomic_fetch_add(&turn_timers, 1);
    return timer;
}

static void close_spare(int timer) {
    if (!pass_on(timer, 0, FD_PLAIN, 0))
        return;
    atomic_fetch_sub(&turn_timers, 1);
    RAW1(SYS_close, timer);
}

/* It is in no set any more. */
static void put_away(struct connection *connection, int timer) {
    if (!pass_on(timer, connection_index(connection), FD_OURS, 0))
        return;
    for (int n = 0; n < SPARE; n++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&spare[n], &none, timer))
            return;
    }
    close_spare(timer);
}

static void discard(struct connection *connection, int timer) {
    EACH_WATCH(connection, watch) {
        take_out(watch, timer);
    }
    put_away(connection, timer);
}

static void over(struct connection *connection) {
    int timer = connection->timer;
    if (!timer)
        return;
    connection->timer = 0;
    atomic_fetch_sub(&turn_waiting, 1);
    if (timer > 0)
        discard(connection, timer);
}

static bool is_polled(int fd) {
    return (unsigned)fd < FD_TABLE_SIZE &&
           atomic_load_explicit(&turn_polled[fd / 64], memory_order_relaxed) >> (fd % 64) & 1;
}

/* NOTICE_GIVEN: a timer would do, in the sets where the connection is and will be.  (Some read first, and put it into a
 * set when there is nothing more.) */
static enum stream_notice survey(struct connection *connection, bool much) {
    bool loop = atomic_load_explicit(&loops, memory_order_relaxed);
    enum stream_notice notice = !loop ? NOTICE_NEEDED : much ? NOTICE_NONE : NOTICE_GIVEN;
    for (struct watch *watch = &connection->watch; watch; watch = next_watch(connection, watch)) {
        if (watch->present && !is_in(watch))
            watch->present = watch->left = 0;
        if (!watch->present && !watch->left)
            continue;
        if (watch->once || (much && !watch->edge))
            return NOTICE_NONE;
        notice = NOTICE_GIVEN;
    }
    return notice;
}

static bool start_timer(struct connection *connection, uint64_t at_ns) {
    bool placed = true;
    int timer = open_timer(connection);
    if (timer < 0)
        return false;
    set(timer, at_ns);
    EACH_WATCH(connection, watch) {
        placed &= place(watch, timer);
    }
    if (placed)
        connection->timer = timer;
    else
        discard(connection, timer);
    return placed;
}

static enum stream_notice start(struct connection *connection, uint64_t at_ns, bool much) {
    struct reentry_op *op = reentry_top();
    enum stream_notice notice = survey(connection, much);
    bool polled = op && is_polled(op->fd);
    if (notice == NOTICE_GIVEN && !start_timer(connection, at_ns))
        notice = NOTICE_NONE;
    if (notice != NOTICE_GIVEN && polled)
        notice = much ? NOTICE_NONE : NOTICE_GIVEN;
    if (notice == NOTICE_NONE)
        return notice;
    if (connection->timer == 0)
        connection->timer = WITHOUT_TIMER;
    atomic_fetch_add(&turn_waiting, 1);
    return notice;
}

enum stream_notice turn_announce(struct stream *stream, uint64_t at_ns, bool much) {
    struct connection *connection = connection_of(stream);
    if (connection->timer > 0 && at_ns) {
        set(connection->timer, at_ns);
        return NOTICE_GIVEN;
    }
    over(connection);
    return at_ns ? start(connection, at_ns, much) : NOTICE_NONE;
}

/* Where no other number is to be had, the connection ends: nobody would be told of its turn. */
static void move_timer(struct connection *connection, int timer) {
    uint32_t index = connection_index(connection);
    long copy = RAW3(SYS_fcntl, timer, F_DUPFD_CLOEXEC, timer + 1);
    if (copy > 0) {
        fd_table_swap((int)copy, FD_OURS, index);
        atomic_fetch_add(&turn_timers, 1);
    }
    EACH_WATCH(connection, watch) {
        take_out(watch, timer);
        if ((copy < 0 || !place(watch, (int)copy)) && fd_word_value(fd_table_get(watch->fd)) == index)
            RAW2(SYS_shutdown, watch->fd, SHUT_RD);
    }
    connection->timer = copy > 0 ? (int)copy : WITHOUT_TIMER;
    if (pass_on(timer, index, FD_OURS, 0))
        close_spare(timer);
}

/* A spare one just goes: its word says so to whoever finds its number. */
void turn_vacate(int timer) {
    uint32_t index = fd_word_value(fd_table_get(timer));
    if (!index) {
        close_spare(timer);
        return;
    }
    struct connection *connection = arena_at(index);
    struct stream *stream = connection_stream(connection);
    if (!stream_lock(stream))
        return;
    if (connection->timer == timer)
        move_timer(connection, timer);
    stream_unlock(stream);
}

/* ------------------------------------------------------------------------------------------------ life of the rest */

void turn_begin(int fd) {
    if (is_polled(fd))
        atomic_fetch_and_explicit(&turn_polled[fd / 64], ~(UINT64_C(1) << (fd % 64)), memory_order_relaxed);
}

void turn_forget(struct connection *connection, int fd) {
    struct stream *stream = connection_stream(connection);
    if (connection->admit.side != SIDE_INBOUND || fd < 0 || !stream_lock(stream))
        return;
    EACH_WATCH(connection, watch) {
        if (watch->fd == (unsigned)fd)
            forget(connection, watch);
    }
    stream_unlock(stream);
}

static void free_watches(struct connection *connection) {
    for (uint32_t index = connection->more_watches; index;) {
        struct more_watches *old = more(index);
        index = old->next;
        arena_give(old, sizeof(*old));
    }
    connection->more_watches = 0;
    connection->watch = (struct watch){.present = 0};
}

void turn_end(struct connection *connection) {
    over(connection);
    free_watches(connection);
}

void turn_adopt(struct connection *connection) {
    if (connection->admit.side != SIDE_INBOUND)
        return;
    connection->timer = 0;
    free_watches(connection);
}

/* The timers are the parent's, as are the sets; here they are only numbers that stay open. */
void turn_after_fork(void) {
    int last = fd_table_highest();
    atomic_store(&turn_waiting, 0);
    if (!atomic_exchange(&turn_timers, 0))
        return;
    for (int n = 0; n < SPARE; n++)
        atomic_store(&spare[n], 0);
    for (int fd = 0; fd <= last; fd++) {
        uint64_t word = fd_table_get(fd);
        if (fd_word_kind(word) != FD_OURS || !fd_table_replace(fd, word, FD_PLAIN, 0))
            continue;
        RAW1(SYS_close, fd);
        if (fd_word_value(word))
            ((struct connection *)arena_at(fd_word_value(word)))->timer = 0;
    }
}

/* ------------------------------------------------------------------------------------- what those who wait are told */

uint64_t turn_of(int fd) {
    uint64_t word = fd_table_get(fd), turn_ns = 0;
    struct connection *connection = fd_word_kind(word) == FD_STREAM ? connection_hold(fd, word) : NULL;
    if (!connection)
        return 0;
    if (!connection_marked(connection, CONNECTION_ABANDONED))
        turn_ns = stream_turn_ns(connection_stream(connection));
    connection_drop(connection);
    return turn_ns;
}

int turn_merge(struct epoll_event *events, int count) {
    uint64_t seen[16] = {0};
    int kept = 0;
    for (int i = 0; i < count; i++) {
        unsigned bit = (unsigned)(events[i].data.u64 * UINT64_C(0x9e3779b97f4a7c15) >> 54);
        int same = kept;
        if (seen[bit / 64] >> (bit % 64) & 1)
            for (same = 0; same < kept && events[same].data.u64 != events[i].data.u64; same++)
                continue;
        seen[bit / 64] |= UINT64_C(1) << (bit % 64);
        if (same < kept)
            events[same].events |= events[i].events;
        else
            events[kept++] = events[i];
    }
    return kept;
}
