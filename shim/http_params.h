/* What rules and answers look at in an HTTP request: the client's address, path segments, the trace id.
 * Pure: slices of the head, or text written into the caller's buffer. */
#ifndef WEIR_SHIM_HTTP_PARAMS_H
#define WEIR_SHIM_HTTP_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/address.h"
#include "shim/protocol/http1.h"

/* The client's address as Sentinel's gateway adapters find it: the first of X-Forwarded-For, then Proxy-Client-IP,
 * WL-Proxy-Client-IP, X-Real-IP, HTTP_CLIENT_IP; else the peer.  The headers are looked at only if `trusted`: any
 * client can write them.  What is no address ("unknown") is passed over; an address gets its one spelling, without a
 * port, in `ret_text`. */
struct http_slice http_client_address(const struct http_head *, bool trusted, const char *peer_text, size_t peer_length,
                                      char ret_text[static ADDRESS_TEXT_MAX]);

/* Is the peer one of those whose headers are believed?  `image` is a checked image; without ranges of its own
 * (options.trustedProxies) these are loopback and the private ranges of RFC 1918, 4193 and 3927/4291 link-local. */
bool http_trusted_peer(const void *image, const unsigned char *address, size_t length);

/* The path's segment number `index` (0-based), as sent. */
struct http_slice http_path_segment(struct http_slice target, unsigned index);

/* Who sends a request, as far as the connection tells. */
struct http_peer {
    const unsigned char *address; /* 4 or 16 bytes; length 0: a unix socket */
    size_t address_length;
    const char *text;
    size_t text_length;
};

/* The id to echo: the trace id of a traceparent (W3C Trace Context), else X-Request-Id; at == NULL if none. */
struct http_slice http_trace_id(const struct http_head *);

#endif
