/* The epoll sets that connections are in: what the application asked for there, and what the kernel is asked instead
 * while a request waits. */
#include "shim/fd/wakeup_parts.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/libc/caller_memory.h"
#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"

enum { GENERATIONS = 1 << 19 };
#define INPUT ((uint32_t)(EPOLLIN | EPOLLRDNORM))

/* The second and further sets of one connection. */
struct more_watches {
    struct watch watch;
    uint32_t next;
};

/* Did an application ever ask for the client's end by itself?  Then it knows what that bit means. */
static _Atomic bool knows_hangup;

static struct more_watches *more(uint32_t index) {
    return index ? arena_at(index) : NULL;
}

struct watch *watch_next(struct connection *connection, const struct watch *watch) {
    struct more_watches *next;
    if (watch == &connection->watch)
        next = more(connection->more_watches);
    else
        next = more(((const struct more_watches *)(const void *)watch)->next);
    return next ? &next->watch : NULL;
}

/* The number may have come to mean another set, or something else. */
static bool is_valid(const struct watch *watch) {
    uint64_t word = fd_table_get(watch->epoll);
    return fd_word_kind(word) == FD_EPOLL && fd_word_generation(word) % GENERATIONS == watch->generation;
}

static long control(const struct watch *watch, int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = watch->data};
    return OWN4(SYS_epoll_ctl, watch->epoll, operation, fd, &event);
}

/* -------------------------------------------------------------------------------------------------- reported once */

/* What an application gave as data with EPOLLONESHOT: was it reported since?  A bit for each hash of it; of two by the
 * same bit one may pass for the other. */
enum { REPORTED = 1 << 16 };
static _Atomic uint64_t reported[REPORTED / 64];
_Atomic bool wakeup_reports_once;

static uint64_t hash(uint64_t data) {
    return data * UINT64_C(0x9e3779b97f4a7c15);
}

static _Atomic uint64_t *report_of(uint64_t data, uint64_t *ret_bit) {
    unsigned place = (unsigned)(hash(data) >> 48) % REPORTED;
    *ret_bit = UINT64_C(1) << (place % 64);
    return &reported[place / 64];
}

void wakeup_learn_reported(const struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t bit;
        _Atomic uint64_t *word = report_of(events[i].data.u64, &bit);
        atomic_fetch_or(word, bit);
    }
}

/* The application is about to ask for it, perhaps again. */
static void forget_report(const struct epoll_event *event) {
    uint64_t bit;
    _Atomic uint64_t *word = report_of(event->data.u64, &bit);
    atomic_store_explicit(&wakeup_reports_once, true, memory_order_relaxed);
    atomic_fetch_and(word, ~bit);
}

bool watch_rests(const struct watch *watch) {
    uint64_t bit;
    return (watch->events & EPOLLONESHOT) && (atomic_load(report_of(watch->data, &bit)) & bit);
}

/* ------------------------------------------------------------------------------------------------- timers in sets */

bool watch_place(const struct watch *watch, int timer) {
    uint32_t events = EPOLLIN | (watch->events & (EPOLLET | EPOLLONESHOT));
    if (!is_valid(watch))
        return true;
    if (!(watch->events & INPUT)) {
        control(watch, EPOLL_CTL_DEL, timer, 0);
        return true;
    }
    long result = control(watch, EPOLL_CTL_ADD, timer, events);
    if (result == -EEXIST)
        result = control(watch, EPOLL_CTL_MOD, timer, events);
    return result == 0;
}

void watch_take_out(const struct watch *watch, int timer) {
    if (timer > 0 && is_valid(watch))
        control(watch, EPOLL_CTL_DEL, timer, 0);
}

/* -------------------------------------------------------------------------------------------- connections in sets */

static uint32_t masked(uint32_t events) {
    return events & INPUT ? (events & ~(INPUT | EPOLLEXCLUSIVE)) | EPOLLRDHUP : events;
}

/* An exclusive entry cannot be changed, only created again. */
static long change(const struct watch *watch, uint32_t events) {
    if (!(watch->events & EPOLLEXCLUSIVE))
        return control(watch, EPOLL_CTL_MOD, watch->fd, events);
    control(watch, EPOLL_CTL_DEL, watch->fd, 0);
    return control(watch, EPOLL_CTL_ADD, watch->fd, events);
}

/* Changes nothing. */
static bool is_in(const struct watch *watch) {
    if (control(watch, EPOLL_CTL_ADD, watch->fd, 0) == -EEXIST)
        return true;
    control(watch, EPOLL_CTL_DEL, watch->fd, 0);
    return false;
}

bool watch_mask(struct watch *watch) {
    if (!is_valid(watch))
        return false;
    if (watch_rests(watch) || !(watch->events & INPUT))
        return is_in(watch);
    watch->masked = change(watch, masked(watch->events)) == 0;
    return watch->masked;
}

void watch_unmask(struct watch *watch) {
    if (watch->masked && is_valid(watch) && !watch_rests(watch))
        change(watch, watch->events);
    watch->masked = 0;
}

void watch_report(const struct watch *watch) {
    if ((watch->events & EPOLLET) && !(watch->events & EPOLLONESHOT) && !watch->masked && is_valid(watch))
        change(watch, watch->events);
}

