/* Requests: what the engine is told of one, and the answer of a rejection. */
#include <string.h>

#include "rules/alone.h"
#include "rules/ruleset.h"
#include "rules/rejection_id.h"
#include "rules/naming/route.h"
#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/admission/answer.h"
#include "shim/process/arena.h"
#include "shim/process/attach.h"
#include "shim/admission/caller.h"
#include "shim/process/reentry.h"
#include "shim/process/clock.h"
#include "shim/admission/http_params.h"
#include "shim/admission/http_values.h"
#include "shim/admission/resources.h"
#include "shim/admission/origin.h"
#include "shim/protocol/http1/http1.h"

enum { HEADER_ROOM = 32 }; /* the stream may have to add a header of connection */

/* What engine_enter may ask for while it decides about one request. */
struct http_facts {
    const struct message *head;
    const void *ruleset;
    const struct origin *origin;
    struct http_peer peer;
    struct http_values
        *values; /* of the parameter last asked for; NULL: none yet, they are large for a thread's stack */
    struct engine_value elements[HTTP_VALUES_MAX];
};

static bool param_value(void *context, const struct rule_param *param, const char *field,
                        struct engine_value *ret_value) {
    struct http_facts *facts = context;
    struct http_values *values = facts->values ? facts->values : arena_take(sizeof(*values));
    (void)field;
    facts->values = values;
    if (!values)
        return false;
    http_values(facts->head, facts->ruleset, &facts->peer, param, values);
    for (size_t i = 0; i < values->count; i++)
        facts->elements[i] = (struct engine_value){
            .type = VALUE_STRING, .text = values->list[i].at, .length = values->list[i].size};
    if (values->count == 1)
        *ret_value = facts->elements[0];
    else
        *ret_value = (struct engine_value){.type = VALUE_LIST, .elements = facts->elements, .count = values->count};
    return values->count != 0;
}

static bool wants_html(const struct message *head) {
    struct slice accept = message_field(head, "accept");
    return accept.at && memmem(accept.at, accept.size, "text/html", 9) != NULL;
}

static struct answer_action action_of(const void *ruleset, const struct rule *rule) {
    const struct ruleset_block_action *action = &ruleset_actions(ruleset)[rule->block_action - 1];
    return (struct answer_action){
        .status = action->status,
        .headers = ruleset_text(ruleset, action->headers),
        .content_type = ruleset_text(ruleset, action->content_type),
        .body = ruleset_text(ruleset, action->body),
        .redirect = ruleset_text(ruleset, action->redirect),
    };
}

static size_t write_answer(const struct admit_rules *rules, const struct engine_request *request,
                           const struct engine_decision *decision, bool *close, uint64_t now_ns, char *answer) {
    const struct http_facts *facts = request->param_context;
    const struct message *head = facts->head;
    struct slice trace = http_trace_id(head);
    char id[REJECTION_ID_MAX] = "";
    if (decision->verdict == ENGINE_BLOCK) /* (an answer to a request that may wait is hardly ever given) */
        rejection_id_write(
            id, engine_hash_seed(rules->engine),
            engine_rejection(rules->engine, rules->token, now_ns, request, decision, trace.at, trace.size));
    struct answer_facts f = {
        .id = id,
        .reason = decision->reason,
        .rule = "",
        .trace = trace.at,
        .trace_length = trace.size,
        .limit = decision->limit,
        .remaining = decision->remaining,
        .interval_ns = decision->interval_ns,
        .retry_ns = decision->retry_ns,
        .now_ns = now_ns,
        .rate_headers = ruleset_head(facts->ruleset)->options.rate_limit_headers,
        .head = head->method_id == HTTP_METHOD_HEAD,
        .html = wants_html(head),
        .origin = facts->origin->names[0].text,
        .origin_length = facts->origin->names[0].length,
    };
    struct answer_action action;
    if (decision->rule < ruleset_head(facts->ruleset)->rules_count) {
        const struct rule *rule = &ruleset_rules(facts->ruleset)[decision->rule];
        f.rule = ruleset_text(facts->ruleset, rule->id);
        if (rule->block_action) {
            action = action_of(facts->ruleset, rule);
            f.action = &action;
            *close |= ruleset_actions(facts->ruleset)[rule->block_action - 1].close;
        }
    }
    f.close = *close;
    f.resource = engine_resource_name(rules->engine, decision->resource, &f.resource_length);
    return answer_write(answer, STREAM_TEXT_MAX - HEADER_ROOM, &f);
}

/* How many answers of one block action may be held back at a time, about: who lets us wait for him takes up a
 * connection, and a thread where the server has one for each. */
enum { DELAYED_MAX = 128, DELAY_SCHEDULES = 16 };

/* When an answer is to be given: 0 at once.  A virtual schedule in one word for each block action (delays of different
 * length must not be in one another's way); nothing has to be given back. */
