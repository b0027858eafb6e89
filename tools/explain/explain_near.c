/* Rules that a request just misses: a name that is nearly its own, and what makes the difference. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/naming/route.h"
#include "rules/text/never.h"
#include "rules/text/reader.h"
#include "tools/explain/explain.h"
#include "tools/output.h"
#include "tools/times.h"

enum { NEAR_MAX = 20, SLIPS_MAX = 3, SLIP_EDITS = 2, SLIP_LENGTH = 6 /* shorter names are near to everything */ };

/* "GET:/a" is a method and a path; what has no method is all path. */
static const char *path_of(const char *name) {
    const char *colon = strchr(name, ':');
    return colon && colon[1] == '/' ? colon + 1 : name;
}

static bool same_but_slash(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b), common = la < lb ? la : lb;
    return la - lb + 1 <= 2 && la != lb && memcmp(a, b, common) == 0 && (la > lb ? a : b)[common] == '/';
}

/* "GET:/item/12" and "GET:/item/13" are two of a series, no slip. */
static bool same_but_digits(const char *a, const char *b) {
    for (;; a++, b++) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (*a != *b || !*a)
            return *a == *b;
    }
}

static const char excepted[] = "in its exceptions";
static const char slip[] = "nearly the same name: mistyped?";

/* Why the rule about `wanted` is not about `name`; NULL: they have nothing in common. */
static const char *difference(const char *wanted, const char *name) {
    const char *a = path_of(wanted), *b = path_of(name);
    bool paths = a != wanted && b != name;
    if (paths && strcmp(a, b) == 0)
        return "another method";
    if (strcasecmp(wanted, name) == 0)
        return "upper and lower case differ";
    if (same_but_slash(wanted, name))
        return "a slash at the end makes it another path";
    if (strncmp(wanted, "http::", 6) == 0 && strncmp(name, "http::", 6) == 0)
        return "another port; see --port";
    if (strlen(wanted) >= SLIP_LENGTH && strlen(name) >= SLIP_LENGTH && !strpbrk(wanted, "{") &&
        text_distance(wanted, name) <= SLIP_EDITS && !same_but_digits(wanted, name))
        return slip;
    return NULL;
}

/* A rule that names the request's own path, under which it is not known. */
static const char *other_name(const struct explain *explain, const char *wanted) {
    const struct message *head = &explain->request.head;
    static char own[LAYOUT_RESOURCE_NAME_MAX + ROUTE_PATH_MAX], path[ROUTE_PATH_MAX];
    size_t size = route_path(head->target.at, head->target.size, path, sizeof(path));
    snprintf(own, sizeof(own), "%.*s:%.*s", (int)head->method.size, head->method.at, (int)size, path);
    return strcmp(own, wanted) == 0 ? "a route gives this path another name" : NULL;
}

static bool is_met(const struct explain *explain, const char *resource) {
    for (size_t i = 0; i < explain->resources_count; i++)
        if (strcmp(explain->resources[i].name, resource) == 0)
            return true;
    return false;
}

/* By "resources": then it is no slip. */
static bool is_defined(const struct explain *explain, const char *resource) {
    for (uint32_t i = 0; i < ruleset_head(explain->ruleset)->routes_count; i++) {
        const struct ruleset_route *route = &ruleset_routes(explain->ruleset)[i];
        if (!route->implicit && route->kind != ROUTE_ORIGIN &&
            strcmp(ruleset_text(explain->ruleset, route->name), resource) == 0)
            return true;
    }
    return false;
}

static const char *not_now(const struct explain *explain, const struct rule *rule, const struct times *times) {
    static char text[TIMES_TEXT + 300];
    char when[TIMES_TEXT];
    times_text(times, when);
    snprintf(text, sizeof(text), "%s: %s", ruleset_text(explain->ruleset, rule->when), when);
    return text;
}

/* It is about one of the resources, and not in force: in no process, or not in all. */
static const char *not_in_force(const struct explain *explain, uint32_t rule) {
    const struct rule *one = &ruleset_rules(explain->ruleset)[rule];
    struct times times;
    if (engine_in_force(explain->engine, rule))
        return NULL;
    times_of(explain->ruleset, one, explain->now_s, &times);
    if (one->mode != MODE_OFF && !times.now)
        return not_now(explain, one, &times);
    return one->mode == MODE_OFF ? "switched off (mode off)"
           : one->canary         ? "a canary: in force only in other processes"
                                 : "in force only in the processes that its canary does not cover";
}

