#include "rules/text/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "rules/naming/route.h"

/* ----------------------------------------------------------------------------------------------- definitions */

struct definition {
    char *name; /* NULL = free */
    int space;
    uint32_t number;
    const struct rule_document *document;
    const cJSON *node;
};

static struct definition *definition_slot(const struct join *join, int space, const char *name) {
    size_t mask = join->definitions_size - 1, at = (size_t)hash_bytes((uint64_t)space, name, strlen(name)) & mask;
    struct definition *slot;
    for (; (slot = &join->definitions[at])->name; at = (at + 1) & mask)
        if (slot->space == space && strcmp(slot->name, name) == 0)
            break;
    return slot;
}

static bool definitions_grow(struct join *join) {
    struct join larger = {.definitions_size = join->definitions_size ? join->definitions_size * 2 : 64};
    larger.definitions = calloc(larger.definitions_size, sizeof(*larger.definitions));
    if (!larger.definitions)
        return false;
    for (size_t i = 0; i < join->definitions_size; i++)
        if (join->definitions[i].name)
            *definition_slot(&larger, join->definitions[i].space, join->definitions[i].name) = join->definitions[i];
    free(join->definitions);
    join->definitions = larger.definitions;
    join->definitions_size = larger.definitions_size;
    return true;
}

bool join_define(struct reader *reader, int space, const char *name, const cJSON *node, uint32_t number,
                 struct place_text *ret_first) {
    struct join *join = reader->join;
    if (join->definitions_used * 2 >= join->definitions_size && !definitions_grow(join)) {
        join->failed = true;
        return true;
    }
    struct definition *slot = definition_slot(join, space, name);
    if (slot->name) {
        *ret_first = document_place(slot->document, slot->node);
        return false;
    }
    *slot = (struct definition){strdup(name), space, number, reader->document, node};
    join->definitions_used += slot->name != NULL;
    join->failed |= !slot->name;
    return true;
}

int64_t join_find(const struct reader *reader, int space, const char *name) {
    if (!reader->join->definitions_size)
        return -1;
    const struct definition *slot = definition_slot(reader->join, space, name);
    return slot->name ? (int64_t)slot->number : -1;
}

/* ------------------------------------------------------------------------------------------------------ rules */

void join_add_rule(struct reader *reader, const struct rule_record *record, const char *section, int index,
                   const cJSON *node) {
    struct join *join = reader->join;
    if (join->rules_count == join->rules_capacity) {
        size_t capacity = join->rules_capacity * 2 + 16;
        struct pending *rules = realloc(join->rules, capacity * sizeof(*rules));
        if (!rules) {
            join->failed = true;
            return;
        }
        join->rules = rules;
        join->rules_capacity = capacity;
    }
    struct pending *pending = &join->rules[join->rules_count++];
    *pending = (struct pending){.rule = record->rule,
                                .id = record->id ? strdup(record->id) : NULL,
                                .action = record->action,
                                .section = section,
                                .index = index,
                                .document = reader->document,
                                .node = node};
    memcpy(pending->limits, record->limits, sizeof(pending->limits));
    pending->rule.index = join->next_index[record->rule.kind]++;
    pending->rule.file = reader_add(reader, reader->document->file);
    pending->rule.line = document_line(reader->document, reader->document->places[node->valueint].value);
    join->failed |= record->id && !pending->id;
}

/* An error about a field of a rule read earlier. */
static void pending_error(struct reader *reader, const struct pending *pending, const char *key, const char *format,
                          const char *a, const char *b) {
    struct path section = {NULL, pending->section, 0},
                element = {pending->section ? &section : NULL, NULL, pending->index};
    struct path field = {pending->index >= 0 ? &element : &section, key, 0};
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(pending->node, key);
    reader->document = pending->document;
    char *message;
    if (asprintf(&message, format, a, b) < 0)
        return;
    reader_error(reader, &field, node ? node : pending->node, "%s", message);
    free(message);
}

/* The canary version of a rule has the id of the version it replaces: the two do not clash. */
static int id_space(const struct pending *pending) {
    return (pending->rule.canary == CANARY_NONE ? NAME_RULE : NAME_CANARY) + pending->rule.kind;
}

static void define_given_ids(struct reader *reader) {
    for (size_t i = 0; i < reader->join->rules_count; i++) {
        struct pending *pending = &reader->join->rules[i];
        struct place_text first;
        char place[32];
        if (!pending->id)
            continue;
        reader->document = pending->document;
        if (join_define(reader, id_space(pending), pending->id, pending->node, 1, &first))
            continue;
        snprintf(place, sizeof(place), ":%u:%u", first.line, first.column);
        pending_error(reader, pending, "id", "another rule of this kind has this id: %s%s", first.file, place);
    }
}

