#include "shim/admission/resources.h"

#include <stdatomic.h>
#include <string.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/naming/route.h"
#include "shim/process/arena.h"
#include "shim/admission/unix_name.h"

/* ------------------------------------------------------------------------------------------------------ remembering
 *
 * What a request counts for is found once and then remembered here, by a hash of its method, path and host that is
 * keyed by the engine and the generation of rules.  The first word has 50 bits of the hash, and the route's resource;
 * the second one 22 of these and what there is besides, up to three.  Two requests of one hash would share
 * their resources; a client that does not know the key cannot choose such a pair. */
enum {
    SLOTS = 4096,
    RESOURCE_BITS = 13,
    RESOURCE_MASK = (1 << RESOURCE_BITS) - 1,
    HAS_MORE = 1 << RESOURCE_BITS,
    MORE_MAX = 3,
    MORE_BITS = 14,
    MORE_MASK = (1 << MORE_BITS) - 1,
};
_Static_assert(LAYOUT_RESOURCES <= 1 << RESOURCE_BITS, "a resource entry fits beside the hash");
static const uint64_t first_hash = ~(uint64_t)(HAS_MORE | RESOURCE_MASK),
                      more_hash = ~(uint64_t)0 << MORE_MAX * MORE_BITS;
static struct slot { _Atomic uint64_t first, more; } slots[SLOTS];

/* Returns how many there are; 0: not known. */
static uint32_t recall(const struct slot *slot, uint64_t hash, uint32_t *ret_resources) {
    uint64_t first = atomic_load_explicit(&slot->first, memory_order_relaxed);
    if (!first || ((first ^ hash) & first_hash) != 0)
        return 0;
    ret_resources[0] = (uint32_t)(first & RESOURCE_MASK);
    if (!(first & HAS_MORE))
        return 1;
    uint64_t more = atomic_load_explicit(&slot->more, memory_order_relaxed);
    if (((more ^ hash << RESOURCE_BITS) & more_hash) != 0)
        return 0;
    uint32_t count = 1;
    for (; count <= MORE_MAX && (more & MORE_MASK); more >>= MORE_BITS)
        ret_resources[count++] = (uint32_t)(more & MORE_MASK);
    return count;
}

static void remember(struct slot *slot, uint64_t hash, const uint32_t *resources, uint32_t count) {
    uint64_t more = 0;
    if (count > 1 + MORE_MAX)
        return;
    for (uint32_t i = count; i-- > 1;)
        more = more << MORE_BITS | resources[i];
    for (uint32_t i = 0; i < count; i++)
        if (resources[i] == ENGINE_OTHER) /* what is beyond the budget today may have room tomorrow */
            return;
    atomic_store_explicit(&slot->more, (hash << RESOURCE_BITS & more_hash) | more, memory_order_relaxed);
    atomic_store_explicit(&slot->first, (hash & first_hash) | (count > 1 ? HAS_MORE : 0) | resources[0],
                          memory_order_relaxed);
}

/* Rooms for names_of(), which takes more than the stack of somebody else's thread may have: one for each thread that
 * finds names at a time, more come from the arena.  (One that was in use during a fork stays so in the child.) */
