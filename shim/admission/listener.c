#include "shim/admission/listener.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "rules/layout.h"
#include "rules/ruleset.h"
#include "shim/admission/admit_private.h"
#include "shim/admission/client.h"
#include "shim/admission/resources.h"
#include "shim/process/attach.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/clock.h"
#include "shim/protocol/list.h"
#include "shim/protocol/preamble.h"

/* ------------------------------------------------------------------------------------------------------- what it
 * serves
 */

enum { LISTENERS = 64, UNIX = 1 << 16 };
/* Keys of listeners, from the first on; 0: none yet.  Those of ports are common to a process and what it forks: where
 * each child serves one connection, none would live to use what it has learnt.  (A key of AF_UNIX is its process's.) */
static _Atomic uint32_t of_process[LISTENERS];
static _Atomic uint32_t *_Atomic of_family = of_process;

void listener_before_fork(void) {
    _Atomic uint32_t *none = of_process;
    if (atomic_load(&of_family) != of_process)
        return;
    long page = OWN6(SYS_mmap, 0, sizeof(of_process), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page < 0 && page >= -4095)
        return; /* each for itself, then */
    for (unsigned i = 0; i < LISTENERS; i++)
        atomic_store((_Atomic uint32_t *)page + i, atomic_load(&of_process[i]));
    if (!atomic_compare_exchange_strong(&of_family, &none, (_Atomic uint32_t *)page))
        OWN2(SYS_munmap, page, sizeof(of_process));
}

static _Atomic uint32_t *known(uint32_t key) {
    return key < UNIX ? atomic_load_explicit(&of_family, memory_order_relaxed) : of_process;
}

static uint32_t key(const struct admit_connection *c) {
    return c->port ? c->port : c->unix_name + UNIX;
}

static bool tells_http(unsigned status) {
    return status >= 200 && status != 400 && (status < 300 || status >= 400);
}

void listener_answered(struct admit_connection *c, unsigned status) {
    uint32_t mine = key(c);
    if (c->side != SIDE_INBOUND || !tells_http(status))
        return;
    c->noted = 1;
    _Atomic uint32_t *serve_http = known(mine);
    for (unsigned i = 0; i < LISTENERS; i++) {
        uint32_t there = 0;
        if (atomic_compare_exchange_strong(&serve_http[i], &there, mine) || there == mine)
            return;
    }
}

bool listener_serves_http(const struct admit_connection *c) {
    uint32_t mine = key(c), there = 1;
    const _Atomic uint32_t *serve_http = known(mine);
    bool serves = c->protocol == PROTOCOL_HTTP || c->noted;
    for (unsigned i = 0; i < LISTENERS && there && !serves; i++) {
        there = atomic_load_explicit(&serve_http[i], memory_order_relaxed);
        serves = there == mine;
    }
    return serves;
}

void listener_recall(struct admit_connection *c) {
    c->noted = c->side == SIDE_INBOUND && c->protocol != PROTOCOL_HTTP && listener_serves_http(c);
}

/* --------------------------------------------------------------------------------------------------- which rules hold
 */

/* "http::8080" is about the requests of one listener; and so is its own name. */
static bool concerns_another(const struct ruleset_header *ruleset, const struct admit_connection *c, const char *name) {
    static const char http[] = "http::";
    const struct ruleset_route *route = ruleset_routes(ruleset) + ruleset->route_kind_first[ROUTE_LISTENER];
    if (strncmp(name, http, sizeof(http) - 1) == 0) {
        unsigned port = 0;
        for (name += sizeof(http) - 1; *name >= '0' && *name <= '9' && port <= UINT16_MAX; name++)
            port = port * 10 + (unsigned)(*name - '0');
        return !*name && port != c->port;
    }
    for (uint32_t i = 0; i < ruleset->route_kind_count[ROUTE_LISTENER]; i++)
        if (strcmp(ruleset_text(ruleset, route[i].name), name) == 0)
            return route[i].port != c->port || route[i].protocol == PROTOCOL_TCP;
    return false;
}

static bool may_reject(const struct ruleset_header *ruleset, const struct admit_connection *c,
                       const struct rule *rule) {
    const char *name = ruleset_text(ruleset, rule->resource);
    if (rule->mode != MODE_ENFORCE || rule->side == SIDE_OUTBOUND)
        return false;
    if (rule->kind == RULE_SYSTEM || rule->kind == RULE_ADAPTIVE)
        return true;
    return strncmp(name, "tcp:", 4) != 0 && !(rule->match == MATCH_EXACT && concerns_another(ruleset, c, name));
}

