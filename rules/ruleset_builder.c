/* What rules/text, tests and benchmarks build rulesets with; malloc is used here and not in ruleset.c, which the shim
 * links. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/caller.h"
#include "rules/naming/route.h"

static const char *const kind_words[RULE_KINDS] = {
    [RULE_AUTHORITY] = "authority", [RULE_PARAM] = "paramFlow",     [RULE_GATEWAY] = "gateway",
    [RULE_FLOW] = "flow",           [RULE_ISOLATION] = "isolation", [RULE_DEGRADE] = "degrade",
    [RULE_SYSTEM] = "system",       [RULE_ADAPTIVE] = "adaptive",
};

const char *rule_kind_word(enum rule_kind kind) {
    return (unsigned)kind < RULE_KINDS ? kind_words[kind] : "";
}

uint64_t rule_id_hash(enum rule_kind kind, const char *id) {
    return hash_bytes((uint64_t)kind + 1, id, strlen(id));
}

/* ------------------------------------------------------------------------------------------------- builder */

struct array {
    char *bytes;
    uint32_t count, capacity;
    uint32_t element;
};

struct ruleset_builder {
    struct array rules, params, items, routes, ranges, actions, list, strings, route_slots, name_slots;
    uint32_t *slots; /* open-addressed table of string offsets, 0 = free; at most half full */
    uint32_t slots_size, slots_used;
    ruleset_string app, version;
    struct ruleset_options options;
    bool failed; /* no memory, or too large: finish says so */
};

/* Room for `count` more elements behind the last one; NULL (and failed) without memory. */
static void *array_grow(struct ruleset_builder *builder, struct array *array, uint32_t count) {
    uint64_t need = (uint64_t)array->count + count;
    if (builder->failed || need * array->element > LAYOUT_RULES_COPY_MAX) {
        builder->failed = true;
        return NULL;
    }
    if (need > array->capacity) {
        uint32_t capacity = (uint32_t)(need + need / 2 + 16);
        char *bytes = realloc(array->bytes, (size_t)capacity * array->element);
        if (!bytes) {
            builder->failed = true;
            return NULL;
        }
        array->bytes = bytes;
        array->capacity = capacity;
    }
    void *place = array->bytes + (size_t)array->count * array->element;
    array->count = (uint32_t)need;
    return place;
}

static uint32_t array_add(struct ruleset_builder *builder, struct array *array, const void *record) {
    void *place = array_grow(builder, array, 1);
    if (!place)
        return 0;
    memcpy(place, record, array->element);
    return array->count - 1;
}

struct ruleset_builder *ruleset_builder_new(const char *app) {
    struct ruleset_builder *builder = calloc(1, sizeof(*builder));
    if (!builder)
        return NULL;
    builder->rules.element = sizeof(struct rule);
    builder->params.element = sizeof(struct rule_param);
    builder->items.element = sizeof(struct rule_item);
    builder->routes.element = sizeof(struct ruleset_route);
    builder->ranges.element = sizeof(struct address_range);
    builder->actions.element = sizeof(struct ruleset_block_action);
    builder->list.element = sizeof(uint32_t);
    builder->route_slots.element = builder->name_slots.element = sizeof(uint32_t);
    builder->strings.element = 1;
    builder->options = (struct ruleset_options){
        .max_resources = 6000,
        .max_siblings = 100,
        .cold_factor = 3,
        .defend_http = 1,
        .max_rt_ns = 4900000000u,
        .rate_limit_headers = 1,
    };
    char *empty = array_grow(builder, &builder->strings, 1);
    if (empty)
        *empty = '\0';
    builder->app = ruleset_add_text(builder, app, strlen(app));
    return builder;
}

static bool slots_grow(struct ruleset_builder *builder) {
    uint32_t size = builder->slots_size ? builder->slots_size * 2 : 256;
    uint32_t *slots = calloc(size, sizeof(*slots));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < builder->slots_size; i++) {
        uint32_t offset = builder->slots[i];
        if (!offset)
            continue;
        const char *text = builder->strings.bytes + offset;
        uint32_t at = (uint32_t)hash_bytes(0, text, strlen(text)) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = offset;
    }
    free(builder->slots);
    builder->slots = slots;
    builder->slots_size = size;
    return true;
}

