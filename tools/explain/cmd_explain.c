/* `weir explain`: which resources, origin, rules and parameters a request would meet, and why.  Names come from the
 * route code that the shim uses, rules from an engine that has adopted the files. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rules/engine/engine.h"
#include "rules/pages.h"
#include "rules/ruleset.h"
#include "rules/naming/route.h"
#include "rules/text/rule_text.h"
#include "tools/cmd.h"
#include "tools/explain/explain.h"
#include "tools/installed_rules.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/rule_files.h"
#include "tools/table.h"
#include "tools/times.h"

static const struct option_row rows[] = {
    {'r', "rules", "FILE|DIR", "rules file, or a directory of them; may be repeated"},
    {'a', "app", "APP", "use the files of this app, and those that name none"},
    {'H', "header", "'NAME: VALUE'", "a header of the request; may be repeated"},
    {'p', "peer", "ADDRESS", "the client's address (default 127.0.0.1)"},
    {'P', "port", "N", "the port it arrives at (default 80)"},
    {'t', "at", "TIME", "time of day, such as 2026-12-24T23:00 (local time; UTC with a trailing Z; default: now)"},
    {'j', "json", NULL, "print the result as JSON"},
    {0},
};
static const struct option_set options = {
    .usage = "weir explain [-r FILE] [OPTION]… -- 'METHOD PATH HTTP/1.1'",
    .about = "Shows the caller of a request, the resources that it counts for, the rules that it would meet, in the "
             "order of\n"
             "checks, with their responses; and the rules that just miss it.  Without -r by the installed rules.\n"
             "No request is sent, and no agent is contacted.",
    .rows = rows,
    .examples = "  weir explain -r rules.json -- 'GET /product/42 HTTP/1.1'\n"
                "  weir explain -r rules.d -H 'X-User: u1' -p 10.0.0.5 -P 8080 -- 'POST /pay'",
};

/* ------------------------------------------------------------------------------------------------------- loading */

static void load_file(void *context, const char *file) {
    struct explain *explain = context;
    struct rule_document *document = rule_text_load(file, NULL, &explain->errors);
    struct rule_document **documents = explain->documents;
    if (!document)
        return;
    if ((explain->documents_count & (explain->documents_count + 1)) == 0) /* 0, 1, 3, 7, …: the list is full */
        documents = realloc(documents, (explain->documents_count * 2 + 1) * sizeof(*documents));
    if (!documents) {
        explain->incomplete = true;
        output_error("not enough memory for %s", file);
        rule_document_free(document);
        return;
    }
    explain->documents = documents;
    documents[explain->documents_count++] = document;
}

static bool adopt(struct explain *explain) {
    explain->engine = engine_new(&pages_memory, NULL, UINT32_MAX);
    if (!explain->engine) {
        output_error("not enough memory");
        return false;
    }
    engine_set_wall(explain->engine, explain->now_s);
    int error = engine_adopt(explain->engine, explain->ruleset, explain->ruleset_size, 1);
    if (error)
        output_error("these rules cannot be loaded into the engine: %s", strerror(-error));
    return error == 0;
}

/* With an app named, files of other apps are none of our business. */
static void keep_app(struct explain *explain) {
    size_t kept = 0;
    for (size_t i = 0; i < explain->documents_count; i++) {
        const char *app = rule_document_app(explain->documents[i]);
        if (explain->app && app[0] && strcmp(app, explain->app) != 0)
            rule_document_free(explain->documents[i]);
        else
            explain->documents[kept++] = explain->documents[i];
    }
    explain->documents_count = kept;
}

static bool load(struct explain *explain) {
    char app[LAYOUT_APP_NAME_MAX];
    if (!explain->errors.count && !explain_choose_app(explain))
        return false;
    if (explain->app) { /* it may be a document's, which goes */
        snprintf(app, sizeof(app), "%s", explain->app);
        explain->app = app;
    }
    keep_app(explain);
    if (!explain->errors.count && !explain->incomplete)
        explain->ruleset = rule_text_ruleset_at(explain->documents, explain->documents_count,
                                                explain->app ? explain->app : "app", explain->now_s,
                                                &explain->ruleset_size, &explain->errors);
    rule_files_report(&explain->errors);
    explain->app = NULL;
    return explain->ruleset != NULL;
}

/* ----------------------------------------------------------------------------------------------------- resources */

static struct explained_resource *add_resource(struct explain *explain) {
    return explain->resources_count < RESOURCES_MAX ? &explain->resources[explain->resources_count++] : NULL;
}

