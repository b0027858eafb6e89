#include "shim/admit.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/image.h"
#include "rules/layout.h"
#include "rules/route.h"
#include "shim/answer.h"
#include "shim/arena.h"
#include "shim/attach.h"
#include "shim/classify.h"
#include "shim/clock.h"
#include "shim/http_params.h"
#include "shim/lifecycle.h"
#include "shim/protocol/http1.h"

/* Names are found once and then remembered here, by a hash of method and path that is keyed by the engine and the
 * generation of rules: 50 bits of the hash and 14 of the resource entry in one atomic word.  Two paths of one hash
 * would share a resource; a client that does not know the key cannot choose such a pair. */
enum { NAMES = 4096, RESOURCE_BITS = 14 };
_Static_assert(LAYOUT_RESOURCES <= 1 << RESOURCE_BITS, "a resource entry fits beside the hash");
static _Atomic uint64_t names[NAMES];

/* The rules that one decision goes by. */
struct rules {
    struct engine *engine;
    uint32_t token;
    const void *image; /* NULL: none */
    uint64_t key;      /* of what is remembered under them */
};

static struct rules rules_begin(struct engine *engine) {
    struct rules rules = {.engine = engine, .token = engine_read_begin(engine)};
    rules.image = engine_image_within(engine, rules.token);
    rules.key = engine_generation_within(engine, rules.token) * 0x9e3779b97f4a7c15u ^ (uintptr_t)engine;
    return rules;
}

static void rules_end(const struct rules *rules) {
    engine_read_end(rules->engine, rules->token);
}

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

/* ---------------------------------------------------------------------------------------------------- HTTP */

