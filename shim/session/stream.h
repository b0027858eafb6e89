/* One connection's session: requests recognised on the way in, decided before their last byte is handed over, responses
 * framed on the way out, injected responses put exactly between two of the application's.
 *
 * The mechanism is 'one byte short' (ARCHITECTURE.md): bytes go to the application as they come, but never the end of a
 * head before its request is decided, since hardly any application acts on half a head.  What completes a head decides;
 * a request that has to wait keeps back that head's last byte.
 *
 * No descriptor table, no interposition, no shared memory here: bytes come through `struct channel`, decisions through
 * `struct stream_policy`, so that the property tests and the fuzzers drive the very same code.  One session is used by
 * one reader and one writer thread at a time; both take the session's own lock (per connection), which is never held
 * across a call that can block. */
#ifndef WEIR_SHIM_SESSION_STREAM_H
#define WEIR_SHIM_SESSION_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "rules/engine/engine.h"
#include "shim/channel/channel.h"

struct stream; /* opaque; buffers and long queues come from the shim's own arena */

enum { STREAM_TEXT_MAX = 2048 }; /* longest injected response, head and body */

struct protocol;
struct message; /* shim/protocol/protocol.h: slices into the bytes of one request head */

/* Why nothing more is recognised on a connection: its bytes pass as they are. */
enum opaque_reason {
    OPAQUE_NOT,
    OPAQUE_AS_SAID,   /* its listener is said to speak something else */
    OPAQUE_FOREIGN,   /* its first bytes are no protocol's that is recognised */
    OPAQUE_TLS,       /* they begin a handshake of TLS */
    OPAQUE_HTTP2,     /* they are the preface of HTTP/2 */
    OPAQUE_UPGRADED,  /* the server agreed to another protocol: 101, or a CONNECT that succeeded */
    OPAQUE_MALFORMED, /* a request that could be read in two ways, where "strictHttp" lets such pass */
    OPAQUE_RESPONSE,  /* what the application wrote could not be followed */
    OPAQUE_MEMORY,    /* there was none for a copy of what came */
    OPAQUE_SHARED,    /* several threads or a signal handler used it at a time, or a call that shows no bytes */
    OPAQUE_ENDED,     /* the application ended its output */
    OPAQUE_REASONS
};
/* How a request ended: with its response; without it, or in the middle of it, by the application; or by the client, who
 * left first, or never sent all of its body. */
enum stream_end { STREAM_DONE, STREAM_ABORTED, STREAM_LEFT };

enum stream_strictness {
    STREAM_OPAQUE, /* recognising is given up: everything passes */
    /* No connection on which there was a request becomes opaque because it, or its response, cannot be followed. */
    STREAM_REJECT, /* they are answered (400), and the connection ends */
    STREAM_DEFEND, /* likewise where two servers could differ; what is only odd is judged */
};

/* Headers of PROXY are: read where there is one; required; nothing but bytes. */
enum proxy_header { PROXY_AUTO, PROXY_ON, PROXY_OFF };

/* Asks for a decision about one request.  The head's slices are valid during the call only.
 * Returns ENGINE_PASS with a ticket, or ENGINE_BLOCK with the complete response in `answer` (at most STREAM_TEXT_MAX
 * bytes, its length in `*ret_answer_size`; with `*close`, which the policy may set, it holds "Connection: close",
 * without it no Connection header: the session inserts one where it finds out later that it must close, or where
 * HTTP/1.0 must be informed that it stays; no body for HEAD), to be given at `*ret_turn_ns` if that is not 0 and the
 * session can wait; or ENGINE_WAIT with a ticket and a time: admit at `*ret_turn_ns`; and with it the response to give
 * where the session cannot wait (the ticket is then cancelled; size 0: then it is admitted at once instead).  Called
 * with the session's lock held, as are all of these: never block, never come back to the session. */
struct stream_policy {
    enum engine_verdict (*request)(void *context, const struct message *head, bool *close,
                                   struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                   size_t *ret_answer_size, uint64_t *ret_turn_ns);
    /* The head of its response went out, and more is to come: engine_begins() said so.  NULL: of no interest. */
    void (*begun)(void *context, struct engine_ticket *ticket, unsigned status, uint64_t now_ns);
    /* So many bytes of its body came.  For tickets with TICKET_ENDS.  NULL: of no interest. */
    void (*body)(void *context, struct engine_ticket *ticket, size_t size, uint64_t now_ns);
    /* Completion of an admitted request.  status 0: no response came. */
    void (*response)(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end, uint64_t now_ns);
    /* The connection speaks another protocol from here on: is its request in flight until the connection ends?  NULL:
     * no. */
    bool (*upgraded)(void *context);
    void (*undecided)(void *context); /* a request passed without a decision, for the metrics */
    /* The application wrote a response although the request's head was not complete, or its turn had not come. */
    void (*early)(void *context);
    /* From here on nothing is recognised on the connection; once for each, and never for OPAQUE_ENDED.  May be NULL. */
    void (*opaque)(void *context, enum opaque_reason);
    /* A ticket will not be used: its client left while it waited; or, `answered`, the session cannot wait or has too
     * much unanswered, and the client got a rejection. */
    void (*cancel)(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns);
    /* The header of PROXY that the connection began with names its client (network order; length 0: it does not). NULL:
     * no such header is looked for. */
    void (*proxied)(void *context, const unsigned char *address, size_t length);
    /* What is expected of a connection's first bytes.  NULL: PROXY_AUTO. */
    enum proxy_header (*proxy)(void *context);
    /* The connection is about to become opaque by its first bytes (FOREIGN, TLS, HTTP2, or MALFORMED: a header of PROXY
     * that could be read in two ways, or is missing).  Returns the protocol that it is refused by, with
     * REFUSED_MALFORMED and without a request, or NULL: it may.  NULL: it may always. */
    const struct protocol *(*refuses)(void *context, enum opaque_reason);
    /* Does the listener serve HTTP in the clear, so that foreign bytes would be refused?  NULL: no. */
    bool (*plain)(void *context);
    /* What becomes of requests that depart from their protocol.  NULL: STREAM_OPAQUE. */
    enum stream_strictness (*strict)(void *context);
    void (*malformed)(void *context); /* one was refused for that; may be NULL */
    const struct protocol *protocol;  /* it was said which one it is: no look at the first bytes; NULL: it was not */
};

