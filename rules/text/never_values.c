/* Rules whose callers, parameters and thresholds no request has or reaches. */
#include <string.h>

#include "rules/address.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/text/never.h"

static void warn_at(struct never *never, const struct path *path, const cJSON *rule, const char *key,
                    const char *message) {
    struct path here = {path, key, 0};
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(rule, key);
    reader_warn(never->reader, &here, node ? node : rule, "%s", message);
}

/* ------------------------------------------------------------------------------------------------------------- callers
 */

static bool origin_exists(const void *ruleset, const char *name) {
    const struct ruleset_header *head = ruleset_head(ruleset);
    const struct ruleset_route *origin = ruleset_routes(ruleset) + head->route_kind_first[ROUTE_ORIGIN];
    struct address_range range;
    if (route_origin_reserved(name, strlen(name)) || address_range_parse(name, &range))
        return true;
    for (uint32_t i = 0; i < head->route_kind_count[ROUTE_ORIGIN]; i++)
        if (origin[i].header || strcmp(ruleset_text(ruleset, origin[i].name), name) == 0)
            return true;
    return false;
}

static const char *nearest_origin(struct never *never, const char *name) {
    const struct ruleset_header *head = never->names.ruleset;
    const struct ruleset_route *origin = ruleset_routes(head) + head->route_kind_first[ROUTE_ORIGIN];
    const char *nearest = NULL;
    size_t best = strlen(name) < 4 ? 2 : 3;
    for (uint32_t i = 0; i < head->route_kind_count[ROUTE_ORIGIN] && i < 1000; i++) {
        const char *text = ruleset_text(head, origin[i].name);
        size_t edits = text_distance(name, text);
        if (edits < best) {
            best = edits;
            nearest = text;
        }
    }
    return nearest;
}

static void warn_origins(struct never *never, const struct path *path, const struct pending *pending) {
    const void *ruleset = never->names.ruleset;
    struct path here = {path, "limitApp", 0};
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(pending->node, "limitApp");
    uint32_t origins = ruleset_head(ruleset)->route_kind_count[ROUTE_ORIGIN];
    if (pending->rule.origin_kind != ORIGIN_NAMED || !cJSON_IsString(node))
        return;
    for (const char *at = ruleset_text(ruleset, pending->rule.origin); *at;) {
        size_t length = strcspn(at, ",");
        char name[200];
        memcpy(name, at, length < sizeof(name) ? length : sizeof(name) - 1);
        name[length < sizeof(name) ? length : sizeof(name) - 1] = '\0';
        at += length + (at[length] == ',');
        if (!names_spend(&never->names, 1 + origins))
            return;
        if (origin_exists(ruleset, name) ||
            !names_spend(&never->names, 100 * (uint64_t)(origins < 1000 ? origins : 1000)))
            continue;
        const char *nearest = nearest_origin(never, name);
        if (nearest)
            reader_warn(never->reader, &here, node, "no caller is ever named \"%s\"; did you mean \"%s\"?", name,
                        nearest);
        else
            reader_warn(never->reader, &here, node,
                        "no caller is ever named \"%s\"; who that is, \"resources\" says, by a header or by addresses: "
                        "{\"kind\": \"origin\", \"name\": \"%s\", \"addresses\": [\"10.0.0.0/8\"]}",
                        name, name);
    }
}

/* --------------------------------------------------------------------------------------------------------- parameters
 */

/* The name is of connections, which have an address and nothing else. */
static bool of_connections(const struct never *never, const struct rule *rule) {
    struct made made;
    const char *name = ruleset_text(never->names.ruleset, rule->resource);
    if (rule->match != MATCH_EXACT || strncmp(name, "tcp:", 4) != 0)
        return false;
    names_find(&never->names, name, NEVER_BOTH, &made);
    return made.sides != 0;
}

/* How many segments a path has that the rule is about; -1: that varies. */
static int segments_of(const struct never *never, const struct rule *rule) {
    const char *name = ruleset_text(never->names.ruleset, rule->resource);
    struct route_parts parts;
    int segments = 0;
    if (rule->match != MATCH_EXACT || names_define(&never->names, name) || !route_parts(name, &parts) ||
        strstr(parts.path, "*"))
        return -1;
    for (const char *at = parts.path; *at; at++)
        segments += *at == '/';
    return segments;
}

static void warn_params(struct never *never, const struct path *path, const struct pending *pending) {
    const struct rule *rule = &pending->rule;
    const char *key = rule->kind == RULE_GATEWAY ? "paramItem" : "param";
    int segments = segments_of(never, rule);
    if (rule->kind == RULE_PARAM && reader_is_set(pending->node, "paramIdx"))
        warn_at(
            never, path, pending->node, "paramIdx",
            "never counts: requests have no arguments by position; instead of paramIdx say which part it is, such as "
            "\"param\": {\"parseStrategy\": \"urlParam\", \"fieldName\": \"user\"}");
    for (uint32_t i = 0; i < rule->params_count; i++) {
        const struct rule_param *param = &ruleset_params(never->names.ruleset)[rule->params_first + i];
        if (param->source != PARAM_CLIENT_IP && of_connections(never, rule))
            warn_at(never, path, pending->node, key,
                    "never counts: connections have an address and nothing else; use \"clientIp\", or a rule about "
                    "requests (http::PORT)");
        else if (param->source == PARAM_PATH && segments >= 0 && param->segment >= segments)
            warn_at(never, path, pending->node, key,
                    "never counts: the path of this rule's resource has fewer segments (the first one is 0)");
        else
            continue;
        return;
    }
}

static bool is_text(const cJSON *type) {
    static const char *const texts[] = {"String", "java.lang.String", "char", "java.lang.Character"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (strcmp(type->valuestring, texts[i]) == 0)
            return true;
    return false;
}

static void warn_items(struct never *never, const struct path *path, const struct pending *pending) {
    struct path list = {path, "paramFlowItemList", 0};
    const cJSON *item;
    int index = 0;
    if (!pending->rule.params_count)
        return;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(pending->node, "paramFlowItemList")) {
        struct path element = {&list, NULL, index++}, here = {&element, "classType", 0};
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "classType");
        if (cJSON_IsString(type) && !is_text(type))
            reader_warn(never->reader, &here, type,
                        "never matches: parts of requests are texts; remove classType (\"object\": 5 is the text 5)");
    }
}

/* ---------------------------------------------------------------------------------------------------------- thresholds
 */

static void warn_thresholds(struct never *never, const struct path *path, const struct pending *pending) {
    if (pending->rule.kind == RULE_SYSTEM && pending->limits[SYSTEM_CPU] >= 1)
        warn_at(never, path, pending->node, "highestCpuUsage", "never rejects: the use of CPU is never above 1");
    if (pending->rule.kind == RULE_PARAM || pending->rule.kind == RULE_GATEWAY || pending->rule.kind == RULE_FLOW ||
        pending->rule.kind == RULE_ISOLATION)
        if (pending->rule.cost_kind == COST_HEADER && of_connections(never, &pending->rule))
            warn_at(never, path, pending->node, "cost", "connections have no headers: each costs 1");
}

void never_warn_values(struct never *never, const struct path *path, const struct pending *pending) {
    if (pending->rule.kind < RULE_SYSTEM)
        warn_origins(never, path, pending);
    if (pending->rule.kind == RULE_PARAM || pending->rule.kind == RULE_GATEWAY) {
        warn_params(never, path, pending);
        warn_items(never, path, pending);
    }
    warn_thresholds(never, path, pending);
}
