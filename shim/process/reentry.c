#include "shim/process/reentry.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "shim/libc/syscall_raw.h"
#include "shim/process/sandbox.h"

__thread struct reentry reentry;
__thread int reentry_vforked;

static pthread_key_t at_thread_end;
static bool have_key;

/* The newest operation was left without its return. */
static void reclaim(void) {
    struct reentry_op *op = &reentry.ops[--reentry.depth];
    struct connection *connection = op->connection;

    op->connection = NULL;
    op->serial = 0;
    if (connection)
        reentry_let_go(connection, !op->in_call); /* in our code: its stream may be half changed */
}

static void thread_ends(void *unused) {
    (void)unused;
    while (reentry.depth)
        reclaim();
    reentry.announced = false; /* should another destructor read or write */
}

void reentry_start(void) {
    have_key = pthread_key_create(&at_thread_end, thread_ends) == 0;
}

/* The first 32 keys of a thread have their place in its control block; for others libc would have to allocate. */
__attribute__((cold)) void reentry_announce(void) {
    reentry.announced = true;
    if (have_key && at_thread_end < 32)
        pthread_setspecific(at_thread_end, &reentry);
}

/* Addresses of another stack say nothing. */
static bool on_signal_stack(void) {
    stack_t now;

    return OWN2(SYS_sigaltstack, 0, &now) == 0 && (now.ss_flags & SS_ONSTACK);
}

enum { USUAL_STACK = 8 << 20 }; /* farther away is another one, if the kernel cannot be asked */

static __attribute__((cold)) void prune(const char *frame) {
    const char *newest = reentry.ops[reentry.depth - 1].frame;

    if (newest > frame || (sandbox_on() ? frame - newest > USUAL_STACK : on_signal_stack()))
        return;
    while (reentry.depth && reentry.ops[reentry.depth - 1].frame <= frame)
        reclaim();
}

bool reentry_is_nested(const void *frame) {
    prune(frame);
    return reentry.depth && !reentry.ops[reentry.depth - 1].in_call;
}

struct reentry_op *reentry_enter(const void *frame, struct connection *connection) {
    return reentry_open(frame, connection);
}

void reentry_leave(struct reentry_op *op, uint32_t serial) {
    struct connection *connection = reentry_close(op, serial);

    if (connection)
        reentry_let_go(connection, false);
}
