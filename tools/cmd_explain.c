/* `weir explain`: which resources, origin, rules and parameters a request would meet, and why.  Names come from the
 * route code that the shim uses, rules from an engine that has adopted the files. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rules/engine/authority.h"
#include "rules/engine/engine_private.h"
#include "rules/image.h"
#include "rules/route.h"
#include "rules/text/rule_text.h"
#include "tools/cmd.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/request.h"
#include "tools/rule_files.h"
#include "tools/rule_summary.h"
#include "tools/table.h"

enum { RESOURCES_MAX = ENGINE_RESOURCES_MAX, PARAM_PATTERN_BYTES = 64 << 10 };

struct explained_resource {
    char name[LAYOUT_RESOURCE_NAME_MAX];
    char why[160];
};

struct explain {
    struct rule_document **documents;
    size_t documents_count;
    bool incomplete; /* some rules could not be had, and that has been told */
    struct rule_errors errors;
    const char *app;
    void *image;
    size_t image_size;
    struct engine *engine;
    struct request request;
    unsigned port;
    struct explained_resource resources[RESOURCES_MAX];
    size_t resources_count;
    struct table *table; /* one of the two */
    cJSON *json;
};

static const struct option_row rows[] = {
    {'r', "rules", "FILE|DIR", "rules file, or a directory of them; may be given several times"},
    {'a', "app", "APP", "look at the files of this app, and at those that name none"},
    {'H', "header", "'NAME: VALUE'", "a header of the request; may be given several times"},
    {'p', "peer", "ADDRESS", "who sends it (default 127.0.0.1)"},
    {'P', "port", "N", "the port it arrives at (default 80)"},
    {'j', "json", NULL, "the result as JSON"},
    {0},
};
static const struct option_set options = {
    .usage = "weir explain -r FILE [OPTION]… -- 'METHOD PATH HTTP/1.1'",
    .about = "Says which resources a request counts for, which rules it would meet there, and why.\n"
             "Nothing is sent, and no agent is asked.",
    .rows = rows,
    .examples = "  weir explain -r rules.json -- 'GET /product/42 HTTP/1.1'\n"
                "  weir explain -r rules.d -H 'X-User: u1' --peer 10.0.0.5 --port 8080 -- 'POST /checkout'",
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
    size_t size = engine_memory_size();
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        output_error("not enough memory");
        return false;
    }
    explain->engine = engine_new(memory, NULL, UINT32_MAX);
    int error = engine_adopt(explain->engine, explain->image, explain->image_size, 1);
    if (error)
        output_error("the engine does not take these rules: %s", strerror(-error));
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
    keep_app(explain);
    if (!explain->errors.count && !explain->incomplete)
        explain->image = rule_text_image(explain->documents, explain->documents_count,
                                         explain->app ? explain->app : "app", &explain->image_size, &explain->errors);
    rule_files_report(&explain->errors);
    return explain->image != NULL;
}

/* ----------------------------------------------------------------------------------------------------- resources */

static struct explained_resource *add_resource(struct explain *explain) {
    return explain->resources_count < RESOURCES_MAX ? &explain->resources[explain->resources_count++] : NULL;
}

static void say_why(const struct explain *explain, const struct route_found *found,
                    struct explained_resource *resource) {
    const char *pattern = "";
    if (found->route < image_head(explain->image)->routes_count)
        pattern = image_text(explain->image, image_routes(explain->image)[found->route].pattern);
    switch (found->how) {
    case ROUTE_HOW_CONFIGURED:
        snprintf(resource->why, sizeof(resource->why), "route of \"resources\": %s", pattern);
        break;
    case ROUTE_HOW_RULE:
        snprintf(resource->why, sizeof(resource->why), "a rule is about this very method and path");
        break;
    case ROUTE_HOW_TEMPLATE: snprintf(resource->why, sizeof(resource->why), "a rule is about this route"); break;
    default:
        snprintf(resource->why, sizeof(resource->why),
                 found->captures_count ? "method and path, with what looks like an id as {id}" : "method and path");
    }
}

