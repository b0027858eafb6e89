/* What rules did, and what else is to be reported: hits, circuits, events; counters that only grow, read by the agent.
 * What happened to requests is counted in request.c. */
#include <string.h>

#include "rules/engine/decision.h"
#include "rules/hash.h"

enum { HIT_PROBES = 16 };

/* Areas are allocated as processes come, and a process may be there first: its limits need no more than its slot. */
void metrics_find_area(struct engine *engine) {
    uint32_t slot = load_relaxed(&engine->slot);
    bool there = slot != UINT32_MAX && slot < counters_reach(&engine->map, LAYOUT_AREAS);
    store_release(&engine->area, there ? slot : UINT32_MAX);
}

/* ----------------------------------------------------------------------------------------------------------- hits */

/* The slot of the key, made if there is none; NULL when its neighbourhood is full. */
static struct layout_hit *hit_slot(struct engine *engine, uint64_t key, bool *ret_new, uint32_t *ret_place) {
    *ret_new = false;
    for (unsigned i = 0; i < HIT_PROBES; i++) {
        *ret_place = engine_place(engine, LAYOUT_HIT_TABLE, key + i);
        struct layout_hit *hit = engine_record(engine, LAYOUT_HIT_TABLE, *ret_place);
        uint64_t old = load_acquire(&hit->key);
        if (old == 0 && atomic_take(&hit->key, &old, key)) {
            *ret_new = true;
            return hit;
        }
        if (old == key)
            return hit;
    }
    return NULL;
}

static struct layout_hit *hit_make(struct engine *engine, uint64_t rule, const char *id, uint32_t resource,
                                   const char *origin, size_t length, enum reason reason, uint32_t *ret_place) {
    struct {
        uint64_t rule, origin;
        uint32_t resource, reason;
    } what = {rule, length ? hash_bytes(engine->counters->hash_seed, origin, length) : 0, resource, reason};
    bool is_new;
    struct layout_hit *hit = hit_slot(engine, hash_bytes(engine->counters->hash_seed, &what, sizeof(what)), &is_new,
                                      ret_place);
    if (hit && is_new) {
        store_relaxed(&hit->rule, rule);
        store_relaxed(&hit->resource, resource);
        hit->reason = (uint8_t)reason;
        metrics_text(hit->rule_id, sizeof(hit->rule_id), id, strlen(id));
        metrics_text(hit->origin, sizeof(hit->origin), origin, length);
        store_release(&hit->ready, (uint8_t)1);
    }
    return hit;
}

enum reason rule_reason(const struct rule *rule) {
    static const uint8_t reasons[RULE_KINDS] = {
        [RULE_AUTHORITY] = REASON_AUTHORITY, [RULE_PARAM] = REASON_PARAM,         [RULE_GATEWAY] = REASON_FLOW,
        [RULE_FLOW] = REASON_FLOW,           [RULE_ISOLATION] = REASON_ISOLATION, [RULE_DEGRADE] = REASON_DEGRADE,
        [RULE_SYSTEM] = REASON_SYSTEM,       [RULE_ADAPTIVE] = REASON_ADAPTIVE,
    };
    return rule->kind == RULE_GATEWAY && rule->params_count ? REASON_PARAM : reasons[rule->kind];
}

void metrics_hit(const struct decision *decision, const void *ruleset, const struct rule *rule, uint32_t resource,
                 enum reason reason, bool simulated, uint32_t *hint) {
    struct engine *engine = decision->engine;
    const struct engine_request *request = decision->request;
    struct layout_hit *hit = NULL;
    uint32_t place;
    const char *id = rule ? ruleset_text(ruleset, rule->id) : "";
    uint64_t hash = rule ? rule->id_hash : 0;
    bool unnamed = !request->origin_length; /* as most requests are */
    uint32_t known = unnamed && hint ? load_relaxed(hint) : 0;
    if (known)
        hit = engine_record(engine, LAYOUT_HIT_TABLE, known - 1);
    else
        hit = hit_make(engine, hash, id, resource, unnamed ? "" : request->origin, request->origin_length, reason,
                       &place);
    if (!hit && !unnamed) /* clients choose origins: the rest together */
        hit = hit_make(engine, hash, id, resource, "", 0, reason, &place);
    if (!hit) {
        add_relaxed(&engine->counters->hits_lost, 1u);
        return;
    }
    if (unnamed && hint && !known)
        store_relaxed(hint, place + 1);
    add_relaxed(simulated ? &hit->simulated : &hit->blocked, request->acquire);
}

