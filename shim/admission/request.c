/* Requests: what the engine gets of one, and what becomes of its decision.  Knows neither the protocol (it is asked
 * through the message's own table) nor the direction (the connection's). */
#include <stdatomic.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/layout.h"
#include "rules/naming/route.h"
#include "rules/ruleset.h"
#include "shim/admission/admit.h"
#include "shim/admission/admit_private.h"
#include "shim/admission/arrival.h"
#include "shim/admission/caller.h"
#include "shim/admission/handover.h"
#include "shim/admission/listener.h"
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

/* ------------------------------------------------------------------------------------------------------ remembering
 *
 * What a request counts for is found once and then remembered here, by a hash of its method, path and host that is
 * keyed by the engine and the generation of rules.  The first word has 50 bits of the hash, and the route's resource;
 * the second one 22 of these and the rest, up to three.  Two requests of one hash would share
 * their resources; a client that does not know the key cannot choose such a pair. */
enum {
    SLOTS = 4096,
    RESOURCE_BITS = 13,
    RESOURCE_MASK = (1 << RESOURCE_BITS) - 1,
    HAS_MORE = 1 << RESOURCE_BITS,
    MORE_MAX = 3,
    MORE_BITS = 14,
    MORE_MASK = (1 << MORE_BITS) - 1,
};
_Static_assert(LAYOUT_RESOURCES <= 1 << RESOURCE_BITS, "a resource entry fits beside the hash");
static const uint64_t first_hash = ~(uint64_t)(HAS_MORE | RESOURCE_MASK),
                      more_hash = ~(uint64_t)0 << MORE_MAX * MORE_BITS;
static struct slot { _Atomic uint64_t first, more; } slots[SLOTS];

/* Returns how many there are; 0: not known. */
static uint32_t recall(const struct slot *slot, uint64_t hash, uint32_t *ret_resources) {
    uint64_t first = atomic_load_explicit(&slot->first, memory_order_relaxed);
    if (!first || ((first ^ hash) & first_hash) != 0)
        return 0;
    ret_resources[0] = (uint32_t)(first & RESOURCE_MASK);
    if (!(first & HAS_MORE))
        return 1;
    uint64_t more = atomic_load_explicit(&slot->more, memory_order_relaxed);
    if (((more ^ hash << RESOURCE_BITS) & more_hash) != 0)
        return 0;
    uint32_t count = 1;
    for (; count <= MORE_MAX && (more & MORE_MASK); more >>= MORE_BITS)
        ret_resources[count++] = (uint32_t)(more & MORE_MASK);
    return count;
}

static void remember(struct slot *slot, uint64_t hash, const uint32_t *resources, uint32_t count) {
    uint64_t more = 0;
    if (count > 1 + MORE_MAX)
        return;
    for (uint32_t i = count; i-- > 1;)
        more = more << MORE_BITS | resources[i];
    for (uint32_t i = 0; i < count; i++)
        if (resources[i] == ENGINE_OTHER) /* what is beyond the budget today may have room tomorrow */
            return;
    atomic_store_explicit(&slot->more, (hash << RESOURCE_BITS & more_hash) | more, memory_order_relaxed);
    atomic_store_explicit(&slot->first, (hash & first_hash) | (count > 1 ? HAS_MORE : 0) | resources[0],
                          memory_order_relaxed);
}

/* Rooms for names_of(), which takes more than the stack of an application's thread may have: one for each thread that
 * finds names at a time, more come from the arena.  (One that was in use during a fork stays so in the child.) */
enum { ROOMS = 16 };
static struct room {
    _Alignas(8) char bytes[NAMES_ROOM];
    _Atomic bool taken;
} rooms[ROOMS];

/* -------------------------------------------------------------------------------------------------------- resources */

struct finding {
    const struct admit_rules *rules;
    uint64_t now_ns;
    uint8_t side;
    uint32_t *resources, count;
    bool crowded; /* there are more than there is room for */
};

