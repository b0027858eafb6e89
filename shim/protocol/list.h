/* The protocols that there are, in the order in which they are asked whether first bytes are theirs: a line for each.
 */
#ifndef WEIR_SHIM_PROTOCOL_LIST_H
#define WEIR_SHIM_PROTOCOL_LIST_H

#include "shim/protocol/protocol.h"

#define PROTOCOLS(X) X(http1)

#define PROTOCOL_DECLARE(name) extern const struct protocol name;
PROTOCOLS(PROTOCOL_DECLARE)
#undef PROTOCOL_DECLARE

#endif
