/* Requests: what the engine is told of one, and what becomes of its decision.  Knows neither the protocol (it is asked
 * through the message's own table) nor the direction (the connection's). */
#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/admission/caller.h"
#include "shim/admission/origin.h"
#include "shim/admission/refuse.h"
#include "shim/admission/resources.h"
#include "shim/admission/values.h"
#include "shim/process/arena.h"
#include "shim/process/attach.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/reentry.h"
#include "shim/protocol/list.h"

/* What engine_enter may ask for while it decides about one request. */
struct asked {
    const struct message *message;
    const void *ruleset;
    struct values_peer peer;
    struct values *values; /* of the parameter last asked for; NULL: none yet, they are large for a thread's stack */
    struct engine_value elements[VALUES_MAX];
};

static bool param_value(void *context, const struct rule_param *param, const char *field,
                        struct engine_value *ret_value) {
    struct asked *asked = context;
    struct values *values = asked->values ? asked->values : arena_take(sizeof(*values));
    (void)field;
    asked->values = values;
    if (!values)
        return false;
    values_of(asked->message, asked->ruleset, &asked->peer, param, values);
    for (size_t i = 0; i < values->count; i++)
        asked->elements[i] = (struct engine_value){
            .type = VALUE_STRING, .text = values->list[i].at, .length = values->list[i].size};
    if (values->count == 1)
        *ret_value = asked->elements[0];
    else
        *ret_value = (struct engine_value){.type = VALUE_LIST, .elements = asked->elements, .count = values->count};
    return values->count != 0;
}

bool admit_rules_begin(struct admit_rules *rules, struct engine *engine) {
    struct engine_rules in_force;
    if (!engine_rules_begin(engine, &in_force))
        return false;
    rules->engine = engine;
    rules->token = in_force.token;
    rules->ruleset = in_force.ruleset;
    rules->naming = in_force.naming;
    rules->key = in_force.generation * 0x9e3779b97f4a7c15u ^ (uintptr_t)engine;
    return true;
}

void admit_end(struct engine_ticket *ticket, uint64_t now_ns, bool error, bool aborted) {
    if (ticket->resources_count && ticket->start_ns >= atomic_load_explicit(&lifecycle_forked_ns, memory_order_relaxed))
        engine_exit(ticket->engine, ticket, now_ns, &(struct engine_outcome){.error = error, .aborted = aborted});
    ticket->resources_count = 0;
}

/* The ordinary case is this one function: the request as the engine wants it, its decision, and that is all. */
static enum engine_verdict decide(void *context, const struct message *message, bool *close,
                                  struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                  size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    struct admit_connection *c = context;
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    ret_ticket->resources_count = 0;
    *ret_answer_size = 0;
    *ret_turn_ns = 0;
    if (!engine)
        return ENGINE_PASS;
    struct admit_rules rules;
    if (!admit_rules_begin(&rules, engine))
        return ENGINE_PASS;

    struct origin origin;
    if (rules.ruleset->options.local_callers)
        caller_ask(c, rules.ruleset, reentry_top() ? reentry_top()->fd : -1);
    origin_find(&origin, rules.ruleset, c, message);
    struct asked asked; /* these two field by field: clearing them first would cost more */
    asked.message = message;
    asked.ruleset = rules.ruleset;
    asked.values = NULL;
    asked.peer = (struct values_peer){c->peer, c->address_length, origin.address, origin.address_length};
    uint32_t resources[ENGINE_RESOURCES_MAX];
    struct engine_request request;
    request.resources = resources;
    request.resources_count = resources_of_request(&rules, now_ns, message, c, resources);
    request.side = c->side;
    request.priority = PRIORITY_NORMAL;
    request.connection = request.prioritized = false;
    request.acquire = 1;
    origin_describe(&origin, &request);
    request.entrance = NULL;
    request.entrance_length = 0;
    request.bytes = message->content_length;
    request.args = NULL;
    request.args_count = 0;
    request.param = param_value;
    request.param_context = &asked;

    struct engine_result decision;
    enum engine_verdict verdict = engine_enter_within(engine, rules.token, now_ns, &request, ret_ticket, &decision);
    ret_ticket->engine = engine;
    if (asked.values)
        arena_give(asked.values, sizeof(*asked.values));
    if (verdict != ENGINE_PASS) {
        *ret_turn_ns = verdict == ENGINE_BLOCK ? refuse_time(&rules, &decision, now_ns) : now_ns + decision.wait_ns;
        *ret_answer_size = refuse_write(&rules, message, &request, &decision, now_ns, close, answer);
    }
    engine_read_end(engine, rules.token);
    return verdict;
}

static void done(void *context, struct engine_ticket *ticket, unsigned status, bool aborted, uint64_t now_ns) {
    (void)context;
    admit_end(ticket, now_ns, aborted || status >= 500, aborted);
}

static void policy_cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)context;
    if (ticket->resources_count && ticket->start_ns >= atomic_load_explicit(&lifecycle_forked_ns, memory_order_relaxed))
        (answered ? engine_refuse : engine_cancel)(ticket->engine, ticket, now_ns);
    ticket->resources_count = 0;
}

static void policy_undecided(void *context) {
    (void)context;
    attach_count_undecided();
}

static void policy_early(void *context) {
    (void)context;
    attach_count_early();
}

static bool policy_strict(void *context) {
    (void)context;
    struct engine *engine = attach_engine(clock_ns());
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return false;
    bool strict = rules.ruleset->options.strict_http;
    engine_read_end(engine, rules.token);
    return strict;
}

const struct stream_policy admit_http = {
    .request = decide,
    .response = done,
    .undecided = policy_undecided,
    .early = policy_early,
    .cancel = policy_cancel,
    .strict = policy_strict,
};

const struct stream_policy admit_http_only = {
    .request = decide,
    .response = done,
    .undecided = policy_undecided,
    .early = policy_early,
    .cancel = policy_cancel,
    .strict = policy_strict,
    .protocol = &http1,
};