ruleset_string ruleset_add_text(struct ruleset_builder *builder, const char *text, size_t length) {
    length = text ? strnlen(text, length) : 0;
    if (length == 0 || length >= LAYOUT_RULES_COPY_MAX) {
        builder->failed |= length != 0;
        return 0;
    }
    if (builder->slots_used * 2 >= builder->slots_size && !slots_grow(builder)) {
        builder->failed = true;
        return 0;
    }
    uint32_t mask = builder->slots_size - 1;
    uint32_t at = (uint32_t)hash_bytes(0, text, length) & mask;
    for (; builder->slots[at]; at = (at + 1) & mask) {
        const char *other = builder->strings.bytes + builder->slots[at];
        if (strncmp(other, text, length) == 0 && other[length] == '\0')
            return builder->slots[at];
    }
    char *place = array_grow(builder, &builder->strings, (uint32_t)length + 1);
    if (!place)
        return 0;
    memcpy(place, text, length);
    place[length] = '\0';
    builder->slots_used++;
    return builder->slots[at] = (uint32_t)(place - builder->strings.bytes);
}

uint32_t ruleset_add_param(struct ruleset_builder *builder, const struct rule_param *param) {
    return array_add(builder, &builder->params, param);
}

uint32_t ruleset_add_item(struct ruleset_builder *builder, const struct rule_item *item) {
    return array_add(builder, &builder->items, item);
}

uint32_t ruleset_add_route(struct ruleset_builder *builder, const struct ruleset_route *route) {
    return array_add(builder, &builder->routes, route);
}

uint32_t ruleset_add_range(struct ruleset_builder *builder, const struct address_range *range) {
    return array_add(builder, &builder->ranges, range);
}

uint32_t ruleset_add_action(struct ruleset_builder *builder, const struct ruleset_block_action *action) {
    return array_add(builder, &builder->actions, action);
}

uint32_t ruleset_add_list(struct ruleset_builder *builder, uint32_t value) {
    return array_add(builder, &builder->list, &value);
}

struct ruleset_options *ruleset_builder_options(struct ruleset_builder *builder) {
    return &builder->options;
}

struct rule_param *ruleset_builder_param(struct ruleset_builder *builder, uint32_t index) {
    return index < builder->params.count ? (struct rule_param *)builder->params.bytes + index : NULL;
}

const char *ruleset_builder_text(const struct ruleset_builder *builder, ruleset_string text) {
    return text < builder->strings.count ? builder->strings.bytes + text : "";
}

void ruleset_builder_version(struct ruleset_builder *builder, const char *version_text) {
    builder->version = ruleset_add_text(builder, version_text, strlen(version_text));
}

void ruleset_add_rule(struct ruleset_builder *builder, const struct rule *rule) {
    struct rule copy = *rule;
    if (!copy.id) {
        char id[48];
        int length = snprintf(id, sizeof(id), "%s-%u", rule_kind_word(copy.kind), builder->rules.count + 1);
        copy.id = ruleset_add_text(builder, id, (size_t)length);
    }
    if (!copy.id_hash && !builder->failed)
        copy.id_hash = rule_id_hash(copy.kind, builder->strings.bytes + copy.id);
    array_add(builder, &builder->rules, &copy);
}

void ruleset_builder_free(struct ruleset_builder *builder) {
    if (!builder)
        return;
    struct array *const arrays[] = {&builder->rules,       &builder->params,    &builder->items, &builder->routes,
                                    &builder->ranges,      &builder->actions,   &builder->list,  &builder->strings,
                                    &builder->route_slots, &builder->name_slots};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(*arrays); i++)
        free(arrays[i]->bytes);
    free(builder->slots);
    free(builder);
}

