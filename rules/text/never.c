/* Warnings about what can never match. */
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/never.h"

static unsigned sides_of(const struct rule *rule) {
    return rule->side == SIDE_ANY ? NEVER_BOTH : 1u << rule->side;
}

/* ---------------------------------------------------------------------------------------------------------- one name
 */

struct place { /* where a name stands */
    const struct path *path;
    const cJSON *node;
    bool resource; /* of a rule, where a pattern may stand instead */
};

#define WARN(never, place, ...) reader_warn((never)->reader, (place).path, (place).node, __VA_ARGS__)

static void warn_unknown(struct never *never, struct place place, const char *name) {
    const char *nearest = names_nearest(&never->names, name);
    if (nearest)
        WARN(never, place, "never matches: nothing is named \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        WARN(never, place,
             "never matches: nothing is named \"%s\"; requests are METHOD:/PATH, listeners http::PORT or tcp::PORT, "
             "destinations tcp:ADDRESS:PORT, and \"resources\" defines other names",
             name);
}

/* Requests of that spelling have another name. */
static void warn_otherwise(struct never *never, struct place place, const char *name, const struct made *made) {
    const struct ruleset_route *by = made->by;
    if (strstr(made->instead, NEVER_HOST))
        WARN(never, place,
             "never matches: what the app itself requests is named with the host; write \"%.*s:http://HOST%s\"",
             (int)strcspn(name, ":"), name, strchr(name, ':') + 1);
    else if (by && by->implicit)
        WARN(never, place,
             "never matches: another rule comes first, and names such requests \"%s\"; write that here, too",
             made->instead);
    else if (by)
        WARN(never, place,
             "never matches: \"resources\" has a route for \"%s\", which names such requests \"%s\"; write \"%s\"",
             ruleset_text(never->names.ruleset, by->pattern), made->instead, made->instead);
    else
        WARN(never, place, "never matches: requests of \"%s\" are named \"%s\"; write \"%s\"", name, made->instead,
             made->instead);
}

/* It is of a form of names, but not made where it is looked for. */
static bool warn_where(struct never *never, struct place place, const char *name, unsigned sides,
                       const struct made *made) {
    if (made->tcp_only)
        WARN(
            never, place,
            "never matches: \"resources\" says that port %u is \"protocol\": \"tcp\", where no requests are looked at; "
            "write \"tcp::%u\", or change the protocol",
            made->tcp_only->port, made->tcp_only->port);
    else if (made->sides && !(made->sides & sides))
        WARN(never, place, "never matches: \"%s\" is about %s connections, not %s ones", name,
             made->sides == NEVER_INBOUND ? "inbound" : "outbound", sides == NEVER_INBOUND ? "inbound" : "outbound");
    else
        return false;
    return true;
}

static void warn_name(struct never *never, struct place place, const char *name, unsigned sides) {
    struct made made;
    char fix[NEVER_NAME_MAX];
    const char *why;
    enum { STEPS_OF_REPAIR = 4000 };
    names_find(&never->names, name, sides, &made);
    if (!*never->names.left)
        return;
    if (made.is && never_suspect(name, fix, &why))
        WARN(never, place, "hardly ever matches: %s; did you mean \"%s\"?", why, fix);
    if (made.is || warn_where(never, place, name, sides, &made))
        return;
    if (made.by && !made.by->implicit)
        warn_otherwise(never, place, name, &made);
    else if (names_spend(&never->names, STEPS_OF_REPAIR) && never_repair(name, fix, &why) && name[0] == '/' &&
             place.resource)
        WARN(never, place, "never matches: %s; write \"%s\", or for any method \"%s:%s\" and \"resourceMatch\": \"%s\"",
             why, fix, never->reader->compat ? "[A-Z]+" : "*", fix + 4, never->reader->compat ? "regex" : "glob");
    else if (never_repair(name, fix, &why))
        WARN(never, place, "never matches: %s; write \"%s\"", why, fix);
    else if (strchr(name, '*') && strpbrk(name, ":/"))
        WARN(never, place, "never matches: * stands for itself here; %swrite {name} for what varies",
             !place.resource || never->reader->compat ? "" : "add \"resourceMatch\": \"glob\", or ");
    else if (made.instead[0])
        warn_otherwise(never, place, name, &made);
    else
        warn_unknown(never, place, name);
}

