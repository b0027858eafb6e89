#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/engine/engine.h"
#include "rules/engine/limiters/authority.h"
#include "rules/pattern.h"
#include "rules/ruleset.h"
#include "shim/protocol/refusal.h"
#include "tools/explain/explain.h"
#include "tools/rule_summary.h"
#include "tools/table.h"

enum { PARAM_PATTERN_BYTES = 64 << 10, WHY_MAX = 900, ANSWER_MAX = 2048 };
static const char *const modes[] = {"enforce", "simulate", "off"}, *const scopes[] = {"process", "app", "cluster"};
const char *const explain_priorities[] = {"low", "normal", "critical"};

/* ---------------------------------------------------------------------------------------------------- who it is for */

struct applying { /* rules on one resource, in the order in which they are asked */
    const struct rule *rules[ENGINE_RULES_MAX];
    size_t count;
    struct engine_applying of;
};
static struct applying lists[RESOURCES_MAX];

static struct engine_request request_of(const struct explain *explain) {
    struct engine_request request = {.side = SIDE_INBOUND, .acquire = 1};
    origin_describe(&explain->origin, &request);
    return request;
}

/* Is one of the caller's names on the list? */
static bool is_named(const struct explain *explain, const char *list) {
    for (;; list++) {
        size_t size = strcspn(list, ",");
        for (uint32_t i = 0; i < explain->origin.names_count; i++)
            if (explain->origin.names[i].length == size && memcmp(list, explain->origin.names[i].text, size) == 0)
                return true;
        list += size;
        if (!*list)
            return false;
    }
}

/* Is the request's origin on an authority rule's list? */
static bool is_listed(const struct explain *explain, const struct rule *rule) {
    const char *list = ruleset_text(explain->ruleset, rule->origin);
    struct engine_request request = request_of(explain);
    void *room = aligned_alloc(16, (authority_bytes(list) + 15) & ~(size_t)15);
    bool listed = room && authority_lists(authority_make(room, list), &request);
    free(room);
    return listed;
}

static bool judge_authority(const struct explain *explain, const struct rule *rule, char *ret_why, size_t size) {
    bool listed = is_listed(explain, rule), rejects = listed == (rule->authority == AUTHORITY_BLACK);
    const struct engine_name *name = &explain->origin.names[0];
    snprintf(ret_why, size, "yes, and %s: %.*s is %son the list", rejects ? "rejects it" : "lets it pass",
             (int)name->length, name->text, listed ? "" : "not ");
    return true;
}

static bool judge_origin(const struct explain *explain, const struct applying *list, const struct rule *rule,
                         char *ret_why, size_t size) {
    bool named = false;
    for (size_t i = 0; list && i < list->count; i++)
        named |= list->rules[i]->origin_kind == ORIGIN_NAMED && list->rules[i]->kind == rule->kind &&
                 is_named(explain, ruleset_text(explain->ruleset, list->rules[i]->origin));
    if (rule->origin_kind == ORIGIN_NAMED && !is_named(explain, ruleset_text(explain->ruleset, rule->origin)))
        snprintf(ret_why, size, "no: for callers %s only", ruleset_text(explain->ruleset, rule->origin));
    else if (rule->origin_kind == ORIGIN_OTHER && named)
        snprintf(ret_why, size, "no: another rule names %.*s", (int)explain->origin.names[0].length,
                 explain->origin.names[0].text);
    else
        return true;
    return false;
}

static void say_canary(const struct explain *explain, const struct rule *rule, char *why, size_t size) {
    size_t at = strlen(why);
    if (rule->canary == CANARY_PERCENT)
        snprintf(why + at, size - at, ", in %u %% of the processes", rule->canary_percent);
    if (rule->canary != CANARY_PIDS)
        return;
    for (uint32_t i = 0; i < rule->list_count && at < size; i++, at = strlen(why))
        snprintf(why + at, size - at, "%s %u", i ? "," : ", in the processes",
                 ruleset_list(explain->ruleset)[rule->list_first + i]);
}

