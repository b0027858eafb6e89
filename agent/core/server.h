/* Connections of a listening socket on the loop: accepted, read, answered, ended.  What is said on them is the
 * protocol's, a table of functions.
 *
 *   READING --input complete--> WAITING (the answer is made elsewhere) --> WRITING --> READING, or closed
 *
 * Each state has its deadline, and all that a connection holds is bounded: a silent peer, one that sends drop by drop
 * and one that does not read are sent away, and none of them holds the loop.  Input is not read while output waits.
 * Of the loop's thread only. */
#ifndef WEIR_AGENT_CORE_SERVER_H
#define WEIR_AGENT_CORE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/loop.h"

struct server_connection;

enum server_next {
    SERVER_MORE,  /* the request is not complete: read on */
    SERVER_AGAIN, /* it is answered (server_send): what is sent first, then the next request */
    SERVER_WAIT,  /* it will be answered by server_send and server_resume */
    SERVER_END,   /* the last one: what was given to server_send is sent, then the connection ends */
};

struct server_protocol {
    const char *name;
    bool messages;            /* SOCK_SEQPACKET: each input is one message */
    uint32_t connections_max; /* what comes beyond these takes the place of the one that has been silent for longest */
    size_t state_size;        /* bytes of server_state, zeroed */
    size_t input_max;         /* bytes of a request, or of a message */
    size_t output_max;        /* bytes that may wait for a slow reader: more ends the connection */
    /* Deadlines: until a request is complete, from the connection's start or the answer before; for an answer that is
     * made elsewhere; until all of an answer is sent. */
    uint64_t reading_ns, waiting_ns, writing_ns;

    bool (*welcome)(void *context, int fd);     /* or NULL; false: the connection is closed, and costs nothing more */
    void (*opened)(struct server_connection *); /* or NULL */
    /* Bytes that are not consumed yet.  `end`: the peer sends no more.  `full`: it sent input_max bytes; SERVER_MORE
     * then ends the connection.  `*ret_consumed` (0 at first): how many bytes it is done with; of a message, all. */
    enum server_next (*input)(struct server_connection *, char *bytes, size_t length, bool end, bool full,
                              size_t *ret_consumed);
    void (*closed)(struct server_connection *); /* or NULL */
};

struct server {
    const struct server_protocol *protocol;
    void *context; /* the protocol's */
    struct loop *loop;
    struct loop_source source; /* the listening socket */
    struct loop_timer timer;   /* the next deadline */
    struct server_connection *first;
    uint32_t count;
    uint64_t next_id;
    bool paused; /* no descriptors are left: new connections wait */
};

/* Serves a listening non-blocking socket, which it owns from here on, also if it fails.  0 or -errno. */
int server_open(struct server *, struct loop *, const struct server_protocol *, int listening, void *context);
void server_close(struct server *); /* also of a server that was never opened, but all zeros */
bool server_is_open(const struct server *);

/* Inside of the protocol's functions. */
void *server_context(const struct server_connection *);
void *server_state(struct server_connection *);
int server_fd(const struct server_connection *);
uint64_t server_id(const struct server_connection *); /* no other connection of this server ever has it */
/* Adds a copy of these bytes to what is sent. */
void server_send(struct server_connection *, const void *bytes, size_t length);
/* The same of malloc'ed bytes, which the connection then owns. */
void server_give(struct server_connection *, char *bytes, size_t length);

/* For an answer that was made elsewhere: the connection, if it is still there and waiting, or NULL; server_send or
 * server_give; then server_resume, after which the connection may be gone. */
struct server_connection *server_find(const struct server *, uint64_t id);
void server_resume(struct server_connection *, bool last);

#endif
