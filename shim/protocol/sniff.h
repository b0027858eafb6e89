/* Which protocol the first bytes of a connection are.  Pure. */
#ifndef WEIR_SHIM_PROTOCOL_SNIFF_H
#define WEIR_SHIM_PROTOCOL_SNIFF_H

#include <stdbool.h>
#include <stddef.h>

enum sniff {
    SNIFF_MORE, /* the beginning of HTTP/1 so far; nothing else is waited for */
    SNIFF_HTTP1,
    SNIFF_HTTP2,   /* the client preface of prior knowledge, or its beginning */
    SNIFF_TLS,     /* a handshake record */
    SNIFF_UNKNOWN, /* passes untouched */
};

/* What a client sends first.  A byte that is withheld until more is known could be what the other side waits for, so
 * MORE is said only of white space, of the beginning of a well-known method, or of a method and a target that lack
 * nothing but the target's first bytes.  Where HTTP is `expected`, also of the beginning of any first line that could
 * be one of HTTP: else who sends the first byte of an unknown method alone would be rid of all rules on that
 * connection. */
enum sniff sniff_client(const char *bytes, size_t size, bool expected);

#endif
