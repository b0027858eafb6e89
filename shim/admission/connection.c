/* Connections: one that is accepted or made is a request of its own. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "rules/layout.h"
#include "rules/ruleset.h"
#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/process/arena.h"
#include "shim/process/attach.h"
#include "shim/admission/caller.h"
#include "shim/admission/listener.h"
#include "shim/admission/handover.h"
#include "shim/process/clock.h"
#include "shim/admission/resources.h"
#include "shim/admission/origin.h"
#include "shim/admission/values.h"

/* A connection's ticket is kept without the room for more leases than TCP_LEASES; one that has more stands in a block
 * of its own, whose index takes the place of the first hold. */
enum { TCP_LEASES_AT = offsetof(struct engine_ticket, leases), TCP_LEASES = 3 };
_Static_assert(sizeof(((struct admit_connection *)0)->tcp) == TCP_LEASES_AT + TCP_LEASES * sizeof(uint32_t), "the cut");

static void tcp_keep(struct admit_connection *c, struct engine_ticket *ticket, uint64_t now_ns) {
    if (ticket->leases_count > TCP_LEASES) {
        struct engine_ticket *whole = arena_take(sizeof(*whole));
        if (!whole) {
            engine_cancel(ticket->engine, ticket, now_ns);
            return;
        }
        *whole = *ticket;
        ticket->leases[0] = arena_index(whole);
    }
    memcpy(c->tcp, ticket, sizeof(c->tcp));
}

static void tcp_take(struct admit_connection *c, struct engine_ticket *ret_ticket) {
    memcpy(ret_ticket, c->tcp, sizeof(c->tcp));
    memset(c->tcp, 0, sizeof(c->tcp));
    if (ret_ticket->leases_count > TCP_LEASES) {
        struct engine_ticket *whole = arena_at(ret_ticket->leases[0]);
        *ret_ticket = *whole;
        arena_give(whole, sizeof(*whole));
    }
}

/* The error of a refused attempt to connect, as the rule's block action has it. */
static int refusal(const void *ruleset, const struct engine_result *decision) {
    const struct rule *rule = decision->rule < ruleset_head(ruleset)->rules_count
                                  ? &ruleset_rules(ruleset)[decision->rule]
                                  : NULL;
    uint32_t chosen = rule && rule->block_action ? ruleset_actions(ruleset)[rule->block_action - 1].error_number : 0;
    return chosen ? (int)chosen : ECONNREFUSED;
}

struct asked { /* what rules about values may ask of a connection */
    const void *ruleset;
    struct values_peer peer;
    bool inbound;
    struct address_range client;
    char text[VALUES_CLIENT_TEXT];
};

/* It says who the client is, and nothing else. */
static bool param_value(void *context, const struct rule_param *param, const char *field,
                        struct engine_value *ret_value) {
    struct asked *asked = context;
    (void)field;
    if (param->source != PARAM_CLIENT_IP || !asked->inbound)
        return false;
    size_t length = values_client(asked->ruleset, &asked->peer, &asked->client, asked->text);
    *ret_value = (struct engine_value){.type = VALUE_STRING,
                                       .text = asked->text,
                                       .length = length,
                                       .address = asked->client.length ? &asked->client : NULL};
    return length != 0;
}

/* 0, or an error. */
static int decide_connection(struct admit_connection *c, int fd, uint64_t *ret_wait_ns) {
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    *ret_wait_ns = 0;
    if (!engine)
        return 0;
    struct admit_rules rules;
    if (!admit_rules_begin(&rules, engine))
        return 0;
    struct origin origin;
    uint32_t resources[ENGINE_RESOURCES_MAX];
    caller_ask(c, rules.ruleset, fd);
    origin_find(&origin, rules.ruleset, c, NULL);
    struct asked asked;
    asked.ruleset = rules.ruleset;
    asked.peer = (struct values_peer){c->peer, c->address_length, origin.address, origin.address_length};
    asked.inbound = c->side == SIDE_INBOUND;
    struct engine_request request = {
        .param = param_value,
        .param_context = &asked,
        .resources = resources,
        .resources_count = resources_of_connection(&rules, c, resources),
        .side = c->side,
        .connection = true,
        .priority = PRIORITY_NORMAL,
        .acquire = 1,
    };
    listener_recall(c);
    origin_describe(&origin, &request);
    struct engine_result decision;
    struct engine_ticket ticket;
    enum engine_verdict verdict = engine_enter_within(engine, rules.token, now_ns, &request, &ticket, &decision);
    ticket.engine = engine;
    if (ticket.resources_count)
        tcp_keep(c, &ticket, now_ns);
    *ret_wait_ns = decision.wait_ns;
    int error = verdict == ENGINE_BLOCK ? refusal(rules.ruleset, &decision) : 0;
    if (error) /* no client is sent its id; events and the journal name it */
        engine_rejection(engine, rules.token, now_ns, &request, &decision, "", 0);
    engine_read_end(engine, rules.token);
    return error;
}