struct stream_memory { /* the shim's own arena (mmap); never malloc */
    void *(*take)(size_t size);
    void (*give)(void *bytes, size_t size);
};

size_t stream_size(void);
/* In a forked child, from the fork handler: locks that other threads of the parent held are free.
 * Async-signal-safe. */
void stream_after_fork(void);
/* The memory (stream_size() bytes, aligned to 8) is zeroed before the first opening; later ones, and a late return of
 * some thread's call on the connection before, are kept apart.  The channel stays valid until stream_close. */
void stream_open(struct stream *, struct channel *, const struct stream_policy *, void *policy_context,
                 const struct stream_memory *);

/* The application reads: what it would have seen, less what was rejected.  `flags` as of recv (MSG_PEEK, MSG_DONTWAIT,
 * MSG_WAITALL, MSG_TRUNC, MSG_OOB are honoured).  Returns and sets errno as recv; ECONNRESET where a request was
 * refused of whose head the application has a part already, or its client left while it waited. */
ssize_t stream_read(struct stream *, const struct iovec *iov, int count, int flags);
/* Bytes that the application may read although the kernel would not say so (FIONREAD adds them). */
size_t stream_readable(const struct stream *);
/* From when on the descriptor is readable although the kernel need not say so (engine clock; may be past): a request
 * waits for its turn, or its turn has come and not all of it is read; CHANNEL_SILENT: too much is unanswered.  0: the
 * kernel knows. */
uint64_t stream_turn_ns(const struct stream *);
/* Is a request kept from the application now?  (Then FIONREAD is 0.) */
static inline bool stream_waits(uint64_t turn_ns, uint64_t now_ns) {
    return turn_ns > now_ns;
}
/* For what stands beside a session under the same lock (shim/fd/wakeup.c).  False: this very thread holds it already (a
 * signal handler came in between): keep out. */
bool stream_lock(struct stream *);
void stream_unlock(struct stream *);
/* The application writes.  `flags` as of send. */
ssize_t stream_write(struct stream *, const struct iovec *iov, int count, int flags);
/* The application is about to send `size` bytes by a call that shows us no bytes (sendfile, splice, MSG_ZEROCOPY…).
 * begin: how many of them may be sent now, after the first `*ret_skip` of them, which are only to be claimed (the
 * phantom byte is on the wire already; behind our last response all of them go nowhere).  Both 0: nothing may go, the
 * call fails with EAGAIN.
 * done: how many were really sent (0 after an error); returns how many of these to claim (the same, or one less).  So
 * the caller returns skip + claimed to the application, and moves its offset by that.  done follows every begin that
 * did not say 0 and 0. A response head never comes this way from the servers we know; if framing is lost by it, the
 * rest passes. */
size_t stream_sendfile_begin(struct stream *, size_t size, size_t *ret_skip);
size_t stream_sendfile_done(struct stream *, size_t sent);
/* The application is about to close the connection or to end its output.  A request that waits is answered now, with a
 * rejection, if the application has written nothing to it.  True: our last response is out and the client may still be
 * sending: the socket is to be kept for a while and drained, so that no reset destroys the response. */
bool stream_last_words(struct stream *);
void stream_shutdown_write(struct stream *); /* the application ends its side: outstanding responses end here */
/* The last descriptor of it is closed: outstanding requests end as aborted.  Frees buffers and queues. */
void stream_close(struct stream *);
/* Has the application read from it, as far as it was seen?  Any thread, without the lock. */
bool stream_was_read(const struct stream *);
/* OPAQUE_NOT, or the first reason.  Where no other call is on it. */
enum opaque_reason stream_is_opaque(const struct stream *);
/* Each ticket that is in force now; `visit` may put another in its place.  For a fork. */
void stream_each_ticket(struct stream *, void (*visit)(void *context, struct engine_ticket *), void *context);
/* A forked child uses it: what was announced was announced to the parent. */
void stream_adopt(struct stream *);
/* Gives up on recognising: from here on every byte passes. */
void stream_opaque(struct stream *, enum opaque_reason);

#endif
