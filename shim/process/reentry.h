/* What the shim is doing in this thread.  Two questions are answered here: is the call that just came one of our own
 * code's (then it passes), and which connection does the thread hold on to while it is inside the shim?
 *
 * An operation is entered around our own code and marked `in_call` around the real call on the application's behalf,
 * which may block, be interrupted by a handler that calls us again, be left by siglongjmp, or end the thread.  So the
 * record of an operation must be found dead without its cooperation: it carries the address of its stack frame, and
 * an entry from the same height or above shows that it was left (the stack grows downwards).  What a thread
 * still holds when it ends is dropped by a thread-specific destructor. */
#ifndef WEIR_SHIM_REENTRY_H
#define WEIR_SHIM_REENTRY_H

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct msghdr;

struct reentry_op {
    const char *frame;
    struct connection *connection; /* held until the operation ends; may be NULL */
    uint32_t serial, depth;
    uint8_t kind;      /* enum call_kind (sandbox.h): which call of the application's this is */
    int fd;            /* what real calls of a stream go to: a connection may have several numbers; -1: nowhere */
    bool in_call;      /* inside a real call: what comes now is the application's */
    bool not_a_socket; /* a real call said ENOTSOCK: the descriptor is not what we took it for */
    bool ancillary;    /* `message` still has ancillary data or an address to be given to the real call */
    const struct msghdr *message; /* of sendmsg and recvmsg */
};

enum { REENTRY_DEPTH = 4 }; /* a call, a signal handler's call inside it, and so on */

struct reentry {
    uint32_t depth, serial;
    bool announced; /* the destructor knows of this thread */
    struct reentry_op ops[REENTRY_DEPTH];
};

extern __thread struct reentry reentry;
/* Calls of vfork() in this thread whose child still runs on our memory: counted by vfork() itself (syscall_x86_64.S).
 * The child's descriptors are its own, its memory is the parent's: nothing may be noted. */
extern __thread int reentry_vforked;

/* What an operation held is dropped (shim/fd/connection.c); `abandoned`: the operation was left in the middle. */
void reentry_let_go(struct connection *, bool abandoned);
void reentry_start(void); /* from the constructor */
bool reentry_is_nested(const void *frame);
/* Is our own code running in this thread, so that this call is its own? */
static inline bool reentry_busy(const void *frame) {
    return __builtin_expect(reentry.depth != 0, 0) && reentry_is_nested(frame);
}
/* NULL: pass.  `connection` must be held by the caller already and is dropped by reentry_leave. */
struct reentry_op *reentry_enter(const void *frame, struct connection *connection);
void reentry_leave(struct reentry_op *op, uint32_t serial);

/* The two without their way out of line, for what is done with every byte that is read or written.  `connection` may
 * also be set afterwards. */
void reentry_announce(void);
static inline struct reentry_op *reentry_open(const void *frame, struct connection *connection) {
    if (__builtin_expect(reentry.depth != 0, 0) && (reentry_is_nested(frame) || reentry.depth == REENTRY_DEPTH))
        return (struct reentry_op *)0;
    uint32_t depth = reentry.depth;
    struct reentry_op *op = &reentry.ops[depth];

    if (__builtin_expect(!reentry.announced, 0))
        reentry_announce();
    if (++reentry.serial == 0)
        reentry.serial = 1;
    *op = (struct reentry_op){
        .frame = frame, .connection = connection, .serial = reentry.serial, .depth = depth, .fd = -1};
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* a handler that comes now sees a whole record, or none */
    reentry.depth = depth + 1;
    return op;
}
static inline struct connection *reentry_close(struct reentry_op *op, uint32_t serial) /* to be dropped, if not NULL */
{
    struct connection *connection = op->connection;

    if (op->serial != serial)
        return (struct connection *)0; /* pruned meanwhile: it was taken for dead, and its hold is gone already */
    op->connection = (struct connection *)0;
    op->serial = 0;
    reentry.depth = op->depth;
    return connection;
}

static inline struct reentry_op *reentry_top(void) /* the operation that is running */
{
    return reentry.depth ? &reentry.ops[reentry.depth - 1] : (struct reentry_op *)0;
}

#endif