/* A few of them pass a system or adaptive rule in any case; Sentinel's system rules know of none. */
static void say_health(const struct explain *explain, const struct rule *rule, char *why, size_t size) {
    size_t at = strlen(why);
    bool compat = ruleset_head(explain->ruleset)->options.compat_sentinel;
    if (explain->health && rule->kind >= (compat ? RULE_ADAPTIVE : RULE_SYSTEM))
        snprintf(why + at, size - at, ", except health checks: %d a second pass (options.healthChecks)",
                 ENGINE_HEALTH_CHECKS);
}

/* True if the rule is asked about this request; says why, or why not. */
static bool judge(const struct explain *explain, const struct applying *list, const struct rule *rule, char *ret_why,
                  size_t size) {
    if (rule->side == SIDE_OUTBOUND) {
        snprintf(ret_why, size, "no: outbound requests only");
        return false;
    }
    if (rule->kind == RULE_AUTHORITY)
        return judge_authority(explain, rule, ret_why, size);
    if (!judge_origin(explain, list, rule, ret_why, size))
        return false;
    snprintf(ret_why, size, rule->mode == MODE_SIMULATE ? "yes, counting only (simulate)" : "yes");
    say_canary(explain, rule, ret_why, size);
    say_health(explain, rule, ret_why, size);
    if (rule->when_count)
        snprintf(ret_why + strlen(ret_why), size - strlen(ret_why), ", at this time (%s)",
                 ruleset_text(explain->ruleset, rule->when));
    return true;
}

/* ------------------------------------------------------------------------------------------------------- parameters */

/* Does a value fall under the parameter's pattern? Without one, every value does. */
static bool value_counts(const struct explain *explain, const struct rule_param *param, const char *value,
                         size_t length) {
    const char *pattern = ruleset_text(explain->ruleset, param->pattern);
    size_t size = strlen(pattern);
    if (!size)
        return true;
    switch (param->match) {
    case PARAM_EXACT: return size == length && memcmp(pattern, value, size) == 0;
    case PARAM_PREFIX: return size <= length && memcmp(pattern, value, size) == 0;
    case PARAM_CONTAINS: return memmem(value, length, pattern, size) != NULL;
    default: break;
    }
    struct pattern_arena arena = {.memory = malloc(PARAM_PATTERN_BYTES), .size = PARAM_PATTERN_BYTES};
    void *scratch = malloc(PATTERN_SCRATCH);
    bool matches = arena.memory && scratch &&
                   (length > PATTERN_TEXT_MAX ||
                    pattern_try(pattern_compile(&arena, pattern), scratch, value, length) != PATTERN_NO);
    free(scratch);
    free(arena.memory);
    return matches;
}

/* "a" or, where the request says several, "a, b"; and does any of them fall under the pattern? */
static bool join_values(const struct explain *explain, const struct rule_param *param, const struct values *values,
                        char *ret_text, size_t size) {
    bool counts = false;
    size_t at = 0;
    ret_text[0] = 0;
    for (size_t i = 0; i < values->count; i++) {
        const struct slice *value = &values->list[i];
        counts |= value_counts(explain, param, value->at, value->size);
        int length = snprintf(ret_text + at, size - at, "%s%.*s", i ? ", " : "",
                              value->size < 120 ? (int)value->size : 120, value->at);
        at += length > 0 && (size_t)length < size - at ? (size_t)length : 0;
    }
    return counts;
}

