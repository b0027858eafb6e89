/* How an application learns that a waiting request's turn has come, when its thread does not sleep for it: to the
 * application the connection is not readable while the request waits, whatever the kernel has of it, and becomes
 * readable when the turn has come, or when the client leaves.
 *
 * A connection in epoll sets: the kernel is asked there for everything that the application asked for but input, and
 * for the client's end in its place (EPOLL_CTL_MOD).  A timer (timerfd) stands in for the input, in the same sets with
 * the same data, and stays expired until what was withheld is read; then the application's own events are put back,
 * which reports an edge again.  So epoll_ctl() is followed.  EPOLLONESHOT: once reported, the timer takes part in the
 * application's own next EPOLL_CTL_MOD or EPOLL_CTL_ADD.  A connection that is waited for by poll() or select(): those
 * calls do the same themselves (shim/libc/wait.h).  One that is waited for in any other way cannot be announced, and
 * its request is not made to wait.
 *
 * Everything that takes a connection is called under its stream's lock, but for wakeup_epoll_ctl, wakeup_forget and
 * wakeup_of, which take it themselves, and for wakeup_end, when no other call can be there any more. */
#ifndef WEIR_SHIM_WAKEUP_H
#define WEIR_SHIM_WAKEUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/channel/channel.h"
#include "shim/fd/fd_table.h"

struct connection;

/* From that time of the engine clock on (which may be past) there is something to read, and nothing before; until the
 * next such call.  CHANNEL_SILENT: there is nothing to read until then.  0: what the kernel says is true (returns
 * NOTICE_NONE). */
enum notice wakeup_announce(struct connection *connection, uint64_t at_ns);
/* There is more to read although the application got EAGAIN: reports that again.  False: nothing is
 * known of how it waits. */
bool wakeup_again(struct connection *connection);
/* When a notice for this descriptor is due: as announced; 0: none is. */
uint64_t wakeup_of(int fd);

/* The application's epoll_ctl() on a connection: makes the real call and notes what it means.  `frame` as for
 * caller_memory_readable(). */
int wakeup_epoll_ctl(struct connection *connection, int epoll, int operation, int fd, struct epoll_event *event,
                     const void *frame);
/* epoll_wait() gave these, to be called before anything else is done with them: which connections were reported that
 * are to be reported once. */
void wakeup_learn_reported(const struct epoll_event *events, int count);
extern _Atomic bool wakeup_reports_once; /* an application ever asked for EPOLLONESHOT */
static inline void wakeup_note_reported(const struct epoll_event *events, int count) {
    if (__builtin_expect(atomic_load_explicit(&wakeup_reports_once, memory_order_relaxed), 0))
        wakeup_learn_reported(events, count);
}
/* What epoll_wait() gave, as the application is to see it: a connection and its timer are one, and a client's end that
 * stands for input is input.  Returns how many events are left. */
int wakeup_merge(struct epoll_event *events, int count);

void wakeup_begin(int fd);                                 /* a connection or socket begins under this number */
void wakeup_forget(struct connection *connection, int fd); /* one of its descriptors is closed */
void wakeup_end(struct connection *connection);            /* all of them are */
/* The connection is about to be closed by the application and to live on for a while (linger.h): leaves all sets, which
 * would go on reporting it. */
void wakeup_leave_sets(struct connection *connection);
void wakeup_adopt(struct connection *connection); /* a forked child uses it: the sets are its parent's */
void wakeup_after_fork(void);
void wakeup_vacate(int timer, uint32_t index); /* something else is about to be put on the number of its timer */

/* Connections that wait so.  What costs something is done only if there are any. */
extern _Atomic uint32_t wakeup_waiting;
static inline bool wakeup_any(void) {
    return __builtin_expect(atomic_load_explicit(&wakeup_waiting, memory_order_relaxed) != 0, 0);
}

/* A bit for each descriptor that poll() or select() was seen to be asked about, and for a listener in an epoll set. */
extern _Atomic uint64_t wakeup_polled[FD_TABLE_SIZE / 64];
static inline bool wakeup_is_polled(int fd) {
    return (unsigned)fd < FD_TABLE_SIZE &&
           atomic_load_explicit(&wakeup_polled[fd / 64], memory_order_relaxed) >> (fd % 64) & 1;
}
void wakeup_learn_polled(unsigned word, uint64_t bits);
static inline void wakeup_note_polled(unsigned word, uint64_t bits) {
    if (__builtin_expect(bits & ~atomic_load_explicit(&wakeup_polled[word], memory_order_relaxed), 0))
        wakeup_learn_polled(word, bits);
}
/* The application waits in a way that we can see (by an epoll set, or by polling sockets): so it will for a connection
 * that was just accepted. */
void wakeup_note_loop(void);

#endif