void wakeup_leave_sets(struct connection *connection) {
    EACH_WATCH(connection, watch) {
        if (is_valid(watch))
            control(watch, EPOLL_CTL_DEL, watch->fd, 0);
    }
}

void watch_free_all(struct connection *connection) {
    for (uint32_t index = connection->more_watches; index;) {
        struct more_watches *old = more(index);
        index = old->next;
        arena_give(old, sizeof(*old));
    }
    connection->more_watches = 0;
    connection->watch = (struct watch){.present = 0};
}

/* ------------------------------------------------------------------------------------- the application's epoll_ctl()
 */

/* It is a set, as the kernel has just said; a socket of that number was closed by a call that is not seen. */
static bool note_epoll(int epoll, uint32_t *ret_generation) {
    uint64_t word = fd_table_get(epoll);
    enum fd_kind kind = fd_word_kind(word);
    if ((unsigned)epoll >= FD_TABLE_SIZE)
        return false;
    if ((kind <= FD_PLAIN || kind == FD_SOCKET || kind == FD_LISTENER) && fd_table_replace(epoll, word, FD_EPOLL, 1))
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
    for (struct watch *watch = &connection->watch; watch; watch = watch_next(connection, watch))
        if (!watch->present)
            return watch;
    struct more_watches *fresh = arena_take(sizeof(*fresh));
    if (!fresh)
        return NULL;
    fresh->next = connection->more_watches;
    connection->more_watches = arena_index(fresh);
    return &fresh->watch;
}

static void note(struct connection *connection, int epoll, int fd, const struct epoll_event *event, bool masks) {
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
        .masked = masks,
        .events = event->events,
    };
    if (event->events & EPOLLRDHUP)
        atomic_store_explicit(&knows_hangup, true, memory_order_relaxed);
    if (connection->timer > 0 && !watch_place(watch, connection->timer))
        OWN2(SYS_shutdown, fd, SHUT_RD); /* better a connection that ends than one that waits for ever */
}

/* The timer leaves first: nothing of it is reported once the call has returned. */
static void forget(struct connection *connection, struct watch *watch) {
    watch_take_out(watch, connection->timer);
    watch->present = watch->masked = 0;
    watch->left = 1;
}

/* While a request waits the kernel is asked for less than the application asks for. */
static bool is_to_be_masked(const struct connection *connection, int operation, const struct epoll_event *event) {
    return (connection->timer > 0 || connection->timer == TIMER_SILENT) && (event->events & INPUT) &&
           !(operation == EPOLL_CTL_MOD && (event->events & EPOLLEXCLUSIVE));
}

/* The real call.  What is masked is not what the application put there, of which the kernel would know more. */
static int control_masked(struct connection *connection, int epoll, int operation, int fd,
                          const struct epoll_event *event) {
    const struct watch *watch = find(connection, epoll, fd);
    struct epoll_event less = *event;
    if (operation == EPOLL_CTL_MOD && watch && (watch->events & EPOLLEXCLUSIVE)) {
        errno = EINVAL;
        return -1;
    }
    less.events = masked(event->events);
    return real.epoll_ctl(epoll, operation, fd, &less);
}

int wakeup_epoll_ctl(struct connection *connection, int epoll, int operation, int fd, struct epoll_event *event,
                     const void *frame) {
    struct stream *stream = connection_stream(connection);
    if (!stream_lock(stream))
        return real.epoll_ctl(epoll, operation, fd, event);
    struct watch *watch = operation == EPOLL_CTL_DEL ? find(connection, epoll, fd) : NULL;
    if (watch)
        forget(connection, watch);
    bool readable = operation != EPOLL_CTL_DEL && caller_memory_readable(event, sizeof(*event), frame);
    bool masks = readable && is_to_be_masked(connection, operation, event);
    if (readable && (event->events & EPOLLONESHOT))
        forget_report(event);
    int result = masks ? control_masked(connection, epoll, operation, fd, event)
                       : real.epoll_ctl(epoll, operation, fd, event);
    int error = errno;
    wakeup_note_loop();
    if (result == 0 && operation != EPOLL_CTL_DEL)
        note(connection, epoll, fd, event, masks);
    stream_unlock(stream);
    errno = error;
    return result;
}

void wakeup_forget(struct connection *connection, int fd) {
    struct stream *stream = connection_stream(connection);
    if (connection->admit.side != SIDE_INBOUND || fd < 0 || !stream_lock(stream))
        return;
    EACH_WATCH(connection, watch) {
        if (watch->fd == (unsigned)fd)
            forget(connection, watch);
    }
    stream_unlock(stream);
}

/* ------------------------------------------------------------------------------------------------ epoll_wait() */

static uint32_t as_asked(uint32_t events) {
    if ((events & (EPOLLRDHUP | INPUT)) != EPOLLRDHUP)
        return events;
    events |= EPOLLIN;
    return atomic_load_explicit(&knows_hangup, memory_order_relaxed) ? events : events & ~(uint32_t)EPOLLRDHUP;
}

int wakeup_merge(struct epoll_event *events, int count) {
    uint64_t seen[16] = {0};
    int kept = 0;
    for (int i = 0; i < count; i++) {
        unsigned bit = (unsigned)(hash(events[i].data.u64) >> 54);
        int same = kept;
        events[i].events = as_asked(events[i].events);
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