static uint32_t route_resource(const struct rules *rules, const struct http_head *head) {
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
static uint32_t group_resources(const struct rules *rules, const struct http_head *head, uint32_t *resources) {
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

static uint32_t listener_resource(const struct rules *rules, struct admit_connection *c) {
    uint32_t key = (uint32_t)rules->key | 1;
    if (c->rules != key) {
        struct resource_name name;
        name_listener(&name, "http", c);
        c->listener = engine_resource(rules->engine, name.text, name.length, SIDE_INBOUND);
        c->rules = key;
    }
    return c->listener;
}

/* What engine_enter may ask for while it decides about one request. */
struct http_facts {
    const struct http_head *head;
    const struct admit_connection *connection;
    const void *image;
    const char *peer;
    size_t peer_length;
    char path[ROUTE_PATH_MAX]; /* in its one spelling, once a rule has asked for a segment of it */
};

static struct http_slice param_slice(struct http_facts *facts, const struct rule_param *param, const char *field) {
    const struct http_head *head = facts->head;
    struct http_slice value;
    switch (param->source) {
    case PARAM_CLIENT_IP:
        return http_client_address(
            head, http_trusted_peer(facts->image, facts->connection->peer, facts->connection->address_length),
            facts->peer, facts->peer_length);
    case PARAM_HOST: return head->host;
    case PARAM_HEADER: value.at = http_head_find(head, field, &value.size); return value;
    case PARAM_URL: return http_url_parameter(head->target, field, strlen(field));
    case PARAM_COOKIE: return http_cookie(head, field, strlen(field));
    case PARAM_PATH:
        value.size = route_path(head->target.at, head->target.size, facts->path, sizeof(facts->path));
        value.at = facts->path;
        return http_path_segment(value, param->segment);
    default: return (struct http_slice){NULL, 0};
    }
}

static bool http_param(void *context, const struct rule_param *param, const char *field,
                       struct engine_value *ret_value) {
    struct http_slice value = param_slice(context, param, field);
    if (!value.at)
        return false;
    *ret_value = (struct engine_value){.type = VALUE_STRING, .text = value.at, .length = value.size};
    return true;
}

static bool wants_html(const struct http_head *head) {
    size_t size;
    const char *accept = http_head_find(head, "accept", &size);
    return accept && memmem(accept, size, "text/html", 9) != NULL;
}

static struct answer_action action_of(const void *image, const struct rule *rule) {
    const struct image_block_action *action = &image_actions(image)[rule->block_action - 1];
    return (struct answer_action){
        .status = action->status,
        .headers = image_text(image, action->headers),
        .content_type = image_text(image, action->content_type),
        .body = image_text(image, action->body),
        .redirect = image_text(image, action->redirect),
    };
}

static size_t write_answer(struct engine *engine, const struct http_facts *facts,
                           const struct engine_decision *decision, bool close, uint64_t now_ns, char *answer) {
    const struct http_head *head = facts->head;
    struct http_slice trace = http_trace_id(head);
    struct answer_facts f = {
        .reason = decision->reason,
        .rule = "",
        .trace = trace.at,
        .trace_length = trace.size,
        .limit = decision->limit,
        .remaining = decision->remaining,
        .interval_ns = decision->interval_ns,
        .retry_ns = decision->retry_ns,
        .now_ns = now_ns,
        .rate_headers = image_head(facts->image)->options.rate_limit_headers,
        .head = head->method_id == HTTP_METHOD_HEAD,
        .html = wants_html(head),
        .close = close,
        .origin = facts->peer,
        .origin_length = facts->peer_length,
    };
    struct answer_action action;
    if (decision->rule < image_head(facts->image)->rules_count) {
        const struct rule *rule = &image_rules(facts->image)[decision->rule];
        f.rule = image_text(facts->image, rule->id);
        if (rule->block_action) {
            action = action_of(facts->image, rule);
            f.action = &action;
        }
    }
    f.resource = engine_resource_name(engine, decision->resource, &f.resource_length);
    return answer_write(answer, STREAM_TEXT_MAX, &f);
}

static enum engine_verdict decide_http(const struct rules *rules, uint64_t now_ns, struct admit_connection *c,
                                       const struct http_head *head, bool close, struct engine_ticket *ret_ticket,
                                       char *answer, size_t *ret_answer_size, uint64_t *ret_wait_ns) {
    char peer[ADDRESS_TEXT_MAX];
    size_t peer_length = address_text(c->peer, c->address_length, peer);
    struct http_facts facts; /* not cleared: the path is large */
    facts.head = head;
    facts.connection = c;
    facts.image = rules->image;
    facts.peer = peer;
    facts.peer_length = peer_length;
    uint32_t resources[ENGINE_RESOURCES_MAX] = {route_resource(rules, head)};
    uint32_t resources_count = group_resources(rules, head, resources);
    resources[resources_count++] = listener_resource(rules, c);
    struct engine_request request; /* field by field: clearing it first would cost more */
    request.resources = resources;
    request.resources_count = resources_count;
    request.side = SIDE_INBOUND;
    request.priority = PRIORITY_NORMAL;
    request.connection = request.prioritized = false;
    request.acquire = 1;
    request.origin = peer;
    request.origin_length = peer_length;
    request.address = c->peer;
    request.address_length = c->address_length;
    request.entrance = NULL;
    request.entrance_length = 0;
    request.bytes = head->content_length;
    request.args = NULL;
    request.args_count = 0;
    request.param = http_param;
    request.param_context = &facts;
    struct engine_decision decision;
    enum engine_verdict verdict = engine_enter_within(rules->engine, rules->token, now_ns, &request, ret_ticket,
                                                      &decision);
    ret_ticket->engine = rules->engine;
    *ret_answer_size = 0;
    *ret_wait_ns = decision.wait_ns;
    if (verdict != ENGINE_PASS)
        *ret_answer_size = write_answer(rules->engine, &facts, &decision, close, now_ns, answer);
    return verdict;
}

static enum engine_verdict policy_request(void *context, const struct http_head *head, bool close,
                                          struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                          size_t *ret_answer_size, uint64_t *ret_wait_ns) {
    enum engine_verdict verdict = ENGINE_PASS;
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    ret_ticket->resources_count = 0;
    if (!engine)
        return ENGINE_PASS;
    struct rules rules = rules_begin(engine);
    if (rules.image)
        verdict = decide_http(&rules, now_ns, context, head, close, ret_ticket, answer, ret_answer_size, ret_wait_ns);
    rules_end(&rules);
    return verdict;
}

/* In a forked child the streams are copies of the parent's, and so are the tickets in them: the parent ends those. */
static bool is_ours(const struct engine_ticket *ticket) {
    return ticket->resources_count && ticket->start_ns >= lifecycle_forked_ns();
}

static void end(struct engine_ticket *ticket, uint64_t now_ns, bool error, bool aborted) {
    if (is_ours(ticket))
        engine_exit(ticket->engine, ticket, now_ns, &(struct engine_outcome){.error = error, .aborted = aborted});
    ticket->resources_count = 0;
}

static void policy_response(void *context, struct engine_ticket *ticket, unsigned status, bool aborted,
                            uint64_t now_ns) {
    (void)context;
    end(ticket, now_ns, aborted || status >= 500, aborted);
}

static void policy_cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)context;
    if (is_ours(ticket))
        (answered ? engine_refuse : engine_cancel)(ticket->engine, ticket, now_ns);
    ticket->resources_count = 0;
}

static void policy_undecided(void *context) {
    (void)context;
    attach_count_undecided();
}

static bool policy_strict(void *context) {
    (void)context;
    struct engine *engine = attach_engine(clock_ns());
    if (!engine)
        return false;
    struct rules rules = rules_begin(engine);
    bool strict = rules.image && image_head(rules.image)->options.strict_http;
    rules_end(&rules);
    return strict;
}

