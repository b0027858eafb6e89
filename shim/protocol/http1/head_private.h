/* What the strict and the tolerant parser of heads share (head.c, tolerant.c). */
#ifndef WEIR_SHIM_HTTP1_HEAD_PRIVATE_H
#define WEIR_SHIM_HTTP1_HEAD_PRIVATE_H

#include <string.h>

#include "shim/protocol/http1/http1.h"

struct connection_tokens {
    bool close, keep, upgrade;
};

/* In halves: for more than 64 bytes at once gcc takes `rep stos`, which lasts longer than reading a line of a head. */
#define CLEAR(head)                                                                                                    \
    do {                                                                                                               \
        memset((head), 0, sizeof(*(head)) / 2);                                                                        \
        memset((char *)(head) + sizeof(*(head)) / 2, 0, sizeof(*(head)) - sizeof(*(head)) / 2);                        \
    } while (0)

/* The method of a request line stands in the head.  False: it is HEAD or CONNECT in another spelling than their own, to
 * which some servers answer as to these and others do not. */
bool head_see_method(struct message *);
/* Letters, digits and other bytes of a token (RFC 9110 5.6.2): what a method is made of. */
bool head_is_token(unsigned char);
/* Notes one header.  False: it leaves room for two opinions about framing.  Blanks around `value` are removed already.
 */
bool head_see_field(struct message *, struct connection_tokens *, struct slice name, struct slice value);
/* All headers are seen.  BROKEN: together they leave room for two opinions. */
enum parsed head_settle(struct message *, const struct connection_tokens *);

/* The request head at the start of `bytes`, of which the strict parser says that it is BROKEN (http1_request). */
enum parsed http1_tolerate(const char *bytes, size_t size, struct message *ret_head);

#endif
