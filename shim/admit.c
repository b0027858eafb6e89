#include "shim/admit.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/image.h"
#include "rules/layout.h"
#include "rules/route.h"
#include "shim/answer.h"
#include "shim/attach.h"
#include "shim/clock.h"
#include "shim/http_params.h"
#include "shim/protocol/http1.h"

/* Names are found once and then remembered here, by a hash of method and path that is keyed by the engine and its
 * generation of rules: 50 bits of the hash and 14 of the resource entry in one atomic word.  Two paths of one hash would
 * share a resource; a client that does not know the key cannot choose such a pair. */
enum { NAMES = 4096, RESOURCE_BITS = 14 };
_Static_assert(LAYOUT_RESOURCES <= 1 << RESOURCE_BITS, "a resource entry fits beside the hash");
static _Atomic uint64_t names[NAMES];

static uint64_t names_key(struct engine *engine) { return engine_generation(engine) * 0x9e3779b97f4a7c15u ^ (uintptr_t)engine; }

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
    if (c->unix_path[0]) {
        name_add(ret_name, ":unix:", 6);
        name_add(ret_name, c->unix_path, strnlen(c->unix_path, sizeof(c->unix_path)));
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

static uint32_t route_resource(struct engine *engine, const struct http_head *head) {
    const char *query = memchr(head->target.at, '?', head->target.size);
    size_t path = query ? (size_t)(query - head->target.at) : head->target.size;
    uint64_t hash = hash_bytes(hash_bytes(names_key(engine), head->method.at, head->method.size), head->target.at, path);
    _Atomic uint64_t *slot = &names[hash % NAMES];
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed), mask = ((uint64_t)1 << RESOURCE_BITS) - 1;
    if (seen && ((seen ^ hash) & ~mask) == 0)
        return (uint32_t)(seen & mask);

    char name[LAYOUT_RESOURCE_NAME_MAX];
    size_t length = route_name(engine_image(engine), head->method.at, head->method.size, head->target.at, head->target.size,
                               name, sizeof(name));
    uint32_t resource = engine_resource(engine, name, length, SIDE_INBOUND);
    if (resource != ENGINE_OTHER) /* what is beyond the budget today may have room tomorrow */
        atomic_store_explicit(slot, (hash & ~mask) | resource, memory_order_relaxed);
    return resource;
}

/* The API groups that the path falls in, behind the route; room for the listener is left. */
static uint32_t group_resources(struct engine *engine, const struct http_head *head, uint32_t *resources) {
    const void *image = engine_image(engine);
    uint32_t groups[ENGINE_RESOURCES_MAX - 2], count = 1;
    if (!image_head(image)->routes_count)
        return count;
    size_t found = route_groups(image, NULL, head->target.at, head->target.size, groups, ENGINE_RESOURCES_MAX - 2);
    for (size_t i = 0; i < found && i < ENGINE_RESOURCES_MAX - 2; i++) {
        const char *name = image_text(image, groups[i]);
        resources[count++] = engine_resource(engine, name, strlen(name), SIDE_INBOUND);
    }
    return count;
}

static uint32_t listener_resource(struct engine *engine, struct admit_connection *c) {
    uint64_t key = names_key(engine) | 1;
    if (c->generation != key) {
        struct resource_name name;
        name_listener(&name, "http", c);
        c->listener = engine_resource(engine, name.text, name.length, SIDE_INBOUND);
        c->generation = key;
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
        return http_client_address(head, http_trusted_peer(facts->image, facts->connection->peer, facts->connection->address_length),
                                   facts->peer, facts->peer_length);
    case PARAM_HOST: return head->host;
    case PARAM_HEADER:
        value.at = http_head_find(head, field, &value.size);
        return value;
    case PARAM_URL: return http_url_parameter(head->target, field, strlen(field));
    case PARAM_COOKIE: return http_cookie(head, field, strlen(field));
    case PARAM_PATH:
        value.size = route_path(head->target.at, head->target.size, facts->path, sizeof(facts->path));
        value.at = facts->path;
        return http_path_segment(value, param->segment);
    default: return (struct http_slice){NULL, 0};
    }
}

