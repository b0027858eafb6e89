/* What a listener is: whether it serves HTTP, whether rules about requests hold on it, and what is to become of a
 * connection that these rules could not be kept on. */
#ifndef WEIR_SHIM_LISTENER_H
#define WEIR_SHIM_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/engine/engine.h"
#include "shim/admission/admit.h"

struct ruleset_header;

/* The server answered a request on this connection.  Its listener serves HTTP from now on, in this process and all that
 * were forked around it, if that is an answer that nothing but a server of HTTP gives: one that speaks TLS says 400 or
 * a redirection to what is not TLS. Nothing that a client sends has a part in it. */
void listener_answered(struct admit_connection *, unsigned status);
void listener_before_fork(void); /* what is learnt from now on is common to this process and its children */
void listener_recall(
    struct admit_connection *); /* at its beginning: what is known of its listener needs no finding out */
bool listener_serves_http(const struct admit_connection *); /* it was seen to, or is said to */

/* Could a rule in force reject a request on that connection?  Rules about connections ("tcp:…"), about requests to
 * other listeners, and those that only simulate do not. */
bool listener_has_request_rules(const struct ruleset_header *, const struct admit_connection *);

/* The parts of a stream's policy that concern a connection's first bytes (shim/session/stream.h). */
void listener_proxied(void *connection, const unsigned char *address, size_t length);
enum proxy_header listener_proxy(void *connection);
bool listener_plain(void *connection);
const struct protocol *listener_refuses(void *connection, enum opaque_reason);

#endif
