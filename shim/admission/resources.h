/* The resource entries that a request or a connection counts for: routes, groups, listeners, destinations. */
#ifndef WEIR_SHIM_NAMES_H
#define WEIR_SHIM_NAMES_H

#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"

struct message;

/* All that an HTTP request counts for, most specific first: route, groups, listener (its name, and "http::PORT").
 * Returns how many. */
uint32_t names_of_request(const struct admit_rules *, const struct message *, struct admit_connection *,
                          uint32_t ret_resources[static ENGINE_RESOURCES_MAX]);
/* What a connection counts for; notes what its listener is said to speak. */
uint32_t names_of_connection(const struct admit_rules *, struct admit_connection *,
                             uint32_t ret_resources[static ENGINE_RESOURCES_MAX]);

#endif
