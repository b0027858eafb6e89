/* The way of one call through Sentinel's slots, and the lock around it. */
#include "rules/engine/sentinel/compat.h"

#include <errno.h>
#include <string.h>

#include "rules/engine/sentinel/compat_private.h"

enum { ENTER_TRIES = 4000, EXIT_TRIES = 4000, ADOPT_TRIES = 4000000, LAST_TRIES = 1000000, HOLDS_PER_RESOURCE = 3 };
#define MEMORY_SIZE (sizeof(void *) == 8 ? (size_t)256 << 20 : (size_t)32 << 20)

/* ----------------------------------------------------------------------------------------------------- the lock */

static bool try_lock(struct compat *compat, int tries) {
    while (tries--) {
        uint32_t free = 0;
        if (!__atomic_load_n(&compat->lock, __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&compat->lock, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static void finish(struct compat *, struct engine_ticket *, uint64_t now_ns, const struct engine_outcome *,
                   bool cancel);

/* Exits that could not get the lock: worked off by whoever has it, before anything is decided. */
static void work_off(struct compat *compat) {
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) {
        struct compat_pending *pending = &compat->pending[i];
        if (__atomic_load_n(&pending->state, __ATOMIC_ACQUIRE) != 2)
            continue;
        finish(compat, &pending->ticket, pending->now_ns, &pending->outcome, pending->cancel);
        __atomic_fetch_sub(&compat->pending_count, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&pending->state, 0, __ATOMIC_RELEASE);
    }
}

static bool lock(struct compat *compat, int tries) {
    if (!try_lock(compat, tries))
        return false;
    if (__atomic_load_n(&compat->pending_count, __ATOMIC_RELAXED))
        work_off(compat);
    return true;
}

static void unlock(struct compat *compat) {
    __atomic_store_n(&compat->lock, 0, __ATOMIC_RELEASE);
}

static struct compat_moment moment(struct compat *compat, uint64_t now_ns) {
    if (now_ns > INT64_MAX)
        now_ns = INT64_MAX;
    if (now_ns < compat->last_ns) /* threads may come in another order than they looked at the clock */
        now_ns = compat->last_ns;
    compat->last_ns = now_ns;
    return compat_moment(now_ns);
}

/* --------------------------------------------------------------------------------------------- names and places */

static uint32_t place_of(const struct compat *compat, const void *object) {
    return object ? (uint32_t)(((const char *)object - (const char *)compat) / 16) : 0;
}
static void *at_place(const struct compat *compat, uint32_t place) {
    return place ? (char *)(uintptr_t)compat + (size_t)place * 16 : NULL;
}

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

static struct compat_named_node *node_of(struct compat *compat, struct compat_map *map, const char *name,
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

/* Sentinel knows 2000 contexts besides the default one; a call in another one is not looked at. */
static bool context_known(struct compat *compat, const char *name, size_t length) {
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
    if (!context_known(compat, context, length) || !(call->resource = resource_of(compat, name)) ||
        !(call->context = node_of(compat, &call->resource->contexts, context, length)))
        return false;
    call->origin = NULL;
    if (!request->origin_length)
        return true;
    call->origin = node_of(compat, &call->resource->origins, request->origin, request->origin_length);
    return call->origin != NULL;
}

/* ------------------------------------------------------------------------------------------------------ the slots */

static void block(struct compat_call *call, uint8_t reason, const struct compat_rule *rule) {
    struct engine_decision *decision = call->decision;
    decision->verdict = ENGINE_BLOCK;
    decision->reason = reason;
    if (!rule)
        return;
    decision->rule = rule->ruleset_index;
    decision->limit = rule->count;
    if (reason == REASON_FLOW && rule->grade == GRADE_QPS)
        decision->interval_ns = 1000000000;
}

static bool check_list(struct compat_call *call, enum compat_family family, uint8_t reason,
                       bool (*check)(struct compat_call *, struct compat_rule *)) {
    const struct compat_list *list = compat_rules_of(call->compat, call->resource, family);
    for (uint32_t i = 0; i < list->count && !call->occupied; i++) {
        struct compat_rule *rule = list->rules[i];
        if (!compat_concerns(rule, call->request) || check(call, rule) || compat_simulated(rule, call->decision))
            continue;
        block(call, reason, rule);
        return false;
    }
    return true;
}

static bool check_authority(struct compat_call *call, struct compat_rule *rule) {
    return compat_authority_check(call, rule);
}

static bool check_circuits(struct compat_call *call) {
    const struct compat_rule *rule = NULL;
    int64_t retry_ms = 0;
    if (call->occupied || compat_breakers_check(call, &rule, &retry_ms))
        return true;
    block(call, REASON_DEGRADE, rule);
    call->decision->retry_ns = retry_ms > call->at->ms ? (uint64_t)retry_ms * 1000000 : 0;
    return false;
}

static bool check_system(struct compat_call *call) {
    struct engine_decision *decision = call->decision;
    if (compat_system_check(call, &decision->detail))
        return true;
    block(call, REASON_SYSTEM, NULL);
    decision->rule = call->compat->system.field[decision->detail].ruleset_index;
    decision->limit = call->compat->system.field[decision->detail].limit;
    return false;
}

static bool check_all(struct compat_call *call) {
    return check_list(call, FAMILY_AUTHORITY, REASON_AUTHORITY, check_authority) && check_system(call) &&
           check_list(call, FAMILY_GATEWAY, REASON_PARAM, compat_hot_check) &&
           check_list(call, FAMILY_PARAM, REASON_PARAM, compat_hot_check) &&
           check_list(call, FAMILY_FLOW, REASON_FLOW, compat_flow_check) &&
           check_list(call, FAMILY_ISOLATION, REASON_ISOLATION, compat_flow_check) && check_circuits(call);
}

/* The statistic slot: what was decided is counted on every node of the call. */
static void count_entry(struct compat_call *call, bool pass) {
    struct compat *compat = call->compat;
    struct compat_node *nodes[] = {
        &call->context->node, &call->resource->node, call->origin ? &call->origin->node : NULL,
        call->request->side == SIDE_INBOUND && !call->request->connection ? &compat->inbound : NULL};
    int32_t acquire = (int32_t)call->request->acquire;
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        if (!nodes[i])
            continue;
        if (!pass)
            compat_node_block(nodes[i], call->at, acquire, compat->max_rt_ms);
        else if (call->occupied) /* its pass counts when the bucket it borrowed from begins */
            nodes[i]->in_flight++;
        else
            compat_node_pass(nodes[i], call->at, acquire, compat->max_rt_ms);
    }
    if (pass)
        compat_hot_enter(compat, call->resource, call->args);
}

static void note_undecided(struct compat *compat) {
    __atomic_fetch_add(&compat->undecided, 1, __ATOMIC_RELAXED);
}

/* One resource of the request; what exit needs goes into the ticket. */
static bool enter_one(struct compat_call *call, const struct compat_name *name, struct engine_ticket *ticket,
                      uint32_t i) {
    struct compat *compat = call->compat;
    uint32_t *holds = &ticket->holds[i * HOLDS_PER_RESOURCE];
    memset(holds, 0, HOLDS_PER_RESOURCE * sizeof *holds);
    if (!find_nodes(call, name)) {
        note_undecided(compat);
        return true;
    }
    call->probes = NULL;
    call->occupied = false;
    if (!call->args && (call->request->args_count || compat_rules_of(compat, call->resource, FAMILY_PARAM)->count ||
                        compat_rules_of(compat, call->resource, FAMILY_GATEWAY)->count))
        call->args = compat_args_new(compat, call->request);
    bool pass = check_all(call);
    count_entry(call, pass);
    if (!pass) {
        compat_probes_back(call);
        call->decision->resource = call->request->resources ? call->request->resources[i] : i;
        return false;
    }
    holds[0] = place_of(compat, call->resource);
    holds[1] = place_of(compat, call->context);
    holds[2] = place_of(compat, call->origin);
    if (call->probes)
        ticket->engine_private[2] |= 1u << i;
    return true;
}

enum engine_verdict compat_enter(struct compat *compat, uint64_t now_ns, const struct engine_request *request,
                                 const struct compat_name *names, struct engine_ticket *ret_ticket,
                                 struct engine_decision *ret_decision) {
    struct engine_ticket *ticket = ret_ticket;
    uint32_t count = request->resources_count;
    if (count > ENGINE_RESOURCES_MAX)
        count = ENGINE_RESOURCES_MAX;
    memset(ticket, 0, sizeof *ticket);
    *ret_decision = (struct engine_decision){.verdict = ENGINE_PASS, .rule = UINT32_MAX};
    ticket->start_ns = now_ns;
    ticket->side = request->connection ? SIDE_ANY : request->side; /* SIDE_ANY: not among the total inbound traffic */
    ticket->acquire = request->acquire;
    if (!lock(compat, ENTER_TRIES)) {
        note_undecided(compat);
        return ENGINE_PASS;
    }
    struct compat_moment at = moment(compat, now_ns);
    struct compat_call call = {.compat = compat, .at = &at, .request = request, .decision = ret_decision};
    ticket->engine_private[0] = compat->epoch;
    for (uint32_t i = 0; i < count; i++) {
        if (!enter_one(&call, &names[i], ticket, i))
            break;
        if (request->resources)
            ticket->resources[i] = request->resources[i];
        ticket->resources_count = (uint8_t)(i + 1);
    }
    ticket->holds_count = (uint8_t)(ticket->resources_count * HOLDS_PER_RESOURCE);
    ticket->engine_private[1] = place_of(compat, call.args);
    if (ret_decision->verdict == ENGINE_BLOCK)
        finish(compat, ticket, now_ns, NULL, true);
    else if (ret_decision->wait_ns)
        ret_decision->verdict = ENGINE_WAIT;
    unlock(compat);
    return ret_decision->verdict;
}

/* --------------------------------------------------------------------------------------------------- the way out */

static void finish_one(struct compat *compat, const struct engine_ticket *ticket, uint32_t i,
                       const struct compat_moment *at, const struct engine_outcome *outcome, bool cancel) {
    const uint32_t *holds = &ticket->holds[i * HOLDS_PER_RESOURCE];
    struct compat_resource *resource = at_place(compat, holds[0]);
    struct compat_named_node *context = at_place(compat, holds[1]), *origin = at_place(compat, holds[2]);
    const struct compat_args *args = at_place(compat, ticket->engine_private[1]);
    if (!resource)
        return;
    int64_t rt_ms = at->ms - (int64_t)(ticket->start_ns / 1000000);
    bool error = outcome && (outcome->error || outcome->aborted);
    int32_t acquire = (int32_t)ticket->acquire;
    struct compat_node *nodes[] = {&context->node, &resource->node, origin ? &origin->node : NULL,
                                   ticket->side == SIDE_INBOUND ? &compat->inbound : NULL};
    for (unsigned j = 0; j < sizeof nodes / sizeof *nodes; j++) {
        if (nodes[j] && cancel)
            nodes[j]->in_flight--;
        else if (nodes[j])
            compat_node_complete(nodes[j], at, acquire, rt_ms, error ? acquire : 0, compat->max_rt_ms);
    }
    compat_hot_exit(compat, resource, args);
    if (!cancel)
        compat_breakers_complete(compat, resource, at, rt_ms, error);
    else if (ticket->engine_private[2] & 1u << i) /* the probe that never ran */
        compat_breakers_cancel(compat, resource);
}

static void finish(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                   const struct engine_outcome *outcome, bool cancel) {
    if (ticket->engine_private[0] != compat->epoch)
        return;
    struct compat_moment at = moment(compat, now_ns);
    for (uint32_t i = ticket->resources_count; i-- > 0;)
        finish_one(compat, ticket, i, &at, outcome, cancel);
    struct compat_args *args = at_place(compat, ticket->engine_private[1]);
    if (args)
        compat_give(&compat->arena, args, args->bytes);
    memset(ticket->engine_private, 0, sizeof ticket->engine_private);
}

/* Nobody may wait for the lock, and no completion may be lost either: put down for the next holder. */
static bool put_down(struct compat *compat, const struct engine_ticket *ticket, uint64_t now_ns,
                     const struct engine_outcome *outcome, bool cancel) {
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) {
        struct compat_pending *pending = &compat->pending[i];
        uint32_t free = 0;
        if (__atomic_load_n(&pending->state, __ATOMIC_RELAXED) ||
            !__atomic_compare_exchange_n(&pending->state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        pending->ticket = *ticket;
        pending->now_ns = now_ns;
        pending->cancel = cancel;
        pending->outcome = outcome ? *outcome : (struct engine_outcome){0};
        __atomic_fetch_add(&compat->pending_count, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&pending->state, 2, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static void leave(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                  const struct engine_outcome *outcome, bool cancel) {
    if (!ticket->engine_private[0])
        return;
    if (lock(compat, EXIT_TRIES)) {
        finish(compat, ticket, now_ns, outcome, cancel);
        unlock(compat);
    } else if (put_down(compat, ticket, now_ns, outcome, cancel)) {
        memset(ticket->engine_private, 0, sizeof ticket->engine_private);
    } else if (lock(compat, LAST_TRIES)) { /* a thousand exits ahead of this one: worth some more attempts */
        finish(compat, ticket, now_ns, outcome, cancel);
        unlock(compat);
    } else {
        note_undecided(compat);
    }
}

void compat_exit(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns,
                 const struct engine_outcome *outcome) {
    leave(compat, ticket, now_ns, outcome, false);
}

void compat_cancel(struct compat *compat, struct engine_ticket *ticket, uint64_t now_ns) {
    leave(compat, ticket, now_ns, NULL, true);
}

/* ------------------------------------------------------------------------------------------- making and feeding */

size_t compat_memory_size(void) {
    return MEMORY_SIZE;
}

size_t compat_memory_used(const struct compat *compat) {
    return compat->arena.used;
}

static void begin(struct compat *compat, size_t size, size_t dirty) {
    size_t head = (sizeof *compat + 63) / 64 * 64;
    compat_arena_init(&compat->arena, (char *)compat + head, size - head, dirty);
    compat->max_rt_ms = 5000;
    compat->max_resources = COMPAT_RESOURCES;
    compat->sample = (struct engine_sample){-1, -1};
    context_known(compat, COMPAT_DEFAULT_CONTEXT, sizeof COMPAT_DEFAULT_CONTEXT - 1);
}

struct compat *compat_new(void *memory, size_t size, uint64_t seed) {
    struct compat *compat = memory;
    if (size < 2 * sizeof *compat)
        return NULL;
    compat->seed = seed;
    compat->epoch = 1;
    begin(compat, size, 0);
    return compat;
}

static int adopt(struct compat *compat, const void *ruleset, size_t size, uint32_t alone) {
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    int error = compat_rules_load(compat, ruleset, alone);
    if (error)
        return error;
    compat->ruleset = ruleset;
    compat->ruleset_size = size;
    if (options->max_rt_ns)
        compat->max_rt_ms = (int64_t)(options->max_rt_ns / 1000000);
    compat->max_resources = options->max_resources ? options->max_resources : COMPAT_RESOURCES;
    return 0;
}

void compat_after_fork(struct compat *compat) {
    const void *ruleset = compat->ruleset;
    size_t ruleset_size = compat->ruleset_size, dirty = compat->arena.dirty;
    size_t size = (size_t)(compat->arena.base - (char *)compat) + compat->arena.size;
    uint64_t seed = compat->seed;
    uint32_t epoch = compat->epoch + 1;
    memset(compat, 0, offsetof(struct compat, pending));
    for (uint32_t i = 0; i < COMPAT_PENDING; i++) /* looked at first: most of these pages were never touched */
        if (compat->pending[i].state)
            compat->pending[i].state = 0;
    compat->seed = seed;
    compat->epoch = epoch ? epoch : 1;
    begin(compat, size, dirty);
    if (ruleset)
        adopt(compat, ruleset, ruleset_size, 0);
}

int compat_adopt_others(struct compat *compat, const void *ruleset, size_t size, uint32_t alone) {
    if (!lock(compat, ADOPT_TRIES))
        return -EAGAIN;
    int error = adopt(compat, ruleset, size, alone);
    unlock(compat);
    return error;
}

int compat_adopt(struct compat *compat, const void *ruleset, size_t size) {
    return compat_adopt_others(compat, ruleset, size, 0);
}

const void *compat_ruleset(const struct compat *compat) {
    return compat->ruleset;
}

void compat_sample(struct compat *compat, uint64_t now_ns, const struct engine_sample *sample) {
    (void)now_ns;
    if (!lock(compat, EXIT_TRIES))
        return;
    compat->sample = *sample;
    unlock(compat);
}

uint64_t compat_undecided(const struct compat *compat) {
    return __atomic_load_n(&compat->undecided, __ATOMIC_RELAXED);
}

bool compat_figures(struct compat *compat, uint64_t now_ns, const char *name, size_t length,
                    struct compat_figures *ret_figures) {
    if (!lock(compat, EXIT_TRIES))
        return false;
    struct compat_moment at = moment(compat, now_ns);
    struct compat_resource *resource = compat_map_find(&compat->resources, hash_bytes(compat->seed, name, length), name,
                                                       length);
    if (resource)
        *ret_figures = (struct compat_figures){
            .pass = compat_node_sum(&resource->node, &at, NODE_PASS, compat->max_rt_ms),
            .block = compat_node_sum(&resource->node, &at, NODE_BLOCK, compat->max_rt_ms),
            .success = compat_node_sum(&resource->node, &at, NODE_SUCCESS, compat->max_rt_ms),
            .exception = compat_node_sum(&resource->node, &at, NODE_EXCEPTION, compat->max_rt_ms),
            .rt_ms = compat_node_sum(&resource->node, &at, NODE_RT, compat->max_rt_ms),
            .in_flight = resource->node.in_flight,
        };
    unlock(compat);
    return resource != NULL;
}

enum circuit_state compat_circuit(struct compat *compat, const char *name, size_t length) {
    static const uint8_t states[] = {
        [STATE_CLOSED] = CIRCUIT_CLOSED, [STATE_HALF_OPEN] = CIRCUIT_HALF_OPEN, [STATE_OPEN] = CIRCUIT_OPEN};
    enum circuit_state worst = CIRCUIT_NONE;
    if (!lock(compat, EXIT_TRIES))
        return worst;
    struct compat_resource *resource = compat_map_find(&compat->resources, hash_bytes(compat->seed, name, length), name,
                                                       length);
    if (resource) {
        compat_rules_of(compat, resource, FAMILY_DEGRADE);
        uint32_t count = resource->breakers_count ? resource->breakers_count : resource->default_breakers_count;
        struct compat_breaker **breakers = resource->breakers_count ? resource->breakers : resource->default_breakers;
        for (uint32_t i = 0; i < count; i++)
            if (states[breakers[i]->state] > worst)
                worst = states[breakers[i]->state];
    }
    unlock(compat);
    return worst;
}
