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

/* Open circuits let one call through when their time has come: HALF_OPEN until any call completes. */
static bool try_pass(struct compat_call *call, struct compat_breaker *breaker) {
    if (breaker->state == STATE_CLOSED)
        return true;
    if (breaker->state != STATE_OPEN || call->at->ms < breaker->retry_ms)
        return false;
    breaker->state = STATE_HALF_OPEN;
    breaker->next_probe = call->probes;
    call->probes = breaker;
    return true;
}

bool compat_breakers_check(struct compat_call *call, const struct compat_rule **ret_rule, int64_t *ret_retry_ms) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(call->compat, call->resource, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!compat_concerns(breakers[i]->rule, call->request) || try_pass(call, breakers[i]) ||
            compat_simulated(breakers[i]->rule, call->decision))
            continue;
        *ret_rule = breakers[i]->rule;
        *ret_retry_ms = breakers[i]->retry_ms;
        return false;
    }
    return true;
}

/* The probing call was blocked by a later rule: the circuit is open again, with the retry time it had. */
void compat_probes_back(struct compat_call *call) {
    for (; call->probes; call->probes = call->probes->next_probe)
        if (call->probes->state == STATE_HALF_OPEN)
            call->probes->state = STATE_OPEN;
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

static void complete(struct compat_breaker *breaker, const struct compat_moment *at, int64_t rt_ms, bool error) {
    const struct compat_rule *rule = breaker->rule;
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
        breaker->state = STATE_CLOSED;
        breaker->bad = breaker->total = 0;
    } else if (breaker->state == STATE_HALF_OPEN || exceeds(breaker)) {
        breaker->state = STATE_OPEN;
        breaker->retry_ms = at->ms + rule->degrade.open_ms;
    }
}

void compat_breakers_complete(struct compat *compat, struct compat_resource *resource, const struct compat_moment *at,
                              int64_t rt_ms, bool error) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(compat, resource, &count);
    for (uint32_t i = 0; i < count; i++)
        complete(breakers[i], at, rt_ms, error);
}

void compat_breakers_cancel(struct compat *compat, struct compat_resource *resource) {
    uint32_t count;
    struct compat_breaker **breakers = breakers_of(compat, resource, &count);
    for (uint32_t i = 0; i < count; i++)
        if (breakers[i]->state == STATE_HALF_OPEN)
            breakers[i]->state = STATE_OPEN;
}