/* ------------------------------------------------------------------------------------------------------------ one rule
 */

static void warn_resource(struct never *never, const struct path *path, const struct pending *pending) {
    const struct rule *rule = &pending->rule;
    const char *name = ruleset_text(never->names.ruleset, rule->resource), *why;
    struct path here = {path, "resource", 0};
    struct place place = {&here, cJSON_GetObjectItemCaseSensitive(pending->node, "resource"), true};
    char fix[NEVER_NAME_MAX];
    if (rule->kind == RULE_DEGRADE && strcmp(name, "*") == 0)
        return;
    if (rule->match == MATCH_EXACT && pending->document->bare && name[0] == '/' && strpbrk(name, "?#"))
        WARN(never, place, "never matches: a path has neither query nor fragment; write \"%.*s\"",
             (int)strcspn(name, "?#"), name);
    else if (rule->match == MATCH_EXACT)
        warn_name(never, place, name, sides_of(rule));
    else if (never_pattern(&never->names, rule, &why, fix))
        WARN(never, place, "never matches: %s%s%s%s", why, fix[0] ? "; write \"" : "", fix, fix[0] ? "\"" : "");
}

static void warn_reference(struct never *never, const struct path *path, const struct pending *pending) {
    const struct rule *rule = &pending->rule;
    struct path here = {path, "refResource", 0};
    struct place place = {&here, cJSON_GetObjectItemCaseSensitive(pending->node, "refResource"), false};
    if (rule->kind == RULE_FLOW && rule->strategy != STRATEGY_DIRECT && place.node)
        warn_name(never, place, ruleset_text(never->names.ruleset, rule->ref_resource),
                  rule->strategy == STRATEGY_CHAIN ? NEVER_INBOUND : NEVER_BOTH);
}

static void warn_exceptions(struct never *never, const struct path *path, const struct pending *pending) {
    struct path list = {path, "exceptions", 0};
    const cJSON *exception;
    int index = 0;
    cJSON_ArrayForEach(exception, cJSON_GetObjectItemCaseSensitive(pending->node, "exceptions")) {
        struct path here = {&list, NULL, index++};
        struct place place = {&here, exception, false};
        if (cJSON_IsString(exception))
            warn_name(never, place, exception->valuestring, NEVER_BOTH);
    }
}

static void warn_rule(struct never *never, const struct pending *pending) {
    struct path section = {NULL, pending->section, 0},
                element = {pending->section ? &section : NULL, NULL, pending->index};
    const struct path *path = pending->index >= 0 ? &element : &section;
    never->reader->document = pending->document;
    if (pending->rule.kind < RULE_SYSTEM) {
        warn_resource(never, path, pending);
        warn_reference(never, path, pending);
    }
    warn_exceptions(never, path, pending);
    never_warn_values(never, path, pending);
}

bool never_goes_on(const struct never *never) {
    return *never->names.left > 0 && never->reader->errors->warnings_count < RULE_ERRORS_MAX;
}

/* Only a check says so: the rules are not at fault. */
static void note_the_rest(const struct never *never, struct rule_document *document) {
    struct rule_errors *errors = never->reader->errors;
    size_t before = errors->warnings_count;
    never->reader->document = document;
    if (*never->names.left == 0)
        reader_warn(never->reader, NULL, document->root,
                    "too many resources and patterns to compare all of them: not all that never match are reported");
    if (errors->warnings_count > before)
        errors->warnings[before].change = true;
}

void warn_of_never(struct reader *reader, struct rule_document *const *documents, size_t count, const void *ruleset) {
    struct never never = {.reader = reader};
    if (!names_open(&never.names, ruleset))
        return;
    never_warn_routes(&never, documents, count);
    for (size_t i = 0; i < reader->join->rules_count && never_goes_on(&never); i++)
        warn_rule(&never, &reader->join->rules[i]);
    if (count)
        note_the_rest(&never, documents[0]);
    names_close(&never.names);
}
