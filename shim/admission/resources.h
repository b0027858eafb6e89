/* The resource entries of listeners and destinations. */
#ifndef WEIR_SHIM_RESOURCES_H
#define WEIR_SHIM_RESOURCES_H

#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"

#define RESOURCES_KEY(rules) ((uint32_t)(rules)->key | 1) /* admit_connection.rules */

/* What "resources" says of the connection's listener; NULL: nothing. */
const struct ruleset_route *resources_listener(const void *ruleset, const struct admit_connection *);
/* Entries of the listener, into the connection: its name, and "PROTOCOL::PORT". */
void resources_find_listener(const struct admit_rules *, const char *protocol, struct admit_connection *);
/* Entries of a destination behind the first `count`: the names that "resources" gives the address, "tcp:HOST:PORT".
 * Returns how many there are now. */
uint32_t resources_add_destination(const struct admit_rules *, const struct admit_connection *, uint32_t *resources,
                                   uint32_t count);
/* What a connection counts for; notes what its listener is said to speak. */
uint32_t resources_of_connection(const struct admit_rules *, struct admit_connection *,
                                 uint32_t ret_resources[static ENGINE_RESOURCES_MAX]);

#endif
