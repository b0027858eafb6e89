/* The way of one call through Sentinel's slots, and out again. */
#include "rules/engine/sentinel/compat_call.h"

#include <string.h>

enum { PROBE_BITS = 8 };
_Static_assert((int)ENGINE_RESOURCES_MAX <= (int)PROBE_BITS, "a bit for each resource");
_Static_assert((int)ENGINE_RESOURCES_MAX *COMPAT_LEASES <= (int)ENGINE_LEASES_MAX,
               "what a call holds fits into its ticket");

struct compat_moment compat_moment_of(struct compat *compat, uint64_t now_ns) {
    if (now_ns > INT64_MAX)
        now_ns = INT64_MAX;
    if (now_ns < compat->last_ns) /* threads may come in another order than they looked at the clock */
        now_ns = compat->last_ns;
    compat->last_ns = now_ns;
    return compat_moment(now_ns);
}

/* --------------------------------------------------------------------------------------------- names and places */

static struct compat_resource *resource_of(struct compat *compat, const struct compat_name *name) {
    uint64_t hash = hash_bytes(compat->seed, name->text, name->length);
    struct compat_resource *resource = compat_map_find(&compat->resources, hash, name->text, name->length);
    if (resource || compat->resources.count >= compat->max_resources)
        return resource;
    resource = compat_take(&compat->arena, sizeof *resource);
    if (!resource)
        return NULL;
    resource->item.hash = hash;
    if (!compat_map_add(&compat->arena, &compat->resources, &resource->item, name->text, name->length)) {
        compat_give(&compat->arena, resource, sizeof *resource);
        return NULL;
    }
    resource->next = compat->resource_list;
    compat->resource_list = resource;
    return resource;
}

struct compat_named_node *compat_node_of(struct compat *compat, struct compat_map *map, const char *name,
                                         size_t length) {
    uint64_t hash = hash_bytes(compat->seed, name, length);
    struct compat_named_node *node = compat_map_find(map, hash, name, length);
    if (node || !(node = compat_take(&compat->arena, sizeof *node)))
        return node;
    node->item.hash = hash;
    if (compat_map_add(&compat->arena, map, &node->item, name, length))
        return node;
    compat_give(&compat->arena, node, sizeof *node);
    return NULL;
}

/* Sentinel knows 2000 contexts in addition to the default one; a call in another one is not looked at. */
bool compat_context_known(struct compat *compat, const char *name, size_t length) {
    uint64_t hash = hash_bytes(compat->seed, name, length);
    if (compat_map_find(&compat->contexts, hash, name, length))
        return true;
    if (compat->contexts.count > COMPAT_CONTEXTS)
        return false;
    struct compat_item *item = compat_take(&compat->arena, sizeof *item);
    if (!item)
        return false;
    item->hash = hash;
    if (compat_map_add(&compat->arena, &compat->contexts, item, name, length))
        return true;
    compat_give(&compat->arena, item, sizeof *item);
    return false;
}

/* Finds or makes everything that a call at a resource is counted on. */
static bool find_nodes(struct compat_call *call, const struct compat_name *name) {
    struct compat *compat = call->compat;
    const struct engine_request *request = call->request;
    const char *context = request->entrance_length ? request->entrance : COMPAT_DEFAULT_CONTEXT;
    size_t length = request->entrance_length ? request->entrance_length : sizeof COMPAT_DEFAULT_CONTEXT - 1;
    if (!compat_context_known(compat, context, length) || !(call->resource = resource_of(compat, name)) ||
        !(call->context = compat_node_of(compat, &call->resource->contexts, context, length)))
        return false;
    call->origin = NULL;
    if (!request->origin_length)
        return true;
    call->origin = compat_node_of(compat, &call->resource->origins, request->origin, request->origin_length);
    return call->origin != NULL;
}

/* ------------------------------------------------------------------------------------------------- what is reported */

void compat_say(struct compat_call *call, uint32_t index, enum reason reason) {
    const struct compat *compat = call->compat;
    const struct rule *rule = compat_rule_at(compat, index);
    struct engine_result *result = call->result;
    result->reason = (uint8_t)reason;
    result->rule = compat->listener ? compat->listener->number(compat->owner, call->call, rule) : index;
    result->resource = call->entry;
    result->limit = !rule                                                    ? 0
                    : rule->kind == RULE_PARAM || rule->kind == RULE_GATEWAY ? call->value_limit
                                                                             : rule->count;
    result->interval_ns = 0;
    if (!rule || rule->kind == RULE_AUTHORITY || rule->kind == RULE_ISOLATION || rule->kind == RULE_DEGRADE)
        return;
    if (rule->grade == (rule->kind == RULE_SYSTEM ? (int)SYSTEM_QPS : (int)GRADE_QPS))
        result->interval_ns = reason == REASON_PARAM ? rule->interval_ns : 1000000000;
}