/* The request's own name, spelt so that it never matches; the text is good until the next call. */
static const char *misspelt(const struct explain *explain, const char *wanted, const char **ret_name) {
    static char text[NEVER_NAME_MAX + 200];
    char fix[NEVER_NAME_MAX];
    const char *why = NULL;
    never_undo_slips(wanted, false, fix, &why);
    for (size_t i = 0; i < explain->resources_count; i++) {
        const char *name = explain->resources[i].name;
        bool no_method = wanted[0] == '/' && path_of(name) != name && strcmp(wanted, path_of(name)) == 0;
        if (!no_method && (strcmp(fix, name) != 0 || strcmp(wanted, name) == 0))
            continue;
        snprintf(text, sizeof(text), "the rule never matches: %s; write \"%s\"",
                 no_method || !why ? "the name of a request begins with its method" : why, name);
        *ret_name = name;
        return text;
    }
    return NULL;
}

static const char *why_near(const struct explain *explain, const char *wanted, const char **ret_name) {
    const char *why = misspelt(explain, wanted, ret_name);
    for (size_t i = 0; i < explain->resources_count && !why; i++) {
        *ret_name = explain->resources[i].name;
        why = difference(wanted, *ret_name);
    }
    if (!why && (why = other_name(explain, wanted)))
        *ret_name = explain->resources[0].name;
    return why;
}

/* The resource that is among the rule's exceptions, and nothing else keeps the rule from being met; NULL: there is
 * none.
 */
static const char *exception(const struct explain *explain, uint32_t rule) {
    const struct rule *one = &ruleset_rules(explain->ruleset)[rule];
    if (one->canary != CANARY_NONE || one->side == SIDE_OUTBOUND || !engine_in_force(explain->engine, rule))
        return NULL;
    for (uint32_t i = 0; i < one->list_count; i++) {
        const char *name = ruleset_text(explain->ruleset, ruleset_list(explain->ruleset)[one->list_first + i]);
        if (is_met(explain, name) && strncmp(name, "tcp:", 4) != 0)
            return name;
    }
    return NULL;
}

static void show(struct explain *explain, const struct rule *rule, const char *name, const char *why, cJSON *list) {
    const char *id = ruleset_text(explain->ruleset, rule->id),
               *resource = ruleset_text(explain->ruleset, rule->resource);
    const char *file = ruleset_text(explain->ruleset, rule->file);
    if (!list && why == excepted)
        output_text(stdout, "not met    %s (%s:%u): %s is %s", id, file, rule->line, name, why);
    else if (!list && *name)
        output_text(stdout, "not met    %s (%s:%u) is about %s, this is %s: %s", id, file, rule->line, resource, name,
                    why);
    else if (!list)
        output_text(stdout, "not met    %s (%s:%u), about %s: %s", id, file, rule->line,
                    *resource ? resource : "all inbound requests", why);
    if (!list)
        return;
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "id", id);
    cJSON_AddStringToObject(entry, "kind", rule_kind_word(rule->kind));
    cJSON_AddStringToObject(entry, "file", file);
    cJSON_AddNumberToObject(entry, "line", rule->line);
    cJSON_AddStringToObject(entry, "resource", resource);
    cJSON_AddStringToObject(entry, "near", name);
    cJSON_AddStringToObject(entry, "why", why);
    cJSON_AddItemToArray(list, entry);
}

/* NULL: it is met, or nothing like it is. */
static const char *why_not(const struct explain *explain, uint32_t i, const char **ret_name) {
    const struct rule *rule = &ruleset_rules(explain->ruleset)[i];
    const char *resource = ruleset_text(explain->ruleset, rule->resource);
    bool all = rule->kind >= RULE_SYSTEM;
    *ret_name = exception(explain, i);
    if (*ret_name)
        return excepted;
    *ret_name = "";
    if (all ? !rule->when_count : rule->match != MATCH_EXACT)
        return NULL;
    return all || is_met(explain, resource) ? not_in_force(explain, i) : why_near(explain, resource, ret_name);
}

void explain_near_misses(struct explain *explain) {
    cJSON *list = explain->json ? cJSON_AddArrayToObject(explain->json, "near_misses") : NULL;
    const struct rule *rules = ruleset_rules(explain->ruleset);
    unsigned shown = 0, slips = 0;
    for (uint32_t i = 0; i < ruleset_head(explain->ruleset)->rules_count && shown < NEAR_MAX; i++) {
        const char *resource = ruleset_text(explain->ruleset, rules[i].resource), *name;
        const char *why = why_not(explain, i, &name);
        if (!why || (why == slip && (is_defined(explain, resource) || slips++ >= SLIPS_MAX)))
            continue;
        if (!shown++ && !list)
            putchar('\n');
        show(explain, &rules[i], name, why, list);
    }
}
