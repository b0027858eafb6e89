#include "shim/names.h"

#include <stdatomic.h>
#include <string.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/image.h"
#include "rules/layout.h"
#include "rules/route.h"
#include "shim/classify.h"
#include "shim/protocol/http1.h"

/* Names are found once and then remembered here, by a hash of method and path that is keyed by the engine and the
 * generation of rules: 50 bits of the hash and 14 of the resource entry in one atomic word.  Two paths of one hash
 * would share a resource; a client that does not know the key cannot choose such a pair. */
enum { NAMES = 4096, RESOURCE_BITS = 14 };
_Static_assert(LAYOUT_RESOURCES <= 1 << RESOURCE_BITS, "a resource entry fits beside the hash");
static _Atomic uint64_t names[NAMES];

/* "http::8080", "tcp::8080", or "http:unix:/path" for a listener; for a destination "tcp:10.0.0.5:3306". */
struct resource_name {
    char text[LAYOUT_RESOURCE_NAME_MAX];
    size_t length;
};

static void name_add(struct resource_name *name, const char *bytes, size_t size) {
    if (size > sizeof(name->text) - name->length)
        size = sizeof(name->text) - name->length;
    memcpy(name->text + name->length, bytes, size);
    name->length += size;
}

static void name_add_port(struct resource_name *name, unsigned port) {
    char digits[5];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + port % 10);
    while (port /= 10);
    name_add(name, digits + n, sizeof(digits) - n);
}

static void name_listener(struct resource_name *ret_name, const char *protocol, const struct admit_connection *c) {
    ret_name->length = 0;
    name_add(ret_name, protocol, strlen(protocol));
    if (c->unix_name) {
        const char *path = classify_name(c->unix_name);
        name_add(ret_name, ":unix:", 6);
        name_add(ret_name, path, strlen(path));
    } else {
        name_add(ret_name, "::", 2);
        name_add_port(ret_name, c->port);
    }
}

static void name_destination(struct resource_name *ret_name, const struct admit_connection *c) {
    char address[ADDRESS_TEXT_MAX];
    size_t length = address_text(c->peer, c->address_length, address);
    bool brackets = memchr(address, ':', length) != NULL;
    ret_name->length = 0;
    name_add(ret_name, brackets ? "tcp:[" : "tcp:", brackets ? 5 : 4);
    name_add(ret_name, address, length);
    name_add(ret_name, brackets ? "]:" : ":", brackets ? 2 : 1);
    name_add_port(ret_name, c->port);
}

static uint32_t route_resource(const struct admit_rules *rules, const struct http_head *head) {
    const char *query = memchr(head->target.at, '?', head->target.size);
    size_t path = query ? (size_t)(query - head->target.at) : head->target.size;
    uint64_t method = head->method.size <= 8 ? hash_load((const unsigned char *)head->method.at, head->method.size)
                                             : hash_bytes(rules->key, head->method.at, head->method.size);
    uint64_t hash = hash_bytes(hash_mix(rules->key ^ method, 0x9e3779b97f4a7c15u), head->target.at, path);
    _Atomic uint64_t *slot = &names[hash % NAMES];
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed), mask = ((uint64_t)1 << RESOURCE_BITS) - 1;
    if (seen && ((seen ^ hash) & ~mask) == 0)
        return (uint32_t)(seen & mask);

    char name[LAYOUT_RESOURCE_NAME_MAX];
    size_t length = route_name(rules->image, head->method.at, head->method.size, head->target.at, head->target.size,
                               name, sizeof(name));
    uint32_t resource = engine_resource(rules->engine, name, length, SIDE_INBOUND);
    if (resource != ENGINE_OTHER) /* what is beyond the budget today may have room tomorrow */
        atomic_store_explicit(slot, (hash & ~mask) | resource, memory_order_relaxed);
    return resource;
}

/* The API groups that the path falls in, behind the route; room for the listener is left. */
static uint32_t group_resources(const struct admit_rules *rules, const struct http_head *head, uint32_t *resources) {
    const void *image = rules->image;
    uint32_t groups[ENGINE_RESOURCES_MAX - 2], count = 1;
    if (!image_head(image)->routes_count)
        return count;
    size_t found = route_groups(image, NULL, head->target.at, head->target.size, groups, ENGINE_RESOURCES_MAX - 2);
    for (size_t i = 0; i < found && i < ENGINE_RESOURCES_MAX - 2; i++) {
        const char *name = image_text(image, groups[i]);
        resources[count++] = engine_resource(rules->engine, name, strlen(name), SIDE_INBOUND);
    }
    return count;
}

static uint32_t listener_resource(const struct admit_rules *rules, struct admit_connection *c) {
    uint32_t key = (uint32_t)rules->key | 1;
    if (c->rules != key) {
        struct resource_name name;
        name_listener(&name, "http", c);
        c->listener = engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
        c->rules = key;
    }
    return c->listener;
}

uint32_t names_of_request(const struct admit_rules *rules, const struct http_head *head, struct admit_connection *c,
                          uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    ret_resources[0] = route_resource(rules, head);
    uint32_t count = group_resources(rules, head, ret_resources);
    ret_resources[count++] = listener_resource(rules, c);
    return count;
}

uint32_t names_of_connection(const struct admit_rules *rules, const struct admit_connection *c,
                             uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    struct resource_name name;
    if (c->side == SIDE_OUTBOUND)
        name_destination(&name, c);
    else
        name_listener(&name, "tcp", c);
    ret_resources[0] = engine_resource(rules->engine, name.text, name.length, c->side);
    return 1;
}