bool admit_accept(struct admit_connection *c, int fd, uint64_t *ret_wait_ns) {
    return decide_connection(c, fd, ret_wait_ns) == 0;
}

int admit_connect(struct admit_connection *c, const struct sockaddr *to, socklen_t length, uint64_t *ret_wait_ns) {
    struct sockaddr_storage address; /* the caller's may be misaligned */
    c->side = SIDE_OUTBOUND;
    c->address_length = 0;
    *ret_wait_ns = 0;
    if (length > sizeof(address))
        return 0;
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
        return 0;
    }
    return decide_connection(c, -1, ret_wait_ns);
}

void admit_disconnect(struct admit_connection *c, bool error) {
    struct engine_ticket ticket;
    tcp_take(c, &ticket);
    if (handover_is(&ticket))
        handover_end(&ticket, false, error, clock_ns());
    else if (ticket.resources_count)
        admit_end(&ticket, clock_ns(), error, error);
}

static void count_fate(struct admit_connection *c, unsigned fate) {
    struct engine *engine = attach_engine(clock_ns());
    struct admit_rules rules;
    uint32_t resources[ENGINE_RESOURCES_MAX];
    if (c->side != SIDE_INBOUND || !engine || !admit_rules_begin(&rules, engine))
        return;
    uint32_t count = resources_of_connection(&rules, c, resources);
    engine_count_fate(engine, resources[count - 1], fate);
    engine_read_end(engine, rules.token);
}

/* A program that speaks first, and of which nothing is known but that, is one that was not read from so far. */
void admit_opaque(void *context, enum opaque_reason why) {
    struct admit_connection *c = context;
    if (why == OPAQUE_RESPONSE && !c->judged)
        return; /* admit_count_end */
    c->opaque = true;
    count_fate(c, FATE_OPAQUE + (unsigned)why - 1);
}

void admit_count_end(struct admit_connection *c, const struct stream *stream) {
    enum opaque_reason why = stream_is_opaque(stream);
    if (c->judged || c->opaque)
        return;
    if (!stream_was_read(stream))
        count_fate(c, FATE_UNREAD);
    else
        count_fate(c, why && why != OPAQUE_ENDED ? FATE_OPAQUE + (unsigned)why - 1 : FATE_EMPTY);
}

/* ------------------------------------------------------------------------------- held by other processes, too */

static bool holds(const struct engine_ticket *ticket) {
    return ticket->resources_count && ticket->leases_count;
}

bool admit_holds(const struct admit_connection *c) {
    const struct engine_ticket *ticket = (const struct engine_ticket *)(const void *)c->tcp;
    return holds(ticket);
}

bool admit_send(struct admit_connection *c, const struct custody_identity *identity, uint32_t round) {
    struct engine_ticket ticket;
    tcp_take(c, &ticket);
    bool sent = handover_send(&ticket, identity, round);
    if (ticket.resources_count)
        tcp_keep(c, &ticket, clock_ns());
    return sent;
}

void admit_unsend(struct admit_connection *c) {
    struct engine_ticket ticket;
    tcp_take(c, &ticket);
    handover_unsend(&ticket);
    if (ticket.resources_count)
        tcp_keep(c, &ticket, clock_ns());
}

void admit_join(struct admit_connection *c, uint32_t round) {
    handover_join((struct engine_ticket *)(void *)c->tcp, round);
}

void admit_receive(struct admit_connection *c, const struct custody_identity *identity) {
    struct engine_ticket ticket;
    struct engine *engine = attach_engine(clock_ns());
    if (!engine)
        return;
    handover_receive(engine, identity, &ticket);
    if (ticket.resources_count)
        tcp_keep(c, &ticket, clock_ns());
}

enum tcp_reject admit_tcp_reject(void) {
    struct engine *engine = attach_engine(clock_ns());
    if (!engine)
        return TCP_REJECT_RESET;
    struct admit_rules rules;
    if (!admit_rules_begin(&rules, engine))
        return TCP_REJECT_RESET;
    enum tcp_reject how = rules.ruleset->options.tcp_reject;
    engine_read_end(engine, rules.token);
    return how;
}
