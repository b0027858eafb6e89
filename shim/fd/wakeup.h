/* How an application learns that a waiting request's turn has come, when its thread does not sleep for it: to the
 * application the connection just becomes readable later.
 *
 * A connection in epoll sets: a timer (timerfd) stands in for it, put into the same sets with the same data, while its
 * request waits and until what was withheld is read.  So epoll_ctl() is followed.  One that is waited for by poll() or
 * select(): those calls last until the turn at most, and say so then (wrappers_wait.c).  One that is waited for in any
 * other way cannot be announced, and its request is not made to wait.
 *
 * Under the stream's lock, but for turn_begin, turn_end and the bits of turn_polled. */
#ifndef WEIR_SHIM_TURN_H
#define WEIR_SHIM_TURN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/fd/fd_table.h"
#include "shim/session/stream.h"

struct connection;

/* stream_io.announce */
enum stream_notice turn_announce(struct stream *stream, uint64_t at_ns, bool much);
/* The application's epoll_ctl() on a connection: makes the real call and notes what it means. */
int turn_epoll_ctl(struct connection *connection, int epoll, int operation, int fd, struct epoll_event *event);
/* When a notice for this descriptor is due (engine clock); 0: none is. */
uint64_t turn_of(int fd);
/* Each set reports a connection once in a call; where its timer came at the same moment, the two are made one.  Returns
 * how many events are left. */
int turn_merge(struct epoll_event *events, int count);

void turn_begin(int fd);                                 /* a connection begins under this number */
void turn_forget(struct connection *connection, int fd); /* one of its descriptors is closed; takes the lock */
void turn_end(struct connection *connection);            /* all of them are */
void turn_adopt(struct connection *connection);          /* a forked child uses it: the sets are its parent's */
void turn_after_fork(void);
void turn_vacate(int timer); /* something else is about to be put on a timer's number */

/* Connections that wait so.  What costs something is done only if there are any. */
extern _Atomic uint32_t turn_waiting, turn_timers; /* and how many timers are open */
static inline bool turn_any(void) {
    return __builtin_expect(atomic_load_explicit(&turn_waiting, memory_order_relaxed) != 0, 0);
}

/* A bit for each descriptor that poll() or select() was seen to be asked about. */
extern _Atomic uint64_t turn_polled[FD_TABLE_SIZE / 64];
void turn_learn_polled(unsigned word, uint64_t bits);
static inline void turn_note_polled(unsigned word, uint64_t bits) {
    if (__builtin_expect(bits & ~atomic_load_explicit(&turn_polled[word], memory_order_relaxed), 0))
        turn_learn_polled(word, bits);
}
/* A listener or a connection is waited for in a way that we can see: so will be one that was just accepted. */
void turn_note_loop(void);

#endif
