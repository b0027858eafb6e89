/* What the wakeup*.c files share.  All of it under the lock of the connection's stream. */
#ifndef WEIR_SHIM_WAKEUP_PARTS_H
#define WEIR_SHIM_WAKEUP_PARTS_H

#include "shim/fd/connection.h"
#include "shim/fd/wakeup.h"

/* struct connection's `timer`: 0, a descriptor, or … */
enum {
    TIMER_NONE = -1,   /* a turn is waited for without one: by poll(), or by a read that blocks */
    TIMER_SILENT = -2, /* nothing is to be read until something is announced */
};

/* --- wakeup_epoll.c: the sets.  Those of one connection in a list, where places may be free. */
struct watch *watch_next(struct connection *connection, const struct watch *watch);
#define EACH_WATCH(connection, watch)                                                                                  \
    for (struct watch *watch = &(connection)->watch; watch; watch = watch_next(connection, watch))                     \
        if (watch->present)
/* The timer into the set, with the connection's data; not where the application wants no input now.  False: that
 * failed. */
bool watch_place(const struct watch *watch, int timer);
void watch_take_out(const struct watch *watch, int timer);
/* Will the application come back to the set itself before it expects an event?  It asked for one event,
 * and was. */
bool watch_rests(const struct watch *watch);
/* Asks the kernel for the application's events less input; not where it will come back itself.  False: the connection
 * has left the set in a way that was not seen. */
bool watch_mask(struct watch *watch);
/* Asks for all of the application's events again. */
void watch_unmask(struct watch *watch);
/* Has an edge reported again if there is something to report. */
void watch_report(const struct watch *watch);
void watch_free_all(struct connection *connection);

/* --- wakeup_timer.c */
/* Starts a timer for the connection (`connection->timer`) and places it in its sets; false: none can be had. */
bool timer_start(struct connection *connection, uint64_t at_ns);
void timer_set(int timer, uint64_t at_ns);
/* Out of the sets, and away. */
void timer_discard(struct connection *connection, int timer);
void timer_after_fork(void);

#endif