static void say_why(const struct explain *explain, const struct route_found *found,
                    struct explained_resource *resource) {
    const char *pattern = "", *host = "";
    if (found->route < ruleset_head(explain->ruleset)->routes_count) {
        pattern = ruleset_text(explain->ruleset, ruleset_routes(explain->ruleset)[found->route].pattern);
        host = ruleset_text(explain->ruleset, ruleset_routes(explain->ruleset)[found->route].host);
    }
    switch (found->how) {
    case ROUTE_HOW_CONFIGURED:
        snprintf(resource->why, sizeof(resource->why), "route of \"resources\": %s%s%s", pattern,
                 *host ? " at host " : "", host);
        break;
    case ROUTE_HOW_RULE: snprintf(resource->why, sizeof(resource->why), "a rule names this method and path"); break;
    case ROUTE_HOW_TEMPLATE: snprintf(resource->why, sizeof(resource->why), "a rule names this route"); break;
    default:
        snprintf(resource->why, sizeof(resource->why),
                 found->collapsed ? "method and path, with what looks like an id as {id}" : "method and path");
    }
}

static bool has_resource(const struct explain *explain, const char *name) {
    for (size_t i = 0; i < explain->resources_count; i++)
        if (strcmp(explain->resources[i].name, name) == 0)
            return true;
    return false;
}

static void leave_out(struct explain *explain, const char *name, size_t length) {
    for (size_t i = 0; i < explain->left_out_count; i++)
        if (strcmp(explain->left_out[i], name) == 0)
            return;
    if (explain->left_out_count < LEFT_OUT_MAX)
        snprintf(explain->left_out[explain->left_out_count++], sizeof(explain->left_out[0]), "%.*s", (int)length, name);
}

static void take_name(void *context, const char *name, size_t length, const struct route_found *found,
                      unsigned reading) {
    struct explain *explain = context;
    struct explained_resource *resource;
    if (has_resource(explain, name))
        return;
    if (explain->resources_count >= ENGINE_RESOURCES_MAX - ENGINE_LISTENER_NAMES) {
        leave_out(explain, name, length);
        return;
    }
    resource = add_resource(explain);
    snprintf(resource->name, sizeof(resource->name), "%.*s", (int)length, name);
    if (found)
        say_why(explain, found, resource);
    else
        snprintf(resource->why, sizeof(resource->why), "API group");
    if (reading != ROUTE_READ_PLAIN)
        strncat(resource->why, "; as some servers read the path", sizeof(resource->why) - strlen(resource->why) - 1);
}

static void find_resources(struct explain *explain) {
    const struct message *head = &explain->request.head;
    struct naming_message message;
    head->protocol->names(head, &message);
    struct engine_rules rules;
    _Alignas(8) char room[NAMES_ROOM];
    if (engine_rules_begin(explain->engine, &rules)) {
        names_of(rules.naming, &message, &(struct naming_sink){take_name, explain, room});
        engine_read_end(explain->engine, rules.token);
    }
    struct explained_resource *resource;
    const struct ruleset_header *ruleset = ruleset_head(explain->ruleset);
    const struct ruleset_route *listener = ruleset_routes(ruleset) + ruleset->route_kind_first[ROUTE_LISTENER];
    for (uint32_t i = 0; i < ruleset->route_kind_count[ROUTE_LISTENER]; i++)
        if (listener[i].port == explain->port && (resource = add_resource(explain))) {
            snprintf(resource->name, sizeof(resource->name), "%s", ruleset_text(ruleset, listener[i].name));
            snprintf(resource->why, sizeof(resource->why), "the name of the listener at port %u", explain->port);
        }
    if ((resource = add_resource(explain))) {
        snprintf(resource->name, sizeof(resource->name), "http::%u", explain->port);
        snprintf(resource->why, sizeof(resource->why), "all HTTP requests at port %u", explain->port);
    }
    if ((resource = add_resource(explain))) {
        snprintf(resource->name, sizeof(resource->name), "tcp::%u", explain->port);
        snprintf(resource->why, sizeof(resource->why), "its connection: counted once, not for each request");
    }
}

static void find_origin(struct explain *explain) {
    struct admit_connection *c = &explain->connection;
    c->side = SIDE_INBOUND;
    c->port = (uint16_t)explain->port;
    c->address_length = (uint8_t)explain->request.address_length;
    memcpy(c->peer, explain->request.address, explain->request.address_length);
    origin_find(&explain->origin, explain->ruleset, c, &explain->request.head);
}

/* -------------------------------------------------------------------------------------------------------- output */

enum { LABEL = 11 /* columns */ };

