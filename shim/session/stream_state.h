/* What a session is made of, for the stream*.c files only.
 *
 * Reading.  What the application has not got yet is, in order: the rest, then the kernel's buffer.  The next `judged`
 * bytes of both together belong to a head that was decided upon; `state` says what follows them:
 *
 *              a head's first bytes          its end, admitted
 *   BOUNDARY ──────────────────────► HEAD ───────────────────────► BODY ──► BOUNDARY
 *      │  ▲                           │ its end, admitted for later ▲
 *      │  └── its turn ── WAITING ◄───┤                             │ (or BOUNDARY) its turn
 *      │                              │ its end, rejected
 *      │                              ├──► SWALLOWING ──► BOUNDARY     nothing of it was handed over
 *      │ not HTTP                     └──► CLOSING                     part of it was: the application gets ECONNRESET
 *      └──► OPAQUE
 *
 * HEAD: all bytes of the head so far were handed over, `head` has a copy of them.  WAITING: all but its last byte were;
 * that byte and what came behind it stand in `rest`.  The rest is announced to the application (channel_ops.notice).
 *
 * Writing.  `entries` are the requests not yet answered, in order; `out` follows the application's response to the
 * first of them.  An injected response is sent when it is the first.
 */
#ifndef WEIR_SHIM_SESSION_STREAM_STATE_H
#define WEIR_SHIM_SESSION_STREAM_STATE_H

#include "shim/session/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/protocol/preamble.h"
#include "shim/protocol/protocol.h"
#include "shim/protocol/refusal.h"

enum {
    STREAM_BUSY = 64,           /* unanswered requests from which on nothing more is read … */
    STREAM_RELIEVED = 32,       /* … until so few are left */
    STREAM_FULL = 512,          /* unanswered requests of one read: what is behind them is kept for later */
    STREAM_SHARE = 32,          /* rejections that one read of a loop gives before the others have their turn */
    STREAM_ENTRIES_MAX = 1024,  /* where nothing can be kept: the last of so many is refused, the connection ends */
    STREAM_SWALLOW_MAX = 65536, /* body of a rejected request; a longer one ends the connection */
    STREAM_DRAIN_MAX = 1 << 20, /* read and thrown away before a connection that we end closes */
    STREAM_STREAK_MAX = 1000,   /* rejections without an admission until we close */
    STREAM_BLANKS_MAX = 256,    /* before a head; more are left out of its copy */
    STREAM_EAGAIN_SEEN = 2,     /* connections that ended right after our EAGAIN, until that is taken for a habit */
};
#define STREAM_MS UINT64_C(1000000)
#define STREAM_STREAK_NS (2000 * STREAM_MS) /* applications' keep-alive timers run while only we answer */
#define STREAM_LINGER_NS (2000 * STREAM_MS) /* non-blocking: end of the stream at the latest then */
#define STREAM_DRAIN_NS (200 * STREAM_MS)   /* blocking: pause of the client that ends the draining */
#define STREAM_EAGAIN_NS                                                                                               \
    (50 * STREAM_MS) /* 'right after' our EAGAIN: no time-out is as short, and a busy machine as slow */

enum peer_seen {                  /* what the application has seen of it */
                 PEER_LEFT = 1,   /* its end, or an error */
                 PEER_STARVES = 2 /* there was nothing to read of a body that is not complete */
};
#define STREAM_STALL_NS (1000 * STREAM_MS) /* a client that sends nothing of a body for so long has given it up */
#define STREAM_DOUBT_NS (10 * STREAM_MS)   /* a latency from which on it may be the client's own leaving that is seen */
enum stream_path { PATH_SLOW, PATH_CALM, PATH_RAW };
enum entry_kind { ENTRY_APPLICATION, ENTRY_OURS };
enum request_state {
    REQUEST_BOUNDARY,
    REQUEST_HEAD,
    REQUEST_WAITING,
    REQUEST_BODY,
    REQUEST_SWALLOWING, /* the body of a rejected request */
    REQUEST_CLOSING,    /* nothing more is taken from the client */
    REQUEST_OPAQUE,     /* every byte passes */
};
/* How the application will learn of what the kernel does not know: not at all, by a read that blocks until then, by a
 * notice at that time, by one that stands now; or of nothing until more is answered. */
enum announced { ANNOUNCED_NOT, ANNOUNCED_TO_READER, ANNOUNCED_LATER, ANNOUNCED_NOW, ANNOUNCED_SILENCE };

struct stream_entry {
    union {
        struct engine_ticket ticket;
        struct {
            char *bytes;
            size_t capacity;
            uint16_t size, sent;
        } answer;
    };
    uint8_t kind;   /* enum entry_kind */
    uint8_t method; /* message.method_id */
    bool undecided; /* without a ticket */
    bool close;     /* after our answer */
    bool bare;      /* message.bare */
};

