/* One connection that the application accepted, inherited or made: shared by all descriptors that name it (dup), held
 * by every operation that is under way on it, and given back to the arena when no operation holds it any more.
 *
 * Life: `descriptors` counts the table's words that lead here; when it falls to 0 the connection has ended, and what
 * it held of the engine is given back, once.  `holders` counts descriptors and operations; at 0 the memory may become
 * another connection.  An operation takes its hold first and then looks whether the descriptor still leads here: the
 * memory behind a stale word is always some connection (arena_pool), whose count is either 0, and then left alone, or
 * falls back. */
#ifndef WEIR_SHIM_CONNECTION_H
#define WEIR_SHIM_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rules/alone.h"
#include "shim/channel/channel.h"
#include "shim/admission/admit.h"
#include "shim/process/arena.h"
#include "shim/fd/fd_table.h"

enum connection_mark { /* set once, from any context */
                       CONNECTION_FOREIGN =
                           1, /* used behind the stream's back: give up recognising before the next use */
                       CONNECTION_FAILED =
                           2, /* outbound: it did not come about, or was reset before a byte came back */
                       CONNECTION_ANSWERED = 4, /* outbound: a byte came back */
                       CONNECTION_ABANDONED =
                           8, /* a thread left our code half-way (siglongjmp): its stream is not to be entered again */
                       CONNECTION_NONBLOCKING = 16, /* O_NONBLOCK was seen to be set, or a read to find nothing */
                       CONNECTION_REFUSED = 32,     /* refused where nothing but its next read can end it (sandbox.h) */
                       CONNECTION_SENT = 64,        /* another process may have it, too, and read from it */
};

/* That a descriptor is in an epoll set, and what the application said to it. */
struct watch {
    uint64_t data;
    uint64_t epoll : 20, fd : 20;
    uint64_t generation : 19; /* of the set's number */
    uint64_t present : 1;
    uint64_t left : 1;   /* was taken out: it will come back, or be in another one */
    uint64_t masked : 1; /* the kernel was asked for less (wakeup.h) */
    uint32_t events;
} __attribute__((packed, aligned(4)));

struct connection {
    union {
        uint32_t next_free; /* the arena's, while it is free */
        int32_t timer;      /* wakeup.c's: a descriptor; 0: nothing is announced; < 0: wakeup_parts.h */
    };
    uint32_t holders; /* atomic */
    _Atomic uint32_t descriptors;
    _Atomic uint32_t marks; /* enum connection_mark */
    _Atomic uint32_t epoch; /* lifecycle_epoch() of the process that uses it */
    uint32_t more_watches;  /* wakeup.c's: arena index of the next; 0: none */
    struct watch watch;     /* the epoll set that it is in */
    uint32_t cookie;        /* of the kernel's own number of the socket, if it was asked for; else 0 */
    struct channel channel; /* of an inbound connection's session */
    struct admit_connection admit;
    _Alignas(16) unsigned char stream[]; /* struct stream of an inbound connection */
};
_Static_assert(sizeof(struct connection) <= 160,
               "an open connection takes nine units of the arena: this, and its stream");

/* A new one with one descriptor's hold, not in the table yet; NULL: no memory. `listener` gives port, path and side. */
struct connection *connection_new(const struct admit_connection *admit);
/* The stream of an inbound connection begins; `fd` is where injected responses go. */
void connection_open_stream(struct connection *connection, int fd);
static inline struct stream *connection_stream(struct connection *connection) {
    return (struct stream *)connection->stream;
}
uint32_t connection_index(const struct connection *connection);
/* As arena_at(), an operation rather than a function: on the way of every read and write. */
#define connection_at(index)                                                                                           \
    ({                                                                                                                 \
        uint32_t connection_place = (index);                                                                           \
        (struct connection *)&atomic_load_explicit(&arena_chunks[connection_place / ARENA_UNITS],                      \
                                                   memory_order_acquire)[connection_place % ARENA_UNITS];              \
    })

/* The connection that a word of kind FD_STREAM, FD_AWAITED or FD_OUTBOUND leads to, held; NULL: none (any more). */
struct connection *connection_hold(int fd, uint64_t word);
void connection_drop(struct connection *connection);
void connection_give_back(struct connection *connection); /* no operation holds it any more */
void connection_share(struct connection *connection);     /* one more descriptor names it */
/* A descriptor stops naming what `word` says.  The last one ends the connection. `fd_valid`: the descriptor is still
 * open. Under the reentry. */
void connection_release(uint64_t word, int fd, bool fd_valid);
/* First use in a forked child: what the parent has in flight is the parent's. */
void connection_adopt(struct connection *connection);
void connection_mark(struct connection *connection, enum connection_mark mark);
static inline bool connection_marked(const struct connection *connection, unsigned marks) {
    return atomic_load_explicit(&connection->marks, memory_order_relaxed) & marks;
}

#endif
