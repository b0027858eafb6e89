/* What a stream is made of, for the stream*.c files only.
 *
 * Reading.  What the application has not got yet is, in order: the stash, then the kernel's buffer.  The next `judged`
 * bytes of both together belong to a head that was decided upon; `in` says what follows it.  With judged == 0 and no
 * body under way the next byte begins a request ("boundary"), and a stash there holds a head that is not complete. The
 * rule that keeps every kind of readiness true: while the stash holds something the application may have, the kernel
 * holds at least one byte behind it (or the end of the stream), because a head is completed by peeking only.
 *
 * Writing.  `entries` are the requests not yet answered, in order; `out` follows the application's response to the
 * first of them.  An answer of ours is sent when it is the first.
 */
#ifndef WEIR_SHIM_STREAM_STATE_H
#define WEIR_SHIM_STREAM_STATE_H

#include "shim/session/stream.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/protocol/http1/http1.h"

enum {
    STREAM_BUSY = 64,             /* unanswered requests from which on no further head is read … */
    STREAM_RELIEVED = 32,         /* … until so few are left */
    STREAM_FULL = 512,            /* not even when the kernel insists */
    STREAM_SHARE = 32,            /* rejections that one read of a loop gives before the others have their turn */
    STREAM_ENTRIES_MAX = 1024,    /* requests of one read: the last of so many is refused, and the connection ends */
    STREAM_SWALLOW_MAX = 65536,   /* body of a rejected request; a longer one ends the connection */
    STREAM_DRAIN_MAX = 1 << 20,   /* read and thrown away before a connection of ours closes */
    STREAM_STASH_MAX = 2 * 65536, /* a head at most, or what was read together with a head that waits */
    STREAM_STREAK_MAX = 1000,     /* rejections without an admission until we close */
    STREAM_QUIET_MAX = 1 << 15,   /* body of a waiting request that the kernel can be silent about */
};
#define STREAM_MS UINT64_C(1000000)
#define STREAM_HEAD_WAIT_NS (50 * STREAM_MS) /* a blocking descriptor waits so long for the rest of a head */
#define STREAM_STREAK_NS (2000 * STREAM_MS)  /* applications' keep-alive timers run while only we answer */
#define STREAM_LINGER_NS (2000 * STREAM_MS)  /* non-blocking: end of the stream at the latest then */
#define STREAM_DRAIN_MS 200                  /* blocking: pause of the client that ends the draining */

enum stream_path { PATH_SLOW, PATH_CALM, PATH_RAW };
enum entry_kind { ENTRY_APPLICATION, ENTRY_OURS };
/* How a request's turn will be known: not at all, by a read that blocks until then, by a notice at that time, by one
 * that stands now. */
enum announced { ANNOUNCED_NOT, ANNOUNCED_TO_READER, ANNOUNCED_LATER, ANNOUNCED_NOW };

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
    uint8_t method; /* enum http_method */
    bool undecided; /* without a ticket */
    bool close;     /* after our answer */
};

struct stream_framer { /* copied to look ahead; the bytes of a partial head are in stream.out_head */
    struct http_body body;
    uint32_t head_size;
    uint16_t status; /* of the response under way; 0: its head is not complete */
    bool ahead;      /* a copy that looks ahead */
};

struct stream {
    uint64_t lock;          /* atomic; 0, or who holds it */
    _Atomic uint32_t epoch; /* openings and closings; this and the lock outlive them */
    int fd;
    const struct stream_io *io;
    const struct stream_policy *policy;
    void *context;
    const struct stream_memory *memory;
    _Atomic uint8_t path, write_path;               /* enum stream_path: what the next call can do without the lock */
    _Atomic uint8_t writing;                        /* a call has begun a real write and not accounted for it yet */
    uint8_t announced;                              /* enum announced */
    _Atomic uint32_t read_sequence, write_sequence; /* completed reads and writes */
    uint32_t sendfile_sequence;                     /* of the write under way by sendfile */

    bool opaque;     /* reading: every byte passes */
    bool recognised; /* the first bytes were HTTP/1 */
    bool observing;  /* the head under way was handed over undecided; the stash has a copy of it */
    bool swallowing; /* the body under way belongs to a rejected request */
    bool closing;    /* nothing more is taken from the client */
    bool held_back;
    bool linger : 1;   /* blocking: the client may still be sending a body */
    bool refusing : 1; /* what waits until turn_ns is our answer, the last in line, and not the request */
    bool out_lost;     /* writing: framing is unknown, every byte passes */
    bool out_closed;   /* our last answer is sent, or the application shut down its side */
    bool phantom;      /* the application will repeat one byte that is on the wire */
    uint16_t streak;
    int pending_errno;

    char *stash;
    uint32_t stash_at, stash_size, stash_capacity;
    uint32_t stash_seen; /* bytes from stash_at known not to hold a complete head */
    uint32_t judged;
    uint32_t discarded; /* of a swallowed body, or while closing */
    struct http_body in;
    uint16_t entries_first, entries_count, entries_capacity, ours_count;
    uint32_t out_head_capacity;
    uint64_t turn_ns;     /* the request in the stash waits until then */
    uint64_t deadline_ns; /* blocking: of the partial head */
    uint64_t since_ns;    /* closing; before that, the rejections without an admission */

    struct stream_framer out;
    char *out_head;
    struct stream_entry *entries; /* NULL: `single` */
    struct stream_entry single;
};
_Static_assert(sizeof(struct stream) <= 368, "an open connection takes at most 512 bytes: this, and struct connection");

