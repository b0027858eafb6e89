/* Plugins of Kong as rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/kong_private.h"

struct making { /* the rules of one plugin */
    struct kong *kong;
    const struct kong_plugin *plugin;
    const struct yaml_node *config, *place; /* place: what the rule came from */
    cJSON *param;                           /* NULL: everything together */
    bool each_path;
    double count, seconds;
    const char *per, *what;
    const char *limit_app, *strategy; /* of authority */
};

/* ---------------------------------------------------------------------------------------------------------- answers */

static void add_answer(const struct making *making, cJSON *rule, const char *key, int otherwise) {
    double status = otherwise;
    const struct yaml_node *node = yaml_get(making->config, key), *message = yaml_get(making->config, "error_message");
    char name[200];
    message = message ? message : yaml_get(making->config, "message");
    if (node && node->text[0] && strcmp(node->text, "null") != 0 &&
        (!yaml_number(node, &status) || status < 200 || status > 599))
        status = otherwise;
    bool has_text = message && message->text[0] && strcmp(message->text, "null") != 0;
    if ((int)status == 429 && !has_text)
        return; /* what a rule answers by itself */
    snprintf(name, sizeof(name), "kong-%d%s%.60s", (int)status, has_text ? " " : "", has_text ? message->text : "");
    cJSON_AddStringToObject(rule, "blockAction", name);
    if (import_has(making->kong->import, "blockActions", "name", name))
        return;
    cJSON *action = cJSON_CreateObject(), *body = cJSON_CreateObject();
    cJSON_AddStringToObject(action, "name", name);
    cJSON_AddNumberToObject(action, "status", status);
    cJSON_AddStringToObject(body, "message", has_text ? message->text : "");
    char *text = has_text ? cJSON_PrintUnformatted(body) : NULL;
    if (text && strlen(text) <= 1000) {
        cJSON_AddStringToObject(action, "contentType", "application/json");
        cJSON_AddStringToObject(action, "body", text);
    }
    cJSON_free(text);
    cJSON_Delete(body);
    import_block_action(making->kong->import, making->plugin->file, making->config->line, NULL, action);
}

/* --------------------------------------------------------------------------------------------------- rate-limiting */

static void make_rate(void *context, const char *resource, const char *note) {
    const struct making *making = context;
    const struct kong_plugin *plugin = making->plugin;
    const char *section = making->param ? "paramFlow" : "flow", *name = yaml_text(plugin->node, "name");
    cJSON *rule = cJSON_CreateObject();
    struct phrase id = {0}, text = {0};
    phrase_add(&id, "%.30s %.20s %.40s", name, making->what, resource);
    import_id(making->kong->import, section, rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddNumberToObject(rule, "count", making->count);
    if (making->per)
        cJSON_AddStringToObject(rule, "per", making->per);
    else
        cJSON_AddNumberToObject(rule, making->param ? "durationInSec" : "intervalSec", making->seconds);
    cJSON_AddStringToObject(rule, "scope", "app");
    if (making->param)
        cJSON_AddItemToObject(rule, "param", cJSON_Duplicate(making->param, true));
    if (making->param && making->seconds > IMPORT_SHORT_SECONDS)
        cJSON_AddNumberToObject(rule, "capacity", IMPORT_CAPACITY);
    add_answer(making, rule, "error_code", 429);
    phrase_add(&text, "%s: %.9g in %.9g s by %.40s.%s", name, making->count, making->seconds,
               yaml_text(making->config, "limit_by")[0] ? yaml_text(making->config, "limit_by") : "default", note);
    import_rule(making->kong->import, section, plugin->file, making->place->line, text.bytes, rule);
}

/* What limit_by (or identifier) counts by.  False: rules do not, which is listed. */
static bool read_limit_by(struct making *making, const char *key) {
    const char *by = yaml_text(making->config, key), *header = yaml_text(making->config, "header_name");
    struct kong *kong = making->kong;
    cJSON *consumer;
    if (!kong_consumer(kong, making->plugin, &consumer))
        return false;
    making->param = consumer;
    if (consumer && (strcmp(by, "ip") != 0 && strcmp(by, "header") != 0))
        return true; /* one consumer, by its keys */
    cJSON_Delete(consumer);
    making->param = NULL;
    if (strcmp(by, "service") == 0 || strcmp(by, "route") == 0)
        return true; /* as many as there are places */
    if (strcmp(by, "header") == 0 && header[0])
        making->param = import_param("header", header);
    else if (!by[0] || strcmp(by, "consumer") == 0 || strcmp(by, "credential") == 0)
        making->param = kong_identity(kong, making->plugin);
    else if (strcmp(by, "ip") != 0) {
        kong_left_out(kong, making->plugin, "rules count by address, header, key, or everything together");
        return false;
    }
    if (!making->param) { /* Kong takes the address of clients without a consumer */
        making->param = import_param("clientIp", NULL);
        kong->client = true;
    }
    return true;
}

static void make_rates(struct kong *kong, const struct kong_plugin *plugin) {
    static const struct {
        const char *key, *per;
        double seconds;
    } units[] = {{"second", "second", 1}, {"minute", "minute", 60}, {"hour", "hour", 3600},
                 {"day", "day", 86400},   {"month", NULL, 2592000}, {"year", NULL, 31536000}};
    struct making making = {.kong = kong, .plugin = plugin, .config = yaml_get(plugin->node, "config")};
    if (!read_limit_by(&making, "limit_by"))
        return;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        making.place = yaml_get(making.config, units[i].key);
        making.per = units[i].per;
        making.seconds = units[i].seconds;
        making.what = units[i].key;
        if (!making.place || !making.place->text[0] || strcmp(making.place->text, "null") == 0)
            continue;
        if (!yaml_number(making.place, &making.count))
            import_error(kong->import, plugin->file, making.place->line, making.place->column, "expected a number");
        else
            kong_places(kong, plugin, make_rate, &making);
    }
    cJSON_Delete(making.param);
}