static bool http_param(void *context, const struct rule_param *param, const char *field, struct engine_value *ret_value) {
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

static size_t write_answer(struct engine *engine, const struct http_facts *facts, const struct engine_decision *decision,
                           bool close, uint64_t now_ns, char *answer) {
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

static enum engine_verdict decide_http(struct engine *engine, struct admit_connection *c, const struct http_head *head,
                                       bool close, struct engine_ticket *ret_ticket, char *answer, size_t *ret_answer_size,
                                       uint64_t *ret_wait_ns) {
    uint64_t now_ns = clock_ns();
    char peer[ADDRESS_TEXT_MAX];
    size_t peer_length = address_text(c->peer, c->address_length, peer);
    struct http_facts facts; /* not cleared: the path is large */
    facts.head = head;
    facts.connection = c;
    facts.image = engine_image(engine);
    facts.peer = peer;
    facts.peer_length = peer_length;
    uint32_t resources[ENGINE_RESOURCES_MAX] = {route_resource(engine, head)};
    uint32_t resources_count = group_resources(engine, head, resources);
    resources[resources_count++] = listener_resource(engine, c);
    struct engine_request request = {
        .resources = resources,
        .resources_count = resources_count,
        .side = SIDE_INBOUND,
        .priority = PRIORITY_NORMAL,
        .acquire = 1,
        .origin = peer,
        .origin_length = peer_length,
        .address = c->peer,
        .address_length = c->address_length,
        .bytes = head->content_length,
        .param = http_param,
        .param_context = &facts,
    };
    struct engine_decision decision;
    enum engine_verdict verdict = engine_enter(engine, now_ns, &request, ret_ticket, &decision);
    ret_ticket->engine = engine;
    *ret_answer_size = 0;
    *ret_wait_ns = decision.wait_ns;
    if (verdict != ENGINE_PASS)
        *ret_answer_size = write_answer(engine, &facts, &decision, close, now_ns, answer);
    return verdict;
}

static enum engine_verdict policy_request(void *context, const struct http_head *head, bool close,
                                          struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                          size_t *ret_answer_size, uint64_t *ret_wait_ns) {
    enum engine_verdict verdict = ENGINE_PASS;
    struct engine *engine = attach_engine(clock_ns());
    ret_ticket->resources_count = 0;
    if (!engine)
        return ENGINE_PASS;
    uint32_t token = engine_read_begin(engine);
    if (engine_image(engine))
        verdict = decide_http(engine, context, head, close, ret_ticket, answer, ret_answer_size, ret_wait_ns);
    engine_read_end(engine, token);
    return verdict;
}

static void end(struct engine_ticket *ticket, uint64_t now_ns, bool error, bool aborted) {
    if (ticket->resources_count)
        engine_exit(ticket->engine, ticket, now_ns, &(struct engine_outcome){.error = error, .aborted = aborted});
    ticket->resources_count = 0;
}

static void policy_response(void *context, struct engine_ticket *ticket, unsigned status, bool aborted, uint64_t now_ns) {
    (void)context;
    end(ticket, now_ns, aborted || status >= 500, aborted);
}

static void policy_cancel(void *context, struct engine_ticket *ticket, uint64_t now_ns) {
    (void)context;
    if (ticket->resources_count)
        engine_cancel(ticket->engine, ticket, now_ns);
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
    uint32_t token = engine_read_begin(engine);
    const void *image = engine_image(engine);
    bool strict = image && image_head(image)->options.strict_http;
    engine_read_end(engine, token);
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

static bool decide_connection(struct admit_connection *c, const struct resource_name *name, uint64_t *ret_wait_ns) {
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    c->tcp.resources_count = 0;
    *ret_wait_ns = 0;
    if (!engine)
        return true;
    enum engine_verdict verdict = ENGINE_PASS;
    uint32_t token = engine_read_begin(engine);
    if (engine_image(engine)) {
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
        verdict = engine_enter(engine, now_ns, &request, &c->tcp, &decision);
        c->tcp.engine = engine;
        *ret_wait_ns = decision.wait_ns;
    }
    engine_read_end(engine, token);
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
    if (c->tcp.resources_count)
        end(&c->tcp, clock_ns(), error, error);
}

enum tcp_reject admit_tcp_reject(void) {
    struct engine *engine = attach_engine(clock_ns());
    if (!engine)
        return TCP_REJECT_RESET;
    uint32_t token = engine_read_begin(engine);
    const void *image = engine_image(engine);
    enum tcp_reject how = image ? image_head(image)->options.tcp_reject : TCP_REJECT_RESET;
    engine_read_end(engine, token);
    return how;
}
