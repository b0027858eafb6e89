/* One connection's byte streams: requests recognised on the way in, responses framed on the way out, answers of ours
 * put exactly between two of the application's.  The mechanism is the one called "direct read, parse after, stash only
 * the partial head" in ARCHITECTURE.md.
 *
 * No descriptor table, no interposition, no shared memory here: real calls come in through `struct stream_io`,
 * decisions through `struct stream_policy`, so that the property tests and the fuzzers drive the very same code. One
 * stream is used by one reader and one writer thread at a time; both take the stream's own lock (per slot), which is
 * never held across a call that can block.
 */
#ifndef WEIR_SHIM_STREAM_H
#define WEIR_SHIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "rules/engine/engine.h"

struct stream; /* opaque; fixed part below 512 bytes, stash and long queues from the shim's own arena */

/* Will the application learn that there is something to read which the kernel knows nothing of? */
enum stream_notice {
    NOTICE_NONE,   /* it may be waiting in a way that nobody sees: no */
    NOTICE_GIVEN,  /* yes */
    NOTICE_NEEDED, /* it was never seen to wait for this descriptor but by reading it; so only a read that blocks is one
                    */
};

/* Real system calls; each returns as libc does, with errno. */
struct stream_io {
    ssize_t (*recv)(int fd, void *bytes, size_t size, int flags);
    ssize_t (*readv)(int fd, const struct iovec *iov, int count);
    ssize_t (*send)(int fd, const void *bytes, size_t size, int flags); /* always with MSG_NOSIGNAL when ours */
    ssize_t (*sendmsg)(int fd, const struct iovec *iov, int count, int flags);
    int (*shutdown)(int fd, int how);
    int (*poll_in)(int fd, int timeout_ms); /* 1 readable, 0 timeout, -1 */
    bool (*nonblocking)(int fd);            /* O_NONBLOCK now */
    int (*grow_send_buffer)(int fd);        /* 0, or -1 */
    uint64_t (*now_ns)(void);               /* engine clock */
    /* Sleeps on a blocking descriptor (queueing): 1 the peer hung up (POLLRDHUP, POLLHUP, POLLERR; not POLLIN), 0 the
     * time is over, -1 interrupted. */
    int (*wait_hangup)(int fd, uint64_t timeout_ns);
    /* The next two may be NULL. */
    /* Too many requests are unanswered: true asks the kernel to be silent about what arrives (SO_RCVLOWAT high), false
     * to speak up again about what has (SO_RCVLOWAT 1, which makes a new edge, too).  False: this socket cannot do that
     * (only TCP can); reading then goes on. */
    bool (*hold_back)(int fd, bool on);
    /* A request waits: makes the descriptor readable to the application from that time of the engine clock on, until
     * the next such call; 0: not any more.  `much`: meanwhile more may come from the client than the kernel can be
     * silent about, so that a loop that is told of levels would spin.  Without it a request that would have to wait on
     * a non-blocking descriptor is refused. */
    enum stream_notice (*announce)(struct stream *, uint64_t at_ns, bool much);
};

enum { STREAM_TEXT_MAX = 2048 }; /* longest answer of ours, head and body */

struct message; /* shim/protocol/protocol.h: slices into the bytes of one request head */

/* Asks for a decision about one request.  The head's slices are valid during the call only.
 * Returns ENGINE_PASS with a ticket, or ENGINE_BLOCK with the complete answer in `answer` (at most STREAM_TEXT_MAX
 * bytes, its length in `*ret_answer_size`; with `*close`, which the policy may set, it holds "Connection: close",
 * without it no Connection header: the stream inserts one where it finds out later that it must close, or where
 * HTTP/1.0 must be told that it stays; no body for HEAD), to be given at `*ret_turn_ns` if that is not 0 and the stream
 * can wait; or ENGINE_WAIT with a ticket and a time: admit at `*ret_turn_ns`; and with it the answer to give where the
 * stream cannot wait (the ticket is then cancelled; size 0: then it is admitted at once instead).  Called with the
 * stream's lock held, as are all of these: never block, never come back to the stream. */
