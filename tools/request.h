/* A request as a person types it, for `weir explain`, read by what the shim reads requests with. */
#ifndef WEIR_TOOLS_REQUEST_H
#define WEIR_TOOLS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/rule.h"
#include "shim/admission/values.h"
#include "shim/protocol/http1/http1.h"

struct request {
    struct message head;
    unsigned char address[16]; /* of the peer */
    size_t address_length;
    char peer[64];
    char headers[MESSAGE_HEAD_MAX]; /* "Name: value\r\n…" */
    size_t headers_length;
    char text[MESSAGE_HEAD_MAX]; /* what `head` points into */
};

/* "Name: value"; false: it is none, or there are too many.  Before request_parse. */
bool request_add_header(struct request *, const char *header);
/* "GET /a HTTP/1.1", "GET /a" or "/a".  False: it is none, or its headers contradict each other. */
bool request_parse(struct request *, const char *line);
bool request_set_peer(struct request *, const char *peer);

/* The values that a hot parameter would have.  `ruleset` says which proxies are trusted. */
void request_param(const struct request *, const void *ruleset, const struct rule_param *, struct values *ret_values);

#endif
