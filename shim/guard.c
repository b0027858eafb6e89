#include "shim/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "shim/connection.h"
#include "shim/syscall_raw.h"

__thread struct guard guard;
__thread int guard_vforked;

static pthread_key_t at_thread_end;
static bool have_key;

/* The newest operation was left without its return. */
static void bury(void)
{
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

static void thread_ends(void *unused)
{
    (void)unused;
    while (guard.depth)
        bury();
    guard.announced = false; /* should another destructor read or write */
}

void guard_start(void)
{
    have_key = pthread_key_create(&at_thread_end, thread_ends) == 0;
}

/* The first 32 keys of a thread have their place in its control block; for others libc would have to allocate. */
static void announce(void)
{
    guard.announced = true;
    if (have_key && at_thread_end < 32)
        pthread_setspecific(at_thread_end, &guard);
}

/* Addresses of another stack tell nothing. */
static bool on_signal_stack(void)
{
    stack_t now;

    return RAW2(SYS_sigaltstack, 0, &now) == 0 && (now.ss_flags & SS_ONSTACK);
}

static void prune(const char *frame)
{
    if (guard.ops[guard.depth - 1].frame > frame || on_signal_stack())
        return;
    while (guard.depth && guard.ops[guard.depth - 1].frame <= frame)
        bury();
}

bool guard_busy(const void *frame)
{
    if (guard.depth == 0)
        return false;
    prune(frame);
    return guard.depth && !guard.ops[guard.depth - 1].in_call;
}

struct guard_op *guard_enter(const void *frame, struct connection *connection)
{
    if (guard_busy(frame) || guard.depth == GUARD_DEPTH)
        return NULL;
    if (!guard.announced)
        announce();
    struct guard_op *op = &guard.ops[guard.depth];
    if (++guard.serial == 0)
        guard.serial = 1;
    *op = (struct guard_op){.frame = frame, .connection = connection, .serial = guard.serial, .fd = -1};
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* a handler that comes now sees a whole record, or none */
    guard.depth++;
    return op;
}

void guard_leave(struct guard_op *op, uint32_t serial)
{
    if (op->serial != serial)
        return; /* pruned meanwhile: it was taken for dead, and its hold is gone already */
    struct connection *connection = op->connection;
    op->connection = NULL;
    op->serial = 0;
    guard.depth = (uint32_t)(op - guard.ops);
    if (connection)
        connection_drop(connection);
}
