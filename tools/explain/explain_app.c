/* Which app a request is for, where the rules files are of several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "tools/explain/explain.h"
#include "tools/output.h"

enum { APPS_MAX = 64, LIST_MAX = 1024 };

struct apps {
    const char *names[APPS_MAX];
    size_t count;
};

static void collect(const struct explain *explain, struct apps *apps) {
    for (size_t i = 0; i < explain->documents_count; i++) {
        const char *name = rule_document_app(explain->documents[i]);
        size_t k = 0;
        while (k < apps->count && strcmp(apps->names[k], name) != 0)
            k++;
        if (name[0] && k == apps->count && apps->count < APPS_MAX)
            apps->names[apps->count++] = name;
    }
}

static bool is_of_port(const char *name, unsigned port) {
    char http[32], tcp[32];
    snprintf(http, sizeof http, "http::%u", port);
    snprintf(tcp, sizeof tcp, "tcp::%u", port);
    return strcmp(name, http) == 0 || strcmp(name, tcp) == 0;
}

static bool names_port(const void *ruleset, unsigned port) {
    const struct ruleset_header *head = ruleset_head(ruleset);
    for (uint32_t i = 0; i < head->routes_count; i++)
        if (ruleset_routes(ruleset)[i].kind == ROUTE_LISTENER && ruleset_routes(ruleset)[i].port == port)
            return true;
    for (uint32_t i = 0; i < head->rules_count; i++)
        if (is_of_port(ruleset_text(ruleset, ruleset_rules(ruleset)[i].resource), port))
            return true;
    return false;
}

/* Do the files of this app alone say something of the port? */
static bool app_has_port(const struct explain *explain, const char *app) {
    struct rule_document **documents = calloc(explain->documents_count + 1, sizeof(struct rule_document *));
    struct rule_errors errors = {0};
    size_t count = 0, size;
    for (size_t i = 0; documents && i < explain->documents_count; i++)
        if (strcmp(rule_document_app(explain->documents[i]), app) == 0)
            documents[count++] = explain->documents[i];
    void *ruleset = count ? rule_text_ruleset_at(documents, count, app, explain->now_s, &size, &errors) : NULL;
    bool has = ruleset && names_port(ruleset, explain->port);
    free(ruleset);
    free(documents);
    rule_errors_clear(&errors);
    return has;
}

static void list_apps(const struct apps *apps, char ret_list[static LIST_MAX]) {
    ret_list[0] = '\0';
    for (size_t i = 0, n = 0; i < apps->count && n < LIST_MAX; i++)
        n += (size_t)snprintf(ret_list + n, LIST_MAX - n, "%s%s", i ? ", " : "", apps->names[i]);
}

static bool ask_for_one(const struct apps *apps) {
    char list[LIST_MAX];
    list_apps(apps, list);
    output_error("the rules are of %zu apps: choose one with -a APP, or by its port with -P: %s", apps->count, list);
    return false;
}

/* Those that name no app are of any. */
static bool is_of(const struct explain *explain, const struct apps *apps) {
    bool any = explain->documents_count == 0;
    for (size_t i = 0; i < explain->documents_count && !any; i++) {
        const char *name = rule_document_app(explain->documents[i]);
        any = !name[0] || strcmp(name, explain->app) == 0;
    }
    if (!any) {
        char list[LIST_MAX];
        list_apps(apps, list);
        output_error("no rules file given is of app %s; they are of %s", explain->app, list);
    }
    return any;
}

bool explain_choose_app(struct explain *explain) {
    struct apps apps = {0};
    const char *found = NULL;
    size_t matches = 0;
    collect(explain, &apps);
    if (explain->app)
        return is_of(explain, &apps);
    if (apps.count < 2)
        return true;
    for (size_t i = 0; i < apps.count; i++)
        if (app_has_port(explain, apps.names[i])) {
            found = apps.names[i];
            matches++;
        }
    if (matches != 1)
        return ask_for_one(&apps);
    output_note("app %s, as its rules name port %u", found, explain->port);
    explain->app = found;
    return true;
}