struct stream_framer { /* copied to look ahead; the bytes of a partial head are in stream.out_head */
    struct body body;
    uint32_t head_size;
    uint16_t status; /* of the response under way; 0: its head is not complete */
    bool ahead : 1;  /* a copy that looks ahead */
    bool last : 1;   /* it says that the connection ends */
    bool events : 1; /* its end says nothing of the application: blame_is_events() */
    bool unseen : 1; /* it consents to what is to be refused */
};

struct buffer {        /* a block of the stream's memory */
    uint32_t at, size; /* the bytes from `at` on are still of interest */
    uint32_t capacity; /* of the whole block */
    char bytes[];
};

struct stream {
    uint64_t lock;                                  /* atomic; 0, or who holds it */
    _Atomic uint32_t epoch;                         /* openings and closings; this and the lock outlive them */
    _Atomic uint32_t read_sequence, write_sequence; /* completed reads and writes */
    uint32_t sendfile_sequence;                     /* of the write under way by sendfile … */
    struct channel *channel;
    const struct stream_policy *policy;
    void *context;
    const struct stream_memory *memory;
    const struct protocol *protocol;  /* NULL: not recognised yet */
    _Atomic uint8_t path, write_path; /* enum stream_path: what the next call can do without the lock */
    _Atomic uint8_t writing;          /* a call has begun a real write and not accounted for it yet */
    uint8_t announced;                /* enum announced */
    _Atomic uint8_t looked;           /* the application has asked for bytes */

    uint8_t state; /* enum request_state */
    bool resets;   /* CLOSING: the application has part of a head that is refused, so no end of it may it see */
    bool unsaid; /* CLOSING: nothing could be said to the client, not even that it ends: the application's read fails */
    bool held;   /* too much is unanswered */
    bool acted;  /* HEAD: the application answers its request already */
    bool last;   /* the application's last response said that it is the connection's last */
    bool linger; /* CLOSING, blocking: the client may still be sending a body */
    bool refusing;        /* WAITING: until turn_ns for our answer, the last in line; the request is cut out */
    bool out_lost;        /* writing: framing is unknown, every byte passes */
    bool out_closed;      /* our last answer is sent, or the application shut down its side */
    bool phantom;         /* the application will repeat one byte that is on the wire */
    uint8_t opaque;       /* enum opaque_reason: the first that there was */
    bool offered : 1;     /* the application has an offer to which it must not consent (stream_offer.c) */
    bool proxied : 1;     /* a header of PROXY was read */
    bool known : 1;       /* there was a head of the protocol on this connection: it is no other */
    bool tls : 1;         /* it began as TLS does, where HTTP is served */
    bool tunnel : 1;      /* a CONNECT succeeded: what comes may be HTTP again, whatever the server writes meanwhile */
    bool stuck;           /* the write that began at write_ns could not send all */
    _Atomic uint8_t peer; /* enum peer_seen */
    uint16_t streak;
    int pending_errno;

    struct buffer *head, *rest;
    uint32_t judged;
    uint32_t discarded; /* of a swallowed body, or while closing */
    struct body in;
    uint16_t entries_first, entries_count, entries_capacity, ours_count;
    uint64_t turn_ns;   /* WAITING: until then */
    uint64_t since_ns;  /* closing; before that, the rejections without an admission */
    uint64_t write_ns;  /* when the write that is accounted for, or that got stuck, began */
    uint64_t eagain_ns; /* when the application got an injected EAGAIN; 0: it has got something else since */

    struct engine_ticket *upgraded; /* another protocol is spoken: of the request that led to it, in flight still */
    struct stream_framer out;
    struct buffer *out_head;
    struct stream_entry *entries; /* NULL: `single` */
    struct stream_entry single;
};
_Static_assert(sizeof(struct stream) <= 416,
               "an open connection takes nine units of the arena: this, and struct connection");

/* One buffer of one call of the application that reads. */
struct read_call {
    char *bytes;
    size_t size, total;
    size_t earlier;     /* bytes that went to buffers before this one */
    size_t handed_over; /* of stream.head: what the application has from earlier calls or buffers */
    int flags;
    int blocking;   /* -1: not asked yet */
    bool from_rest; /* what is filtered now was taken from the rest a moment ago */
    bool heard;     /* the client has not hung up, it was asked just now */
    bool drained;   /* the kernel's last answer was short */
    bool took;      /* bytes came, if only to be cut out or withheld */
    bool kept;      /* the beginning of a head, for the next read */
    bool waitall;
    uint64_t gives_up_ns; /* when it has blocked for as long as it may; 0: it has not yet */
    int error;
};