static uint64_t answer_time(const void *ruleset, const struct engine_decision *decision, uint64_t now_ns) {
    static uint64_t schedules[DELAY_SCHEDULES];
    uint32_t action = decision->rule < ruleset_head(ruleset)->rules_count
                          ? ruleset_rules(ruleset)[decision->rule].block_action
                          : 0;
    uint64_t delay_ns = action ? ruleset_actions(ruleset)[action - 1].delay_ms * UINT64_C(1000000) : 0;
    if (!delay_ns)
        return 0;
    uint64_t *schedule = &schedules[action % DELAY_SCHEDULES], next_ns;
    uint64_t due_ns = __atomic_load_n(schedule, __ATOMIC_RELAXED);
    do {
        if (due_ns > now_ns + delay_ns)
            return 0;
        next_ns = (due_ns > now_ns ? due_ns : now_ns) + delay_ns / DELAYED_MAX;
    } while (!alone_take64(schedule, &due_ns, next_ns));
    return now_ns + delay_ns;
}

static enum engine_verdict decide_http(const struct admit_rules *rules, uint64_t now_ns, struct admit_connection *c,
                                       const struct message *head, bool *close, struct engine_ticket *ret_ticket,
                                       char *answer, size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    struct origin origin;
    caller_ask(c, rules->ruleset, reentry_top() ? reentry_top()->fd : -1);
    origin_find(&origin, rules->ruleset, c, head);
    struct http_facts facts;
    facts.head = head;
    facts.ruleset = rules->ruleset;
    facts.origin = &origin;
    facts.values = NULL;
    facts.peer = (struct http_peer){c->peer, c->address_length, origin.address, origin.address_length};
    uint32_t resources[ENGINE_RESOURCES_MAX];
    struct engine_request request; /* field by field: clearing it first would cost more */
    request.resources = resources;
    request.resources_count = names_of_request(rules, head, c, resources);
    request.side = SIDE_INBOUND;
    request.priority = PRIORITY_NORMAL;
    request.connection = request.prioritized = false;
    request.acquire = 1;
    origin_describe(&origin, &request);
    request.entrance = NULL;
    request.entrance_length = 0;
    request.bytes = head->content_length;
    request.args = NULL;
    request.args_count = 0;
    request.param = param_value;
    request.param_context = &facts;
    struct engine_decision decision;
    enum engine_verdict verdict = engine_enter_within(rules->engine, rules->token, now_ns, &request, ret_ticket,
                                                      &decision);
    ret_ticket->engine = rules->engine;
    *ret_answer_size = 0;
    *ret_turn_ns = verdict == ENGINE_BLOCK ? answer_time(rules->ruleset, &decision, now_ns) : now_ns + decision.wait_ns;
    if (facts.values)
        arena_give(facts.values, sizeof(*facts.values));
    if (verdict != ENGINE_PASS)
        *ret_answer_size = write_answer(rules, &request, &decision, close, now_ns, answer);
    return verdict;
}

static enum engine_verdict policy_request(void *context, const struct message *head, bool *close,
                                          struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                          size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    enum engine_verdict verdict = ENGINE_PASS;
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    ret_ticket->resources_count = 0;
    if (!engine)
        return ENGINE_PASS;
    struct admit_rules rules = admit_rules_begin(engine);
    if (rules.ruleset)
        verdict = decide_http(&rules, now_ns, context, head, close, ret_ticket, answer, ret_answer_size, ret_turn_ns);
    admit_rules_end(&rules);
    return verdict;
}

/* Ports at which this process has answered in HTTP, a bit for each. */
static uint64_t spoken[65536 / 64];

static void remember_port(const struct admit_connection *c) {
    uint64_t bit = UINT64_C(1) << c->port % 64;
    if (!(__atomic_load_n(&spoken[c->port / 64], __ATOMIC_RELAXED) & bit))
        __atomic_fetch_or(&spoken[c->port / 64], bit, __ATOMIC_RELAXED);
}

static bool policy_expected(void *context) {
    const struct admit_connection *c = context;
    return c->port && __atomic_load_n(&spoken[c->port / 64], __ATOMIC_RELAXED) >> c->port % 64 & 1;
}

static void policy_response(void *context, struct engine_ticket *ticket, unsigned status, bool aborted,
                            uint64_t now_ns) {
    if (status)
        remember_port(context);
    admit_end(ticket, now_ns, aborted || status >= 500, aborted);
}

static void policy_cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)context;
    if (admit_is_ours(ticket))
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
    struct admit_rules rules = admit_rules_begin(engine);
    bool strict = rules.ruleset && ruleset_head(rules.ruleset)->options.strict_http;
    admit_rules_end(&rules);
    return strict;
}

const struct stream_policy admit_http = {
    .request = policy_request,
    .response = policy_response,
    .undecided = policy_undecided,
    .cancel = policy_cancel,
    .strict = policy_strict,
    .expected = policy_expected,
};

const struct stream_policy admit_http_only = {
    .request = policy_request,
    .response = policy_response,
    .undecided = policy_undecided,
    .cancel = policy_cancel,
    .strict = policy_strict,
    .http_only = true,
};
