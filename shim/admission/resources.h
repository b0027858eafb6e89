/* The resource entries that a request or a connection counts for: routes, groups, listeners, destinations. */
#ifndef WEIR_SHIM_RESOURCES_H
#define WEIR_SHIM_RESOURCES_H

#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/protocol/protocol.h"

/* All that a request counts for, most specific first.  Inbound: route, groups, listener (its name, and "http::PORT");
 * outbound: route with its host, groups, the names that "resources" gives the address, "tcp:HOST:PORT".  Returns how
 * many. */
uint32_t resources_of_request(const struct admit_rules *, uint64_t now_ns, const struct message *,
                              struct admit_connection *, uint32_t ret_resources[static ENGINE_RESOURCES_MAX]);
/* What a connection counts for; notes what its listener is said to speak. */
uint32_t resources_of_connection(const struct admit_rules *, struct admit_connection *,
                                 uint32_t ret_resources[static ENGINE_RESOURCES_MAX]);

#endif