/* One buffer of one call of the application that reads. */
struct read_call {
    char *bytes;
    size_t size, total;
    size_t earlier; /* bytes that went to buffers before this one */
    int flags;
    int blocking; /* -1: not asked yet */
    bool heard;   /* the client has not hung up, it was asked just now */
    bool drained; /* the kernel's last answer was short */
    bool waitall;
    int error;
};

/* Steps a count that others read without the lock; the lock is held, so it needs no atomic addition. */
static inline void stream_step(_Atomic uint32_t *count) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* --- stream.c (stream_unlock also settles which paths the next calls take, and what is announced) */
static inline bool read_something(const struct read_call *call) {
    return call->total || call->earlier;
}
bool stream_call_blocks(struct stream *, struct read_call *);
/* Calls that never block, and at which a cancelled thread does not die with the lock held. */
ssize_t stream_recv_now(struct stream *, void *bytes, size_t size, int flags);
ssize_t stream_send_now(struct stream *, const void *bytes, size_t size);
void stream_end_output(struct stream *, bool aborted);

/* --- stream_stash.c */
static inline size_t stash_left(const struct stream *s) {
    return s->stash_size - s->stash_at;
}
static inline bool stream_at_boundary(const struct stream *s) {
    return s->judged == 0 && s->in.framing == HTTP_BODY_NONE;
}
void stash_drop(struct stream *);
bool stash_reserve(struct stream *, size_t size); /* room behind what is there; false: no memory, or too long */
/* Puts bytes back in front of what the kernel has; false: no memory. */
bool stash_put(struct stream *, const char *bytes, size_t size);
/* At a boundary: looks at the stash, then peeks behind it, until a head is decided.  1: something has changed, look
 * again; 0: the kernel has no more for now; -1: an end or error of the stream with an empty stash (peeking calls only),
 * in *ret_error. */
int stash_complete(struct stream *, struct read_call *, int *ret_error);
void stream_consume(struct stream *, size_t size);
void stash_cut(struct stream *, size_t size); /* the next bytes of stash and kernel, thrown away */

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

/* --- stream_judge.c */
enum judgement { JUDGED_PASS, JUDGED_WAIT, JUDGED_CUT, JUDGED_NOT /* no memory: opaque now */ };
enum recognised { RECOGNISED_MORE, RECOGNISED_HEAD, RECOGNISED_BROKEN, RECOGNISED_FOREIGN };
enum recognised stream_recognise(struct stream *, const char *bytes, size_t size, size_t seen, struct http_head *);
/* Decides about the request of that head and notes what follows it.  `behind`: bytes read together with it. */
enum judgement stream_judge(struct stream *, struct read_call *, const struct http_head *, size_t behind);
/* What comes next cannot be made out. */
void stream_malformed(struct stream *);
void stream_stop_taking(struct stream *, bool body_expected);     /* from here on the client's bytes are thrown away */
void stream_give_up(struct stream *);                             /* opaque, counted as undecided */
bool stream_undecided(struct stream *, const struct http_head *); /* passes a request without a ticket */

/* --- stream_frame.c */
/* Follows the response to the first entry.  DONE: its end is at *ret_taken.  BROKEN: lost. */
enum http_answer frame_bytes(struct stream *, struct stream_framer *, const char *bytes, size_t size,
                             size_t *ret_taken);
/* These bytes of the application went out. */
void frame_advance(struct stream *, const struct iovec *, int count, size_t size);
void frame_advance_blind(struct stream *, size_t size);
/* How many of the bytes from `skip` on belong to the response under way (or to an interim one before it). */
size_t frame_measure(struct stream *, const struct iovec *, int count, size_t skip);
void frame_lost(struct stream *);

/* --- stream_answer.c */
/* Answers of ours that are first in line.  False: some could not be sent now. */
bool answer_flush(struct stream *, int flags);
/* Sends it or puts it in line.  False: no memory for that; nothing was done. */
bool answer_give(struct stream *, const char *bytes, size_t size, bool close);
/* Puts it in line, whatever is before it. */
bool answer_queue(struct stream *, const char *bytes, size_t size, bool close);
/* The time of an answer that was held back has come: it is given, and the request is cut out.  True: there was one. */
bool answer_release(struct stream *);

/* --- stream_wait.c */
enum read_step { STEP_AGAIN, STEP_DONE };
static inline enum read_step read_fail(struct read_call *call, int error) {
    if (!read_something(call))
        call->error = error;
    return STEP_DONE;
}
bool stream_hold(struct stream *, struct read_call *);   /* at a boundary: no further head now */
size_t stream_room(struct stream *, struct read_call *); /* for the next real read */
bool stream_wait_for_answers(struct stream *, struct read_call *);
enum read_step stream_wait_for_turn(struct stream *, struct read_call *);
bool stream_can_wait(struct stream *, struct read_call *, const struct http_head *, size_t behind, uint64_t turn_ns);
void stream_give_turn_back(struct stream *); /* nobody wants it any more; the request's bytes are left where they are */
enum read_step stream_wait_for_head(struct stream *, struct read_call *);
enum read_step stream_read_closing(struct stream *, struct read_call *);

/* --- stream_peek.c */
ssize_t stream_peek(struct stream *, struct read_call *);

/* --- stream_read.c */
/* Goes through bytes just read, cuts out what is rejected, withholds what is not complete; returns what is left. */
size_t stream_sift(struct stream *, struct read_call *, char *bytes, size_t size);
ssize_t stream_finish(struct stream *, struct read_call *);

#endif
