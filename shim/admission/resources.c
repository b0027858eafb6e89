#include "shim/admission/resources.h"

#include <string.h>

#include "rules/naming/connection.h"
#include "rules/ruleset.h"
#include "shim/admission/unix_name.h"

static void name_listener(struct connection_name *ret_name, const char *protocol, const struct admit_connection *c) {
    connection_name_listener(protocol, c->port, c->port ? NULL : unix_name_text(c->unix_name), ret_name);
}

/* ------------------------------------------------------------------------------------------ listeners, destinations */

const struct ruleset_route *resources_listener(const void *ruleset, const struct admit_connection *c) {
    const struct ruleset_header *head = ruleset_head(ruleset);
    const struct ruleset_route *route = ruleset_routes(ruleset) + head->route_kind_first[ROUTE_LISTENER];
    for (uint32_t i = 0; i < head->route_kind_count[ROUTE_LISTENER]; i++)
        if (c->port && route[i].port == c->port)
            return &route[i];
    return NULL;
}

static uint32_t entry_of_text(const struct admit_rules *rules, ruleset_string text, uint8_t side) {
    const char *name = ruleset_text(rules->ruleset, text);
    return engine_resource(rules->engine, name, strlen(name), side);
}

/* The names that "resources" gives the address; room for the address itself is left. */
static uint32_t add_downstreams(const struct admit_rules *rules, const struct admit_connection *c, uint32_t *resources,
                                uint32_t count) {
    const struct ruleset_header *head = rules->ruleset;
    const struct ruleset_route *route = ruleset_routes(rules->ruleset) + head->route_kind_first[ROUTE_DOWNSTREAM];
    for (uint32_t i = 0; i < head->route_kind_count[ROUTE_DOWNSTREAM] && count < ENGINE_RESOURCES_MAX - 1; i++)
        if ((!route[i].port || route[i].port == c->port) &&
            (!route[i].ranges_count || ruleset_in_ranges(rules->ruleset, route[i].ranges_first, route[i].ranges_count,
                                                         c->peer, c->address_length)))
            resources[count++] = entry_of_text(rules, route[i].name, SIDE_OUTBOUND);
    return count;
}

/* -------------------------------------------------------------------------------------------------------------- all */

void resources_find_listener(const struct admit_rules *rules, const char *protocol, struct admit_connection *c) {
    struct connection_name name;
    const struct ruleset_route *listener = resources_listener(rules->ruleset, c);
    name_listener(&name, protocol, c);
    c->listener = (uint16_t)engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
    c->listener_name = listener ? (uint16_t)entry_of_text(rules, listener->name, SIDE_INBOUND) : 0;
    c->rules = RESOURCES_KEY(rules);
}

uint32_t resources_add_destination(const struct admit_rules *rules, const struct admit_connection *c,
                                   uint32_t *resources, uint32_t count) {
    struct connection_name name;
    count = add_downstreams(rules, c, resources, count);
    connection_name_destination(c->peer, c->address_length, c->port, &name);
    resources[count++] = engine_resource(rules->engine, name.text, name.length, SIDE_OUTBOUND);
    return count;
}

uint32_t resources_of_connection(const struct admit_rules *rules, struct admit_connection *c,
                                 uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    struct connection_name name;
    uint32_t count = 0;
    if (c->side == SIDE_OUTBOUND)
        return resources_add_destination(rules, c, ret_resources, 0);
    const struct ruleset_route *listener = resources_listener(rules->ruleset, c);
    c->protocol = listener ? listener->protocol & 3 : PROTOCOL_RECOGNISE;
    c->proxy = listener ? listener->proxy & 3 : ROUTE_PROXY_AUTO;
    if (c->protocol == PROTOCOL_TCP)
        ret_resources[count++] = entry_of_text(rules, listener->name, SIDE_INBOUND);
    name_listener(&name, "tcp", c);
    ret_resources[count++] = engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
    return count;
}
