/* What rules and answers look at in an HTTP request: the client's address, path segments, the trace id.
 * Pure: slices of the head, or text written into the caller's buffer. */
#ifndef WEIR_SHIM_HTTP_PARAMS_H
#define WEIR_SHIM_HTTP_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/address.h"
#include "shim/protocol/http1/http1.h"

/* Is the peer one of those whose headers are believed?  `ruleset` is a checked ruleset; without ranges of its own
 * (options.trustedProxies) these are loopback and the private ranges of RFC 1918, 4193 and 3927/4291 link-local. */
bool http_trusted_peer(const void *ruleset, const unsigned char *address, size_t length);

/* An address as a header may write it: "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:4711", with a zone
 * ("fe80::1%eth0") or without. */
bool http_address(struct slice, struct address_range *ret_address);

/* The client's address as a trusted peer tells it (whoever else says so is not to be asked): of X-Forwarded-For the
 * last entry that is not a trusted proxy's, the first one if all are.  Proxies append: what stands further left, the
 * client wrote.  Without an address there: Proxy-Client-IP, WL-Proxy-Client-IP, X-Real-IP, HTTP_CLIENT_IP.  False: none
 * says it. */
bool http_client_address(const struct message *, const void *ruleset, struct address_range *ret_client);

/* The path's segment number `index` (0-based), as sent. */
struct slice http_path_segment(struct slice target, unsigned index);

/* Who sends a request, as far as the connection tells. */
struct http_peer {
    const unsigned char *address; /* 4 or 16 bytes; length 0: a unix socket */
    size_t address_length;
    const char *text;
    size_t text_length;
};

/* The id to echo: the trace id of a traceparent (W3C Trace Context), else X-Request-Id; at == NULL if none. */
struct slice http_trace_id(const struct message *);

#endif