bool compat_rejects(struct compat_call *call, uint32_t index, enum reason reason, bool simulated) {
    const struct compat *compat = call->compat;
    if (compat->listener)
        compat->listener->rejected(compat->owner, call->call, compat_rule_at(compat, index), call->entry, reason,
                                   simulated);
    call->result->simulated += simulated;
    if (simulated) {
        call->result->value_length = 0;
        call->result->value_cut = false;
        return false;
    }
    call->result->verdict = ENGINE_BLOCK;
    compat_say(call, index, reason);
    return true;
}

void compat_note_undecided(struct compat *compat) {
    __atomic_fetch_add(&compat->undecided, 1, __ATOMIC_RELAXED);
    if (compat->listener)
        compat->listener->undecided(compat->owner);
}

/* ------------------------------------------------------------------------------------------------------ the slots */

/* A gateway rule without a parameter limits the route as a flow rule does. */
static enum reason reason_of(const struct compat_rule *rule, enum reason reason) {
    return rule->kind == RULE_GATEWAY && rule->hot.constant ? REASON_FLOW : reason;
}

static bool check_list(struct compat_call *call, enum compat_family family, enum reason reason,
                       bool (*check)(struct compat_call *, struct compat_rule *)) {
    const struct compat_list *list = compat_rules_of(call->compat, call->resource, family);
    for (uint32_t i = 0; i < list->count && !call->occupied; i++) {
        struct compat_rule *rule = list->rules[i];
        uint64_t waited_ns = call->result->wait_ns;
        if (!compat_concerns(rule, call->request))
            continue;
        call->result->counted = 0;
        if (!check(call, rule) &&
            compat_rejects(call, rule->ruleset_index, reason_of(rule, reason), rule->mode == MODE_SIMULATE))
            return false;
        if (call->result->wait_ns > waited_ns)
            compat_say(call, rule->ruleset_index, reason_of(rule, reason));
    }
    return true;
}

static bool check_authority(struct compat_call *call, struct compat_rule *rule) {
    return compat_authority_check(call, rule);
}

/* When the oldest bucket leaves the window; hot parameters: when their interval is over; 0: unknown. */
static uint64_t retry_ns(const struct compat_call *call) {
    const struct engine_result *result = call->result;
    if (!result->interval_ns || !(result->limit > 0))
        return 0;
    return result->reason == REASON_PARAM
               ? result->interval_ns
               : (uint64_t)(call->at->half_ms + NODE_BUCKET_MS) * 1000000 - (uint64_t)call->at->ns;
}

static bool check_circuits(struct compat_call *call) {
    int64_t retry_ms = 0;
    if (call->occupied || compat_breakers_check(call, &retry_ms))
        return true;
    call->result->retry_ns = retry_ms > call->at->ms ? (uint64_t)retry_ms * 1000000 - (uint64_t)call->at->ns : 0;
    return false;
}

/* The request as a whole is one call: asked once, at its first resource. */
static bool check_system(struct compat_call *call) {
    bool asked = call->system_asked;
    call->system_asked = true;
    return asked || compat_system_check(call);
}

static bool check_rules(struct compat_call *call) {
    return check_list(call, FAMILY_AUTHORITY, REASON_AUTHORITY, check_authority) && check_system(call) &&
           check_list(call, FAMILY_GATEWAY, REASON_PARAM, compat_hot_check) &&
           check_list(call, FAMILY_PARAM, REASON_PARAM, compat_hot_check) &&
           check_list(call, FAMILY_FLOW, REASON_FLOW, compat_flow_check) &&
           check_list(call, FAMILY_ISOLATION, REASON_ISOLATION, compat_flow_check);
}

static bool check_all(struct compat_call *call) {
    if (check_rules(call))
        return check_circuits(call);
    call->result->retry_ns = retry_ns(call);
    return false;
}

/* The statistic slot: what was decided is counted on every node of the call. */
static void count_on(struct compat_call *call, struct compat_node *node, bool pass) {
    int32_t acquire = (int32_t)call->request->acquire;
    int64_t max_rt_ms = call->compat->max_rt_ms;
    if (!node)
        return;
    if (!pass)
        compat_node_block(node, call->at, acquire, max_rt_ms);
    else if (call->occupied) /* its pass counts when the bucket it borrowed from begins */
        node->in_flight++;
    else
        compat_node_pass(node, call->at, acquire, max_rt_ms);
}

