/* Services, routes and consumers of Kong: whose requests a plugin is about. */
#include <stdio.h>
#include <string.h>

#include "tools/import/kong_private.h"

const char kong_of_group[] = "it is about a group of consumers, and rules do not know these: give it to each consumer";

void kong_left_out(struct kong *kong, const struct kong_plugin *plugin, const char *why) {
    import_left_out(kong->import, plugin->file, plugin->node->line, yaml_text(plugin->node, "name"), "%s", why);
}

/* "shop", { name: shop }, { id: … } */
static bool names(const struct yaml_node *reference, const struct yaml_node *entity) {
    static const char *const keys[] = {"id", "name", "username"};
    for (size_t i = 0; reference && i < 3; i++) {
        const char *own = yaml_text(entity, keys[i]);
        if (own[0] && (strcmp(reference->text, own) == 0 || strcmp(yaml_text(reference, keys[i]), own) == 0))
            return true;
    }
    return false;
}

static const struct kong_entity *find(const struct kong_list *list, const struct yaml_node *in,
                                      const struct yaml_node *reference) {
    const struct kong_entity *entities = list->list;
    for (size_t i = 0; i < list->count; i++)
        if (in ? entities[i].node == in : names(reference, entities[i].node))
            return &entities[i];
    return NULL;
}

/* Is there a reference at all?  `null` is none. */
static const struct yaml_node *reference_of(const struct kong_plugin *plugin, const char *key) {
    const struct yaml_node *node = yaml_get(plugin->node, key);
    return node && (node->children ||
                    (node->text[0] && strcmp(node->text, "null") != 0 && strcmp(node->text, "~") != 0))
               ? node
               : NULL;
}

/* ---------------------------------------------------------------------------------------------------------- routes */

/* A path of a route: a prefix, or with ~ a regular expression from its beginning on. */
static bool add_path(cJSON *items, const char *path) {
    struct phrase text = {0};
    if (path[0] != '~')
        return cJSON_AddItemToArray(items, import_pattern(path, "prefix"));
    bool moved = phrase_add_regex(&text, path + 1 + (path[1] == '^'), false);
    phrase_add(&text, ".*");
    return moved && text.length <= PHRASE_PATTERN_MAX &&
           cJSON_AddItemToArray(items, import_pattern(text.bytes, "regex"));
}

static bool add_paths(cJSON *items, const struct yaml_node *route) {
    const struct yaml_node *paths = yaml_get(route, "paths");
    bool said = true;
    for (const struct yaml_node *path = paths ? paths->children : NULL; path; path = path->next)
        said &= add_path(items, path->text);
    if (!paths || !paths->children)
        cJSON_AddItemToArray(items, import_pattern("/**", "glob"));
    return said;
}

struct place {
    struct kong *kong;
    const struct kong_plugin *plugin;
    void (*call)(void *context, const char *resource, const char *note);
    void *context;
    const char *name; /* of the route or service */
    const char *note; /* or "" */
    bool several;     /* hosts or routes, each of which counts on its own */
};

/* A group of paths, or a route for each method and path, of one host or any. */
static void call_host(const struct place *place, const cJSON *items, const struct yaml_node *methods,
                      const char *host) {
    const char *several = " Each host, method and route counts on its own; Kong counts a service's together.";
    const struct yaml_node *method = methods ? methods->children : NULL;
    const cJSON *item = items->child;
    while (item) {
        cJSON *value = method ? cJSON_Duplicate(item, true) : cJSON_CreateObject();
        struct phrase wanted = {0};
        cJSON_AddStringToObject(value, "kind", method ? "route" : "api");
        if (host)
            cJSON_AddStringToObject(value, "host", host);
        if (method)
            cJSON_AddStringToObject(value, "method", method->text);
        else
            cJSON_AddItemToObject(value, "predicateItems", cJSON_Duplicate(items, true));
        phrase_add(&wanted, "%s%s%.80s%s%.80s", method ? method->text : "", method ? " " : "", place->name,
                   host ? " of " : "", host ? host : "");
        const char *name = import_name(place->kong->names, place->kong->import, place->plugin->file,
                                       place->plugin->node->line, wanted.bytes, value);
        bool apart = place->several || (method && (methods->children->next || items->child->next));
        cJSON_Delete(value);
        if (name)
            place->call(place->context, name, place->note[0] ? place->note : apart ? several : "");
        item = method ? item->next : NULL;
        if (!item && method && (method = method->next))
            item = items->child;
    }
}

static void call_route(struct place *place, const struct yaml_node *route) {
    const struct yaml_node *hosts = yaml_get(route, "hosts"), *host = hosts ? hosts->children : NULL;
    cJSON *items = cJSON_CreateArray();
    bool before = place->several;
    place->several |= host && host->next;
    if (yaml_get(route, "headers") && yaml_get(route, "headers")->children)
        kong_left_out(place->kong, place->plugin,
                      "its route asks for headers: resources know paths, methods and hosts");
    else if (yaml_get(route, "expression"))
        kong_left_out(place->kong, place->plugin,
                      "its route is an expression: resources know paths, methods and hosts");
    else if (!add_paths(items, route))
        kong_left_out(place->kong, place->plugin, "its route has a regular expression that refers to itself");
    else if (!host)
        call_host(place, items, yaml_get(route, "methods"), NULL);
    else
        for (; host; host = host->next)
            call_host(place, items, yaml_get(route, "methods"), host->text);
    place->several = before;
    cJSON_Delete(items);
}

