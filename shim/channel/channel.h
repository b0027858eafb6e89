/* Where a connection's bytes come from and go to: a socket (socket.c).  Errors and readiness are the channel's; what
 * the bytes mean is the session's.
 *
 * The operations behave as the calls of libc that they are named after, with errno.  They are called by one reading and
 * one writing thread at a time; those that may block (recv, sendv without MSG_DONTWAIT, wait) never under the session's
 * lock.  What was peeked at is given by the next recv without an error.  A channel of another kind is one more file
 * with such a table. */
#ifndef WEIR_SHIM_CHANNEL_CHANNEL_H
#define WEIR_SHIM_CHANNEL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct channel;

/* Will the application learn of what the kernel cannot report: that a request's turn has come? */
enum notice {
    NOTICE_NONE,  /* no: it may be waiting in a way that is not seen */
    NOTICE_GIVEN, /* yes */
    NOTICE_NEEDED /* it was never seen to wait for this descriptor but by reading it: only a read that blocks will do */
};
#define CHANNEL_SILENT UINT64_MAX /* of channel_ops.notice */

struct channel_ops {
    ssize_t (*recv)(struct channel *, void *bytes, size_t size, int flags);
    ssize_t (*recvv)(struct channel *, const struct iovec *, int count, int flags);
    ssize_t (*sendv)(struct channel *, const struct iovec *, int count, int flags);
    int (*finish)(struct channel *, int how); /* as shutdown() */
    /* Until one of these poll() events: 1, the time is over: 0, interrupted: -1.  POLLRDHUP stands for 'the peer has
     * ended its side or is gone' and is not answered for bytes to be read. */
    int (*wait)(struct channel *, short events, uint64_t timeout_ns);
    bool (*may_wait)(struct channel *);    /* false: from now on `wait` and `notice` do nothing; NULL: it always may */
    bool (*nonblocking)(struct channel *); /* O_NONBLOCK now */
    /* How long a read that blocks may last (SO_RCVTIMEO); UINT64_MAX: until something comes.  NULL: that. */
    uint64_t (*patience_ns)(struct channel *);
    /* Can the application's buffer be used at all?  What the kernel writes to it has looked.  NULL: it can. */
    bool (*usable)(struct channel *, const void *bytes, size_t size);
    bool (*make_room)(struct channel *); /* a larger send buffer; false: there is none to be had */
    /* Makes the descriptor readable to the application from this time of the engine clock on, until the next such
     * call, whatever the kernel has; until then nothing but the peer's end is reported, however much arrives.
     * CHANNEL_SILENT: no time yet.  0: the kernel's reports are the truth again, and what it has is reported again. */
    enum notice (*notice)(struct channel *, uint64_t at_ns);
    /* There is more to read than was read: what waits for edges is notified.  False: it cannot be done. */
    bool (*stir)(struct channel *);
    uint64_t (*now_ns)(void); /* the engine clock */
};

struct channel {
    const struct channel_ops *ops;
    int fd; /* it began with; the application may go on with a copy */
};

extern const struct channel_ops channel_socket; /* of a descriptor that is a socket (socket.c) */

#endif