/* Steps a count that others read without the lock; the lock is held, so it needs no atomic addition. */
#define STREAM_STEP(count)                                                                                             \
    atomic_store_explicit(&(count), atomic_load_explicit(&(count), memory_order_relaxed) + 1, memory_order_relaxed)

/* --- stream.c (stream_unlock also settles which paths the next calls take, and what is announced) */
static inline bool read_something(const struct read_call *call) {
    return call->total || call->earlier;
}
bool stream_call_blocks(struct stream *, struct read_call *);
/* Calls that never block, and at which a cancelled thread does not die with the lock held. */
ssize_t stream_recv_now(struct stream *, void *bytes, size_t size, int flags);
ssize_t stream_send_now(struct stream *, const void *bytes, size_t size);
void stream_end_output(struct stream *, bool aborted);
void stream_pass_all(struct stream *, enum opaque_reason); /* from here on: the state OPAQUE */

/* --- stream_buffer.c */
static inline size_t buffer_left(const struct buffer *b) {
    return b ? b->size - b->at : 0;
}
void buffer_drop(struct stream *, struct buffer **);
bool buffer_reserve(struct stream *, struct buffer **, size_t more); /* false: no memory */
bool buffer_append(struct stream *, struct buffer **, const char *bytes, size_t size);

/* --- stream_entries.c */
struct stream_entry *entries_reserve(struct stream *); /* NULL: no memory (or STREAM_ENTRIES_MAX) */
void entries_commit(struct stream *, enum entry_kind);
static inline struct stream_entry *entry_at(struct stream *s, unsigned index) {
    unsigned place = (s->entries_first + index) & (s->entries_capacity - 1u);
    return __builtin_expect(s->entries != NULL, 0) ? &s->entries[place] : &s->single;
}
static inline struct stream_entry *entries_first(struct stream *s) {
    return s->entries_count ? entry_at(s, 0) : NULL;
}
void entries_pop(struct stream *);
struct stream_entry *entries_last(struct stream *);
void entries_unpush(struct stream *);
void entries_free(struct stream *);

/* --- stream_dispatch.c */
enum dispatched {
    DISPATCHED_PASS,
    DISPATCHED_WAIT, /* its last byte is withheld; or, stream.refusing, all of it is thrown away */
    DISPATCHED_CUT,  /* rejected: the head is thrown away */
    DISPATCHED_NOT,  /* no memory: opaque now */
};
enum recognised {
    RECOGNISED_MORE,
    RECOGNISED_HEAD,
    RECOGNISED_BROKEN,
    RECOGNISED_PROXY,     /* a header of PROXY, as long as the message says; messages begin behind it */
    RECOGNISED_AMBIGUOUS, /* such a header that could be read in two ways, or is missing; and the next: no protocol's */
    RECOGNISED_FOREIGN,
    RECOGNISED_TLS,
    RECOGNISED_HTTP2,
};
size_t stream_blanks(const char *bytes, size_t size); /* at their beginning */
enum recognised stream_recognise(struct stream *, const char *bytes, size_t size, size_t seen, struct message *);
/* Decides about the request of that head and notes what follows it.  `handed_over`: bytes of it that the application
 * has already; `behind`: bytes that came together with its end. */
enum dispatched stream_dispatch(struct stream *, struct read_call *, const struct message *, size_t handed_over,
                                size_t behind);
/* What comes next cannot be made out.  `handed_over`: the application has some of it. */
void stream_malformed(struct stream *, enum refused why, bool handed_over);
void stream_broken(struct stream *, const struct message *head, size_t size,
                   bool handed_over); /* so much of a head came */
/* The connection's first bytes are none of a protocol that is known: AMBIGUOUS and the following. */
void stream_foreign(struct stream *, enum recognised, bool handed_over);
/* Refuses what comes next, and ends the connection. */
void stream_refuse(struct stream *, enum refused, bool handed_over);
void stream_stop_taking(struct stream *, bool body_expected); /* from here on the client's bytes are thrown away */
void stream_give_up(struct stream *, enum opaque_reason);     /* opaque, counted as undecided */
enum stream_strictness stream_strictness(struct stream *);
void stream_follow(struct stream *, enum request_state body); /* what comes behind the head: `body`, if any */

/* --- stream_blame.c */
bool stream_peer_left(struct stream *);                   /* it has ended its side, or is gone */
void blame_read(struct stream *, ssize_t got, int error); /* what a read without bytes says of the peer */
void blame_body(struct stream *, size_t size);            /* some of a request's body came */
enum stream_end blame_ended(struct stream *, const struct stream_entry *, unsigned status, bool aborted,
                            uint64_t now_ns);
