/* What the strict and the tolerant parser of heads share (head.c, tolerant.c). */
#ifndef WEIR_SHIM_HTTP1_HEAD_PRIVATE_H
#define WEIR_SHIM_HTTP1_HEAD_PRIVATE_H

#include <string.h>

#include "shim/protocol/http1/http1.h"

struct connection_tokens {
    bool close, keep, upgrade;
};

/* `lower` is in lower case, made of letters and '-' only: no other byte becomes one of these by setting bit 5, but for
 * control characters and '\r' → '-', which no name holds; '_' → DEL. */
static inline bool same(const char *at, const char *lower, size_t size) {
    const uint64_t bit = 0x2020202020202020u;
    uint64_t here, there, differ = 0;
    for (size_t i = 0; size >= 8; i = size - i - 8 < 8 ? size - 8 : i + 8) { /* the last eight overlap */
        memcpy(&here, at + i, 8);
        memcpy(&there, lower + i, 8);
        differ |= (here | bit) ^ there;
        if (i == size - 8)
            return !differ;
    }
    for (size_t i = 0; i < size; i++)
        differ |= ((unsigned char)at[i] | 0x20u) ^ (unsigned char)lower[i];
    return !differ;
}

static inline bool slice_is(struct slice slice, const char *lower) {
    return slice.size == strlen(lower) && same(slice.at, lower, slice.size);
}

/* In halves: for more than 64 bytes at once gcc takes `rep stos`, which lasts longer than reading a line of a head. */
#define CLEAR(head)                                                                                                    \
    do {                                                                                                               \
        memset((head), 0, sizeof(*(head)) / 2);                                                                        \
        memset((char *)(head) + sizeof(*(head)) / 2, 0, sizeof(*(head)) - sizeof(*(head)) / 2);                        \
    } while (0)

/* Method and target of a request line stand in the head.  False: it is HEAD or CONNECT in another spelling than their
 * own, to which some servers answer as to these and others do not. */
static inline bool head_see_method(struct message *head) {
    static const struct {
        const char *name, *lower;
        uint8_t size, id;
    } methods[] = {{"HEAD", "head", 4, HTTP_METHOD_HEAD}, {"CONNECT", "connect", 7, HTTP_METHOD_CONNECT}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (head->method.size != methods[i].size || (*head->method.at | 0x20) != *methods[i].lower ||
            !same(head->method.at, methods[i].lower, methods[i].size))
            continue;
        head->method_id = methods[i].id;
        return memcmp(head->method.at, methods[i].name, methods[i].size) == 0;
    }
    return true;
}

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