/* What identifies a rule, in addition to kind and resource; thresholds are not part of it, so that editing one
 * keeps id and state.  Empty for the plainest case. */
static char *identity_text(const struct pending *pending) {
    const struct rule *rule = &pending->rule;
    const cJSON *origin = cJSON_GetObjectItemCaseSensitive(pending->node, "limitApp");
    const cJSON *ref = cJSON_GetObjectItemCaseSensitive(pending->node, "refResource");
    const cJSON *param = cJSON_GetObjectItemCaseSensitive(pending->node,
                                                          rule->kind == RULE_GATEWAY ? "paramItem" : "param");
    struct rule plain;
    rule_defaults(&plain, rule->kind);
    if (rule->kind == RULE_ADAPTIVE)
        plain.grade = rule->grade; /* an app has one: it is the same rule whatever it goes by */
    if (rule->match == plain.match && rule->side == plain.side && rule->grade == plain.grade &&
        rule->strategy == plain.strategy && rule->resource_mode == plain.resource_mode &&
        rule->param_idx == plain.param_idx && rule->authority == plain.authority && !param &&
        rule->origin_kind == (rule->kind == RULE_AUTHORITY ? ORIGIN_NAMED : ORIGIN_DEFAULT))
        return strdup("");
    char *printed = param ? cJSON_PrintUnformatted(param) : NULL, *text = NULL;
    if (asprintf(&text, "%u %u %u %u %u %u %d %s %s %s", rule->match, rule->side, rule->grade, rule->strategy,
                 rule->resource_mode, rule->authority, (int)rule->param_idx,
                 cJSON_IsString(origin) ? origin->valuestring : "", cJSON_IsString(ref) ? ref->valuestring : "",
                 printed ? printed : "") < 0)
        text = NULL;
    cJSON_free(printed);
    return text;
}

enum { ID_MAX = 39, ID_HASH = 9 /* "~" and eight digits */, ID_ORDINAL = 7 /* "#99999", and ":qps" of system rules */ };

/* "flow:GET:/product/{id}", with a hash where that is not all or too long: fits layout_hit.rule_id. */
static void derive_id(const struct pending *pending, char ret_id[static ID_MAX + 1]) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(pending->node, "resource");
    const char *resource = cJSON_IsString(node) ? node->valuestring : "", *kind = rule_kind_word(pending->rule.kind);
    char *identity = identity_text(pending);
    size_t room = ID_MAX - ID_ORDINAL, length = strlen(kind) + (resource[0] ? 1 : 0) + strlen(resource);
    bool plain = identity && !identity[0] && length <= room;
    if (!plain && length > room - ID_HASH)
        length = room - ID_HASH;
    char name[300];
    snprintf(name, sizeof(name), "%s%s%s", kind, resource[0] ? ":" : "", resource);
    while (!plain && length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--; /* not within a character */
    uint64_t hash = hash_bytes(hash_bytes(0, resource, strlen(resource)), identity ? identity : "",
                               identity ? strlen(identity) : 0);
    if (plain)
        snprintf(ret_id, ID_MAX + 1, "%.*s", (int)length, name);
    else
        snprintf(ret_id, ID_MAX + 1, "%.*s~%08x", (int)length, name, (unsigned)(hash >> 32));
    free(identity);
}

static void give_ids(struct reader *reader) {
    for (size_t i = 0; i < reader->join->rules_count; i++) {
        struct pending *pending = &reader->join->rules[i];
        struct place_text first;
        char id[ID_MAX + 1], numbered[ID_MAX + 16];
        if (pending->id)
            continue;
        derive_id(pending, id);
        int space = id_space(pending);
        reader->document = pending->document;
        snprintf(numbered, sizeof(numbered), "%s", id);
        while (!join_define(reader, space, numbered, pending->node, 1, &first))
            snprintf(numbered, sizeof(numbered), "%s#%u", id, ++definition_slot(reader->join, space, id)->number);
        pending->id = strdup(numbered);
        reader->join->failed |= !pending->id;
    }
}

/* Can such a rule never meet an attempt to connect? */
static bool inbound_only(const struct reader *reader, const struct pending *pending) {
    const struct rule *rule = &pending->rule;
    const char *resource = ruleset_builder_text(reader->builder, rule->resource);
    if (rule->side != SIDE_ANY || rule->kind == RULE_GATEWAY || rule->kind >= RULE_SYSTEM)
        return rule->side != SIDE_OUTBOUND;
    return rule->match == MATCH_EXACT &&
           (strstr(resource, ":/") || strncmp(resource, "http:", 5) == 0 || strncmp(resource, "tcp::", 5) == 0);
}

