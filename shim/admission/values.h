/* What a rule's parameter is in a request: each of the values that it says, in one spelling, so that nobody gets a
 * threshold of his own by writing the same in another way or several times.
 *
 * client address  as text in its one spelling, without a port; of a network where its addresses count together
 * header          as sent, without the white space around; each field of that name
 * and of the protocol (protocol.value; HTTP):
 * host            lower case, without port and final dot; of a target in absolute form, its own
 * URL parameter   %xx and + decoded, in names, too; each parameter of that name in the query
 * cookie          %xx decoded, without the quotes around; each cookie of that name
 * path segment    of the path in its one spelling (rules/naming/route.h)
 *
 * Pure. */
#ifndef WEIR_SHIM_VALUES_H
#define WEIR_SHIM_VALUES_H

#include <stddef.h>

#include "rules/rule.h"
#include "shim/protocol/protocol.h"

/* Who sends a request, as far as the connection tells. */
struct values_peer {
    const unsigned char *address; /* 4 or 16 bytes; length 0: a unix socket */
    size_t address_length;
    const char *text;
    size_t text_length;
};

/* `ruleset` is a checked ruleset that the parameter is of.  The values point into the message, the peer's text or the
 * room. */
void values_of(const struct message *request, const void *ruleset, const struct values_peer *,
               const struct rule_param *, struct values *ret_values);

#endif