enum { ROOMS = 16 };
static struct room {
    _Alignas(8) char bytes[NAMES_ROOM];
    _Atomic bool taken;
} rooms[ROOMS];

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
    if (c->port == 0) {
        const char *path = unix_name_text(c->unix_name);
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

/* --------------------------------------------------------------------------------------------------------- requests */

struct finding {
    const struct admit_rules *rules;
    uint64_t now_ns;
    uint8_t side;
    uint32_t *resources, count;
    bool crowded; /* there are more than there is room for */
};

static void take_name(void *context, const char *name, size_t length, const struct route_found *found,
                      unsigned reading) {
    struct finding *finding = context;
    const struct admit_rules *rules = finding->rules;
    uint32_t entry = engine_resource(rules->engine, name, length, finding->side);
    (void)reading;
    if (found && found->proliferated)
        engine_siblings(rules->engine, rules->token, finding->now_ns, entry);
    for (uint32_t i = 0; i < finding->count; i++)
        if (finding->resources[i] == entry)
            return;
    if (finding->count < ENGINE_RESOURCES_MAX - ENGINE_LISTENER_NAMES)
        finding->resources[finding->count++] = entry;
    else
        finding->crowded = true;
}

/* False: the names hold for this request only, or there is no room to find them in. */
static bool find_names(struct finding *finding, const struct naming_message *naming) {
    const struct admit_rules *rules = finding->rules;
    unsigned i = 0;
    while (i < ROOMS && atomic_exchange_explicit(&rooms[i].taken, true, memory_order_acquire))
        i++;
    void *room = i < ROOMS ? rooms[i].bytes : arena_take(NAMES_ROOM);
    struct naming_sink sink = {take_name, finding, room};
    bool lasting = room && names_of(rules->naming, naming, &sink);
    if (i < ROOMS)
        atomic_store_explicit(&rooms[i].taken, false, memory_order_release);
    else if (room)
        arena_give(room, NAMES_ROOM);
    if (finding->crowded)
        engine_crowded(rules->engine, rules->token, finding->now_ns, finding->resources[0]);
    return lasting;
}

/* ------------------------------------------------------------------------------------------ listeners, destinations */

static const struct ruleset_route *find_listener(const void *ruleset, const struct admit_connection *c) {
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

static void find_listener_entries(const struct admit_rules *rules, const char *protocol, struct admit_connection *c) {
    struct resource_name name;
    const struct ruleset_route *listener = find_listener(rules->ruleset, c);
    name_listener(&name, protocol, c);
    c->listener = (uint16_t)engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
    c->listener_name = listener ? (uint16_t)entry_of_text(rules, listener->name, SIDE_INBOUND) : 0;
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

static uint32_t destination_entry(const struct admit_rules *rules, const struct admit_connection *c) {
    struct resource_name name;
    name_destination(&name, c);
    return engine_resource(rules->engine, name.text, name.length, SIDE_OUTBOUND);
}

/* -------------------------------------------------------------------------------------------------------------- all */

uint32_t resources_of_request(const struct admit_rules *rules, uint64_t now_ns, const struct message *message,
                              struct admit_connection *c, uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    struct naming_message naming;
    message->protocol->names(message, &naming);
    naming.with_host = c->side == SIDE_OUTBOUND;
    uint64_t method = naming.method_length <= 8 ? hash_load((const unsigned char *)naming.method, naming.method_length)
                                                : hash_bytes(rules->key, naming.method, naming.method_length);
    uint64_t hash = hash_mix(rules->key ^ method ^ c->side, 0x9e3779b97f4a7c15u);
    if (naming.with_host || rules->ruleset->hosts)
        hash = hash_bytes(hash, naming.host ? naming.host : "", naming.host ? naming.host_length : 0);
    hash = hash_bytes(hash, naming.path ? naming.path : "", naming.path_length);
    struct slot *slot = &slots[hash % SLOTS];
    uint32_t count = recall(slot, hash, ret_resources);
    if (!count) {
        struct finding finding = {rules, now_ns, c->side, ret_resources, 0, false};
        if (find_names(&finding, &naming))
            remember(slot, hash, ret_resources, finding.count);
        count = finding.count;
    }
    if (c->side == SIDE_OUTBOUND) {
        count = add_downstreams(rules, c, ret_resources, count);
        ret_resources[count++] = destination_entry(rules, c);
        return count;
    }
    if (c->rules != ((uint32_t)rules->key | 1)) {
        find_listener_entries(rules, message->protocol->name, c);
        c->rules = (uint32_t)rules->key | 1;
    }
    if (c->listener_name)
        ret_resources[count++] = c->listener_name;
    ret_resources[count++] = c->listener;
    return count;
}

uint32_t resources_of_connection(const struct admit_rules *rules, struct admit_connection *c,
                                 uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    struct resource_name name;
    uint32_t count = 0;
    if (c->side == SIDE_OUTBOUND) {
        count = add_downstreams(rules, c, ret_resources, 0);
        ret_resources[count++] = destination_entry(rules, c);
        return count;
    }
    const struct ruleset_route *listener = find_listener(rules->ruleset, c);
    c->protocol = listener ? listener->protocol & 3 : PROTOCOL_RECOGNISE;
    if (c->protocol == PROTOCOL_TCP)
        ret_resources[count++] = entry_of_text(rules, listener->name, SIDE_INBOUND);
    name_listener(&name, "tcp", c);
    ret_resources[count++] = engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
    return count;
}
