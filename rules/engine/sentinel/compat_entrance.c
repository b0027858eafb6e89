/* Rules with strategy "chain" on live traffic.
 *
 * A call that names the entrance it came through has entered there, as in Sentinel: its context.  A request on the wire
 * names none: it has entered through each resource that it counts for (its listener, its route, its groups), as the
 * servlet adapters make the web resource the context.  What is counted for (resource, entrance) is then kept only where
 * a chain rule of the resource asks for it. */
#include <string.h>

#include "rules/engine/sentinel/compat_call.h"

bool compat_entered_through(const struct compat_call *call, struct compat_text name) {
    const struct engine_request *request = call->request;
    if (!call->compat->listener || request->entrance_length || request->side != SIDE_INBOUND)
        return false;
    for (uint32_t i = 0; i < request->resources_count && i < ENGINE_RESOURCES_MAX; i++)
        if (compat_text_is(name, call->names[i].text, call->names[i].length))
            return true;
    return false;
}

struct compat_node *compat_entrance_node(struct compat_call *call, struct compat_text name) {
    struct compat_named_node *node = compat_node_of(call->compat, &call->resource->contexts, name.bytes, name.length);
    return node ? &node->node : NULL;
}

/* Two rules may name the same entrance. */
static bool seen_before(const struct compat_list *list, uint32_t at) {
    for (uint32_t i = 0; i < at; i++)
        if (list->rules[i]->strategy == STRATEGY_CHAIN &&
            compat_text_is(list->rules[i]->ref, list->rules[at]->ref.bytes, list->rules[at]->ref.length))
            return true;
    return false;
}

static void count_at(struct compat_call *call, struct compat_node *node, bool pass) {
    int32_t acquire = (int32_t)call->request->acquire;
    int64_t max_rt_ms = call->compat->max_rt_ms;
    struct compat_entrance *entrance = pass ? compat_take(&call->compat->arena, sizeof *entrance) : NULL;
    if (!pass) {
        compat_node_block(node, call->at, acquire, max_rt_ms);
    } else if (entrance) { /* without memory what is in flight could not be taken back */
        *entrance = (struct compat_entrance){call->entrances, node};
        call->entrances = entrance;
        if (call->occupied)
            node->in_flight++;
        else
            compat_node_pass(node, call->at, acquire, max_rt_ms);
    }
}

void compat_entrances_count(struct compat_call *call, bool pass) {
    const struct compat_list *list = compat_rules_of(call->compat, call->resource, FAMILY_FLOW);
    for (uint32_t i = 0; i < list->count && list->chains; i++) {
        const struct compat_rule *rule = list->rules[i];
        if (rule->strategy != STRATEGY_CHAIN || !compat_entered_through(call, rule->ref) || seen_before(list, i))
            continue;
        struct compat_node *node = compat_entrance_node(call, rule->ref);
        if (node)
            count_at(call, node, pass);
    }
}