static void take_name(void *context, const char *name, size_t length, const struct route_found *found,
                      unsigned reading) {
    struct finding *finding = context;
    const struct admit_rules *rules = finding->rules;
    uint32_t entry = engine_resource(rules->engine, name, length, finding->side);
    (void)reading;
    if (found && found->proliferated)
        engine_siblings(rules->engine, rules->token, finding->now_ns, entry);
    for (uint32_t i = 0; i < finding->count; i++)
        if (finding->resources[i] == entry)
            return;
    if (finding->count < ENGINE_RESOURCES_MAX - ENGINE_LISTENER_NAMES)
        finding->resources[finding->count++] = entry;
    else
        finding->crowded = true;
}

/* False: the names hold for this request only, or there is no room to find them in. */
static bool find_names(struct finding *finding, const struct naming_message *naming) {
    const struct admit_rules *rules = finding->rules;
    unsigned i = 0;
    while (i < ROOMS && atomic_exchange_explicit(&rooms[i].taken, true, memory_order_acquire))
        i++;
    void *room = i < ROOMS ? rooms[i].bytes : arena_take(NAMES_ROOM);
    struct naming_sink sink = {take_name, finding, room};
    bool lasting = room && names_of(rules->naming, naming, &sink);
    if (i < ROOMS)
        atomic_store_explicit(&rooms[i].taken, false, memory_order_release);
    else if (room)
        arena_give(room, NAMES_ROOM);
    if (finding->crowded)
        engine_crowded(rules->engine, rules->token, finding->now_ns, finding->resources[0]);
    return lasting;
}

/* All that a request counts for, most specific first.  Inbound: route, groups, listener (its name, and "http::PORT");
 * outbound: route with its host, groups, destination.  Returns how many. */
static inline __attribute__((always_inline)) uint32_t
find_resources(const struct admit_rules *rules, uint64_t now_ns, const struct message *message,
               struct admit_connection *c, uint32_t ret_resources[static ENGINE_RESOURCES_MAX]) {
    struct naming_message naming;
    message->protocol->names(message, &naming);
    naming.with_host = c->side == SIDE_OUTBOUND;
    uint64_t method = naming.method_length <= 8 ? hash_load((const unsigned char *)naming.method, naming.method_length)
                                                : hash_bytes(rules->key, naming.method, naming.method_length);
    uint64_t hash = hash_mix(rules->key ^ method ^ c->side, 0x9e3779b97f4a7c15u);
    if (naming.with_host || rules->ruleset->hosts)
        hash = hash_bytes(hash, naming.host ? naming.host : "", naming.host ? naming.host_length : 0);
    hash = hash_bytes(hash, naming.path ? naming.path : "", naming.path_length);
    struct slot *slot = &slots[hash % SLOTS];
    uint32_t count = recall(slot, hash, ret_resources);
    if (!count) {
        struct finding finding = {rules, now_ns, c->side, ret_resources, 0, false};
        if (find_names(&finding, &naming))
            remember(slot, hash, ret_resources, finding.count);
        count = finding.count;
    }
    if (c->side == SIDE_OUTBOUND)
        return resources_add_destination(rules, c, ret_resources, count);
    if (c->rules != RESOURCES_KEY(rules))
        resources_find_listener(rules, message->protocol->name, c);
    if (c->listener_name)
        ret_resources[count++] = c->listener_name;
    ret_resources[count++] = c->listener;
    return count;
}

/* -------------------------------------------------------------------------------------------------------- decisions */

/* What engine_enter may ask for while it decides about one request. */
struct asked {
    const struct message *message;
    const void *ruleset;
    struct values_peer peer;
    struct values *values; /* of the parameter last asked for; NULL: none yet, they are large for a thread's stack */
    const struct rule_param *param; /* which that is, if it is one of the ruleset's */
    struct engine_value elements[VALUES_MAX];
};

static bool is_of_ruleset(const void *ruleset, const struct rule_param *param) {
    const struct rule_param *first = ruleset_params(ruleset);
    return param >= first && param < first + ruleset_head(ruleset)->params_count;
}

