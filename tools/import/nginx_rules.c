/* A limit of nginx as rules.  Its bucket is weir's queue: `burst` requests beyond the rate are admitted, `delay` of
 * them at once (docs/from-nginx.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/nginx_private.h"

struct making { /* the rules of one limit */
    struct nginx_import *nginx;
    const struct nginx_use *use;
    struct nginx_limit limit;
    struct nginx_zone zone;
    struct nginx_key key;
};

static const struct kind {
    const char *zone_word, *limit_word;
} kinds[NGINX_LIMIT_KINDS] = {
    [NGINX_LIMIT_REQ] = {"limit_req_zone", "limit_req"},
    [NGINX_LIMIT_CONN] = {"limit_conn_zone", "limit_conn"},
};

static void error_at(struct nginx_import *nginx, const struct nginx_error *error) {
    import_error(nginx->import, error->file, error->line, error->column, "%s", error->message);
}

/* --------------------------------------------------------------------------------------------------- one rule */

static void add_params(const struct making *making, cJSON *rule, double count) {
    const struct nginx_key *key = &making->key;
    bool single = cJSON_GetArraySize(key->params) == 1;
    cJSON_AddItemToObject(rule, "param", cJSON_Duplicate(single ? key->params->child : key->params, true));
    cJSON *items = cJSON_CreateArray();
    import_items(items, key->free, IMPORT_UNLIMITED);
    if (cJSON_GetArraySize(items) || key->only_listed)
        import_items(items, key->limited, count);
    if (cJSON_GetArraySize(items))
        cJSON_AddItemToObject(rule, "paramFlowItemList", items);
    else
        cJSON_Delete(items);
}

static void add_rate(const struct making *making, cJSON *rule, bool by_value) {
    const struct nginx_limit *limit = &making->limit;
    const struct nginx_zone *zone = &making->zone;
    double per_second = zone->per_minute ? zone->rate / 60 : zone->rate, longest = 86400000;
    double wait = (limit->burst - limit->delay) * 1000 / per_second;
    cJSON_AddNumberToObject(rule, "count", by_value && making->key.only_listed ? IMPORT_UNLIMITED : zone->rate);
    cJSON_AddStringToObject(rule, "per", zone->per_minute ? "minute" : "second");
    cJSON_AddStringToObject(rule, "controlBehavior", "queue");
    if (limit->delay > 0)
        cJSON_AddNumberToObject(rule, by_value ? "burstCount" : "burst", limit->delay);
    cJSON_AddNumberToObject(rule, "maxQueueingTimeMs", wait < longest ? (double)(long)(wait + 0.5) : longest);
    if (by_value)
        add_params(making, rule, zone->rate);
    if (by_value && zone->per_minute)
        cJSON_AddNumberToObject(rule, "capacity", IMPORT_CAPACITY);
}

static void add_concurrency(const struct making *making, cJSON *rule, bool by_value) {
    double count = making->limit.connections;
    cJSON_AddNumberToObject(rule, "count", by_value && making->key.only_listed ? IMPORT_UNLIMITED : count);
    if (!by_value)
        return;
    cJSON_AddStringToObject(rule, "grade", "thread");
    add_params(making, rule, count);
}

static void add_status(const struct making *making, cJSON *rule) {
    const struct nginx_node *node = making->use->status;
    const char *text = node && node->count > 1 ? node->words[1] : "503";
    int status = atoi(text);
    char name[40];
    if (status < 400 || status > 599) {
        import_error(making->nginx->import, node ? node->file : "", node ? node->line : 0, node ? node->column : 0,
                     "%s: expected a status from 400 to 599 instead of \"%.60s\"", node ? node->words[0] : "", text);
        return;
    }
    snprintf(name, sizeof(name), "nginx-%d", status);
    /* 444 is nginx's own: it closes the connection */
    import_status(making->nginx->import, node ? node->file : making->use->node->file,
                  node ? node->line : making->use->node->line, name, status, status == 444, 0);
    cJSON_AddStringToObject(rule, "blockAction", name);
}

static void describe(const struct making *making, const char *note, struct phrase *text) {
    for (size_t i = 0; i < making->use->node->count; i++)
        phrase_add(text, "%s%.100s", i ? " " : "", making->use->node->words[i]);
    phrase_add(text, "; key %.100s", making->zone.key);
    if (making->use->kind == NGINX_LIMIT_REQ)
        phrase_add(text, " rate=%.9gr/%s", making->zone.rate, making->zone.per_minute ? "m" : "s");
    phrase_add(text, ".%s%s", note, making->key.notes.bytes);
}

