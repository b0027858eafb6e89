/* What a rule's parameter is in a request: each of the values that it says, in one spelling, so that no client gets a
 * threshold of his own by writing the same in another way or several times.  Where servers read it differently, each
 * reading is a value, up to a bound (VALUES_MAX): the rule holds whatever the application makes of it.
 *
 * client address  as text in its one spelling, without a port; of a network where its addresses count together
 * header          each field of that name ('_' is '-'); where there are several, their list, too
 * and of the protocol (protocol.value; HTTP):
 * host            lower case, without port and final dot; of a target in absolute form its own, and the Host fields'
 * URL parameter   decoded, in names, too; each parameter of that name in the query, up to '&' or ';', with '#' or to it
 * cookie          decoded, without the quotes around; each cookie of that name, up to ';', ',' or a blank
 * path segment    of the path in each of its readings (rules/naming/route.h), decoded
 * Blanks and control bytes around a value, and what is behind a NUL, do not count.
 *
 * Pure. */
#ifndef WEIR_SHIM_VALUES_H
#define WEIR_SHIM_VALUES_H

#include <stddef.h>

#include "rules/rule.h"
#include "shim/protocol/protocol.h"

enum { VALUES_CLIENT_TEXT = 128 };
/* Who sends a request, as far as the connection shows. */
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

/* The client's address of a connection, which has no message: its peer's, as rules count it.  Returns the text's
 * length, 0: it has none; `ret_client` is the whole address, of length 0 for a unix socket. */
size_t values_client(const void *ruleset, const struct values_peer *, struct address_range *ret_client,
                     char ret_text[static VALUES_CLIENT_TEXT]);

#endif