static void show_params(struct explain *explain, const struct rule *rule, bool *applies, char *why, size_t size,
                        cJSON *ret_list) {
    for (uint32_t i = 0; i < rule->params_count; i++) {
        const struct rule_param *param = &ruleset_params(explain->ruleset)[rule->params_first + i];
        struct values values;
        char source[400], text[300];
        size_t at = strlen(why);
        request_param(&explain->request, explain->ruleset, param, &values);
        bool present = values.count != 0, counts = join_values(explain, param, &values, text, sizeof(text));
        param_summary(explain->ruleset, param, source, sizeof(source));
        snprintf(why + at, size - at,
                 counts    ? "; %s = %s"
                 : present ? "; not: %s = %s"
                           : "; not: there is no %s",
                 source, text);
        *applies &= counts;
        if (!ret_list)
            continue;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "source", source);
        present ? cJSON_AddStringToObject(entry, "value", text) : cJSON_AddNullToObject(entry, "value");
        cJSON_AddItemToArray(ret_list, entry);
    }
}

/* ------------------------------------------------------------------------------------------------------- the answer */

static uint8_t reason_of(const struct rule *rule) {
    static const uint8_t reasons[RULE_KINDS] = {
        [RULE_AUTHORITY] = REASON_AUTHORITY, [RULE_PARAM] = REASON_PARAM,         [RULE_GATEWAY] = REASON_FLOW,
        [RULE_FLOW] = REASON_FLOW,           [RULE_ISOLATION] = REASON_ISOLATION, [RULE_DEGRADE] = REASON_DEGRADE,
        [RULE_SYSTEM] = REASON_SYSTEM,       [RULE_ADAPTIVE] = REASON_ADAPTIVE,
    };
    return rule->kind == RULE_GATEWAY && rule->params_count ? REASON_PARAM : reasons[rule->kind];
}

static const struct ruleset_block_action *action_of(const struct explain *explain, const struct rule *rule) {
    return rule->block_action ? &ruleset_actions(explain->ruleset)[rule->block_action - 1] : NULL;
}

/* The bytes that the client would get; some of their numbers are known only then. */
static size_t whole_answer(const struct explain *explain, const struct rule *rule, const char *resource,
                           char ret_text[static ANSWER_MAX]) {
    const struct ruleset_block_action *action = action_of(explain, rule);
    const struct message *head = &explain->request.head;
    struct slice trace = message_trace_id(head);
    bool in_flight = rule->kind == RULE_ISOLATION || (rule->kind == RULE_FLOW && rule->grade == GRADE_THREAD);
    struct refusal_action of_file = refusal_action_of(explain->ruleset, rule);
    struct refusal refusal = {
        .reason = reason_of(rule),
        .resource = resource,
        .resource_length = strlen(resource),
        .rule = ruleset_text(explain->ruleset, rule->id),
        .trace = trace.at,
        .trace_length = trace.size,
        .limit = rule->count,
        .interval_ns = in_flight ? 0 : rule->interval_ns,
        .retry_ns = rule->kind == RULE_DEGRADE ? rule->open_ns : 0,
        .rate_headers = ruleset_head(explain->ruleset)->options.rate_limit_headers,
        .close = action && action->close,
        .origin = explain->origin.names[0].text,
        .origin_length = explain->origin.names[0].length,
        .action = action ? &of_file : NULL,
    };
    return head->protocol->refuse(head, &refusal, ret_text, ANSWER_MAX - 1);
}

static bool is_connection(const char *resource) {
    return strncmp(resource, "tcp:", 4) == 0;
}

/* In a word or two. */
static void short_answer(const struct explain *explain, const struct rule *rule, const char *resource, char *ret_text,
                         size_t size) {
    static const char *const endings[] = {"reset", "close", "defer"};
    const struct ruleset_block_action *action = action_of(explain, rule);
    if (is_connection(resource))
        snprintf(ret_text, size, "%s", endings[ruleset_head(explain->ruleset)->options.tcp_reject]);
    else
        snprintf(ret_text, size, "%u%s%s", action && action->status ? action->status : refusal_status(reason_of(rule)),
                 action ? " " : "", action ? ruleset_text(explain->ruleset, action->name) : "");
}

