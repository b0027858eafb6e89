/* What may stand before, or instead of, the messages of a protocol at the beginning of a connection: the header of the
 * PROXY protocol (HAProxy's proxy-protocol.txt, versions 1 and 2), a handshake of TLS, the preface of HTTP/2.
 * Pure; any number of threads at once. */
#ifndef WEIR_SHIM_PREAMBLE_H
#define WEIR_SHIM_PREAMBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/protocol/protocol.h"

enum preamble {
    PREAMBLE_NONE, /* ask the protocols */
    PREAMBLE_MORE, /* a byte is missing of what could be one of the others */
    PREAMBLE_PROXY,
    PREAMBLE_BROKEN, /* begins as a header of PROXY, whose end two readers could see at different places */
    PREAMBLE_TLS,
    PREAMBLE_HTTP2_HEAD, /* so much of its preface that a server of it begins to answer */
    PREAMBLE_HTTP2,      /* the whole of its preface */
};
enum { PREAMBLE_MAX = 32768 /* bytes of a header of PROXY; the longest seen have 2 KB */ };

struct preamble_proxy {
    size_t size;               /* of the whole header */
    uint8_t length;            /* of the client's address: 4, 16, or 0: it names none (LOCAL, UNKNOWN, a unix socket) */
    unsigned char address[16]; /* network order; IPv4 within IPv6 is IPv4 */
};

/* Which one do these first bytes of a connection begin?  `ret_proxy` is filled with PREAMBLE_PROXY only.  A header
 * whose framing is right and whose address is not names none: framing decides where the first message begins, and a
 * program that takes such a header goes on behind it.  `proxy`: without it no header of PROXY is looked for, nor behind
 * one. */
enum preamble preamble_find(const char *bytes, size_t size, bool proxy, struct preamble_proxy *ret_proxy);

/* What is said to a client of HTTP/2 that is refused before its first frame: empty settings, and GOAWAY with
 * HTTP_1_1_REQUIRED (RFC 9113, 7).  Of its operations there is `refuse` only. */
extern const struct protocol preamble_http2;

#endif