/* Of plugins of one name Kong takes the most particular: those of a route go before its service's. */
static bool has_own(const struct kong *kong, const struct kong_plugin *plugin, const struct yaml_node *route) {
    const struct kong_plugin *plugins = kong->plugins.list;
    for (size_t i = 0; i < kong->plugins.count; i++)
        if (&plugins[i] != plugin && strcmp(yaml_text(plugins[i].node, "name"), yaml_text(plugin->node, "name")) == 0 &&
            (plugins[i].route == route || names(reference_of(&plugins[i], "route"), route)) && !plugins[i].consumer &&
            !reference_of(&plugins[i], "consumer") && yaml_is_true(plugins[i].node, "enabled", true))
            return true;
    return false;
}

static bool is_alone(const struct kong *kong, const struct kong_plugin *plugin) {
    const struct kong_plugin *plugins = kong->plugins.list;
    size_t count = 0;
    for (size_t i = 0; i < kong->plugins.count; i++)
        count += strcmp(yaml_text(plugins[i].node, "name"), yaml_text(plugin->node, "name")) == 0;
    return count == 1;
}

static void call_service(struct place *place, const struct yaml_node *service) {
    const struct kong_entity *routes = place->kong->routes.list;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < place->kong->routes.count; i++) {
            bool own = routes[i].service == service || names(yaml_get(routes[i].node, "service"), service);
            if (!own || has_own(place->kong, place->plugin, routes[i].node))
                continue;
            count += pass == 0;
            place->several = count > 1;
            if (pass == 1)
                call_route(place, routes[i].node);
        }
    if (!count)
        kong_left_out(place->kong, place->plugin, "its service has no route, or none without such a plugin of its own");
}

static const char *name_of(const struct yaml_node *node, const char *otherwise) {
    const char *name = yaml_text(node, "name"), *id = yaml_text(node, "id");
    return name[0] ? name : id[0] ? id : otherwise;
}

void kong_places(struct kong *kong, const struct kong_plugin *plugin,
                 void (*call)(void *context, const char *resource, const char *note), void *context) {
    const struct yaml_node *of_route = reference_of(plugin, "route"), *of_service = reference_of(plugin, "service");
    const struct kong_entity *route = plugin->route || of_route ? find(&kong->routes, plugin->route, of_route) : NULL,
                             *service = plugin->service || of_service
                                            ? find(&kong->services, plugin->service, of_service)
                                            : NULL;
    struct place place = {
        .kong = kong, .plugin = plugin, .call = call, .context = context, .name = "all requests", .note = ""};
    const bool is_global = !route && !service && !plugin->consumer && !reference_of(plugin, "consumer");
    if (is_global && !is_alone(kong, plugin))
        place.note = " It holds beside the more particular ones; Kong takes one of them only.";
    if (route) {
        place.name = name_of(route->node, "route");
        call_route(&place, route->node);
    } else if (service) {
        place.name = name_of(service->node, "service");
        call_service(&place, service->node);
    } else if (of_route || of_service) {
        kong_left_out(kong, plugin, "its route or service is in none of these files");
    } else {
        cJSON *items = cJSON_CreateArray();
        cJSON_AddItemToArray(items, import_pattern("/**", "glob"));
        call_host(&place, items, NULL, NULL);
        cJSON_Delete(items);
    }
}

/* ------------------------------------------------------------------------------------------------------- consumers */

cJSON *kong_identity(const struct kong *kong, const struct kong_plugin *plugin) {
    const struct kong_plugin *plugins = kong->plugins.list;
    (void)plugin;
    for (size_t i = 0; i < kong->plugins.count; i++) {
        if (strcmp(yaml_text(plugins[i].node, "name"), "key-auth") != 0)
            continue;
        const struct yaml_node *keys = yaml_path(plugins[i].node, "config.key_names");
        return import_param("header", keys && keys->children ? keys->children->text : "apikey");
    }
    return NULL;
}

bool kong_consumer(struct kong *kong, const struct kong_plugin *plugin, cJSON **ret_param) {
    const struct yaml_node *reference = reference_of(plugin, "consumer");
    *ret_param = NULL;
    if (reference_of(plugin, "consumer_group")) {
        kong_left_out(kong, plugin, kong_of_group);
        return false;
    }
    if (!plugin->consumer && !reference)
        return true;
    const struct kong_entity *consumer = find(&kong->consumers, plugin->consumer, reference);
    const struct yaml_node *keys = consumer ? yaml_get(consumer->node, "keyauth_credentials") : NULL;
    cJSON *param = keys && keys->children ? kong_identity(kong, plugin) : NULL;
    struct phrase pattern = {0};
    for (const struct yaml_node *key = param ? keys->children : NULL; key; key = key->next) {
        phrase_add(&pattern, pattern.length ? "|" : "");
        phrase_add_literal(&pattern, yaml_text(key, "key"), strlen(yaml_text(key, "key")));
    }
    if (!param || pattern.full || pattern.length > PHRASE_PATTERN_MAX) {
        kong_left_out(
            kong, plugin,
            "it is about one consumer, and rules know consumers by their keys of key-auth: none is in these files");
        cJSON_Delete(param);
        return false;
    }
    cJSON_AddStringToObject(param, "pattern", pattern.bytes);
    cJSON_AddStringToObject(param, "matchStrategy", "regex");
    *ret_param = param;
    return true;
}