/* Rules by kind, in the order in which they were added within a kind. */
static void write_rules(const struct ruleset_builder *builder, char *ruleset, struct ruleset_header *header) {
    const struct rule *rules = (const struct rule *)builder->rules.bytes;
    struct rule *to = (struct rule *)(ruleset + header->rules_at);
    uint32_t written = 0;
    for (uint32_t kind = 0; kind < RULE_KINDS; kind++) {
        header->kind_first[kind] = written;
        for (uint32_t i = 0; i < builder->rules.count; i++)
            if (rules[i].kind == kind)
                to[written++] = rules[i];
        header->kind_count[kind] = written - header->kind_first[kind];
    }
}

/* Routes by kind, in the order in which they were added within a kind. */
static void sort_routes(struct ruleset_builder *builder, struct ruleset_header *header) {
    struct ruleset_route *routes = (struct ruleset_route *)builder->routes.bytes;
    uint32_t count = builder->routes.count, sorted = 0;
    size_t size = (size_t)count * sizeof(*routes);
    struct ruleset_route *copy = count ? malloc(size) : NULL;
    if (count && !copy) {
        builder->failed = true;
        return;
    }
    for (uint32_t kind = 0; kind < ROUTE_KINDS; kind++) {
        header->route_kind_first[kind] = sorted;
        for (uint32_t i = 0; i < count; i++)
            if (routes[i].kind == kind)
                copy[sorted++] = routes[i];
        header->route_kind_count[kind] = sorted - header->route_kind_first[kind];
    }
    if (sorted == count && count)
        memcpy(routes, copy, size);
    builder->failed |= sorted != count;
    free(copy);
}

/* What the processes would otherwise have to find out for each request. */
static void note_uses(const struct ruleset_builder *builder, struct ruleset_header *header) {
    const struct ruleset_route *routes = (const struct ruleset_route *)builder->routes.bytes;
    const struct rule *rules = (const struct rule *)builder->rules.bytes;
    struct route_parts parts;
    header->callers = header->route_kind_count[ROUTE_ORIGIN] != 0;
    for (uint32_t i = 0; i < builder->routes.count; i++)
        header->hosts |= routes[i].host != 0;
    for (uint32_t i = 0; i < builder->rules.count; i++) {
        header->callers |= rules[i].kind == RULE_AUTHORITY || rules[i].origin_kind != ORIGIN_DEFAULT;
        header->hosts |= rules[i].match == MATCH_EXACT &&
                         route_parts(builder->strings.bytes + rules[i].resource, &parts) && parts.host_length;
    }
}

/* Free slots for `entries`: a power of two, at most half full. */
static uint32_t *slots_for(struct ruleset_builder *builder, struct array *slots, uint32_t entries) {
    uint32_t size = 1;
    while (size < entries * 2 + 2 && size < 1u << 24)
        size *= 2;
    uint32_t *place = entries ? array_grow(builder, slots, size) : NULL;
    if (place)
        memset(place, 0, size * sizeof(*place));
    return place;
}

static void make_slots(struct ruleset_builder *builder) {
    const struct ruleset_route *routes = (const struct ruleset_route *)builder->routes.bytes;
    const struct rule *rules = (const struct rule *)builder->rules.bytes;
    uint32_t *slots = slots_for(builder, &builder->route_slots, builder->routes.count);
    for (uint32_t i = 0; slots && i < builder->routes.count; i++)
        if (routes[i].kind == ROUTE_PATTERN || routes[i].kind == ROUTE_API)
            route_index_route(slots, builder->route_slots.count, i + 1, routes[i].match,
                              builder->strings.bytes + routes[i].pattern);
    struct route_parts parts;
    slots = slots_for(builder, &builder->name_slots, builder->rules.count);
    for (uint32_t i = 0; slots && i < builder->rules.count; i++) {
        const char *name = builder->strings.bytes + rules[i].resource;
        if (rules[i].kind < RULE_SYSTEM && rules[i].match == MATCH_EXACT && rules[i].side != SIDE_OUTBOUND &&
            route_parts(name, &parts))
            route_index_name(slots, builder->name_slots.count, rules[i].resource, name);
    }
}

