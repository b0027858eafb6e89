/* Who calls: the names that rules know a caller by (limitApp), and the address that ranges are about.
 *
 * A caller may have several names: what a header says, who it is on this host, a group of addresses, its address.  All
 * of them count for rules; the first is the one that metrics, logs and responses show.  Each finder in origin.c adds
 * those that it knows, and origin_find() calls them in the order of precedence.  It costs nothing where rules ask for
 * no caller (ruleset_header.callers): the origin is then the peer's address. */
#ifndef WEIR_SHIM_ORIGIN_H
#define WEIR_SHIM_ORIGIN_H

#include "rules/address.h"
#include "rules/engine/engine.h"
#include "shim/admission/admit.h"
#include "shim/protocol/protocol.h"

/* Lives as long as the decision: the engine's request points into it. */
struct origin {
    struct engine_name names[ENGINE_ORIGINS_MAX]; /* names[0] is valid also without any: then it is empty */
    uint32_t names_count;
    const unsigned char *client; /* the caller's address, network order: 4 or 16 bytes, or none */
    size_t client_length;
    char address[ADDRESS_TEXT_MAX]; /* the peer's, as text; "" = none */
    size_t address_length;
    struct address_range forwarded; /* where `client` points if a trusted proxy named it */
    char client_address[ADDRESS_TEXT_MAX];
};

/* The origin of a request, or of a connection (`message` is NULL), under a checked ruleset. */
void origin_find(struct origin *ret_origin, const struct ruleset_header *ruleset, const struct admit_connection *,
                 const struct message *message);

/* Its part of what the engine gets. */
void origin_describe(const struct origin *, struct engine_request *ret_request);

#endif
