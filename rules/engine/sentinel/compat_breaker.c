/* Circuits (AbstractCircuitBreaker and its two kinds): each counts completions in one aligned bucket. */
#include "rules/engine/sentinel/compat_private.h"

struct compat_breaker *compat_breaker_new(struct compat *compat, const struct compat_rule *rule) {
    struct compat_breaker *breaker = compat_take(&compat->arena, sizeof *breaker);
    if (breaker) {
        breaker->rule = rule;
        breaker->references = 1;
    }
    return breaker;
}

void compat_breaker_release(struct compat *compat, struct compat_breaker *breaker) {
    if (breaker && --breaker->references == 0)
        compat_give(&compat->arena, breaker, sizeof *breaker);
}

/* The circuits that judge a resource: its own, else the default ones ("*"), made when they are first asked for. */
static struct compat_breaker **breakers_of(struct compat *compat, struct compat_resource *resource,
                                           uint32_t *ret_count) {
    compat_rules_of(compat, resource, FAMILY_DEGRADE);
    *ret_count = resource->breakers_count;
    if (resource->breakers_count)
        return resource->breakers;
    const struct compat_rules *rules = &compat->rules[FAMILY_DEFAULT_DEGRADE];
    const struct compat_group *group = rules->plain_list;
    *ret_count = resource->default_breakers_count;
    if (resource->default_breakers_count || !group)
        return resource->default_breakers;
    struct compat_breaker **made = compat_take(&compat->arena, group->count * sizeof *made);
    for (uint32_t i = 0; made && i < group->count; i++)
        if (!(made[i] = compat_breaker_new(compat, group->rules[i]))) {
            while (i--)
                compat_breaker_release(compat, made[i]);
            compat_give(&compat->arena, made, group->count * sizeof *made);
            made = NULL;
        }
    if (made) {
        resource->default_breakers = made;
        *ret_count = resource->default_breakers_count = group->count;
    }
    return made;
}

static enum circuit_state shown_as(const struct compat_breaker *breaker) {
    static const uint8_t states[] = {
        [STATE_CLOSED] = CIRCUIT_CLOSED, [STATE_HALF_OPEN] = CIRCUIT_HALF_OPEN, [STATE_OPEN] = CIRCUIT_OPEN};
    return states[breaker->state];
}

enum circuit_state compat_breakers_worst(struct compat *compat, struct compat_resource *resource) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(compat, resource, &count);
    enum circuit_state worst = CIRCUIT_NONE;
    for (uint32_t i = 0; i < count; i++)
        worst = shown_as(breakers[i]) > worst ? shown_as(breakers[i]) : worst;
    return worst;
}

struct place { /* whose circuits are looked at, and when */
    struct compat *compat;
    struct compat_resource *resource;
    uint32_t entry;
    const struct compat_moment *at;
};

static void report(const struct place *place, const struct compat_breaker *breaker, enum circuit_state from) {
    const struct compat *compat = place->compat;
    const struct rule *rule = compat_rule_at(compat, breaker ? breaker->rule->ruleset_index : UINT32_MAX);
    if (compat->listener)
        compat->listener->circuit(compat->owner, rule, place->entry, (uint64_t)place->at->ns, from,
                                  breaker ? shown_as(breaker) : from,
                                  compat_breakers_worst(place->compat, place->resource));
}

static void change(const struct place *place, struct compat_breaker *breaker, enum compat_state state) {
    enum circuit_state from = shown_as(breaker);
    breaker->state = state;
    report(place, breaker, from);
}

static struct place place_of(const struct compat_call *call) {
    return (struct place){call->compat, call->resource, call->entry, call->at};
}

/* Open circuits let one call through when their time has come: HALF_OPEN until any call completes. */
static bool try_pass(struct compat_call *call, struct compat_breaker *breaker) {
    if (breaker->state == STATE_CLOSED)
        return true;
    if (breaker->state != STATE_OPEN || call->at->ms < breaker->retry_ms)
        return false;
    struct place place = place_of(call);
    change(&place, breaker, STATE_HALF_OPEN);
    breaker->next_probe = call->probes;
    call->probes = breaker;
    return true;
}

/* That a resource has circuits, or has none any more, is to be seen before the first of them opens. */
static void show(const struct compat_call *call) {
    struct place place = place_of(call);
    if (!call->resource->shown)
        report(&place, NULL, CIRCUIT_NONE);
    call->resource->shown = true;
}

bool compat_breakers_check(struct compat_call *call, int64_t *ret_retry_ms) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(call->compat, call->resource, &count);
    show(call);
    for (uint32_t i = 0; i < count; i++) {
        const struct compat_rule *rule = breakers[i]->rule;
        if (!compat_concerns(rule, call->request) || try_pass(call, breakers[i]) ||
            !compat_rejects(call, rule->ruleset_index, REASON_DEGRADE, rule->mode == MODE_SIMULATE))
            continue;
        *ret_retry_ms = breakers[i]->retry_ms;
        return false;
    }
    return true;
}

/* The probing call was blocked by a later rule: the circuit is open again, with the retry time it had. */
void compat_probes_back(struct compat_call *call) {
    struct place place = place_of(call);
    for (; call->probes; call->probes = call->probes->next_probe)
        if (call->probes->state == STATE_HALF_OPEN)
            change(&place, call->probes, STATE_OPEN);
}

static bool exceeds(const struct compat_breaker *breaker) {
    const struct compat_rule *rule = breaker->rule;
    double share = (double)breaker->bad / (double)breaker->total;
    if (breaker->total < rule->degrade.min_requests)
        return false;
    if (rule->grade == DEGRADE_SLOW)
        return share > rule->degrade.ratio || (share == rule->degrade.ratio && rule->degrade.ratio == 1.0);
    return (rule->grade == DEGRADE_RATIO ? share : (double)breaker->bad) > rule->count;
}

static void complete(const struct place *place, struct compat_breaker *breaker, int64_t rt_ms, bool error) {
    const struct compat_rule *rule = breaker->rule;
    const struct compat_moment *at = place->at;
    bool bad = rule->grade == DEGRADE_SLOW ? rt_ms > rule->degrade.slow_ms : error;
    int64_t start_ms = at->ms - at->ms % rule->degrade.stat_ms;
    if (breaker->start_ms != start_ms) {
        breaker->start_ms = start_ms;
        breaker->bad = breaker->total = 0;
    }
    breaker->bad += bad;
    breaker->total++;
    if (breaker->state == STATE_OPEN)
        return;
    if (breaker->state == STATE_HALF_OPEN && !bad) {
        change(place, breaker, STATE_CLOSED);
        breaker->bad = breaker->total = 0;
    } else if (breaker->state == STATE_HALF_OPEN || exceeds(breaker)) {
        change(place, breaker, STATE_OPEN);
        breaker->retry_ms = at->ms + rule->degrade.open_ms;
    }
}

void compat_breakers_complete(struct compat *compat, struct compat_resource *resource, uint32_t entry,
                              const struct compat_moment *at, int64_t rt_ms, bool error) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(compat, resource, &count);
    struct place place = {compat, resource, entry, at};
    for (uint32_t i = 0; i < count; i++)
        complete(&place, breakers[i], rt_ms, error);
}

void compat_breakers_cancel(struct compat *compat, struct compat_resource *resource, uint32_t entry,
                            const struct compat_moment *at) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(compat, resource, &count);
    struct place place = {compat, resource, entry, at};
    for (uint32_t i = 0; i < count; i++)
        if (breakers[i]->state == STATE_HALF_OPEN)
            change(&place, breakers[i], STATE_OPEN);
}