struct stream_policy {
    enum engine_verdict (*request)(void *context, const struct message *head, bool *close,
                                   struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                   size_t *ret_answer_size, uint64_t *ret_turn_ns);
    /* Completion of an admitted request.  status 0: no response came (aborted). */
    void (*response)(void *context, struct engine_ticket *ticket, unsigned status, bool aborted, uint64_t now_ns);
    void (*undecided)(void *context); /* a request passed without a decision (fail open), for the figures */
    /* A ticket will not be used: its client left while it waited; or, `answered`, the stream cannot wait or has too
     * much unanswered, and the client got a rejection. */
    void (*cancel)(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns);
    /* Ambiguous or malformed HTTP: true = answer 400 and close, false = give up recognising.  NULL: false. */
    bool (*strict)(void *context);
    /* Has HTTP been spoken at this port before?  NULL: false. */
    bool (*expected)(void *context);
    bool http_only; /* the port was said to be HTTP: no look at the first bytes; what is not HTTP is malformed */
};

struct stream_memory { /* the shim's own arena (mmap); never malloc */
    void *(*take)(size_t size);
    void (*give)(void *bytes, size_t size);
};

size_t stream_size(void);
/* In a forked child, from the fork handler: locks that other threads of the parent held are nobody's.
 * Async-signal-safe. */
void stream_after_fork(void);
/* The memory (stream_size() bytes, aligned to 8) is zeroed before the first opening; later ones, and a late return of
 * some thread's call on the connection before, are told apart. */
void stream_open(struct stream *, int fd, const struct stream_io *, const struct stream_policy *, void *policy_context,
                 const struct stream_memory *);

/* The application reads: what it would have seen, less what was rejected.  `flags` as of recv (MSG_PEEK, MSG_DONTWAIT,
 * MSG_WAITALL, MSG_TRUNC, MSG_OOB are honoured).  Returns and sets errno as recv. */
ssize_t stream_read(struct stream *, const struct iovec *iov, int count, int flags);
/* Bytes that the application may read although the kernel would not say so (FIONREAD adds them). */
size_t stream_readable(const struct stream *);
/* From when on the descriptor is readable although the kernel need not say so (engine clock; may be past): a request
 * waits for its turn, or its turn has come and not all of it is read.  0: the kernel knows. */
uint64_t stream_turn_ns(const struct stream *);
/* For what stands beside a stream under the same lock (shim/fd/wakeup.c).  False: this very thread holds it already (a
 * signal handler came in between): keep out. */
bool stream_lock(struct stream *);
void stream_unlock(struct stream *);
/* The application writes.  `flags` as of send. */
ssize_t stream_write(struct stream *, const struct iovec *iov, int count, int flags);
/* The application is about to send `size` bytes by a call that shows us no bytes (sendfile, splice, MSG_ZEROCOPY…).
 * begin: how many of them may be sent now, after the first `*ret_skip` (0 or 1) of them, which is on the wire already
 * (the phantom byte) and only to be claimed.  Both 0: nothing may go, the call fails with EAGAIN.
 * done: how many were really sent (0 after an error); returns how many of these to claim (the same, or one less).  So
 * the caller returns skip + claimed to the application, and moves its offset by that.  done follows every begin that
 * did not say 0 and 0. A response head never comes this way from the servers we know; if framing is lost by it, the
 * rest passes. */
size_t stream_sendfile_begin(struct stream *, size_t size, size_t *ret_skip);
size_t stream_sendfile_done(struct stream *, size_t sent);
/* The application is about to end its side, or to close the last descriptor: what is still to be said to the client is
 * said.  True: the client may not have read it yet, so that the connection has to linger. */
bool stream_last_words(struct stream *);
void stream_shutdown_write(struct stream *); /* the application ends its side: outstanding responses end here */
/* The last descriptor of it is closed: outstanding requests end as aborted.  Frees stash and queues. */
void stream_close(struct stream *);
/* Gives up on recognising: from here on every byte passes (upgrade, ambiguous framing, foreign use of the descriptor).
 */
void stream_opaque(struct stream *);

#endif