static void count_entry(struct compat_call *call, bool pass) {
    count_on(call, &call->context->node, pass);
    count_on(call, &call->resource->node, pass);
    count_on(call, call->origin ? &call->origin->node : NULL, pass);
    compat_entrances_count(call, pass);
    if (pass)
        compat_hot_enter(call->compat, call->resource, call->args);
}

static void make_args(struct compat_call *call) {
    struct compat *compat = call->compat;
    if (!call->args && (call->request->args_count || compat_rules_of(compat, call->resource, FAMILY_PARAM)->count ||
                        compat_rules_of(compat, call->resource, FAMILY_GATEWAY)->count))
        call->args = compat_args_new(compat, call->request);
}

/* One resource of the request; what exit needs goes into the ticket.  False: rejected. */
static bool enter_one(struct compat_call *call, uint32_t i, struct engine_ticket *ticket, bool *ret_counted) {
    struct compat *compat = call->compat;
    uint32_t *leases = &ticket->leases[i * COMPAT_LEASES];
    if (!find_nodes(call, &call->names[i])) {
        compat_note_undecided(compat);
        return true;
    }
    *ret_counted = true;
    call->entry = call->request->resources ? call->request->resources[i] : i;
    call->probes = NULL;
    call->occupied = false;
    make_args(call);
    bool pass = check_all(call);
    count_entry(call, pass);
    if (!pass) {
        compat_probes_back(call);
        return false;
    }
    leases[0] = compat_place(&compat->arena, call->resource);
    leases[1] = compat_place(&compat->arena, call->context);
    leases[2] = compat_place(&compat->arena, call->origin);
    if (call->probes)
        ticket->engine_private[2] |= 1u << i;
    return true;
}

static void finish_all(struct compat *, struct engine_ticket *, const struct compat_moment *,
                       const struct engine_outcome *, bool cancel);

/* At each of its resources, then, if none of them rejected it, once among the inbound traffic. */
static void decide(struct compat_call *call, struct engine_ticket *ticket) {
    struct compat *compat = call->compat;
    struct engine_result *result = call->result;
    bool counted = false, inbound = compat_is_inbound(call->request);
    for (uint32_t i = 0; i < ticket->resources_count && result->verdict != ENGINE_BLOCK; i++)
        enter_one(call, i, ticket, &counted);
    ticket->leases_count = (uint8_t)(ticket->resources_count * COMPAT_LEASES);
    ticket->engine_private[1] = compat_place(&compat->arena, call->args);
    ticket->engine_private[2] |= compat_place(&compat->arena, call->entrances) << PROBE_BITS;
    if (inbound && counted)
        count_on(call, &compat->inbound, result->verdict != ENGINE_BLOCK);
    if (result->verdict == ENGINE_BLOCK) {
        finish_all(compat, ticket, call->at, NULL, true);
        ticket->leases_count = 0;
    } else if (result->wait_ns) {
        result->verdict = ENGINE_WAIT;
    }
}

/* The lock could not be had for milliseconds: no call passes undecided. */
static void turn_away(struct compat_call *call) {
    enum { RETRY_NS = 1000000000 };
    call->entry = call->request->resources ? call->request->resources[0] : 0;
    compat_rejects(call, UINT32_MAX, REASON_SYSTEM, false);
    call->result->detail = SYSTEM_THREAD;
    call->result->retry_ns = RETRY_NS;
}

enum engine_verdict compat_decide(struct compat *compat, uint64_t now_ns, const struct engine_request *request,
                                  const struct compat_name *names, struct engine_ticket *ticket,
                                  struct engine_result *result, void *owner_call) {
    memset(ticket->engine_private, 0, sizeof ticket->engine_private);
    memset(ticket->leases, 0, ticket->resources_count * COMPAT_LEASES * sizeof *ticket->leases);
    struct compat_call call = {
        .compat = compat, .request = request, .names = names, .call = owner_call, .result = result};
    if (!compat_lock(compat, COMPAT_TRIES_ENTER)) {
        turn_away(&call);
        return ENGINE_BLOCK;
    }
    struct compat_moment at = compat_moment_of(compat, now_ns);
    call.at = &at;
    ticket->engine_private[0] = compat->epoch;
    decide(&call, ticket);
    compat_unlock(compat);
    return result->verdict;
}

