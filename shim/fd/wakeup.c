#include "shim/fd/wakeup_parts.h"

#include "shim/process/reentry.h"

_Atomic uint32_t wakeup_waiting;
_Atomic uint64_t wakeup_polled[FD_TABLE_SIZE / 64];
static _Atomic bool loops;

void wakeup_note_loop(void) {
    if (!atomic_load_explicit(&loops, memory_order_relaxed))
        atomic_store_explicit(&loops, true, memory_order_relaxed);
}

void wakeup_learn_polled(unsigned word, uint64_t bits) {
    uint64_t fresh = bits & ~atomic_fetch_or_explicit(&wakeup_polled[word], bits, memory_order_relaxed);
    for (; fresh; fresh &= fresh - 1) {
        enum fd_kind kind = fd_word_kind(fd_table_get((int)(word * 64 + (unsigned)__builtin_ctzll(fresh))));
        if (kind == FD_LISTENER || kind == FD_SOCKET || kind == FD_STREAM)
            wakeup_note_loop();
    }
}

static bool is_polled_now(void) {
    struct reentry_op *op = reentry_top();
    return op && wakeup_is_polled(op->fd);
}

/* ------------------------------------------------------------------------------------------------ announcements */

static void over(struct connection *connection) {
    int timer = connection->timer;
    if (!timer)
        return;
    connection->timer = 0;
    atomic_fetch_sub(&wakeup_waiting, 1);
    EACH_WATCH(connection, watch) {
        watch_unmask(watch);
    }
    if (timer > 0)
        timer_discard(connection, timer);
}

/* Masks the connection in its sets.  GIVEN: a timer would do, in the sets where the connection is and will be.  (Some
 * read first, and put it into a set when there is nothing more.) */
static enum notice mask(struct connection *connection) {
    bool loop = atomic_load_explicit(&loops, memory_order_relaxed);
    enum notice notice = loop ? NOTICE_GIVEN : NOTICE_NEEDED;
    for (struct watch *watch = &connection->watch; watch; watch = watch_next(connection, watch)) {
        if (watch->present && !watch_mask(watch))
            watch->present = watch->left = 0;
        if (watch->present || watch->left)
            notice = NOTICE_GIVEN;
    }
    return notice;
}

static void unmask(struct connection *connection) {
    EACH_WATCH(connection, watch) {
        watch_unmask(watch);
    }
}

static enum notice start(struct connection *connection, uint64_t at_ns) {
    enum notice notice = mask(connection);
    bool silent = at_ns == CHANNEL_SILENT, polled = is_polled_now();
    atomic_fetch_add(&wakeup_waiting, 1);
    bool timed = !silent && (polled || notice == NOTICE_GIVEN) && timer_start(connection, at_ns);
    if (polled) /* (the timer is for a set that it may come into meanwhile) */
        notice = NOTICE_GIVEN;
    else if (notice == NOTICE_GIVEN && !silent && !timed)
        notice = NOTICE_NONE;
    if (notice == NOTICE_NONE || (notice == NOTICE_NEEDED && silent)) {
        atomic_fetch_sub(&wakeup_waiting, 1);
        unmask(connection);
        return notice;
    }
    if (connection->timer == 0)
        connection->timer = silent ? TIMER_SILENT : TIMER_NONE;
    return notice;
}

enum notice wakeup_announce(struct connection *connection, uint64_t at_ns) {
    if (connection->timer > 0 && at_ns && at_ns != CHANNEL_SILENT) {
        timer_set(connection->timer, at_ns);
        return NOTICE_GIVEN;
    }
    if (connection->timer == TIMER_SILENT && at_ns == CHANNEL_SILENT)
        return NOTICE_GIVEN;
    over(connection);
    return at_ns ? start(connection, at_ns) : NOTICE_NONE;
}

bool wakeup_again(struct connection *connection) {
    bool seen = atomic_load_explicit(&loops, memory_order_relaxed) || is_polled_now();
    EACH_WATCH(connection, watch) {
        watch_report(watch);
        seen = true;
    }
    return seen;
}

uint64_t wakeup_of(int fd) {
    uint64_t word = fd_table_get(fd), turn_ns = 0;
    struct connection *connection = fd_word_kind(word) == FD_STREAM ? connection_hold(fd, word) : NULL;
    if (!connection)
        return 0;
    if (__atomic_load_n(&connection->timer, __ATOMIC_RELAXED) == TIMER_SILENT)
        turn_ns = CHANNEL_SILENT;
    else if (!connection_marked(connection, CONNECTION_ABANDONED))
        turn_ns = stream_turn_ns(connection_stream(connection));
    connection_drop(connection);
    return turn_ns;
}

/* ------------------------------------------------------------------------------------------------ life of the rest */

void wakeup_begin(int fd) {
    if (wakeup_is_polled(fd))
        atomic_fetch_and_explicit(&wakeup_polled[fd / 64], ~(UINT64_C(1) << (fd % 64)), memory_order_relaxed);
}

/* The sets forget the connection itself: there is nothing to be put back. */
void wakeup_end(struct connection *connection) {
    EACH_WATCH(connection, watch) {
        watch->masked = 0;
    }
    over(connection);
    watch_free_all(connection);
}

void wakeup_adopt(struct connection *connection) {
    if (connection->admit.side != SIDE_INBOUND)
        return;
    if (connection->timer)
        atomic_fetch_sub(&wakeup_waiting, 1);
    connection->timer = 0;
    watch_free_all(connection);
    stream_adopt(connection_stream(connection));
}

/* What waits is counted until it is adopted: the child may poll it before it does anything else with it. */
void wakeup_after_fork(void) {
    timer_after_fork();
}