static void find_resources(struct explain *explain) {
    const struct http_head *head = &explain->request.head;
    static struct route_found found;
    uint32_t groups[RESOURCES_MAX];
    size_t size = route_regexes_size(explain->image);
    void *memory = size ? aligned_alloc(16, (size + 15) & ~(size_t)15) : NULL;
    const struct route_regexes *regexes = memory ? route_regexes_compile(memory, size, explain->image) : NULL;
    struct explained_resource *resource = add_resource(explain);
    route_find(explain->image, regexes, head->method.at, head->method.size, head->target.at, head->target.size,
               resource->name, sizeof(resource->name), &found);
    say_why(explain, &found, resource);
    size_t count = route_groups(explain->image, regexes, head->target.at, head->target.size, groups, RESOURCES_MAX - 2);
    for (size_t i = 0; i < count && (resource = add_resource(explain)); i++) {
        snprintf(resource->name, sizeof(resource->name), "%s", image_text(explain->image, groups[i]));
        snprintf(resource->why, sizeof(resource->why), "API group");
    }
    if ((resource = add_resource(explain))) {
        snprintf(resource->name, sizeof(resource->name), "http::%u", explain->port);
        snprintf(resource->why, sizeof(resource->why), "all HTTP requests at port %u", explain->port);
    }
    if ((resource = add_resource(explain))) {
        snprintf(resource->name, sizeof(resource->name), "tcp::%u", explain->port);
        snprintf(resource->why, sizeof(resource->why), "its connection, once for all of its requests");
    }
    free(memory);
}

/* --------------------------------------------------------------------------------------------------------- rules */

static bool is_named(const char *list, const char *name) {
    size_t length = strlen(name);
    for (;; list++) {
        size_t size = strcspn(list, ",");
        if (size == length && memcmp(list, name, size) == 0)
            return true;
        list += size;
        if (!*list)
            return false;
    }
}

/* Is the request's origin on an authority rule's list? */
static bool is_listed(const struct explain *explain, const struct rule *rule) {
    const char *list = image_text(explain->image, rule->origin), *origin = explain->request.peer;
    struct engine_request request = {.origin = origin,
                                     .origin_length = strlen(origin),
                                     .address = explain->request.address,
                                     .address_length = (uint32_t)explain->request.address_length};
    void *room = aligned_alloc(16, (authority_bytes(list) + 15) & ~(size_t)15);
    bool listed = room && authority_lists(authority_make(room, list), &request);
    free(room);
    return listed;
}

/* True if the rule is asked about this request; says why, or why not. */
static bool judge(const struct explain *explain, const struct binding_list *list, const struct rule *rule,
                  char *ret_why, size_t size) {
    const char *origin = explain->request.peer, *names = image_text(explain->image, rule->origin);
    if (rule->side == SIDE_OUTBOUND) {
        snprintf(ret_why, size, "no: outbound requests only");
        return false;
    }
    if (rule->kind == RULE_AUTHORITY) {
        bool listed = is_listed(explain, rule);
        bool rejects = listed == (rule->authority == AUTHORITY_BLACK);
        snprintf(ret_why, size,
                 rejects ? "yes, and rejects it: %s is %son the list" : "yes, and lets it pass: %s is %son the list",
                 origin, listed ? "" : "not ");
        return true;
    }
    bool named = false;
    for (unsigned i = 0; i < (unsigned)list->checks + list->breakers; i++)
        named |= list->items[i].rule->origin_kind == ORIGIN_NAMED && list->items[i].rule->kind == rule->kind &&
                 is_named(image_text(explain->image, list->items[i].rule->origin), origin);
    if (rule->origin_kind == ORIGIN_NAMED && !is_named(names, origin)) {
        snprintf(ret_why, size, "no: for callers %s only", names);
        return false;
    }
    if (rule->origin_kind == ORIGIN_OTHER && named) {
        snprintf(ret_why, size, "no: another rule names %s", origin);
        return false;
    }
    snprintf(ret_why, size, rule->mode == MODE_SIMULATE ? "yes, counting only (simulate)" : "yes");
    return true;
}

