#include "shim/admission/origin.h"

#include <string.h>

#include "rules/caller.h"
#include "rules/ruleset.h"
#include "rules/naming/route.h"
#include "shim/process/arena.h"
#include "shim/admission/caller.h"
#include "shim/admission/client.h"

/* One more name; what is beyond ENGINE_ORIGINS_MAX is forgotten.  The text lives as long as the origin. */
static void add(struct origin *origin, const char *text, size_t length) {
    if (length && origin->names_count < ENGINE_ORIGINS_MAX)
        origin->names[origin->names_count++] = (struct engine_name){text, length};
}

/* Who it is on this host, as far as rules ask for it and the kernel reports it. */
static void find_caller(struct origin *origin, const struct ruleset_header *ruleset, const struct admit_connection *c) {
    uint8_t asked = ruleset->options.local_callers;
    if (!asked || c->port == 0 || c->side != SIDE_INBOUND || !c->caller || c->caller == CALLER_UNKNOWN)
        return;
    const struct caller_names *names = arena_at(c->caller);
    if (asked & CALLER_UNIT)
        add(origin, names->unit, names->unit_length);
    if (asked & CALLER_COMM)
        add(origin, names->comm, names->comm_length);
    if (asked & CALLER_UID)
        add(origin, names->uid, names->uid_length);
}

static const struct ruleset_route *entries(const struct ruleset_header *ruleset, uint32_t *ret_count) {
    *ret_count = ruleset->route_kind_count[ROUTE_ORIGIN];
    return ruleset_routes(ruleset) + ruleset->route_kind_first[ROUTE_ORIGIN];
}

/* A header is a claim.  It may not claim what only weir can know: what a caller is on this host; nor, unless it
 * comes from a proxy that we trust, an address or a group of addresses. */
static bool may_claim(const struct ruleset_header *ruleset, const char *name, size_t length, bool trusted) {
    struct address_range address;
    uint32_t count;
    const struct ruleset_route *entry = entries(ruleset, &count);
    if (route_origin_reserved(name, length))
        return false;
    for (uint32_t i = 0; !trusted && i < count; i++) {
        const char *group = ruleset_text(ruleset, entry[i].name);
        if (!entry[i].header && strlen(group) == length && memcmp(group, name, length) == 0)
            return false;
    }
    return trusted || !client_parse((struct slice){name, length}, &address);
}

static void add_headers(struct origin *origin, const struct ruleset_header *ruleset, const struct message *message,
                        bool trusted) {
    uint32_t count;
    const struct ruleset_route *entry = entries(ruleset, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct slice value = {NULL, 0};
        if (entry[i].header && (trusted || entry[i].any_peer))
            value = message_field(message, ruleset_text(ruleset, entry[i].header));
        if (value.at && may_claim(ruleset, value.at, value.size, trusted))
            add(origin, value.at, value.size);
    }
}

static void add_groups(struct origin *origin, const struct ruleset_header *ruleset) {
    uint32_t count;
    const struct ruleset_route *entry = entries(ruleset, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!entry[i].header && ruleset_in_ranges(ruleset, entry[i].ranges_first, entry[i].ranges_count, origin->client,
                                                  origin->client_length)) {
            const char *name = ruleset_text(ruleset, entry[i].name);
            add(origin, name, strlen(name));
        }
}

static void find_names(struct origin *origin, const struct ruleset_header *ruleset, const struct admit_connection *c,
                       const struct message *message) {
    bool wanted = c->side == SIDE_INBOUND && ruleset->callers;
    if (wanted && message) {
        bool trusted = client_trusted(ruleset, c->peer, c->address_length);
        if (trusted && client_address(message, ruleset, &origin->forwarded)) {
            origin->client = origin->forwarded.network;
            origin->client_length = origin->forwarded.length;
        }
        add_headers(origin, ruleset, message, trusted);
    }
    find_caller(origin, ruleset, c);
    if (wanted)
        add_groups(origin, ruleset);
    if (origin->client == origin->forwarded.network) {
        size_t length = address_text(origin->client, origin->client_length, origin->client_address);
        add(origin, origin->client_address, length);
    } else {
        add(origin, origin->address, origin->address_length);
    }
}

void origin_find(struct origin *ret_origin, const struct ruleset_header *ruleset, const struct admit_connection *c,
                 const struct message *message) {
    ret_origin->client = c->peer;
    ret_origin->client_length = c->address_length;
    ret_origin->address_length = c->side == SIDE_INBOUND ? address_text(c->peer, c->address_length, ret_origin->address)
                                                         : 0;
    ret_origin->names_count = ret_origin->address_length != 0;
    ret_origin->names[0] = (struct engine_name){ret_origin->address_length ? ret_origin->address : "",
                                                ret_origin->address_length};
    if (ruleset->callers || ruleset->options.local_callers) { /* else the address is all that counts */
        ret_origin->names_count = 0;
        ret_origin->names[0] = (struct engine_name){"", 0};
        find_names(ret_origin, ruleset, c, message);
    }
}

void origin_describe(const struct origin *origin, struct engine_request *ret_request) {
    ret_request->origin = origin->names[0].text;
    ret_request->origin_length = origin->names[0].length;
    ret_request->origins = origin->names + 1;
    ret_request->origins_count = origin->names_count > 1 ? origin->names_count - 1 : 0;
    ret_request->address = origin->client;
    ret_request->address_length = (uint32_t)origin->client_length;
}
