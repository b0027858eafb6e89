#include "rules/engine/concerns.h"

#include <string.h>

static bool in_origins(const char *list, const char *origin, size_t length) {
    while (*list) {
        size_t n = strcspn(list, ","), from = 0, to = n;
        while (from < to && list[from] == ' ')
            from++;
        while (to > from && list[to - 1] == ' ')
            to--;
        if (to - from == length && memcmp(list + from, origin, length) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

/* Which of the caller's names is on the list; NULL: none. */
static const struct engine_name *named_in(const char *list, const struct engine_name *origin,
                                          const struct engine_request *request) {
    if (in_origins(list, origin->text, origin->length))
        return origin;
    for (uint32_t i = 0; i < request->origins_count; i++)
        if (in_origins(list, request->origins[i].text, request->origins[i].length))
            return &request->origins[i];
    return NULL;
}

/* "other": an origin that no other rule of the kind names on this resource. */
static bool is_other(const struct decision *decision, const struct binding_list *list, const struct rule *rule) {
    for (unsigned i = 0; i < (unsigned)list->checks + list->breakers; i++) {
        const struct rule *named = list->items[i].rule;
        if (named->kind == rule->kind && named->origin_kind == ORIGIN_NAMED &&
            named_in(ruleset_text(decision->compiled->ruleset, named->origin), &decision->origin, decision->request))
            return false;
    }
    return true;
}

/* Rules about some callers only: is this one of them? */
static bool concerns_origin(struct decision *decision, const struct binding_list *list, const struct rule *rule) {
    const struct engine_request *request = decision->request;
    decision->origin = (struct engine_name){request->origin, request->origin_length};
    if (!request->origin_length)
        return false;
    if (rule->origin_kind == ORIGIN_OTHER)
        return is_other(decision, list, rule);
    const struct engine_name *name = named_in(ruleset_text(decision->compiled->ruleset, rule->origin),
                                              &decision->origin, request);
    if (name)
        decision->origin = *name;
    return name;
}

static uint64_t number_of(const struct engine_value *value) {
    uint64_t number = 0;
    for (size_t i = 0;
         value->text && i < value->length && value->text[i] >= '0' && value->text[i] <= '9' && number < UINT32_MAX; i++)
        number = number * 10 + (uint64_t)(value->text[i] - '0');
    return number;
}

/* Who writes the header several times means the most that it says. */
static uint64_t most_of(const struct engine_value *value) {
    uint64_t most = number_of(value);
    for (size_t i = 0; value->type == VALUE_LIST && i < value->count; i++) {
        uint64_t number = number_of(&value->elements[i]);
        most = number > most ? number : most;
    }
    return most;
}

/* What the request takes from this rule. A header that is missing or says nothing costs 1. */
uint32_t rule_cost(const struct decision *decision, const struct rule *rule) {
    const struct engine_request *request = decision->request;
    uint64_t cost = 1;
    if (rule->cost_kind == COST_NUMBER)
        cost = rule->cost_number;
    else if (rule->cost_kind == COST_BYTES)
        cost = request->bytes;
    else if (rule->cost_kind == COST_HEADER && request->param) {
        struct rule_param where = {.source = PARAM_HEADER, .field = rule->cost_header};
        struct engine_value value = {0};
        if (request->param(request->param_context, &where, ruleset_text(decision->compiled->ruleset, rule->cost_header),
                           &value))
            cost = most_of(&value);
        cost = cost ? cost : 1;
    }
    cost = cost > UINT32_MAX ? UINT32_MAX : cost;
    cost *= request->acquire;
    return cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}

static bool is_named(const char *name, const char *text, size_t length) {
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

/* A call from within enters through the inbound resource that it is made for; an inbound request that says no more
 * of, through all that it counts for: its listener, its route, its groups. */
static bool entered_through(const struct decision *decision, const struct rule *rule) {
    const struct engine_request *request = decision->request;
    const char *entrance = ruleset_text(decision->compiled->ruleset, rule->ref_resource);
    if (request->entrance_length || request->side != SIDE_INBOUND)
        return request->entrance_length && is_named(entrance, request->entrance, request->entrance_length);
    for (unsigned i = 0; i < decision->ticket->resources_count; i++) {
        size_t length;
        const char *name = engine_resource_name(decision->engine, decision->ticket->resources[i], &length);
        if (is_named(entrance, name, length))
            return true;
    }
    return false;
}

bool rule_concerns(struct decision *decision, const struct binding_list *list, const struct rule *rule) {
    if (rule->side != SIDE_ANY && rule->side != decision->request->side)
        return false;
    if (rule->origin_kind != ORIGIN_DEFAULT && rule->kind != RULE_AUTHORITY && !concerns_origin(decision, list, rule))
        return false;
    return rule->kind != RULE_FLOW || rule->strategy != STRATEGY_CHAIN || entered_through(decision, rule);
}
