/* Which rules apply to a resource, for `weir explain`. */
#include "rules/engine/engine_private.h"

static struct compiled *current(struct engine *engine) {
    return &engine->compiled[load_acquire(&engine->current) & 1];
}

size_t engine_rules_of(struct engine *engine, uint32_t resource, const struct rule **ret_rules, size_t max,
                       struct engine_applying *ret) {
    const struct binding_list *list = compiled_bindings(engine, current(engine), resource);
    size_t count = list ? (size_t)list->checks + list->breakers : 0;
    *ret = (struct engine_applying){.priority = PRIORITY_NORMAL};
    if (list)
        *ret = (struct engine_applying){list->checks, list->exempt, list->health, list->priority};
    for (size_t i = 0; i < count && i < max; i++)
        ret_rules[i] = list->items[i].rule;
    return count < max ? count : max;
}

size_t engine_shedding_rules(struct engine *engine, const struct rule **ret_rules, size_t max) {
    const struct compiled *compiled = current(engine);
    size_t count = compiled->shedders < max ? compiled->shedders : max;
    for (size_t i = 0; i < count; i++)
        ret_rules[i] = compiled->shedder[i].rule;
    return count;
}

bool engine_in_force(struct engine *engine, uint32_t rule) {
    return current(engine)->limiters[rule].in_force;
}
