/* API groups of a request, names that are out of the ordinary, and what "resources" says of a name. */
#include <string.h>

#include "rules/naming/naming_private.h"
#include "rules/ruleset.h"

/* ----------------------------------------------------------------------------------------------------------- groups */

struct groups {
    uint32_t *routes; /* indices, ascending; one for each name */
    size_t count, max;
};

/* Patterns of a group of which one has matched are of no use, unless they come earlier. */
static bool wants_group(const struct groups *groups, const struct ruleset_route *routes, uint32_t route) {
    for (size_t i = 0; i < groups->count; i++)
        if (routes[groups->routes[i]].name == routes[route].name)
            return route < groups->routes[i];
    return groups->count < groups->max || (groups->max && route < groups->routes[groups->max - 1]);
}

static void take_group(struct groups *groups, const struct ruleset_route *routes, uint32_t route) {
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

size_t route_groups(const struct naming_rules *rules, struct route_found *found, uint32_t *ret_names, size_t max) {
    const struct ruleset_header *head = rules->ruleset;
    struct naming_ask ask = {.rules = rules,
                             .path = found->path,
                             .path_length = found->path_length,
                             .host = found->host,
                             .host_length = found->host_length,
                             .found = found};
    struct naming_candidates candidates = {.first = head->route_kind_first[ROUTE_API],
                                           .kinds = head->route_kind_count[ROUTE_API]};
    struct groups groups = {ret_names, 0, max};
    for (uint32_t route; (route = naming_next(&ask, &candidates)) != UINT32_MAX;)
        if (wants_group(&groups, rules->routes, route) && naming_matches(&ask, route))
            take_group(&groups, rules->routes, route);
    for (size_t i = 0; i < groups.count; i++)
        ret_names[i] = rules->routes[ret_names[i]].name;
    return groups.count;
}

/* ------------------------------------------------------------------------------------------- out of the ordinary */

/* A hash of all of it takes the place of the end that found no room. */
void naming_mark_cut(struct naming_name *name) {
    static const char digits[] = "0123456789abcdef";
    if (name->size > 10) {
        name->length = name->size - 10;
        while (name->length > 0 && ((unsigned char)name->text[name->length] & 0xc0) == 0x80)
            name->length--; /* not within a character */
        name->text[name->length++] = '~';
        for (unsigned i = 0; i < 8; i++)
            name->text[name->length++] = digits[name->hash >> (60 - 4 * i) & 15];
    }
    name->text[name->length] = '\0';
}

/* What was learned is short of what the client sent: ids and siblings have become one.  Where a pattern of some rule is
 * about that very path, but not about what became of it, the path itself is the name; else a client that makes a path
 * look like an id would be rid of the rule. */
size_t naming_keep_path(struct naming *naming, size_t length) {
    const struct route_found *found = &naming->found;
    char *name = naming->name, *whole = naming->whole;
    size_t method = naming->message->method_length;
    if (!found->collapsed || method > NAMING_METHOD_MAX)
        return length;
    memcpy(whole, naming->message->method, method);
    whole[method] = ':';
    memcpy(whole + method + 1, found->path, found->path_length + 1);
    size_t whole_length = method + 1 + found->path_length;
    if (!naming->rules->misses(naming->rules->context, whole, whole_length, name, length))
        return length;
    length = whole_length < LAYOUT_RESOURCE_NAME_MAX ? whole_length : LAYOUT_RESOURCE_NAME_MAX - 1;
    memcpy(name, whole, length);
    name[length] = '\0';
    return length;
}

/* "redis:GET": the client's words, without what would break a line of a log. */
void naming_give_verb(struct naming *naming) {
    struct naming_name name = {.text = naming->name, .size = sizeof(naming->name)};
    naming_add(&name, naming->message->protocol, strlen(naming->message->protocol));
    naming_add(&name, ":", 1);
    naming_add(&name, naming->message->method, naming->message->method_length);
    if (name.cut)
        naming_mark_cut(&name);
    for (size_t i = 0; i < name.length; i++)
        if ((unsigned char)name.text[i] < ' ' || name.text[i] == 0x7f)
            name.text[i] = '?';
    naming->sink->take(naming->sink->context, name.text, name.length, NULL, ROUTE_READ_PLAIN);
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