static void resolve_names(struct reader *reader, bool whole) {
    for (size_t i = 0; i < reader->join->rules_count; i++) {
        struct pending *pending = &reader->join->rules[i];
        int64_t action = pending->action ? join_find(reader, NAME_ACTION, pending->action) : 0;
        if (action >= 0)
            pending->rule.block_action = (uint32_t)action;
        else if (whole)
            pending_error(reader, pending, "blockAction", "no entry of blockActions has the name \"%s\"%s",
                          pending->action, "");
        if (action > 0 && join_find(reader, NAME_ERRNO, pending->action) > 0 && inbound_only(reader, pending))
            pending_error(reader, pending, "blockAction",
                          "\"%s\" has an errno, which applies to outbound connections only; use another block action "
                          "for inbound traffic%s",
                          pending->action, "");
        const cJSON *resource = cJSON_GetObjectItemCaseSensitive(pending->node, "resource");
        if (whole && !pending->document->kind && pending->rule.kind == RULE_GATEWAY &&
            pending->rule.resource_mode == 1 && pending->rule.match == MATCH_EXACT && cJSON_IsString(resource) &&
            join_find(reader, NAME_API, resource->valuestring) < 0)
            pending_error(reader, pending, "resource",
                          "no entry of resources with \"kind\": \"api\" has the name \"%s\"%s", resource->valuestring,
                          "");
    }
}

/* ------------------------------------------------------------------------------------- rules about HTTP routes */

/* The path pattern of a rule's resource: of "GET:/a/{b}" itself, or of the configured route of that name; "" if none.
 */
static const char *pattern_of(const struct reader *reader, const char *resource) {
    int64_t pattern = join_find(reader, NAME_ROUTE, resource);
    struct route_parts parts;
    if (pattern > 0)
        return ruleset_builder_text(reader->builder, (ruleset_string)pattern);
    return route_parts(resource, &parts) ? parts.path : "";
}

/* Position of the segment "{name}" in a pattern, or -1. */
static int segment_of(const char *pattern, const char *name) {
    size_t length = strlen(name);
    for (int segment = 0; *pattern == '/'; segment++) {
        size_t size = strcspn(++pattern, "/");
        if (strncmp(pattern, "**", 2) == 0)
            return -1; /* what is behind it has no fixed position */
        if (size == length + 2 && pattern[0] == '{' && pattern[size - 1] == '}' &&
            strncmp(pattern + 1, name, length) == 0)
            return segment;
        pattern += size;
    }
    return -1;
}

/* Path parameters by name become positions: that is all the request path needs to know. */
static void resolve_segments(struct reader *reader, const struct pending *pending) {
    const cJSON *resource = cJSON_GetObjectItemCaseSensitive(pending->node, "resource");
    for (uint32_t i = 0; i < pending->rule.params_count; i++) {
        struct rule_param *param = ruleset_builder_param(reader->builder, pending->rule.params_first + i);
        if (!param || param->source != PARAM_PATH || !param->field)
            continue;
        const char *name = ruleset_builder_text(reader->builder, param->field);
        int segment = cJSON_IsString(resource) && pending->rule.match == MATCH_EXACT
                          ? segment_of(pattern_of(reader, resource->valuestring), name)
                          : -1;
        if (segment >= 0) {
            param->segment = (uint16_t)segment;
            param->field = 0;
        } else {
            pending_error(reader, pending, pending->rule.kind == RULE_GATEWAY ? "paramItem" : "param",
                          "the route of this rule has no segment {%s}%s; give the segment's position (\"0\" is the "
                          "first), or a route with that name",
                          name, "");
        }
    }
}

bool join_names_route(const char *name) {
    struct route_parts parts;
    return route_parts(name, &parts) && strchr(parts.path, '{');
}

void join_add_named_route(struct ruleset_builder *builder, const char *name) {
    struct route_parts parts;
    char spelling[700], host[ROUTE_HOST_MAX];
    if (!route_parts(name, &parts))
        return;
    route_pattern(parts.path, strlen(parts.path), spelling, sizeof(spelling));
    route_host(parts.host, parts.host_length, host);
    ruleset_string method = ruleset_add_text(builder, name, parts.method_length);
    struct ruleset_route route = {.kind = ROUTE_PATTERN,
                                  .match = MATCH_GLOB,
                                  .priority = PRIORITY_NORMAL,
                                  .implicit = 1,
                                  .method = method,
                                  .host = ruleset_add_text(builder, host, strlen(host)),
                                  .name = ruleset_add_text(builder, name, strlen(name)),
                                  .pattern = ruleset_add_text(builder, spelling, strlen(spelling))};
    ruleset_add_route(builder, &route);
}