static void make_rule(void *context, const char *resource, const char *note) {
    const struct making *making = context;
    const struct nginx_node *node = making->use->node;
    bool by_value = cJSON_GetArraySize(making->key.params) > 0, is_rate = making->use->kind == NGINX_LIMIT_REQ;
    const char *section = by_value ? "paramFlow" : is_rate ? "flow" : "isolation";
    cJSON *rule = cJSON_CreateObject();
    struct phrase text = {0};
    char id[100];
    snprintf(id, sizeof(id), "%.40s %.50s", making->limit.zone, resource);
    import_id(making->nginx->import, section, rule, id);
    cJSON_AddStringToObject(rule, "resource", resource);
    if (making->key.each_path)
        cJSON_AddStringToObject(rule, "resourceMatch", "glob");
    if (is_rate)
        add_rate(making, rule, by_value);
    else
        add_concurrency(making, rule, by_value);
    cJSON_AddStringToObject(rule, "scope", "app"); /* zones are shared by all workers */
    if (making->use->dry_run)
        cJSON_AddStringToObject(rule, "mode", "simulate");
    if (strncmp(resource, "tcp:", 4) != 0)
        add_status(making, rule);
    describe(making, note, &text);
    import_rule(making->nginx->import, section, node->file, node->line, text.bytes, rule);
    making->nginx->client |= making->key.client;
    making->nginx->proxy |= making->key.proxy;
}

/* --------------------------------------------------------------------------------------------------- the limit */

/* Zones stand anywhere in their block, also behind the limits that use them. */
static bool find_zone(struct making *making, struct nginx_node *list) {
    const struct nginx_use *use = making->use;
    struct nginx_error error;
    for (; list; list = list->next) {
        if (strcmp(list->words[0], kinds[use->kind].zone_word) != 0 ||
            !nginx_zone_read(list, use->kind, &making->zone, &error) ||
            strcmp(making->zone.name, making->limit.zone) != 0)
            continue;
        return true;
    }
    import_error(making->nginx->import, use->node->file, use->node->line, use->node->column,
                 "%s: there is no %s \"%.100s\"%s", use->node->words[0], kinds[use->kind].zone_word, making->limit.zone,
                 making->nginx->is_part ? " in this part of a configuration: import the nginx.conf that includes it"
                                        : "");
    return false;
}

static bool read_limit(struct making *making, struct nginx_node *block) {
    const struct nginx_use *use = making->use;
    struct nginx_error error;
    if (!nginx_limit_read(use->node, use->kind, &making->limit, &error)) {
        error_at(making->nginx, &error);
        return false;
    }
    if (!find_zone(making, block))
        return false;
    nginx_key_read(&making->key, block, making->zone.key);
    if (!making->key.why.length)
        return true;
    char what[300];
    snprintf(what, sizeof(what), "%s %s", use->node->words[0], making->limit.zone);
    import_left_out(making->nginx->import, use->node->file, use->node->line, what, "zone at line %u, key %.100s: %s",
                    making->zone.node->line, making->zone.key, making->key.why.bytes);
    return false;
}

/* A pattern of resources counts each that matches on its own: of all paths of all servers, that is. */
static void make_each_path(struct making *making, const struct nginx_reach *list, size_t count) {
    const struct nginx_node *node = making->use->node;
    size_t whole = 0, servers = 0;
    for (const struct nginx_server *server = making->nginx->servers; server; server = server->next)
        servers++;
    for (size_t i = 0; i < count; i++)
        whole += list[i].whole;
    if (whole == servers)
        make_rule(making, "*:/**", "");
    else
        import_left_out(
            making->nginx->import, node->file, node->line, node->words[0],
            "it counts by path in a part of the servers or locations: name the paths in \"resources\", and give "
            "a rule for each");
}

void nginx_rules(struct nginx_import *nginx, const struct nginx_use *use, struct nginx_reach *list, size_t count) {
    struct making making = {.nginx = nginx, .use = use};
    bool good = read_limit(&making, nginx->http);
    if (good && making.key.each_path)
        make_each_path(&making, list, count);
    else if (good)
        nginx_places(nginx, use, list, count, making.key.server, make_rule, &making);
    nginx_key_clear(&making.key);
}

void nginx_stream_rules(struct nginx_import *nginx, const struct nginx_use *use, struct nginx_node *stream,
                        const struct nginx_server *server) {
    struct making making = {.nginx = nginx, .use = use};
    char name[40];
    bool good = read_limit(&making, stream);
    for (size_t i = 0; good && i < server->ports_count + server->tls_count; i++) {
        unsigned port = i < server->ports_count ? server->ports[i] : server->tls_ports[i - server->ports_count];
        snprintf(name, sizeof(name), "tcp::%u", port);
        if (port)
            make_rule(&making, name, "");
        else
            import_left_out(nginx->import, server->node->file, server->node->line, use->node->words[0],
                            "this server listens on a Unix socket, which no rule names");
    }
    nginx_key_clear(&making.key);
}
