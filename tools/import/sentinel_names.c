/* What Sentinel calls a resource, and what of that a request has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/naming/route.h"
#include "tools/import/sentinel_private.h"

struct named { /* a resource that rules are about, where it comes first */
    const char *name, *file;
    unsigned line;
    size_t number; /* in the order of the rules */
    bool gateway;
    bool shared; /* a rule about GET:NAME exists, too */
};
struct names {
    struct import *import;
    struct named *list;
    size_t count, capacity;
    bool caller_noted;
};

/* ------------------------------------------------------------------------------------------------------ what it is */

static bool is_method(const char *text, size_t length) {
    static const char *const methods[] = {"GET",  "POST",    "PUT",   "DELETE", "PATCH",
                                          "HEAD", "OPTIONS", "TRACE", "CONNECT"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        if (strlen(methods[i]) == length && strncmp(methods[i], text, length) == 0)
            return true;
    return false;
}

enum sentinel_name sentinel_name_kind(const char *name) {
    size_t colon = strcspn(name, ":");
    if (strcmp(name, "*") == 0)
        return SENTINEL_ALL;
    if (name[0] == '/')
        return strchr(name, '(') ? SENTINEL_OTHER : SENTINEL_PATH;
    if (strncmp(name, "__", 2) == 0)
        return SENTINEL_INTERNAL;
    if (name[colon] && strncmp(name + colon + 1, "/", 1) == 0 && is_method(name, colon))
        return SENTINEL_METHOD_PATH;
    if (strstr(name, "://") || strncmp(name, "httpclient:", 11) == 0 || strncmp(name, "okhttp:", 7) == 0)
        return SENTINEL_OUTBOUND;
    if (name[colon] && strchr(name, '(') && name[strlen(name) - 1] == ')')
        return SENTINEL_JAVA;
    return SENTINEL_OTHER;
}

/* Spring's patterns in weir's spelling: "/a/{id:[0-9]+}" is "/a/{id}", and a last "{*rest}" is "**". */
static void pattern_text(const char *path, char *ret_pattern, size_t size) {
    size_t at = 0;
    for (const char *c = path; *c && at + 3 < size; c++) {
        size_t depth = 0;
        if (strncmp(c, "{*", 2) == 0 && strchr(c, '}')) {
            at += (size_t)snprintf(ret_pattern + at, size - at, "**");
            c = strchr(c, '}');
        } else if (*c == ':' && memrchr(path, '{', (size_t)(c - path))) {
            for (; c[1] && (c[1] != '}' || depth); c++)
                depth += (c[1] == '{') - (c[1] == '}' ? 1u : 0u);
        } else {
            ret_pattern[at++] = *c;
        }
    }
    ret_pattern[at] = '\0';
}

static bool has_wildcard(const char *path) {
    return strpbrk(path, "*?{") != NULL;
}

/* --------------------------------------------------------------------------------------------------- collecting */

static void add_name(struct names *names, struct named named) {
    if (names->count == names->capacity) {
        size_t capacity = names->capacity * 2 + 64;
        struct named *list = realloc(names->list, capacity * sizeof(*list));
        if (!list)
            return;
        names->list = list;
        names->capacity = capacity;
    }
    named.number = names->count;
    names->list[names->count++] = named;
}

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

/* Names of callers mean nothing before it is said where a request has them; once for all rules. */
static void note_caller(struct names *names, const char *file, unsigned line, const cJSON *rule) {
    const char *app = text_of(rule, "limitApp");
    struct address_range range;
    if (names->caller_noted || !app[0] || strcmp(app, "other") == 0 || strpbrk(app, ":/") ||
        address_range_parse(app, &range))
        return;
    names->caller_noted = true;
    if (import_has(names->import, "resources", "kind", "origin"))
        return;
    import_warning(names->import, file, line, text_of(rule, "resource"),
                   "limitApp %s: callers are known by their address, or by a header that names them; say which: add to "
                   "resources {\"kind\": \"origin\", \"header\": \"X-App\"}",
                   app);
}

static void collect(void *context, const char *section, const char *file, unsigned line, const cJSON *rule) {
    struct names *names = context;
    const char *resource = text_of(rule, "resource"), *mode = text_of(rule, "resourceMode");
    bool gateway = strcmp(section, "gateway") == 0;
    note_caller(names, file, line, rule);
    if (resource[0] && !cJSON_GetObjectItemCaseSensitive(rule, "resourceMatch") && strcmp(mode, "api") != 0)
        add_name(names, (struct named){.name = resource, .file = file, .line = line, .gateway = gateway});
    if (strcmp(text_of(rule, "strategy"), "relate") == 0 && text_of(rule, "refResource")[0])
        add_name(names, (struct named){.name = text_of(rule, "refResource"), .file = file, .line = line});
}

static int by_name(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->number < y->number ? -1 : x->number > y->number;
}

/* Exact paths first, then the longest text before the first wildcard: the first route that matches names a request. */
static int by_precedence(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    size_t x_length = strcspn(x->name, "*?{"), y_length = strcspn(y->name, "*?{");
    if (has_wildcard(x->name) != has_wildcard(y->name))
        return has_wildcard(x->name) ? 1 : -1;
    if (has_wildcard(x->name) && x_length != y_length)
        return x_length > y_length ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static struct named *find(const struct names *names, const char *name) {
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(names->list[middle].name, name);
        if (order == 0)
            return &names->list[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Each name once; paths that a rule of one method is about, too, are marked. */
static void settle(struct names *names) {
    size_t kept = 0;
    if (names->count)
        qsort(names->list, names->count, sizeof(*names->list), by_name);
    for (size_t i = 0; i < names->count; i++)
        if (i == 0 || strcmp(names->list[i].name, names->list[kept - 1].name) != 0)
            names->list[kept++] = names->list[i];
    names->count = kept;
    for (size_t i = 0; i < kept; i++) {
        const char *name = names->list[i].name;
        struct named *path = sentinel_name_kind(name) == SENTINEL_METHOD_PATH ? find(names, strchr(name, ':') + 1)
                                                                              : NULL;
        if (path)
            path->shared = true;
    }
}

/* -------------------------------------------------------------------------------------------------- what becomes of it
 */

static cJSON *named_object(const char *kind, const char *name) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "kind", kind);
    cJSON_AddStringToObject(object, "name", name);
    return object;
}

static void add_route(const struct names *names, const struct named *named, const char *path, const char *method) {
    char pattern[ROUTE_PATH_MAX];
    cJSON *route = named_object("route", named->name);
    pattern_text(path, pattern, sizeof(pattern));
    cJSON_AddStringToObject(route, "pattern", pattern);
    if (method[0])
        cJSON_AddStringToObject(route, "method", method);
    import_resource(names->import, named->file, named->line, NULL, route);
}

/* A request counts for one route, and for every group: where a rule is about GET:NAME, and another one about NAME. */
static void add_group(const struct names *names, const struct named *named) {
    char pattern[ROUTE_PATH_MAX];
    cJSON *group = named_object("api", named->name), *item = cJSON_CreateObject();
    pattern_text(named->name, pattern, sizeof(pattern));
    cJSON_AddStringToObject(item, "pattern", pattern);
    if (has_wildcard(pattern))
        cJSON_AddStringToObject(item, "matchStrategy", "glob");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(group, "predicateItems"), item);
    import_resource(names->import, named->file, named->line, "a group: there is a rule for one method, too", group);
}

static void warn(const struct names *names, const struct named *named, enum sentinel_name kind) {
    struct import *import = names->import;
    if (named->gateway)
        import_warning(
            import, named->file, named->line, named->name,
            "is the id of a route of the gateway, which has the path: add to resources {\"kind\": \"route\", "
            "\"name\": \"%s\", \"pattern\": \"/PATH/**\"}",
            named->name);
    else if (kind == SENTINEL_JAVA)
        import_warning(import, named->file, named->line, named->name,
                       "nothing on the wire has this name: it is a method of a program; limit the route that calls it");
    else if (kind == SENTINEL_OUTBOUND)
        import_warning(import, named->file, named->line, named->name,
                       "is a request that the program makes: of these only connections are limited "
                       "(tcp:ADDRESS:PORT)");
    else if (kind == SENTINEL_INTERNAL)
        import_warning(import, named->file, named->line, named->name,
                       "is a name within Sentinel: use a system rule, or http::PORT for all requests of a listener");
    else
        import_warning(import, named->file, named->line, named->name,
                       "nothing on the wire has this name; if it is a route, add to resources {\"kind\": \"route\", "
                       "\"name\": \"%s\", \"pattern\": \"/PATH\"}",
                       named->name);
}

static void define(const struct names *names, const struct named *named) {
    enum sentinel_name kind = sentinel_name_kind(named->name);
    char method[16];
    if (import_has_resource(names->import, named->name))
        return;
    if (kind == SENTINEL_PATH && named->shared) {
        add_group(names, named);
    } else if (kind == SENTINEL_PATH) {
        add_route(names, named, named->name, "");
    } else if (kind == SENTINEL_METHOD_PATH) {
        const char *path = strchr(named->name, ':') + 1;
        snprintf(method, sizeof(method), "%.*s", (int)(path - named->name - 1), named->name);
        if (strpbrk(path, "*?:"))
            add_route(names, named, path, method);
    } else if (kind != SENTINEL_ALL) {
        warn(names, named, kind);
    }
}

void sentinel_finish(struct import *import) {
    struct names names = {.import = import};
    import_each_rule(import, collect, &names);
    settle(&names);
    if (names.count)
        qsort(names.list, names.count, sizeof(*names.list), by_precedence);
    for (size_t i = 0; i < names.count; i++)
        define(&names, &names.list[i]);
    free(names.list);
    if (import_compat(import))
        import_option(import, "--compat", 0, "compat", cJSON_CreateString("sentinel"));
}