static cJSON *answer_json(const struct explain *explain, const struct rule *rule, const char *resource) {
    const struct ruleset_block_action *action = action_of(explain, rule);
    char text[ANSWER_MAX];
    cJSON *answer = cJSON_CreateObject();
    short_answer(explain, rule, resource, text, sizeof(text));
    if (is_connection(resource)) {
        cJSON_AddStringToObject(answer, "connection", text);
        return answer;
    }
    cJSON_AddNumberToObject(answer, "status", strtod(text, NULL));
    if (action)
        cJSON_AddStringToObject(answer, "blockAction", ruleset_text(explain->ruleset, action->name));
    if (action && action->delay_ms)
        cJSON_AddNumberToObject(answer, "delayMs", action->delay_ms);
    text[whole_answer(explain, rule, resource, text)] = '\0';
    const char *headers = strstr(text, "Content-Type"); /* behind the status line and a date that is not one yet */
    cJSON_AddStringToObject(answer, "text", headers ? headers : "");
    return answer;
}

/* --------------------------------------------------------------------------------------------------------- the rows */

static void conditions(const struct rule *rule, char *text, size_t size) {
    size_t at = strlen(text);
    if (rule->priority != PRIORITY_NORMAL)
        snprintf(text + at, size - at, ", priority %s", explain_priorities[rule->priority]);
    at = strlen(text);
    if (rule->penalty)
        snprintf(text + at, size - at, ", rejected ones count, too");
    at = strlen(text);
    if (rule->ttl_ns)
        snprintf(text + at, size - at, ", each for %g s at most", (double)rule->ttl_ns / 1e9);
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct row {
    struct explain *explain;
    const char *resource;
    const struct rule *rule;
    char limit[400], why[WHY_MAX], answer[120];
    bool applies;
};

static void print_row(const struct row *row) {
    struct table *table = row->explain->table;
    const void *ruleset = row->explain->ruleset;
    table_cell(table, TABLE_PLAIN, "%s", row->resource);
    table_cell(table, row->applies ? TABLE_BOLD : TABLE_DIM, "%s", ruleset_text(ruleset, row->rule->id));
    table_cell(table, TABLE_PLAIN, "%s", rule_kind_word(row->rule->kind));
    table_cell(table, TABLE_PLAIN, "%s:%u", file_name(ruleset_text(ruleset, row->rule->file)), row->rule->line);
    table_cell(table, TABLE_PLAIN, "%s", row->limit);
    table_cell(table, TABLE_PLAIN, "%s", row->answer);
    table_cell(table, row->applies ? TABLE_PLAIN : TABLE_DIM, "%s", row->why);
}

static cJSON *list_texts(const struct explain *explain, const struct rule *rule) {
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < rule->list_count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(ruleset_text(
                                       explain->ruleset, ruleset_list(explain->ruleset)[rule->list_first + i])));
    return list;
}

static cJSON *row_json(const struct row *row, unsigned order, cJSON *params) {
    const struct explain *explain = row->explain;
    const struct rule *rule = row->rule;
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "id", ruleset_text(explain->ruleset, rule->id));
    cJSON_AddStringToObject(entry, "kind", rule_kind_word(rule->kind));
    cJSON_AddStringToObject(entry, "file", ruleset_text(explain->ruleset, rule->file));
    cJSON_AddNumberToObject(entry, "line", rule->line);
    cJSON_AddNumberToObject(entry, "order", order);
    cJSON_AddStringToObject(entry, "mode", modes[rule->mode]);
    cJSON_AddStringToObject(entry, "scope", scopes[rule->scope]);
    cJSON_AddStringToObject(entry, "priority", explain_priorities[rule->priority]);
    if (rule->canary == CANARY_PERCENT)
        cJSON_AddNumberToObject(entry, "canaryPercent", rule->canary_percent);
    if (rule->list_count && rule->canary != CANARY_PIDS)
        cJSON_AddItemToObject(entry, "exceptions", list_texts(explain, rule));
    cJSON_AddStringToObject(entry, "limit", row->limit);
    cJSON_AddBoolToObject(entry, "applies", row->applies);
    cJSON_AddStringToObject(entry, "why", row->why);
    if (params)
        cJSON_AddItemToObject(entry, "parameters", params);
    cJSON_AddItemToObject(entry, "answer", answer_json(explain, rule, row->resource));
    return entry;
}