/* By what the rules name callers of this host: the shim asks the kernel only for that. */
static uint8_t callers_named(const struct ruleset_builder *builder) {
    static const struct {
        const char *prefix;
        uint8_t bit;
    } kinds[] = {{"unit:", CALLER_UNIT}, {"comm:", CALLER_COMM}, {"uid:", CALLER_UID}};
    const struct rule *rules = (const struct rule *)(const void *)builder->rules.bytes;
    uint8_t named = 0;
    for (uint32_t i = 0; i < builder->rules.count; i++) {
        const char *at = ruleset_builder_text(builder, rules[i].origin);
        for (; rules[i].origin_kind == ORIGIN_NAMED && *at; at += strcspn(at, ","), at += *at == ',')
            for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
                if (strncmp(at, kinds[k].prefix, strlen(kinds[k].prefix)) == 0 && rules[i].mode != MODE_OFF)
                    named |= kinds[k].bit;
    }
    return named;
}

static bool looks_at_waits(const struct ruleset_builder *builder) {
    const struct rule *rules = (const struct rule *)(const void *)builder->rules.bytes;
    bool looks = false;
    for (uint32_t i = 0; i < builder->rules.count; i++)
        looks |= rules[i].mode != MODE_OFF &&
                 (rules[i].kind == RULE_ADAPTIVE || (rules[i].kind == RULE_SYSTEM && rules[i].grade >= SYSTEM_RT));
    return looks;
}

void *ruleset_builder_finish(struct ruleset_builder *builder, size_t *ret_size) {
    struct ruleset_header header = {.magic = RULESET_MAGIC,
                                    .version = RULESET_VERSION,
                                    .header_size = sizeof(header),
                                    .min_reader = RULESET_MIN_READER,
                                    .app = builder->app,
                                    .version_text = builder->version};
    struct {
        struct array *array;
        uint32_t *at, *count;
    } parts[] = {
        {&builder->rules, &header.rules_at, &header.rules_count},
        {&builder->items, &header.items_at, &header.items_count},
        {&builder->actions, &header.actions_at, &header.actions_count},
        {&builder->routes, &header.routes_at, &header.routes_count},
        {&builder->params, &header.params_at, &header.params_count},
        {&builder->ranges, &header.ranges_at, &header.ranges_count},
        {&builder->list, &header.list_at, &header.list_count},
        {&builder->route_slots, &header.route_slots_at, &header.route_slots_count},
        {&builder->name_slots, &header.name_slots_at, &header.name_slots_count},
        {&builder->strings, &header.strings_at, &header.strings_size},
    };
    const size_t parts_count = sizeof(parts) / sizeof(*parts);
    memcpy(header.strides, ruleset_strides, sizeof(header.strides));
    sort_routes(builder, &header);
    if (!builder->failed) {
        note_uses(builder, &header);
        make_slots(builder);
    }
    uint64_t size = sizeof(header);
    void *ruleset = NULL;
    for (size_t i = 0; i < parts_count; i++) {
        size = (size + 7) & ~7ull;
        *parts[i].at = (uint32_t)size;
        *parts[i].count = parts[i].array->count;
        size += (uint64_t)parts[i].array->count * parts[i].array->element;
        if (size > LAYOUT_RULES_COPY_MAX)
            builder->failed = true;
    }
    size = (size + 7) & ~7ull;
    if (builder->failed || !(ruleset = calloc(1, size)))
        goto out;
    header.size = (uint32_t)size;
    header.options = builder->options;
    header.options.local_callers = callers_named(builder);
    header.waits = looks_at_waits(builder);
    header.requires = builder->options.client_header ? RULE_FEATURE_CLIENT_HEADER : RULE_FEATURE_NONE;
    for (size_t i = 1; i < parts_count; i++)
        if (parts[i].array->count)
            memcpy((char *)ruleset + *parts[i].at, parts[i].array->bytes,
                   (size_t)parts[i].array->count * parts[i].array->element);
    write_rules(builder, ruleset, &header);
    memcpy(ruleset, &header, sizeof(header));
    if (!ruleset_check(ruleset,
                       size)) { /* a record of the caller's is not valid: better no ruleset than one that all refuse */
        free(ruleset);
        ruleset = NULL;
        goto out;
    }
    *ret_size = size;
out:
    ruleset_builder_free(builder);
    return ruleset;
}