enum engine_verdict compat_enter(struct compat *compat, uint64_t now_ns, const struct engine_request *request,
                                 const struct compat_name *names, struct engine_ticket *ret_ticket,
                                 struct engine_result *ret_result) {
    struct engine_ticket *ticket = ret_ticket;
    uint32_t count = request->resources_count;
    memset(ticket, 0, sizeof *ticket);
    *ret_result = (struct engine_result){.verdict = ENGINE_PASS, .rule = UINT32_MAX};
    ticket->start_ns = now_ns;
    ticket->side = request->connection ? SIDE_ANY : request->side; /* SIDE_ANY: not among the total inbound traffic */
    ticket->acquire = request->acquire;
    ticket->resources_count = (uint8_t)(count < ENGINE_RESOURCES_MAX ? count : ENGINE_RESOURCES_MAX);
    for (uint32_t i = 0; i < ticket->resources_count && request->resources; i++)
        ticket->resources[i] = (uint16_t)request->resources[i];
    enum engine_verdict verdict = compat_decide(compat, now_ns, request, names, ticket, ret_result, NULL);
    if (verdict == ENGINE_BLOCK)
        ticket->resources_count = 0;
    return verdict;
}

/* --------------------------------------------------------------------------------------------------- the way out */

struct leaving {
    struct compat *compat;
    const struct engine_ticket *ticket;
    const struct compat_moment *at;
    int64_t rt_ms;
    int32_t acquire;
    bool error, cancel;
};

static void leave_node(const struct leaving *leaving, struct compat_node *node) {
    if (node && leaving->cancel)
        node->in_flight--;
    else if (node)
        compat_node_complete(node, leaving->at, leaving->acquire, leaving->rt_ms, leaving->error ? leaving->acquire : 0,
                             leaving->compat->max_rt_ms);
}

/* False: the call was not looked at there. */
static bool leave_one(const struct leaving *leaving, uint32_t i) {
    struct compat *compat = leaving->compat;
    const struct engine_ticket *ticket = leaving->ticket;
    const uint32_t *leases = &ticket->leases[i * COMPAT_LEASES];
    struct compat_resource *resource = compat_at(&compat->arena, leases[0]);
    struct compat_named_node *context = compat_at(&compat->arena, leases[1]),
                             *origin = compat_at(&compat->arena, leases[2]);
    if (!resource)
        return false;
    leave_node(leaving, &context->node);
    leave_node(leaving, &resource->node);
    leave_node(leaving, origin ? &origin->node : NULL);
    compat_hot_exit(compat, resource, compat_at(&compat->arena, ticket->engine_private[1]));
    if (!leaving->cancel)
        compat_breakers_complete(compat, resource, ticket->resources[i], leaving->at, leaving->rt_ms, leaving->error);
    else if (ticket->engine_private[2] & 1u << i) /* the probe that never ran */
        compat_breakers_cancel(compat, resource, ticket->resources[i], leaving->at);
    return true;
}

/* `outcome` NULL and `cancel`: a call that one of its own resources rejected, or that never ran. */
static void finish_all(struct compat *compat, struct engine_ticket *ticket, const struct compat_moment *at,
                       const struct engine_outcome *outcome, bool cancel) {
    struct leaving leaving = {.compat = compat,
                              .ticket = ticket,
                              .at = at,
                              .rt_ms = at->ms - (int64_t)(ticket->start_ns / 1000000),
                              .acquire = (int32_t)ticket->acquire,
                              .error = outcome && (outcome->error || outcome->aborted),
                              .cancel = cancel};
    struct compat_args *args = compat_at(&compat->arena, ticket->engine_private[1]);
    struct compat_entrance *entrance = compat_at(&compat->arena, ticket->engine_private[2] >> PROBE_BITS), *next;
    for (uint32_t i = ticket->resources_count; i-- > 0;)
        leave_one(&leaving, i);
    for (; entrance; entrance = next) {
        next = entrance->next;
        leave_node(&leaving, entrance->node);
        compat_give(&compat->arena, entrance, sizeof *entrance);
    }
    if (args)
        compat_give(&compat->arena, args, args->bytes);
    memset(ticket->engine_private, 0, sizeof ticket->engine_private);
}

/* Was it counted among the inbound traffic? */
static bool was_inbound(const struct engine_ticket *ticket) {
    bool counted = false;
    for (uint32_t i = 0; i < ticket->resources_count; i++)
        counted |= ticket->leases[i * COMPAT_LEASES] != 0;
    return counted && ticket->side == SIDE_INBOUND;
}

void compat_finish(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                   const struct engine_outcome *outcome, bool cancel) {
    if (ticket->engine_private[0] != compat->epoch)
        return;
    struct compat_moment at = compat_moment_of(compat, now_ns);
    bool inbound = was_inbound(ticket), error = outcome && (outcome->error || outcome->aborted);
    int32_t acquire = (int32_t)ticket->acquire;
    finish_all(compat, ticket, &at, outcome, cancel);
    if (inbound && cancel)
        compat->inbound.in_flight--;
    else if (inbound)
        compat_node_complete(&compat->inbound, &at, acquire, at.ms - (int64_t)(ticket->start_ns / 1000000),
                             error ? acquire : 0, compat->max_rt_ms);
}