const struct stream_policy admit_http = {
    .request = policy_request,
    .response = policy_response,
    .undecided = policy_undecided,
    .cancel = policy_cancel,
    .strict = policy_strict,
};

/* ----------------------------------------------------------------------------------------------- connections */

/* A connection's ticket is kept without the room for more holds than TCP_HOLDS; one that has more stands in a block of
 * its own, whose index takes the place of the first hold. */
enum { TCP_HOLDS_AT = offsetof(struct engine_ticket, holds), TCP_HOLDS = 3 };
_Static_assert(sizeof(((struct admit_connection *)0)->tcp) == TCP_HOLDS_AT + TCP_HOLDS * sizeof(uint32_t), "the cut");

static void tcp_keep(struct admit_connection *c, struct engine_ticket *ticket, uint64_t now_ns) {
    if (ticket->holds_count > TCP_HOLDS) {
        struct engine_ticket *whole = arena_take(sizeof(*whole));
        if (!whole) {
            engine_cancel(ticket->engine, ticket, now_ns);
            return;
        }
        *whole = *ticket;
        ticket->holds[0] = arena_index(whole);
    }
    memcpy(c->tcp, ticket, sizeof(c->tcp));
}

static void tcp_take(struct admit_connection *c, struct engine_ticket *ret_ticket) {
    memcpy(ret_ticket, c->tcp, sizeof(c->tcp));
    memset(c->tcp, 0, sizeof(c->tcp));
    if (ret_ticket->holds_count > TCP_HOLDS) {
        struct engine_ticket *whole = arena_at(ret_ticket->holds[0]);
        *ret_ticket = *whole;
        arena_give(whole, sizeof(*whole));
    }
}

static bool decide_connection(struct admit_connection *c, const struct resource_name *name, uint64_t *ret_wait_ns) {
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    *ret_wait_ns = 0;
    if (!engine)
        return true;
    enum engine_verdict verdict = ENGINE_PASS;
    struct rules rules = rules_begin(engine);
    if (rules.image) {
        char peer[ADDRESS_TEXT_MAX];
        uint32_t resource = engine_resource(engine, name->text, name->length, c->side);
        struct engine_request request = {
            .resources = &resource,
            .resources_count = 1,
            .side = c->side,
            .connection = true,
            .priority = PRIORITY_NORMAL,
            .acquire = 1,
            .origin = peer,
            .origin_length = c->side == SIDE_INBOUND ? address_text(c->peer, c->address_length, peer) : 0,
            .address = c->peer,
            .address_length = c->address_length,
        };
        struct engine_decision decision;
        struct engine_ticket ticket;
        verdict = engine_enter_within(engine, rules.token, now_ns, &request, &ticket, &decision);
        ticket.engine = engine;
        if (ticket.resources_count)
            tcp_keep(c, &ticket, now_ns);
        *ret_wait_ns = decision.wait_ns;
    }
    rules_end(&rules);
    return verdict != ENGINE_BLOCK;
}

bool admit_accept(struct admit_connection *c, uint64_t *ret_wait_ns) {
    struct resource_name name;
    name_listener(&name, "tcp", c);
    return decide_connection(c, &name, ret_wait_ns);
}

bool admit_connect(struct admit_connection *c, const struct sockaddr *to, socklen_t length, uint64_t *ret_wait_ns) {
    struct sockaddr_storage address; /* the caller's may be misaligned */
    struct resource_name name;
    c->side = SIDE_OUTBOUND;
    c->address_length = 0;
    *ret_wait_ns = 0;
    if (length > sizeof(address))
        return true;
    memcpy(&address, to, length);
    if (length >= sizeof(struct sockaddr_in) && address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        memcpy(c->peer, &v4->sin_addr, c->address_length = 4);
        c->port = ntohs(v4->sin_port);
    } else if (length >= sizeof(struct sockaddr_in6) && address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        memcpy(c->peer, &v6->sin6_addr, c->address_length = 16);
        c->port = ntohs(v6->sin6_port);
    } else {
        return true;
    }
    name_destination(&name, c);
    return decide_connection(c, &name, ret_wait_ns);
}

void admit_disconnect(struct admit_connection *c, bool error) {
    struct engine_ticket ticket;
    tcp_take(c, &ticket);
    if (ticket.resources_count)
        end(&ticket, clock_ns(), error, error);
}

enum tcp_reject admit_tcp_reject(void) {
    struct engine *engine = attach_engine(clock_ns());
    if (!engine)
        return TCP_REJECT_RESET;
    struct rules rules = rules_begin(engine);
    enum tcp_reject how = rules.image ? image_head(rules.image)->options.tcp_reject : TCP_REJECT_RESET;
    rules_end(&rules);
    return how;
}
