/* A request as a person types it, for `weir explain`. */
#ifndef WEIR_TOOLS_REQUEST_H
#define WEIR_TOOLS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/rule.h"

enum { REQUEST_HEADERS_MAX = 64 };

struct request {
    const char *method, *target; /* method and target are slices */
    size_t method_length, target_length;
    const char *headers[REQUEST_HEADERS_MAX]; /* "Name: value" */
    size_t headers_count;
    unsigned char address[16]; /* of the peer */
    size_t address_length;
    char peer[64];
};

/* "GET /a HTTP/1.1", "GET /a" or "/a".  False: it is none. */
bool request_parse(struct request *, const char *line);
bool request_set_peer(struct request *, const char *peer);
/* "Name: value" (kept, not copied); false: it is none, or there are too many. */
bool request_add_header(struct request *, const char *header);

/* The value that a hot parameter would have, valid until the next call; false if the request has none.  `image` says
 * which proxies are trusted. */
bool request_param(const struct request *, const void *image, const struct rule_param *, const char **ret_value,
                   size_t *ret_length);

#endif
