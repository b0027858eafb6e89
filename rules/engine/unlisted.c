/* A request for a resource whose list of rules could not be made: there is no memory, or too many threads are matching
 * regular expressions at this moment.  Every rule is looked at instead, each time. */
#include <string.h>

#include "rules/engine/decision.h"
#include "rules/engine/limiters/relate.h"

static bool feeds(const struct compiled *compiled, const struct rule *rule, const char *name) {
    return rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE &&
           strcmp(ruleset_text(compiled->ruleset, rule->ref_resource), name) == 0;
}

static struct binding binding_of(const struct compiled *compiled, uint32_t rule) {
    return (struct binding){.rule = &compiled->rules[rule],
                            .limiter = &compiled->limiters[rule],
                            .kind = (uint8_t)limiter_of(&compiled->rules[rule])};
}

/* Rules that are related to this resource count the request: beforehand, as what happens to it is not known yet. */
static void feed_all(struct decision *decision, const char *name) {
    const struct compiled *compiled = decision->compiled;
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        uint32_t i = compiled->general[k];
        struct binding binding = binding_of(compiled, i);
        if (compiled->limiters[i].in_force && feeds(compiled, binding.rule, name))
            relate_feed(decision, &binding, decision->request->acquire);
    }
}

static void note(struct decision *decision, uint32_t resource) {
    uint32_t refused = add_relaxed(&decision->engine->counters->cells_refused, 1u);
    if ((refused & (refused - 1)) == 0)
        metrics_event(decision->engine, decision->now_ns, EVENT_CELLS_FULL, decision->compiled->ruleset, NULL, resource,
                      0, 0, refused + 1);
}

bool unlisted_check(struct decision *decision, uint32_t resource,
                    bool (*check)(struct decision *, const struct binding_list *, struct binding *, uint32_t)) {
    static const struct binding_list none = {.priority = PRIORITY_NORMAL};
    struct engine *engine = decision->engine;
    struct compiled *compiled = decision->compiled;
    size_t length;
    const char *name = engine_resource_name(engine, resource, &length);
    note(decision, resource);
    feed_all(decision, name);
    for (uint32_t i = compiled_next_rule(engine, compiled, name, length, 0); i != UINT32_MAX;
         i = compiled_next_rule(engine, compiled, name, length, i + 1)) {
        struct binding binding = binding_of(compiled, i);
        decision->retry_ns = 0;
        if (!check(decision, &none, &binding, resource))
            return false;
    }
    return true;
}
