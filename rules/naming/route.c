/* From a request to the names it counts for. */
#include "rules/naming/route.h"

#include <string.h>

#include "rules/ruleset.h"
#include "rules/naming/route_private.h"

/* ----------------------------------------------------------------------------------------------------------- asking */

static struct route_ask ask_make(const struct route_rules *rules, struct route_found *found) {
    return (struct route_ask){.rules = rules,
                              .path = found->path,
                              .path_length = found->path_length,
                              .host = found->host,
                              .host_length = found->host_length,
                              .found = found};
}

/* A target in absolute form names the host, whatever the Host header says (RFC 9112, 3.2.2). */
static size_t host_of(const struct route_request *request, char ret_host[static ROUTE_HOST_MAX]) {
    size_t length;
    const char *authority = route_authority(request->target, request->target_length, &length);
    return length ? route_host(authority, length, ret_host)
                  : route_host(request->host ? request->host : "", request->host ? request->host_length : 0, ret_host);
}

/* ----------------------------------------------------------------------------------------------------------- routes */

/* How much a route says of the host: nothing, a family of hosts (the longer the more), or one host. */
static size_t host_rank(const void *ruleset, const struct ruleset_route *route) {
    const char *host = ruleset_text(ruleset, route->host);
    return host[0] == '*' ? strlen(host) : host[0] ? SIZE_MAX : 0;
}

static bool is_better(const void *ruleset, uint32_t a, uint32_t b) {
    const struct ruleset_route *one = &ruleset_routes(ruleset)[a], *other = &ruleset_routes(ruleset)[b];
    if (one->implicit != other->implicit)
        return one->implicit < other->implicit;
    size_t rank = host_rank(ruleset, one), other_rank = host_rank(ruleset, other);
    if (rank != other_rank)
        return rank > other_rank;
    bool exact = one->match == MATCH_EXACT, other_exact = other->match == MATCH_EXACT;
    return exact != other_exact ? exact : a < b;
}

static bool wants_route(const struct route_ask *ask, uint32_t route, const void *context) {
    uint32_t best = *(const uint32_t *)context;
    return best == UINT32_MAX || is_better(ask->rules->ruleset, route, best);
}

static void take_route(const struct route_ask *ask, uint32_t route, void *context) {
    (void)ask;
    *(uint32_t *)context = route;
}

/* Path segments that stand where the pattern has a {name}. */
static void capture_templates(const char *pattern, const struct route_ask *ask) {
    size_t at = 0;
    while (*pattern && at < ask->path_length && strncmp(pattern, "**", 2) != 0) {
        size_t size = strcspn(pattern, "/"), length = 0;
        while (at + length < ask->path_length && ask->path[at + length] != '/')
            length++;
        if (size > 2 && pattern[0] == '{' && pattern[size - 1] == '}')
            route_capture_add(ask->found, pattern + 1, size - 2, at, length);
        pattern += size + (pattern[size] == '/');
        at += length + 1;
    }
}

static void name_route(const struct route_ask *ask, uint32_t index, struct route_name *name) {
    const void *ruleset = ask->rules->ruleset;
    const struct ruleset_route *route = &ruleset_routes(ruleset)[index];
    const char *text = ruleset_text(ruleset, route->name), *pattern = ruleset_text(ruleset, route->pattern);
    const char *host = ruleset_text(ruleset, route->host);
    ask->found->route = index;
    if (route->match == MATCH_GLOB)
        capture_templates(pattern, ask);
    if (!*text) {
        route_name_add(name, ask->method, ask->method_length);
        route_name_add(name, *host ? ":http://" : ":", *host ? 8 : 1);
        route_name_add(name, host, strlen(host));
        text = pattern;
    }
    route_name_add(name, text, strlen(text));
}

static void find_name(struct route_ask *ask, struct route_name *name) {
    static const struct route_taker taker = {ROUTE_PATTERN, wants_route, take_route};
    const void *ruleset = ask->rules->ruleset;
    struct route_found *found = ask->found;
    uint32_t route = UINT32_MAX;
    ruleset_string text;
    route_each(ask, &taker, &route);
    if (route != UINT32_MAX && !ruleset_routes(ruleset)[route].implicit) {
        found->how = ROUTE_HOW_CONFIGURED;
        name_route(ask, route, name);
    } else if ((text = route_rule_name(ask))) {
        found->how = ROUTE_HOW_RULE;
        route_name_add(name, ruleset_text(ruleset, text), strlen(ruleset_text(ruleset, text)));
    } else if (route != UINT32_MAX) {
        found->how = ROUTE_HOW_TEMPLATE;
        name_route(ask, route, name);
    } else {
        route_name_add(name, ask->method, ask->method_length);
        route_name_add(name, ":", 1);
        route_learn(ask, name);
    }
}