static bool param_value(void *context, const struct rule_param *param, const char *field,
                        struct engine_value *ret_value) {
    struct asked *asked = context;
    struct values *values = asked->values ? asked->values : arena_take(sizeof(*values));
    (void)field;
    asked->values = values;
    if (!values)
        return false;
    if (asked->param != param) /* it is asked again for each of its values */
        values_of(asked->message, asked->ruleset, &asked->peer, param, values);
    asked->param = is_of_ruleset(asked->ruleset, param) ? param : NULL;
    for (size_t i = 0; i < values->count; i++)
        asked->elements[i] = (struct engine_value){
            .type = VALUE_STRING, .text = values->list[i].at, .length = values->list[i].size};
    if (values->client.length)
        asked->elements[0].address = &values->client;
    if (values->count == 1)
        *ret_value = asked->elements[0];
    else
        *ret_value = (struct engine_value){.type = VALUE_LIST, .elements = asked->elements, .count = values->count};
    return values->count != 0;
}

bool admit_rules_begin(struct admit_rules *rules, struct engine *engine) {
    struct engine_rules in_force;
    handover_look(engine);
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

/* The ordinary case is this one function: the request as the engine wants it, its decision, and that is all.  `fd`: the
 * connection's, or -1; `door`: see struct engine_request. */
static inline __attribute__((always_inline)) enum engine_verdict judge(struct admit_connection *c,
                                                                       const struct message *message, int fd, bool door,
                                                                       bool *close, struct engine_ticket *ret_ticket,
                                                                       char answer[static STREAM_TEXT_MAX],
                                                                       size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    uint64_t now_ns = clock_ns();
    struct engine *engine = attach_engine(now_ns);
    c->bare |= message->bare;
    ret_ticket->resources_count = 0;
    *ret_answer_size = 0;
    *ret_turn_ns = 0;
    if (!engine)
        return ENGINE_PASS;
    struct admit_rules rules;
    if (!admit_rules_begin(&rules, engine))
        return ENGINE_PASS;

    struct origin origin;
    if (rules.ruleset->callers || rules.ruleset->options.local_callers || c->side == SIDE_OUTBOUND) {
        caller_ask(c, rules.ruleset, fd);
        origin_find(&origin, rules.ruleset, c, message);
    } else { /* as origin_find() has it: the address is all that counts */
        origin.client = c->peer;
        origin.client_length = c->address_length;
        origin.address_length = address_text(c->peer, c->address_length, origin.address);
        origin.names[0] = (struct engine_name){origin.address, origin.address_length};
        origin.names_count = origin.address_length != 0;
    }
    struct asked asked; /* these two field by field: clearing them first would cost more */
    asked.message = message;
    asked.ruleset = rules.ruleset;
    asked.values = NULL;
    asked.param = NULL;
    asked.peer = (struct values_peer){c->peer, c->address_length, origin.address, origin.address_length};
    uint32_t resources[ENGINE_RESOURCES_MAX];
    struct engine_request request;
    request.resources = resources;
    request.resources_count = find_resources(&rules, now_ns, message, c, resources);
    request.side = c->side;
    request.priority = PRIORITY_NORMAL;
    request.connection = request.prioritized = false;
    request.acquire = 1;
    request.origin = origin.names[0].text;
    request.origin_length = origin.names[0].length;
    request.origins = origin.names + 1;
    request.origins_count = origin.names_count > 1 ? origin.names_count - 1 : 0;
    request.address = origin.client;
    request.address_length = (uint32_t)origin.client_length;
    request.entrance = NULL;
    request.entrance_length = 0;
    request.bytes = message->content_length;
    request.waited_ns = ENGINE_WAITED_UNKNOWN;
    if (__builtin_expect(rules.ruleset->waits && c->side == SIDE_INBOUND && fd >= 0, 0))
        request.waited_ns = arrival_waited_ns(c, fd, message, door, now_ns);
    request.first = message->busy_ns == 0;
    request.door = door;
    request.args = NULL;
    request.args_count = 0;
    request.param = param_value;
    request.param_context = &asked;

    struct engine_result decision;
    enum engine_verdict verdict = engine_enter_within(engine, rules.token, now_ns, &request, ret_ticket, &decision);
    if (__builtin_expect(!c->judged && c->side == SIDE_INBOUND && !(door && verdict == ENGINE_PASS), 0)) {
        c->judged = true;
        engine_count_fate(engine, c->listener, FATE_JUDGED);
    }
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

static enum engine_verdict decide(void *context, const struct message *message, bool *close,
                                  struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                  size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    const struct reentry_op *op = reentry_top();
    return judge(context, message, op ? op->fd : -1, false, close, ret_ticket, answer, ret_answer_size, ret_turn_ns);
}

bool admit_refuses_at_door(struct admit_connection *c, const struct message *message, int fd,
                           char answer[static STREAM_TEXT_MAX], size_t *ret_answer_size) {
    struct engine_ticket ticket;
    uint64_t turn_ns;
    bool close = true;
    return judge(c, message, fd, true, &close, &ticket, answer, ret_answer_size, &turn_ns) == ENGINE_BLOCK;
}

/* A forked child's copy of what is the parent's means nothing. */
static bool is_own(const struct engine_ticket *ticket) {
    return ticket->resources_count && !handover_is(ticket) &&
           ticket->start_ns >= atomic_load_explicit(&lifecycle_forked_ns, memory_order_relaxed);
}

static void begun(void *context, struct engine_ticket *ticket, unsigned status, uint64_t now_ns) {
    (void)context;
    if (is_own(ticket))
        engine_begun(ticket->engine, ticket, now_ns, status >= 500);
}

static void arrived(void *context, struct engine_ticket *ticket, size_t size, uint64_t now_ns) {
    (void)context;
    if (is_own(ticket))
        engine_arrived(ticket->engine, ticket, size, now_ns);
}

static void done(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end, uint64_t now_ns) {
    struct engine_outcome outcome = {
        .error = end == STREAM_ABORTED || status >= 500, .aborted = end == STREAM_ABORTED, .left = end == STREAM_LEFT};
    struct admit_connection *c = context;
    if (__builtin_expect(!c->noted, 0) && !c->bare)
        listener_answered(c, status);
    if (handover_is(ticket)) /* the one that sees the response through ends it for all */
        handover_end(ticket, end == STREAM_DONE, outcome.error, now_ns);
    else if (is_own(ticket))
        engine_exit(ticket->engine, ticket, now_ns, &outcome);
    ticket->resources_count = 0;
}

static bool upgraded(void *context) {
    (void)context;
    struct engine *engine = attach_engine(clock_ns());
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return false;
    bool hold = rules.ruleset->options.upgraded == UPGRADED_HOLD;
    engine_read_end(engine, rules.token);
    return hold;
}

static void policy_cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)context;
    if (handover_is(ticket)) {
        handover_end(ticket, true, false, now_ns);
        return;
    }
    if (is_own(ticket))
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

static enum stream_strictness policy_strict(void *context) {
    (void)context;
    struct engine *engine = attach_engine(clock_ns());
    struct admit_rules rules;
    if (!engine || !admit_rules_begin(&rules, engine))
        return STREAM_OPAQUE;
    const struct ruleset_options *options = &rules.ruleset->options;
    bool defends = options->defend_http && rules.ruleset->rules_count; /* without rules there is nothing to get past */
    enum stream_strictness strictness = defends ? STREAM_DEFEND : options->strict_http ? STREAM_REJECT : STREAM_OPAQUE;
    engine_read_end(engine, rules.token);
    return strictness;
}

static void policy_malformed(void *context) {
    (void)context;
    attach_count_malformed();
}

const struct stream_policy admit_http = {
    .request = decide,
    .begun = begun,
    .body = arrived,
    .response = done,
    .upgraded = upgraded,
    .undecided = policy_undecided,
    .early = policy_early,
    .opaque = admit_opaque,
    .cancel = policy_cancel,
    .proxied = listener_proxied,
    .proxy = listener_proxy,
    .refuses = listener_refuses,
    .plain = listener_plain,
    .strict = policy_strict,
    .malformed = policy_malformed,
};

const struct stream_policy admit_http_only = {
    .request = decide,
    .begun = begun,
    .body = arrived,
    .response = done,
    .upgraded = upgraded,
    .undecided = policy_undecided,
    .early = policy_early,
    .opaque = admit_opaque,
    .cancel = policy_cancel,
    .proxied = listener_proxied,
    .proxy = listener_proxy,
    .refuses = listener_refuses,
    .plain = listener_plain,
    .strict = policy_strict,
    .malformed = policy_malformed,
    .protocol = &http1,
};