/* limit: [10, 100], window_size: [1, 60] */
static void make_advanced(struct kong *kong, const struct kong_plugin *plugin) {
    struct making making = {
        .kong = kong, .plugin = plugin, .config = yaml_get(plugin->node, "config"), .what = "window"};
    const struct yaml_node *limits = yaml_get(making.config, "limit"), *sizes = yaml_get(making.config, "window_size");
    if (!read_limit_by(&making, "identifier"))
        return;
    const struct yaml_node *limit = limits ? limits->children : NULL, *size = sizes ? sizes->children : NULL;
    for (; limit && size; limit = limit->next, size = size->next) {
        making.place = limit;
        if (!yaml_number(limit, &making.count) || !yaml_number(size, &making.seconds) || making.seconds < 0.001)
            import_error(kong->import, plugin->file, limit->line, limit->column,
                         "expected a limit and a window_size in seconds");
        else
            kong_places(kong, plugin, make_rate, &making);
    }
    cJSON_Delete(making.param);
}

/* ---------------------------------------------------------------------------------------------------------- others */

static void make_stop(void *context, const char *resource, const char *note) {
    const struct making *making = context;
    cJSON *rule = cJSON_CreateObject();
    const char *section = making->param ? "paramFlow" : "flow";
    struct phrase id = {0};
    phrase_add(&id, "request-termination %.50s", resource);
    import_id(making->kong->import, section, rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddNumberToObject(rule, "count", 0);
    if (making->param)
        cJSON_AddItemToObject(rule, "param", cJSON_Duplicate(making->param, true));
    add_answer(making, rule, "status_code", 503);
    import_rule(making->kong->import, section, making->plugin->file, making->plugin->node->line, note[0] ? note : NULL,
                rule);
}

static void make_termination(struct kong *kong, const struct kong_plugin *plugin) {
    struct making making = {.kong = kong, .plugin = plugin, .config = yaml_get(plugin->node, "config")};
    making.config = making.config ? making.config : plugin->node;
    if (kong_consumer(kong, plugin, &making.param))
        kong_places(kong, plugin, make_stop, &making);
    cJSON_Delete(making.param);
}

static void make_authority(void *context, const char *resource, const char *note) {
    const struct making *making = context;
    cJSON *rule = cJSON_CreateObject();
    struct phrase id = {0};
    phrase_add(&id, "ip-restriction %.50s", resource);
    import_id(making->kong->import, "authority", rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddStringToObject(rule, "limitApp", making->limit_app);
    cJSON_AddStringToObject(rule, "strategy", making->strategy);
    add_answer(making, rule, "status", 403);
    import_rule(making->kong->import, "authority", making->plugin->file, making->place->line, note[0] ? note : NULL,
                rule);
}

static void make_restriction(struct kong *kong, const struct kong_plugin *plugin) {
    static const char *const lists[][2] = {
        {"allow", "white"}, {"deny", "black"}, {"whitelist", "white"}, {"blacklist", "black"}};
    struct making making = {.kong = kong, .plugin = plugin, .config = yaml_get(plugin->node, "config")};
    if (!kong_consumer(kong, plugin, &making.param) || making.param) {
        if (making.param)
            kong_left_out(kong, plugin, "an authority rule is about addresses, whichever consumer has them");
        cJSON_Delete(making.param);
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        struct phrase names = {0};
        making.place = yaml_get(making.config, lists[i][0]);
        for (const struct yaml_node *address = making.place ? making.place->children : NULL; address;
             address = address->next)
            phrase_add(&names, "%s%s", names.length ? "," : "", address->text);
        making.limit_app = names.bytes;
        making.strategy = lists[i][1];
        if (names.full)
            kong_left_out(kong, plugin, "more than 2000 bytes of addresses: put them into a list in a file");
        else if (names.length)
            kong_places(kong, plugin, make_authority, &making);
    }
}

void kong_plugin_rules(struct kong *kong, const struct kong_plugin *plugin) {
    static const struct {
        const char *name;
        void (*make)(struct kong *, const struct kong_plugin *);
        const char *why;
    } kinds[] = {
        {"rate-limiting", make_rates, NULL},
        {"rate-limiting-advanced", make_advanced, NULL},
        {"request-termination", make_termination, NULL},
        {"ip-restriction", make_restriction, NULL},
        {"response-ratelimiting", NULL,
         "it counts what responses say; rules count requests (or their cost by a header)"},
        {"request-size-limiting", NULL,
         "rules limit how much comes in a time (\"cost\": \"bytes\"), not one request's size"},
        {"proxy-cache", NULL, "weir does not answer from a cache"},
    };
    const char *name = yaml_text(plugin->node, "name");
    if (!yaml_is_true(plugin->node, "enabled", true))
        return;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        if (kinds[i].make)
            kinds[i].make(kong, plugin);
        else
            kong_left_out(kong, plugin, kinds[i].why);
    }
}
