#include "shim/admission/refuse.h"

#include "rules/alone.h"
#include "rules/rejection_id.h"
#include "rules/ruleset.h"
#include "shim/protocol/refusal.h"
#include "shim/session/stream.h"

enum { FIELD_ROOM = 32 }; /* the session may have to add whether the connection ends */

/* How many answers of one block action may be held back at a time, about: who lets us wait for him takes up a
 * connection, and a thread where the server has one for each. */
enum { DELAYED_MAX = 128, DELAY_SCHEDULES = 16 };

/* When an answer is to be given: 0 at once.  A virtual schedule in one word for each block action (delays of different
 * length must not be in one another's way); nothing has to be given back. */
uint64_t refuse_time(const struct admit_rules *rules, const struct engine_result *decision, uint64_t now_ns) {
    static uint64_t schedules[DELAY_SCHEDULES];
    const struct ruleset_header *ruleset = rules->ruleset;
    uint32_t action = decision->rule < ruleset->rules_count ? ruleset_rules(ruleset)[decision->rule].block_action : 0;
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

size_t refuse_write(const struct admit_rules *rules, const struct message *message,
                    const struct engine_request *request, const struct engine_result *decision, uint64_t now_ns,
                    bool *close, char *ret_answer) {
    const struct ruleset_header *ruleset = rules->ruleset;
    struct slice trace = message_trace_id(message);
    char id[REJECTION_ID_MAX] = "";
    if (decision->verdict == ENGINE_BLOCK) /* (an answer to a request that may wait is hardly ever given) */
        rejection_id_write(
            id, engine_hash_seed(rules->engine),
            engine_rejection(rules->engine, rules->token, now_ns, request, decision, trace.at, trace.size));
    struct refusal refusal = {
        .kind = REFUSED_BY_RULE,
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
        .rate_headers = ruleset->options.rate_limit_headers,
        .origin = request->origin,
        .origin_length = request->origin_length,
    };
    struct refusal_action action;
    if (decision->rule < ruleset->rules_count) {
        const struct rule *rule = &ruleset_rules(ruleset)[decision->rule];
        refusal.rule = ruleset_text(ruleset, rule->id);
        if (rule->block_action) {
            action = refusal_action_of(ruleset, rule);
            refusal.action = &action;
            *close |= ruleset_actions(ruleset)[rule->block_action - 1].close;
        }
    }
    refusal.close = *close;
    refusal.resource = engine_resource_name(rules->engine, decision->resource, &refusal.resource_length);
    return message->protocol->refuse(message, &refusal, ret_answer, STREAM_TEXT_MAX - FIELD_ROOM);
}
