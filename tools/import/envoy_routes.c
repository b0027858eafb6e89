/* Listeners, virtual hosts and routes of Envoy: what limits of them are about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/envoy_private.h"

struct route { /* what a limit is looked for in */
    struct envoy *envoy;
    const char *file;
    const struct yaml_node *hosts;          /* the domains; NULL: any */
    bool apart;                             /* others have the same limits */
    const struct yaml_node *routes, *route; /* those of the virtual host; NULL: all its requests */
};

/* -------------------------------------------------------------------------------------------------------- places */

static bool add_path(struct phrase *text, const struct yaml_node *match) {
    const char *prefix = yaml_text(match, "prefix"), *path = yaml_text(match, "path"),
               *separated = yaml_text(match, "path_separated_prefix");
    const struct yaml_node *regex = yaml_path(match, "safe_regex.regex");
    if (regex)
        return phrase_add_regex(text, regex->text, false);
    const char *literal = path[0] ? path : separated[0] ? separated : prefix;
    phrase_add_literal(text, literal, strlen(literal));
    phrase_add(text, "%s", path[0] ? "" : separated[0] ? "(?:/.*)?" : ".*");
    return literal[0] != '\0';
}

/* The first route that matches has the request: those before this one do not. */
static cJSON *items_of(const struct route *route) {
    const struct yaml_node *match = yaml_get(route->route, "match");
    const char *prefix = yaml_text(match, "prefix"), *path = yaml_text(match, "path");
    struct phrase text = {0};
    bool before = false, said = true;
    for (const struct yaml_node *other = route->routes->children; other && other != route->route; other = other->next) {
        const struct yaml_node *their = yaml_get(other, "match");
        if (yaml_get(their, "headers") || yaml_get(their, "query_parameters") ||
            (prefix[0] && !yaml_get(their, "safe_regex") && !phrase_begins(yaml_text(their, "prefix"), prefix) &&
             !phrase_begins(yaml_text(their, "path"), prefix)))
            continue;
        phrase_add(&text, before ? "|" : "(?!(?:");
        before = true;
        said &= add_path(&text, their);
    }
    cJSON *items = cJSON_CreateArray();
    if (!before && (prefix[0] || path[0])) {
        cJSON_AddItemToArray(items, import_pattern(path[0] ? path : prefix, path[0] ? "exact" : "prefix"));
        return items;
    }
    phrase_add(&text, before ? ")$)" : "");
    if (add_path(&text, match) && said && !text.full && text.length <= PHRASE_PATTERN_MAX) {
        cJSON_AddItemToArray(items, import_pattern(text.bytes, "regex"));
        return items;
    }
    cJSON_Delete(items);
    return NULL;
}

static const char *name_place(const struct route *route, const char *host, unsigned line) {
    cJSON *items = NULL, *value = cJSON_CreateObject();
    struct phrase wanted = {0};
    const struct yaml_node *match = yaml_get(route->route, "match");
    const char *path = yaml_text(match, "path")[0] ? yaml_text(match, "path") : yaml_text(match, "prefix"),
               *name = NULL;
    if (route->route) {
        items = items_of(route);
        if (path[0])
            phrase_add(&wanted, "route %.100s", path);
        else
            phrase_add(&wanted, "route of line %u", route->route->line);
    } else {
        items = cJSON_CreateArray();
        cJSON_AddItemToArray(items, import_pattern("/**", "glob"));
        phrase_add(&wanted, "all requests");
    }
    if (host)
        phrase_add(&wanted, " of %.80s", host);
    if (items) {
        cJSON_AddStringToObject(value, "kind", "api");
        if (host)
            cJSON_AddStringToObject(value, "host", host);
        cJSON_AddItemToObject(value, "predicateItems", items);
        name = import_name(route->envoy->names, route->envoy->import, route->file, line, wanted.bytes, value);
    }
    cJSON_Delete(value);
    return name;
}

/* Calls for each resource that stands for the route's requests. */
static void each_place(const struct route *route, const struct yaml_node *node,
                       void (*call)(const struct route *, const struct yaml_node *, const char *resource)) {
    const struct yaml_node *match = yaml_get(route->route, "match");
    if (yaml_get(match, "headers") || yaml_get(match, "query_parameters")) {
        import_left_out(route->envoy->import, route->file, node->line, "route",
                        "its match asks for headers or parameters: groups of \"resources\" know paths and hosts");
        return;
    }
    for (const struct yaml_node *host = route->hosts ? route->hosts->children : NULL; host; host = host->next) {
        char plain[256];
        snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(host->text, ":"), host->text);
        bool any = strcmp(plain, "*") == 0,
             known = plain[0] && (!strchr(plain, '*') || (phrase_begins(plain, "*.") && !strchr(plain + 1, '*')));
        const char *name = any || known ? name_place(route, any ? NULL : plain, node->line) : NULL;
        if (name)
            call(route, node, name);
        else
            import_left_out(route->envoy->import, route->file, node->line, "route",
                            "its path or host \"%.80s\" cannot be said in a group of \"resources\"", host->text);
    }
    if (!route->hosts) {
        const char *name = name_place(route, NULL, node->line);
        if (name)
            call(route, node, name);
    }
}

/* -------------------------------------------------------------------------------------------------------- limits */