size_t route_find(const struct route_rules *rules, const struct route_request *request, unsigned reading,
                  char *ret_name, size_t size, struct route_found *ret_found) {
    struct route_name name = {.text = ret_name, .size = size};
    ret_found->how = ROUTE_HOW_LEARNED;
    ret_found->route = UINT32_MAX;
    ret_found->captures_count = 0;
    ret_found->undecided = ret_found->proliferated = false;
    ret_found->path_length = route_read(request->target, request->target_length, reading, ret_found->path,
                                        sizeof(ret_found->path), &ret_found->others);
    ret_found->host_length = host_of(request, ret_found->host);
    if (!size)
        return 0;
    struct route_ask ask = ask_make(rules, ret_found);
    ask.method = request->method;
    ask.method_length = request->method_length;
    if (ask.method_length > 24) { /* nobody's method: what a client can make up does not become many names */
        ask.method = "{method}";
        ask.method_length = strlen(ask.method);
    }
    if (ask.method_length == 7 && memcmp(ask.method, "CONNECT", 7) == 0 && request->target_length &&
        request->target[0] != '/')
        route_name_add(&name, "CONNECT:{authority}", 19);
    else
        find_name(&ask, &name);
    return route_name_end(&name);
}

/* ----------------------------------------------------------------------------------------------------------- groups */

struct groups {
    uint32_t *routes; /* indices, ascending; one for each name */
    size_t count, max;
};

/* Patterns of a group of which one has matched are of no use, unless they come earlier. */
static bool wants_group(const struct route_ask *ask, uint32_t route, const void *context) {
    const struct ruleset_route *routes = ruleset_routes(ask->rules->ruleset);
    const struct groups *groups = context;
    for (size_t i = 0; i < groups->count; i++)
        if (routes[groups->routes[i]].name == routes[route].name)
            return route < groups->routes[i];
    return groups->count < groups->max || (groups->max && route < groups->routes[groups->max - 1]);
}

static void take_group(const struct route_ask *ask, uint32_t route, void *context) {
    const struct ruleset_route *routes = ruleset_routes(ask->rules->ruleset);
    struct groups *groups = context;
    size_t at = 0, last = groups->count < groups->max ? groups->count : groups->max - 1;
    while (at < groups->count && routes[groups->routes[at]].name != routes[route].name)
        at++;
    if (at == groups->count) { /* a new one; where there is no room, instead of the last */
        at = last;
        groups->count = last + 1;
    }
    for (; at > 0 && groups->routes[at - 1] > route; at--)
        groups->routes[at] = groups->routes[at - 1];
    groups->routes[at] = route;
}

size_t route_groups(const struct route_rules *rules, struct route_found *found, uint32_t *ret_names, size_t max) {
    static const struct route_taker taker = {ROUTE_API, wants_group, take_group};
    struct route_ask ask = ask_make(rules, found);
    struct groups groups = {ret_names, 0, max};
    route_each(&ask, &taker, &groups);
    for (size_t i = 0; i < groups.count; i++)
        ret_names[i] = ruleset_routes(rules->ruleset)[ret_names[i]].name;
    return groups.count;
}

/* --------------------------------------------------------------------------------------------------------- priority */

/* Is that the name of the route's resource: the one that it was given, or METHOD:PATTERN? */
static bool is_name_of(const void *ruleset, const struct ruleset_route *route, const char *name, size_t length) {
    const char *own = ruleset_text(ruleset, route->name), *pattern = ruleset_text(ruleset, route->pattern),
               *method = ruleset_text(ruleset, route->method), *host = ruleset_text(ruleset, route->host);
    if (*own)
        return strlen(own) == length && memcmp(own, name, length) == 0;
    size_t tail = strlen(pattern), middle = strlen(host), prefix = *host ? 8 : 1;
    if (length <= tail + middle + prefix || memcmp(name + length - tail, pattern, tail) != 0)
        return false;
    size_t before = length - tail - middle - prefix; /* the method */
    return memcmp(name + before, *host ? ":http://" : ":", prefix) == 0 &&
           memcmp(name + before + prefix, host, middle) == 0 && !memchr(name, ':', before) &&
           (!*method || (strlen(method) == before && memcmp(method, name, before) == 0));
}

uint8_t route_priority(const void *ruleset, const char *name, size_t length) {
    for (uint32_t i = 0; i < ruleset_head(ruleset)->routes_count; i++) {
        const struct ruleset_route *route = &ruleset_routes(ruleset)[i];
        if (route->priority != PRIORITY_NORMAL && is_name_of(ruleset, route, name, length))
            return route->priority;
    }
    return PRIORITY_NORMAL;
}
