/* What a rule's parameter is in a request: each of the values that it says, in one spelling, so that nobody gets a
 * threshold of his own by writing the same in another way or several times.
 *
 * client address  as text in its one spelling, without a port
 * host            lower case, without port and final dot; of a target in absolute form, its own
 * header          as sent, without the white space around; each header of that name
 * URL parameter   %xx and + decoded, in names, too; each parameter of that name in the query
 * cookie          %xx decoded, without the quotes around; each cookie of that name
 * path segment    of the path in its one spelling (rules/naming/route.h)
 *
 * Pure. */
#ifndef WEIR_SHIM_HTTP_VALUES_H
#define WEIR_SHIM_HTTP_VALUES_H

#include <stddef.h>

#include "rules/rule.h"
#include "shim/admission/http_params.h"
#include "shim/protocol/http1/http1.h"

enum {
    HTTP_VALUES_MAX = 8,    /* of more, the first seven and the last */
    HTTP_VALUES_ROOM = 4096 /* bytes that have to be written anew; what is longer is cut */
};

struct http_values {
    size_t count; /* 0: the request says none */
    struct slice list[HTTP_VALUES_MAX];
    char room[HTTP_VALUES_ROOM];
};

/* `ruleset` is a checked ruleset that the parameter is of.  The values point into the head, the peer's text or the
 * room. */
void http_values(const struct message *, const void *ruleset, const struct http_peer *, const struct rule_param *,
                 struct http_values *ret_values);

#endif