static void add_use(const struct route *route, const struct yaml_node *node, const char *resource) {
    struct envoy *envoy = route->envoy;
    if (envoy->uses_count == envoy->uses_capacity) {
        size_t capacity = envoy->uses_capacity * 2 + 16;
        struct envoy_use *larger = realloc(envoy->uses, capacity * sizeof(*larger));
        if (!larger)
            return;
        envoy->uses = larger;
        envoy->uses_capacity = capacity;
    }
    envoy->uses[envoy->uses_count++] = (struct envoy_use){
        route->file, node, resource,
        route->apart || (route->hosts && route->hosts->children && route->hosts->children->next)};
}

static void add_local(const struct route *route, const struct yaml_node *node, const char *resource) {
    envoy_local(route->envoy, route->file, node, resource);
}

/* Limits by descriptors, and local ones, of a virtual host or a route. */
static void read_limits(const struct route *route, const struct yaml_node *of, const struct yaml_node *rate_limits) {
    const struct yaml_node *own = yaml_get(of, "typed_per_filter_config");
    for (const struct yaml_node *limit = rate_limits ? rate_limits->children : NULL; limit; limit = limit->next)
        each_place(route, limit, add_use);
    for (const struct yaml_node *filter = own ? own->children : NULL; filter; filter = filter->next)
        if (yaml_get(filter, "token_bucket"))
            each_place(route, filter, add_local);
}

/* Do the virtual host's limits hold for the route? */
static bool inherits(const struct yaml_node *route) {
    const struct yaml_node *action = yaml_get(route, "route");
    return !yaml_get(action, "rate_limits") || yaml_is_true(action, "include_vh_rate_limits", false);
}

static bool all_inherit(const struct yaml_node *routes) {
    for (const struct yaml_node *route = routes ? routes->children : NULL; route; route = route->next)
        if (!inherits(route))
            return false;
    return true;
}

static void read_virtual_host(struct envoy *envoy, const char *file, const struct yaml_node *host) {
    const struct yaml_node *routes = yaml_get(host, "routes"), *common = yaml_get(host, "rate_limits");
    struct route all = {.envoy = envoy, .file = file, .hosts = yaml_get(host, "domains")};
    bool for_all = common && all_inherit(routes);
    read_limits(&all, host, for_all ? common : NULL);
    for (const struct yaml_node *route = routes ? routes->children : NULL; route; route = route->next) {
        struct route one = all;
        one.routes = routes;
        one.route = route;
        read_limits(&one, route, yaml_path(route, "route.rate_limits"));
        one.apart = true;
        if (!for_all && inherits(route))
            read_limits(&one, NULL, common);
    }
}

static void read_filter(struct envoy *envoy, const char *file, const struct yaml_node *filter, unsigned port) {
    const struct yaml_node *config = yaml_get(filter, "typed_config");
    const char *type = yaml_text(config, "@type"), *name = yaml_text(filter, "name");
    bool network = strstr(type, "network.") != NULL || strstr(name, "network.") != NULL;
    struct route all = {.envoy = envoy, .file = file};
    char resource[40];
    snprintf(resource, sizeof(resource), "tcp::%u", port);
    if (yaml_get(config, "token_bucket") && network && port)
        envoy_local(envoy, file, config, resource);
    else if (yaml_get(config, "token_bucket") && !network)
        each_place(&all, config, add_local);
    double most;
    if (network && port && yaml_number(yaml_get(config, "max_connections"), &most)) {
        cJSON *rule = cJSON_CreateObject();
        import_id(envoy->import, "isolation", rule, resource);
        cJSON_AddStringToObject(rule, "resource", resource);
        cJSON_AddNumberToObject(rule, "count", most);
        import_rule(envoy->import, "isolation", file, config->line, "max_connections", rule);
    }
}

/* What a server's rules say otherwise, or not at all: by the key that shows it. */
static const struct {
    const char *key, *name, *why;
} listed[] = {
    {"circuit_breakers", "circuit_breakers",
     "where the service runs, an isolation rule about its \"http::PORT\" limits what is in flight"},
    {"outlier_detection", "outlier_detection",
     "weir does not choose between servers; a degrade rule opens a circuit by errors or slow calls"},
    {"gradient_controller_config", "adaptive_concurrency",
     "where the service runs, \"adaptive\": {\"mode\": \"simulate\"} shows what overload protection would reject"},
    {"sr_threshold", "admission_control",
     "where the service runs, adaptive sheds load, and a degrade rule opens a circuit by the share of errors"},
};

static void list_others(struct envoy *envoy, const char *file, const struct yaml_node *node) {
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++)
        if (strcmp(node->key, listed[i].key) == 0)
            import_left_out(envoy->import, file, node->line, listed[i].name, "%s", listed[i].why);
}

/* Where these things stand in a configuration, however it was written or dumped: they are known by their names. */
static void find_limits(struct envoy *envoy, const char *file, const struct yaml_node *node, unsigned port) {
    double number;
    if (node->kind == YAML_MAP && yaml_number(yaml_path(node, "address.socket_address.port_value"), &number) &&
        yaml_get(node, "filter_chains"))
        port = number <= 65535 ? (unsigned)number : 0;
    if (node->kind == YAML_MAP && yaml_get(node, "typed_config"))
        read_filter(envoy, file, node, port);
    for (const struct yaml_node *child = node->children; child; child = child->next) {
        if (child->key && strcmp(child->key, "virtual_hosts") == 0) {
            for (const struct yaml_node *host = child->children; host; host = host->next)
                read_virtual_host(envoy, file, host);
            continue;
        }
        if (child->key)
            list_others(envoy, file, child);
        find_limits(envoy, file, child, port);
    }
}

void envoy_routes(struct envoy *envoy, const char *file, const struct yaml_node *config) {
    find_limits(envoy, file, config, 0);
}