/* Is it worth a look at the peer whether this response met it? */
#define blame_doubts(entry, status, now_ns)                                                                            \
    (((entry)->ticket.flags & TICKET_ENDS) &&                                                                          \
     ((status) >= 500 || (now_ns) - (entry)->ticket.start_ns >= STREAM_DOUBT_NS))
/* Is it a stream of events, which ends when there are no more of them?  Of interest with TICKET_WHOLE only. */
bool blame_is_events(const struct stream_entry *, const struct message *response);
/* The response to the first entry begins at write_ns; `more`: its end is not known yet. */
void blame_begun(struct stream *, struct stream_entry *, unsigned status, bool last, bool more);
/* The response to that entry ends HTTP.  True: its request stays in flight until the connection ends. */
bool upgraded_keep(struct stream *, struct stream_entry *, unsigned status);
void upgraded_end(struct stream *); /* if there is one: not any longer */
/* A real write begins, or did so; then its end, before frame_advance(): `all` went out. */
void blame_writes(struct stream *, uint64_t begun_ns);
void blame_wrote(struct stream *, bool all, int error);

/* --- stream_frame.c */
/* Follows the response to the first entry.  DONE: its end is at *ret_taken.  BROKEN: lost. */
enum parsed frame_bytes(struct stream *, struct stream_framer *, const char *bytes, size_t size, size_t *ret_taken);
/* These `size` bytes of the application went out; the first `skip` of them are accounted for. */
void frame_advance(struct stream *, const struct iovec *, int count, size_t skip, size_t size);
void frame_advance_blind(struct stream *, size_t size);
/* How many of the bytes from `skip` on belong to the response under way (or to an interim one before it). */
size_t frame_measure(struct stream *, const struct iovec *, int count, size_t skip);
/* From here on responses cannot be followed.  Where the connection is defended, requests are judged all the same: each
 * counts as outstanding until the next one comes, and the connection ends with the first rejection. */
void frame_lost(struct stream *, enum opaque_reason);
void frame_forget(struct stream *); /* the next request is there, after that */

/* --- stream_offer.c */
/* Takes such an offer out of the request's head as far as the application does not have it yet: of `bytes`, which begin
 * behind the first `had` of the head. */
void offer_withhold(struct stream *, const struct message *head, size_t had, char *bytes);
bool offer_accepted(struct stream *, const struct message *response); /* it consents, and must not */
/* Do these bytes that the application is about to write consent to an offer that it had to be left? */
bool offer_consents(struct stream *, const struct iovec *);
void offer_refuse(struct stream *); /* instead of them */
void offer_cut(struct stream *);    /* they went out */

/* --- stream_answer.c */
/* Injected responses that are first in line.  False: some could not be sent now. */
bool answer_flush(struct stream *, int flags);
/* Sends it or puts it in line.  False: no memory for that; nothing was done. */
bool answer_give(struct stream *, const char *bytes, size_t size, bool close);
/* Puts it in line, whatever is before it. */
bool answer_queue(struct stream *, const char *bytes, size_t size, bool close);
/* The time of an answer that was held back has come.  True: there was one. */
bool answer_release(struct stream *);

/* --- stream_wait.c */
enum read_step { STEP_AGAIN, STEP_DONE };
static inline enum read_step read_fail(struct read_call *call, int error) {
    if (!read_something(call))
        call->error = error;
    return STEP_DONE;
}
void stream_announce(struct stream *, uint64_t at_ns);
bool stream_hold(struct stream *, struct read_call *); /* at a boundary: no further head now */
bool stream_wait_for_answers(struct stream *, struct read_call *);
enum read_step stream_wait_for_turn(struct stream *, struct read_call *);
bool stream_can_wait(struct stream *, struct read_call *, size_t hands_over, size_t behind, uint64_t turn_ns);
void stream_wait_over(struct stream *); /* the request that waited may be read */
/* Its client is not there any more, or it was answered otherwise (`answered`, by a rejection). */
void stream_give_turn_back(struct stream *, bool answered);
enum read_step stream_read_closing(struct stream *, struct read_call *);
/* Programs that close a connection when a read finds nothing although it was reported readable. */
bool stream_ends_on_eagain(void);
void stream_learn_eagain(struct stream *);

/* --- stream_peek.c */
ssize_t stream_peek(struct stream *, struct read_call *);

/* --- stream_read.c */
/* Goes through bytes just put behind call->total: cuts out what is rejected, withholds what has to wait.  The rest
 * counts into call->total. */
void stream_filter(struct stream *, struct read_call *, size_t size);
bool stream_is_in_head(const struct stream *); /* the application has part of a request, and not its end */
ssize_t stream_finish(struct stream *, struct read_call *);

#endif