/* "resources"[of]."rules", or a row of the table. */
static void show_rule(struct explain *explain, const struct applying *list, const struct rule *rule, size_t of,
                      unsigned *order) {
    struct row row = {.explain = explain, .resource = explain->resources[of].name, .rule = rule};
    row.applies = judge(explain, list, rule, row.why, sizeof(row.why));
    cJSON *params = explain->json && rule->params_count ? cJSON_CreateArray() : NULL;
    show_params(explain, rule, &row.applies, row.why, sizeof(row.why), params);
    if (!row.applies && strncmp(row.why, "yes", 3) == 0) { /* but for a parameter */
        memmove(row.why + 2, row.why + 3, strlen(row.why + 3) + 1);
        memcpy(row.why, "no", 2);
    }
    rule_summary(explain->ruleset, rule, row.limit, sizeof(row.limit));
    conditions(rule, row.limit, sizeof(row.limit));
    short_answer(explain, rule, row.resource, row.answer, sizeof(row.answer));
    if (rule->kind >= RULE_SYSTEM && explain->table)
        row.resource = "(all inbound)";
    *order += row.applies;
    if (explain->table) {
        print_row(&row);
        return;
    }
    cJSON *resource = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(explain->json, "resources"), (int)of);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(resource, "rules"),
                         row_json(&row, row.applies ? *order : 0, params));
}

static void add_resources(struct explain *explain) {
    cJSON *resources = cJSON_AddArrayToObject(explain->json, "resources");
    for (size_t i = 0; i < explain->resources_count; i++) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "resource", explain->resources[i].name);
        cJSON_AddStringToObject(object, "why", explain->resources[i].why);
        cJSON_AddArrayToObject(object, "rules");
        cJSON_AddItemToArray(resources, object);
    }
}

void explain_ask(struct explain *explain) {
    explain->priority = PRIORITY_NORMAL;
    for (size_t i = 0; i < explain->resources_count; i++) {
        const char *name = explain->resources[i].name;
        uint32_t entry = engine_resource(explain->engine, name, strlen(name), SIDE_INBOUND);
        lists[i].count = engine_rules_of(explain->engine, entry, lists[i].rules, ENGINE_RULES_MAX, &lists[i].of);
        if (is_connection(name))
            continue;
        explain->exempt |= lists[i].of.exempt;
        explain->health |= i == 0 && lists[i].of.health;
        if (explain->priority == PRIORITY_NORMAL)
            explain->priority = lists[i].of.priority;
    }
}

/* The connection comes before its requests; circuits are asked after all other rules about resources; system and
 * adaptive rules last. */
void explain_rules(struct explain *explain) {
    const struct rule *shedding[64];
    unsigned order = 0;
    if (explain->json)
        add_resources(explain);
    for (int connections = 1; connections >= 0; connections--)
        for (size_t i = 0; i < explain->resources_count; i++)
            for (size_t k = 0; is_connection(explain->resources[i].name) == connections &&
                               k < (connections ? lists[i].count : lists[i].of.checks);
                 k++)
                show_rule(explain, &lists[i], lists[i].rules[k], i, &order);
    for (size_t i = 0; i < explain->resources_count; i++)
        for (size_t k = lists[i].of.checks; !is_connection(explain->resources[i].name) && k < lists[i].count; k++)
            show_rule(explain, &lists[i], lists[i].rules[k], i, &order);
    size_t count = engine_shedding_rules(explain->engine, shedding, sizeof(shedding) / sizeof(shedding[0]));
    for (size_t i = 0; i < count; i++)
        if (!(explain->exempt >> i & 1))
            show_rule(explain, NULL, shedding[i], 0, &order);
}