static void print_text(struct explain *explain) {
    static const struct table_column columns[] = {
        {"RESOURCE", TABLE_FOLD}, {"RULE", TABLE_FOLD},   {"KIND", TABLE_LEFT},    {"WHERE", TABLE_FOLD},
        {"LIMIT", TABLE_FOLD},    {"ANSWER", TABLE_LEFT}, {"APPLIES", TABLE_FOLD}, {0}};
    explain->table = table_new(columns);
    if (!explain->table)
        return;
    for (uint32_t i = 0; i < explain->origin.names_count; i++)
        output_text(stdout, "%-*s%.*s", LABEL, i ? "" : "origin", (int)explain->origin.names[i].length,
                    explain->origin.names[i].text);
    for (size_t i = 0; i < explain->resources_count; i++)
        output_text(stdout, "%-*s%s  (%s)", LABEL, i ? "" : "resources", explain->resources[i].name,
                    explain->resources[i].why);
    for (size_t i = 0; i < explain->left_out_count; i++)
        output_text(stdout, "%-*s%s  (a request counts for %d resources at most)", LABEL, "left out",
                    explain->left_out[i], ENGINE_RESOURCES_MAX);
    if (explain->priority != PRIORITY_NORMAL)
        output_text(stdout, "%-*s%s", LABEL, "priority", explain_priorities[explain->priority]);
    explain_rules(explain);
    putchar('\n');
    output_table(explain->table, "No rule applies to this request: it passes.");
    explain_near_misses(explain);
    table_free(explain->table);
}

static void print_json(struct explain *explain) {
    const struct request *request = &explain->request;
    char text[256];
    explain->json = cJSON_CreateObject();
    snprintf(text, sizeof(text), "%.*s", (int)request->head.method.size, request->head.method.at);
    cJSON_AddStringToObject(explain->json, "app", ruleset_text(explain->ruleset, ruleset_head(explain->ruleset)->app));
    cJSON_AddStringToObject(explain->json, "method", text);
    cJSON *origins = cJSON_AddArrayToObject(explain->json, "origins");
    for (uint32_t i = 0; i < explain->origin.names_count; i++) {
        snprintf(text, sizeof(text), "%.*s", (int)explain->origin.names[i].length, explain->origin.names[i].text);
        if (i == 0)
            cJSON_AddStringToObject(explain->json, "origin", text);
        cJSON_AddItemToArray(origins, cJSON_CreateString(text));
    }
    cJSON_AddStringToObject(explain->json, "priority", explain_priorities[explain->priority]);
    cJSON *left_out = cJSON_AddArrayToObject(explain->json, "left_out");
    for (size_t i = 0; i < explain->left_out_count; i++)
        cJSON_AddItemToArray(left_out, cJSON_CreateString(explain->left_out[i]));
    explain_rules(explain);
    explain_near_misses(explain);
    output_json(stdout, explain->json);
    cJSON_Delete(explain->json);
}

static int explain_request(struct explain *explain, bool json) {
    if (!load(explain))
        return CMD_USAGE;
    if (!adopt(explain))
        return CMD_FAILED;
    find_resources(explain);
    find_origin(explain);
    explain_ask(explain);
    json ? print_json(explain) : print_text(explain);
    return CMD_DONE;
}

static bool read_port(struct explain *explain, const char *text) {
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    explain->port = (unsigned)port;
    return *text >= '0' && *text <= '9' && !*end && port >= 1 && port <= 65535;
}

static int wrong(const char *what, const char *got) {
    output_error("%s, got '%s'; see --help", what, got);
    return CMD_USAGE;
}

int cmd_explain(int argc, char **argv) {
    static struct explain explain = {.port = 80};
    explain.now_s = (uint64_t)time(NULL);
    bool json = false, rules = false;
    int key;
    request_set_peer(&explain.request, "127.0.0.1");
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == 'r') {
            rules = true;
            explain.incomplete |= rule_files_each(optarg, load_file, &explain) < 0;
        } else if (key == 'a') {
            explain.app = optarg;
        } else if (key == 'j') {
            json = true;
        } else if (key == 'H') {
            if (!request_add_header(&explain.request, optarg))
                return wrong("expected a header such as 'X-User: u1'", optarg);
        } else if (key == 'p') {
            if (!request_set_peer(&explain.request, optarg))
                return wrong("expected an address such as 10.0.0.5", optarg);
        } else if (key == 't') {
            if (!times_parse(optarg, &explain.now_s))
                return wrong("expected a time before 2100, such as 2026-12-24T23:00, or with Z: UTC", optarg);
        } else if (key == 'P') {
            if (!read_port(&explain, optarg))
                return wrong("expected a port from 1 to 65535", optarg);
        } else {
            return OPTIONS_STATUS(key);
        }
    }
    if (optind + 1 != argc) {
        output_error("expected one request, such as 'GET /product/42 HTTP/1.1'");
        return CMD_USAGE;
    }
    if (!request_parse(&explain.request, argv[optind]))
        return wrong("expected a request such as 'GET /product/42 HTTP/1.1', its headers without contradiction",
                     argv[optind]);
    if (!rules && installed_rules_each(load_file, &explain) <= 0) {
        output_error("no rules to explain by: give them with -r FILE, or a DIR of them");
        return CMD_USAGE;
    }
    int status = explain_request(&explain, json);
    for (size_t i = 0; i < explain.documents_count; i++)
        rule_document_free(explain.documents[i]);
    free(explain.documents);
    rule_errors_clear(&explain.errors);
    free(explain.ruleset);
    return status;
}