void metrics_circuit(struct engine *engine, uint32_t resource, enum circuit_state worst) {
    store_relaxed(&engine_metrics(engine, resource)->circuit, (uint32_t)worst);
}

void engine_count_elsewhere(struct engine *engine, uint32_t resource, uint64_t passed, uint64_t blocked,
                            uint64_t simulated) {
    struct layout_stat_shard *counters = &engine_metrics(engine, resource)->shard[0];
    add_relaxed(&counters->pass, passed);
    add_relaxed(&counters->block, blocked);
    add_relaxed(&counters->simulated, simulated);
}

void engine_hit_elsewhere(struct engine *engine, uint32_t resource, uint64_t rule_id_hash, const char *rule_id,
                          enum reason reason, uint64_t blocked, uint64_t simulated) {
    uint32_t place;
    struct layout_hit *hit = hit_make(engine, rule_id_hash, rule_id, resource, "", 0, reason, &place);
    if (!hit) {
        add_relaxed(&engine->counters->hits_lost, 1u);
        return;
    }
    add_relaxed(&hit->blocked, blocked);
    add_relaxed(&hit->simulated, simulated);
}

/* --------------------------------------------------------------------------------------------------------- events */

/* Draws a number and fills its record, all but the figures; event_end() shows it. */
static struct layout_event *event_begin(struct engine *engine, uint64_t now_ns, enum event_kind kind,
                                        const void *ruleset, const struct rule *rule, uint64_t *ret_number) {
    uint64_t number = *ret_number = add_relaxed(&engine->counters->event_next, 1u);
    struct layout_event *event = engine_record(engine, LAYOUT_EVENT_RING, number);
    __atomic_exchange_n(&event->sequence, 0u, __ATOMIC_ACQ_REL); /* what follows is not seen before it */
    const char *id = rule ? ruleset_text(ruleset, rule->id) : "";
    event->time_ns = now_ns;
    event->rule = rule ? rule->id_hash : 0;
    event->pid = engine->pid;
    event->kind = (uint8_t)kind;
    event->figures_of = 0;
    metrics_text(event->rule_id, sizeof(event->rule_id), id, strlen(id));
    return event;
}

static void event_end(struct layout_event *event, uint64_t number, uint8_t from, uint8_t to, double value) {
    event->from = from;
    event->to = to;
    event->value = value;
    store_release(&event->sequence, number + 1);
}

void metrics_event(struct engine *engine, uint64_t now_ns, enum event_kind kind, const void *ruleset,
                   const struct rule *rule, uint32_t resource, uint8_t from, uint8_t to, double value) {
    uint64_t number;
    struct layout_event *event = event_begin(engine, now_ns, kind, ruleset, rule, &number);
    event->resource = resource;
    event_end(event, number, from, to, value);
}

void metrics_episode(struct engine *engine, uint64_t now_ns, const void *ruleset, const struct rule *rule, uint8_t from,
                     uint8_t to, const struct episode_figures *figures) {
    uint64_t number;
    struct layout_event *event = event_begin(engine, now_ns, EVENT_ADAPTIVE, ruleset, rule, &number);
    event->resource = ENGINE_OTHER;
    event->simulated = rule->mode == MODE_SIMULATE;
    event->episode = (struct layout_episode){.cpu = figures->cpu,
                                             .delay_ms = figures->delay_ms,
                                             .goodput_before = figures->goodput_before,
                                             .goodput = figures->goodput,
                                             .lasted_s = figures->lasted_s};
    event->figures_of = (uint32_t)(number + 1);
    event_end(event, number, from, to, figures->rejected_share);
}

void engine_count_fate(struct engine *engine, uint32_t resource, unsigned fate) {
    if (resource < counters_mapped(&engine->map, LAYOUT_STATISTICS) && fate < LAYOUT_FATES)
        add_relaxed(&engine_metrics(engine, resource)->fate[fate], 1u);
}
