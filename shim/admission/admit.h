/* From what was seen on a connection to a decision of the engine: resource names, the request's description, the
 * answer. The only part of the shim that knows both streams and engine. */
#ifndef WEIR_SHIM_ADMIT_H
#define WEIR_SHIM_ADMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rules/engine/custody.h"
#include "rules/engine/engine.h"
#include "shim/session/stream.h"

/* What is known of one connection; lives beside its stream in the descriptor's slot. */
struct admit_connection {
    uint8_t side : 2;           /* enum rule_side */
    uint8_t protocol : 2;       /* enum route_protocol: what its listener is said to speak */
    uint8_t proxy : 2;          /* enum route_proxy: what its listener is said to expect */
    uint8_t noted : 1;          /* its listener is known to serve HTTP */
    uint8_t bare : 1;           /* there was a request whose response has no head (message.bare) */
    uint8_t address_length : 6; /* of the peer: 4, 16, or 0 (unix, unknown) */
    uint8_t judged : 1;         /* a request on it was decided upon */
    uint8_t opaque : 1;         /* nothing is recognised on it any more */
    uint16_t port;              /* of the listener (inbound) or of the destination (outbound), host order; 0 for unix */
    union {
        uint32_t unix_name; /* without a port: of the listener's path (unix_name.h) */
        uint32_t caller;    /* with one: who calls, of this host (caller.h); 0 = not asked */
    };
    uint16_t listener;      /* resource entry of "http::PORT" (or "http:unix:/path"), made at the first request */
    uint16_t listener_name; /* of the name that "resources" gives it; 0 = none */
    uint32_t rules;         /* which rules these two were made under */
    uint8_t peer[16];       /* of the client that a trusted peer's header of PROXY names, from then on */
    /* Its own ticket for "tcp::PORT", zero if there is none: the beginning of a struct engine_ticket (connection.c). */
    _Alignas(8) unsigned char tcp[64];
};

/* The policy of streams of accepted connections; its context is a struct admit_connection.  The second is for listeners
 * that are said to speak HTTP: what does not look like it is malformed. */
extern const struct stream_policy admit_http, admit_http_only;

/* May an accepted connection ("tcp::PORT") or an outbound one ("tcp:HOST:PORT") go on?  On true `connection->tcp` may
 * be in force and is ended by admit_disconnect.  Never blocks; with a queueing rule `*ret_wait_ns` > 0 asks a blocking
 * caller to sleep first. */
bool admit_accept(struct admit_connection *, int fd, uint64_t *ret_wait_ns);
/* How long requests wait to be read: does a rule look at it?  Then it is to be said when this thread slept since
 * `from_ns`, until now, waiting for a client to send more (`client`) or for whatever comes; and of unix sockets, whose
 * kernel says nothing of the kind, when a connection is taken from this listener (`last`: no other waits there), and
 * when the listener's queue was found empty. */
bool admit_asks_idle(void);
extern _Atomic uint64_t admit_asked_ns; /* 0: surely not */
void admit_slept(uint64_t from_ns, bool client);
void admit_arrived(struct admit_connection *, int listener, bool last);
void admit_queue_empty(int listener);
/* Of a connection that admit_accept() let pass: do requests wait too long, so that it has to be looked at first?  And
 * then: does the application get it?  False: its request is answered, and it is to be closed. */
bool admit_watches_door(const struct admit_connection *);
bool admit_at_door(struct admit_connection *, int fd);
/* 0, or the error that connect() fails with. */
int admit_connect(struct admit_connection *, const struct sockaddr *to, socklen_t length, uint64_t *ret_wait_ns);
void admit_disconnect(struct admit_connection *, bool error);
/* It ends, and this process alone has had it: what became of it is counted. */
void admit_count_end(struct admit_connection *, const struct stream *);
/* Of a connection that other processes are about to hold, or hold, too (handover.h): does it hold anything?  What it
 * holds is sent along, once in a round; and the rest, as there. */
bool admit_holds(const struct admit_connection *);
bool admit_send(struct admit_connection *, const struct custody_identity *, uint32_t round);
void admit_unsend(struct admit_connection *);
void admit_join(struct admit_connection *, uint32_t round);
void admit_receive(struct admit_connection *, const struct custody_identity *);
/* How "tcp" rules of this app want a refused accept to look. */
enum tcp_reject admit_tcp_reject(void);

#endif