/* Does a value fall under the parameter's pattern? Without one, every value does. */
static bool value_counts(const struct explain *explain, const struct rule_param *param, const char *value,
                         size_t length) {
    const char *pattern = image_text(explain->image, param->pattern);
    size_t size = strlen(pattern);
    if (!size)
        return true;
    switch (param->match) {
    case PARAM_EXACT: return size == length && memcmp(pattern, value, size) == 0;
    case PARAM_PREFIX: return size <= length && memcmp(pattern, value, size) == 0;
    case PARAM_CONTAINS: return memmem(value, length, pattern, size) != NULL;
    default: break;
    }
    struct pattern_arena arena = {malloc(PARAM_PATTERN_BYTES), PARAM_PATTERN_BYTES, 0};
    void *scratch = malloc(PATTERN_SCRATCH);
    bool matches = arena.memory && scratch && pattern_match(pattern_compile(&arena, pattern), scratch, value, length);
    free(scratch);
    free(arena.memory);
    return matches;
}

/* "a" or, where the request says several, "a, b"; and does any of them fall under the pattern? */
static bool join_values(const struct explain *explain, const struct rule_param *param,
                        const struct http_values *values, char *ret_text, size_t size) {
    bool counts = false;
    size_t at = 0;
    ret_text[0] = 0;
    for (size_t i = 0; i < values->count; i++) {
        const struct http_slice *value = &values->list[i];
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
        const struct rule_param *param = &image_params(explain->image)[rule->params_first + i];
        struct http_values values;
        char source[400], text[300];
        size_t at = strlen(why);
        request_param(&explain->request, explain->image, param, &values);
        bool present = values.count != 0, counts = join_values(explain, param, &values, text, sizeof(text));
        param_summary(explain->image, param, source, sizeof(source));
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

static void show_rule(struct explain *explain, const struct binding_list *list, const struct rule *rule,
                      const char *resource, cJSON *ret_rules) {
    char summary[300], why[900];
    bool applies = judge(explain, list, rule, why, sizeof(why));
    cJSON *params = ret_rules && rule->params_count ? cJSON_CreateArray() : NULL;
    show_params(explain, rule, &applies, why, sizeof(why), params);
    rule_summary(explain->image, rule, summary, sizeof(summary));
    if (explain->table) {
        table_cell(explain->table, TABLE_PLAIN, "%s", resource);
        table_cell(explain->table, applies ? TABLE_BOLD : TABLE_DIM, "%s", image_text(explain->image, rule->id));
        table_cell(explain->table, TABLE_PLAIN, "%s", rule_kind_word(rule->kind));
        table_cell(explain->table, TABLE_PLAIN, "%u", rule->line);
        table_cell(explain->table, TABLE_PLAIN, "%s", summary);
        table_cell(explain->table, applies ? TABLE_PLAIN : TABLE_DIM, "%s", why);
        return;
    }
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "id", image_text(explain->image, rule->id));
    cJSON_AddStringToObject(entry, "kind", rule_kind_word(rule->kind));
    cJSON_AddStringToObject(entry, "mode", rule->mode == MODE_SIMULATE ? "simulate" : "enforce");
    cJSON_AddNumberToObject(entry, "line", rule->line);
    cJSON_AddStringToObject(entry, "limit", summary);
    cJSON_AddBoolToObject(entry, "applies", applies);
    cJSON_AddStringToObject(entry, "why", why);
    if (params)
        cJSON_AddItemToObject(entry, "parameters", params);
    cJSON_AddItemToArray(ret_rules, entry);
}

static void show_resource(struct explain *explain, const struct explained_resource *resource, bool first) {
    struct view *view = &explain->engine->views[explain->engine->current & 1];
    uint32_t entry = engine_resource(explain->engine, resource->name, strlen(resource->name), SIDE_INBOUND);
    const struct binding_list *list = view_bindings(explain->engine, view, entry);
    cJSON *rules = NULL;
    if (explain->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "resource", resource->name);
        cJSON_AddStringToObject(object, "why", resource->why);
        rules = cJSON_AddArrayToObject(object, "rules");
        cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(explain->json, "resources"), object);
    }
    for (unsigned i = 0; list && i < (unsigned)list->checks + list->breakers; i++)
        if (list->items[i].rule->mode != MODE_OFF)
            show_rule(explain, list, list->items[i].rule, resource->name, rules);
    for (uint32_t i = 0; list && first && i < view->shedders; i++)
        if (!(list->exempt >> i & 1) && view->shedder[i].rule->mode != MODE_OFF)
            show_rule(explain, list, view->shedder[i].rule, "(all inbound)", rules);
}