bool listener_has_request_rules(const struct ruleset_header *ruleset, const struct admit_connection *c) {
    for (uint32_t i = 0; i < ruleset->rules_count; i++)
        if (may_reject(ruleset, c, &ruleset_rules(ruleset)[i]))
            return true;
    return false;
}

/* -------------------------------------------------------------------------------------------------------- first bytes
 */

void listener_proxied(void *connection, const unsigned char *address, size_t length) {
    struct admit_connection *c = connection;
    struct engine *engine = length ? attach_engine(clock_ns()) : NULL;
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return;
    if (client_trusted(rules.ruleset, c->peer,
                       c->address_length)) { /* else clients would choose whose limit they use up */
        c->address_length = (uint8_t)length;
        memcpy(c->peer, address, length);
    }
    engine_read_end(engine, rules.token);
}

enum proxy_header listener_proxy(void *connection) {
    static const uint8_t as_said[] = {
        [ROUTE_PROXY_AUTO] = PROXY_AUTO, [ROUTE_PROXY_ON] = PROXY_ON, [ROUTE_PROXY_OFF] = PROXY_OFF};
    const struct admit_connection *c = connection;
    return (enum proxy_header)as_said[c->proxy];
}

/* Where a file says "opaque", what cannot be judged passes; "reject" is about requests that could be read in two ways.
 */
static bool is_refused(const struct ruleset_header *ruleset, const struct admit_connection *c, enum opaque_reason why) {
    const struct ruleset_route *listener = resources_listener(ruleset, c);
    bool defends = ruleset->options.defend_http, strict = defends || ruleset->options.strict_http;
    if (why == OPAQUE_MALFORMED)
        return c->proxy == ROUTE_PROXY_ON || strict;
    if (!strict || (listener && listener->protocol == PROTOCOL_TCP) || !listener_has_request_rules(ruleset, c))
        return false;
    return why == OPAQUE_FOREIGN ? defends && listener_serves_http(c) : !(listener && listener->http2);
}

bool listener_plain(void *connection) {
    struct engine *engine = attach_engine(clock_ns());
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return false;
    bool plain = is_refused(rules.ruleset, connection, OPAQUE_FOREIGN);
    engine_read_end(engine, rules.token);
    return plain;
}

/* One event of a kind in ten seconds, with how many there were. */
static void report(const struct admit_rules *rules, struct admit_connection *c, enum engine_unseen what,
                   uint64_t now_ns) {
    static struct { _Atomic uint64_t next_ns, count; } kinds[UNSEEN_KINDS];
    const uint64_t pause_ns = UINT64_C(10000000000);
    uint64_t due_ns = atomic_load(&kinds[what].next_ns);
    atomic_fetch_add(&kinds[what].count, 1);
    if (now_ns < due_ns || !atomic_compare_exchange_strong(&kinds[what].next_ns, &due_ns, now_ns + pause_ns))
        return;
    resources_find_listener(rules, http1.name, c);
    engine_unseen(rules->engine, now_ns, c->listener, what, atomic_exchange(&kinds[what].count, 0));
}

/* As what became of the connection, but for an offer that one of its requests made. */
static void count(const struct admit_rules *rules, struct admit_connection *c, enum opaque_reason why) {
    uint32_t resources[ENGINE_RESOURCES_MAX];
    if (why == OPAQUE_UPGRADED || c->opaque)
        return;
    c->opaque = true;
    uint32_t found = resources_of_connection(rules, c, resources);
    if (found)
        engine_count_fate(rules->engine, resources[found - 1], FATE_REFUSED);
}

const struct protocol *listener_refuses(void *connection, enum opaque_reason why) {
    static const uint8_t kinds[OPAQUE_REASONS] = {[OPAQUE_FOREIGN] = UNSEEN_FOREIGN,
                                                  [OPAQUE_HTTP2] = UNSEEN_HTTP2,
                                                  [OPAQUE_UPGRADED] = UNSEEN_UPGRADE,
                                                  [OPAQUE_MALFORMED] = UNSEEN_PROXY};
    struct admit_connection *c = connection;
    uint64_t now_ns = clock_ns();
    struct engine *engine = kinds[why] ? attach_engine(now_ns) : NULL;
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return NULL;
    bool refused = is_refused(rules.ruleset, c, why);
    if (refused) {
        report(&rules, c, kinds[why], now_ns);
        count(&rules, c, why);
    }
    engine_read_end(engine, rules.token);
    return !refused ? NULL : why == OPAQUE_HTTP2 ? &preamble_http2 : &http1;
}
