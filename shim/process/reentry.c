#include "shim/process/reentry.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "shim/fd/connection.h"
#include "shim/libc/syscall_raw.h"

__thread struct guard guard;
__thread int guard_vforked;

static pthread_key_t at_thread_end;
static bool have_key;

/* The newest operation was left without its return. */
static void bury(void) {
    struct guard_op *op = &guard.ops[--guard.depth];
    struct connection *connection = op->connection;

    op->connection = NULL;
    op->serial = 0;
    if (!connection)
        return;
    if (!op->in_call)
        connection_mark(connection, CONNECTION_ABANDONED); /* in our code: its stream may be half changed */
    connection_drop(connection);
}

static void thread_ends(void *unused) {
    (void)unused;
    while (guard.depth)
        bury();
    guard.announced = false; /* should another destructor read or write */
}

void guard_start(void) {
    have_key = pthread_key_create(&at_thread_end, thread_ends) == 0;
}

/* The first 32 keys of a thread have their place in its control block; for others libc would have to allocate. */
__attribute__((cold)) void guard_announce(void) {
    guard.announced = true;
    if (have_key && at_thread_end < 32)
        pthread_setspecific(at_thread_end, &guard);
}

/* Addresses of another stack tell nothing. */
static bool on_signal_stack(void) {
    stack_t now;

    return RAW2(SYS_sigaltstack, 0, &now) == 0 && (now.ss_flags & SS_ONSTACK);
}

static __attribute__((cold)) void prune(const char *frame) {
    if (guard.ops[guard.depth - 1].frame > frame || on_signal_stack())
        return;
    while (guard.depth && guard.ops[guard.depth - 1].frame <= frame)
        bury();
}

bool guard_is_nested(const void *frame) {
    prune(frame);
    return guard.depth && !guard.ops[guard.depth - 1].in_call;
}

struct guard_op *guard_enter(const void *frame, struct connection *connection) {
    return guard_busy(frame) ? NULL : guard_open(frame, connection);
}

void guard_leave(struct guard_op *op, uint32_t serial) {
    struct connection *connection = guard_close(op, serial);

    if (connection)
        connection_drop(connection);
}