/* -------------------------------------------------------------------------------------------------------- output */

static void print_text(struct explain *explain) {
    static const struct table_column columns[] = {{"RESOURCE", TABLE_ELASTIC},
                                                  {"RULE", TABLE_ELASTIC},
                                                  {"KIND", TABLE_LEFT},
                                                  {"LINE", TABLE_RIGHT},
                                                  {"LIMIT", TABLE_ELASTIC},
                                                  {"APPLIES", TABLE_ELASTIC},
                                                  {0}};
    explain->table = table_new(columns);
    if (!explain->table)
        return;
    output_text(stdout, "origin    %s", explain->request.peer);
    for (size_t i = 0; i < explain->resources_count; i++)
        output_text(stdout, "%s %s  (%s)", i ? "         " : "resources", explain->resources[i].name,
                    explain->resources[i].why);
    for (size_t i = 0; i < explain->resources_count; i++)
        show_resource(explain, &explain->resources[i], i == 0);
    putchar('\n');
    if (table_rows(explain->table))
        table_print(explain->table, stdout, output_width(stdout), 0, output_colour(stdout));
    else
        puts("No rule is about this request: it passes.");
    table_free(explain->table);
}

static void print_json(struct explain *explain) {
    const struct request *request = &explain->request;
    char text[256];
    explain->json = cJSON_CreateObject();
    snprintf(text, sizeof(text), "%.*s", (int)request->head.method.size, request->head.method.at);
    cJSON_AddStringToObject(explain->json, "app", image_text(explain->image, image_head(explain->image)->app));
    cJSON_AddStringToObject(explain->json, "method", text);
    cJSON_AddStringToObject(explain->json, "origin", request->peer);
    cJSON_AddArrayToObject(explain->json, "resources");
    for (size_t i = 0; i < explain->resources_count; i++)
        show_resource(explain, &explain->resources[i], i == 0);
    output_json(stdout, explain->json);
    cJSON_Delete(explain->json);
}

static int explain_request(struct explain *explain, bool json) {
    if (!load(explain))
        return CMD_USAGE;
    if (!adopt(explain))
        return CMD_FAILED;
    find_resources(explain);
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
        } else if (key == 'P') {
            if (!read_port(&explain, optarg))
                return wrong("expected a port from 1 to 65535", optarg);
        } else {
            return OPTIONS_STATUS(key);
        }
    }
    if (!rules || optind + 1 != argc) {
        output_error(rules ? "expected one request, such as 'GET /product/42 HTTP/1.1'"
                           : "which rules? `weir explain -r FILE -- REQUEST`");
        return CMD_USAGE;
    }
    if (!request_parse(&explain.request, argv[optind]))
        return wrong("expected a request such as 'GET /product/42 HTTP/1.1', its headers without contradiction",
                     argv[optind]);
    int status = explain_request(&explain, json);
    for (size_t i = 0; i < explain.documents_count; i++)
        rule_document_free(explain.documents[i]);
    free(explain.documents);
    rule_errors_clear(&explain.errors);
    free(explain.image);
    return status;
}