static void add_implicit_route(struct reader *reader, const struct pending *pending, const char *key) {
    const cJSON *resource = cJSON_GetObjectItemCaseSensitive(pending->node, key);
    const char *name = cJSON_IsString(resource) ? resource->valuestring : "";
    struct place_text first;
    if (join_names_route(name) && join_define(reader, NAME_IMPLICIT, name, pending->node, 0, &first))
        join_add_named_route(reader->builder, name);
}

static void add_implicit_routes(struct reader *reader, const struct pending *pending) {
    if (pending->document->bare && pending->rule.match == MATCH_EXACT)
        bare_route(reader, pending->node);
    if (pending->rule.match == MATCH_EXACT)
        add_implicit_route(reader, pending, "resource");
    if (pending->rule.strategy == STRATEGY_RELATE)
        add_implicit_route(reader, pending, "refResource");
}

/* More than this of one sort the engine does not look at: say so instead of leaving some out. */
enum { RULES_ON_RESOURCE_MAX = 1000, SYSTEM_MAX = 64 };

static void check_numbers(struct reader *reader) {
    unsigned system = 0;
    for (size_t i = 0; i < reader->join->rules_count; i++) {
        const struct pending *pending = &reader->join->rules[i];
        const cJSON *resource = cJSON_GetObjectItemCaseSensitive(pending->node, "resource");
        struct place_text first;
        reader->document = pending->document;
        if (pending->rule.kind == RULE_ADAPTIVE) {
            system++;
            if (!join_define(reader, NAME_OPTION, pending->rule.canary ? "adaptive canary" : "adaptive", pending->node,
                             0, &first))
                pending_error(reader, pending, "mode", "an app has only one \"adaptive\"; there is another one in %s%s",
                              first.file, "");
        }
        for (unsigned limit = 0; pending->rule.kind == RULE_SYSTEM && limit < SYSTEM_LIMITS; limit++)
            system += pending->limits[limit] >= 0;
        if (system > SYSTEM_MAX) {
            pending_error(reader, pending, "id", "too many system limits: expected at most 64 in all%s%s", "", "");
            return;
        }
        if (!cJSON_IsString(resource) ||
            join_define(reader, NAME_RESOURCE, resource->valuestring, pending->node, 1, &first))
            continue;
        if (definition_slot(reader->join, NAME_RESOURCE, resource->valuestring)->number++ == RULES_ON_RESOURCE_MAX)
            pending_error(reader, pending, "resource", "too many rules for this resource: expected at most 1000%s%s",
                          "", "");
    }
}

/* Points at what a rule means otherwise than before, or may not have meant; its document's whole text is there. */
static void warn_about(struct reader *reader, const struct pending *pending) {
    struct path section = {NULL, pending->section, 0},
                element = {pending->section ? &section : NULL, NULL, pending->index};
    reader->document = pending->document;
    if (!pending->document->bare) /* which no version before has read */
        warn_of_change(reader, pending->index >= 0 ? &element : &section, pending->node, &pending->rule);
    warn_of_fractions(reader, pending->index >= 0 ? &element : &section, pending->node, &pending->rule);
    warn_of_adaptive(reader, &section, pending->node, &pending->rule);
}

static void add_system_rules(struct reader *reader, const struct pending *pending) {
    static const char *const words[SYSTEM_LIMITS] = {"qps", "thread", "rt", "cpu", "load"};
    for (int limit = 0; limit < SYSTEM_LIMITS; limit++) {
        struct rule rule = pending->rule;
        char id[200];
        if (pending->limits[limit] < 0)
            continue;
        snprintf(id, sizeof(id), "%s:%s", pending->id, words[limit]);
        rule.id = reader_add(reader, id);
        rule.grade = (uint8_t)limit;
        rule.count = pending->limits[limit];
        ruleset_add_rule(reader->builder, &rule);
    }
}

void join_finish(struct reader *reader, bool whole) {
    define_given_ids(reader);
    give_ids(reader);
    resolve_names(reader, whole);
    check_numbers(reader);
    for (size_t i = 0; i < reader->join->rules_count && !reader->join->failed; i++) {
        struct pending *pending = &reader->join->rules[i];
        pending->rule.id = reader_add(reader, pending->id);
        add_implicit_routes(reader, pending);
        if (whole)
            resolve_segments(reader, pending);
        warn_about(reader, pending);
        if (pending->rule.kind == RULE_SYSTEM)
            add_system_rules(reader, pending);
        else
            ruleset_add_rule(reader->builder, &pending->rule);
    }
}

void join_clear(struct join *join) {
    for (size_t i = 0; i < join->definitions_size; i++)
        free(join->definitions[i].name);
    for (size_t i = 0; i < join->rules_count; i++)
        free(join->rules[i].id);
    free(join->definitions);
    free(join->rules);
    *join = (struct join){0};
}
