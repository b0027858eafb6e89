/* "resources" that no request reaches: patterns in a spelling that paths do not have, and routes behind others. */
#include <stdio.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/never.h"

/* Elements of "resources" and their routes are in the same order. */
struct entry {
    struct never *never;
    const struct path *path; /* of the pattern's object */
    const cJSON *node;
    uint32_t route;
};

static const struct ruleset_route *route_of(const struct entry *entry) {
    return &entry->never->names.naming.routes[entry->route];
}

static const char *text_of(const struct entry *entry, ruleset_string text) {
    return ruleset_text(entry->never->names.ruleset, text);
}

/* A path that the pattern is about. */
static void sample_path(const struct entry *entry, const char *word, char ret_path[static NEVER_NAME_MAX]) {
    const struct ruleset_route *route = route_of(entry);
    const char *pattern = text_of(entry, route->pattern);
    size_t length = strlen(pattern);
    if (route->match == MATCH_PREFIX) {
        while (length && pattern[length - 1] == '*')
            length--;
        snprintf(ret_path, NEVER_NAME_MAX, "%.*s%s", (int)(length < 500 ? length : 500), pattern, word);
        return;
    }
    if (route->match == MATCH_EXACT)
        snprintf(ret_path, NEVER_NAME_MAX, "%s", pattern);
    else
        never_sample(pattern, word, ret_path, NEVER_NAME_MAX);
    for (char *at = ret_path; route->match == MATCH_GLOB && *at; at++)
        *at = *at == '?' ? 'x' : *at;
}

/* "/x?y=1": there the ? is one character, but that is a query. */
static bool has_query(const struct entry *entry) {
    const char *query = strchr(text_of(entry, route_of(entry)->pattern), '?');
    size_t key = query ? strspn(query + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") : 0;
    return route_of(entry)->match == MATCH_GLOB && key && query[key + 1] == '=';
}

/* False, and a warning: no path is spelt so. */
static bool well_spelt(const struct entry *entry) {
    char path[NEVER_NAME_MAX], spelling[NEVER_NAME_MAX];
    struct path here = {entry->path, "pattern", 0};
    if (route_of(entry)->match == MATCH_REGEX) {
        bool fits = never_regex_begins(&entry->never->names, text_of(entry, route_of(entry)->pattern), "/");
        if (!fits)
            reader_warn(entry->never->reader, &here, cJSON_GetObjectItemCaseSensitive(entry->node, "pattern"),
                        "never matches: a path begins with '/'");
        return fits;
    }
    if (has_query(entry)) {
        reader_warn(entry->never->reader, &here, cJSON_GetObjectItemCaseSensitive(entry->node, "pattern"),
                    "hardly ever matches: a query is not part of a path, and ? is any one character here; remove it");
        return false;
    }
    sample_path(entry, "x", path);
    if (path[0] != '/')
        return true; /* "*" and "**" */
    route_path(path, strlen(path), spelling, sizeof(spelling));
    bool good = strcmp(path, spelling) == 0;
    if (!good && route_of(entry)->match == MATCH_EXACT)
        reader_warn(entry->never->reader, &here, cJSON_GetObjectItemCaseSensitive(entry->node, "pattern"),
                    "never matches: paths have one spelling, in which this one is \"%s\"", spelling);
    else if (!good)
        reader_warn(entry->never->reader, &here, cJSON_GetObjectItemCaseSensitive(entry->node, "pattern"),
                    "never matches: paths have one spelling, without //, /./, unclosed {, and encoded as in \"%s\"",
                    spelling);
    return good;
}

/* Is there a request that gets its name from it?  `ret_first`: what takes them else. */
static bool is_reached(const struct entry *entry, uint32_t *ret_first) {
    static const char *const methods[] = {"GET", "POST", "DELETE", "WEIR"};
    const struct ruleset_route *route = route_of(entry);
    const char *method = text_of(entry, route->method);
    char path[NEVER_NAME_MAX], host[ROUTE_HOST_MAX + 8];
    for (size_t word = 0; word < NEVER_WORDS; word++)
        for (size_t i = 0; i < (*method ? 1 : sizeof(methods) / sizeof(*methods)); i++) {
            const char *use = *method ? method : methods[i];
            sample_path(entry, never_words[word], path);
            never_sample(text_of(entry, route->host), never_words[0], host, sizeof(host));
            struct naming_message message = {.protocol = "http",
                                             .method = use,
                                             .method_length = strlen(use),
                                             .path = path,
                                             .path_length = strlen(path),
                                             .host = host[0] ? host : NULL,
                                             .host_length = strlen(host)};
            if (names_reach(&entry->never->names, &message, entry->route, ret_first))
                return true;
        }
    return false;
}

static void warn_unreached(const struct entry *entry) {
    uint32_t first;
    struct path here = {entry->path, "pattern", 0};
    const struct ruleset_route *route = route_of(entry), *by;
    if (route->match == MATCH_REGEX || text_of(entry, route->pattern)[0] != '/' || is_reached(entry, &first) ||
        first == UINT32_MAX)
        return;
    by = &entry->never->names.naming.routes[first];
    if (by->match == MATCH_REGEX && route->match != MATCH_EXACT)
        return; /* it may leave some of them */
    reader_warn(entry->never->reader, &here, cJSON_GetObjectItemCaseSensitive(entry->node, "pattern"),
                "never matches: the route \"%s\" takes all of these requests; put this one before it",
                text_of(entry, by->pattern));
}

/* ------------------------------------------------------------------------------------------------------ "resources" */

static const struct {
    const char *word;
    enum route_kind kind;
} kinds[] = {{"route", ROUTE_PATTERN}, {"api", ROUTE_API}};

static void warn_entry(struct never *never, const struct path *path, const cJSON *node, uint32_t next[ROUTE_KINDS]) {
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(node, "kind"), *item;
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(node, "predicateItems");
    struct path list = {path, "predicateItems", 0};
    int index = 0;
    if (!cJSON_IsString(kind))
        return;
    if (strcmp(kind->valuestring, kinds[0].word) == 0) {
        struct entry entry = {never, path, node, next[ROUTE_PATTERN]++};
        if (well_spelt(&entry))
            warn_unreached(&entry);
    } else if (strcmp(kind->valuestring, kinds[1].word) == 0) {
        cJSON_ArrayForEach(item, items) {
            struct path here = {&list, NULL, index++};
            struct entry entry = {never, &here, item, next[ROUTE_API]++};
            well_spelt(&entry);
        }
    }
}

void never_warn_routes(struct never *never, struct rule_document *const *documents, size_t count) {
    uint32_t next[ROUTE_KINDS];
    memcpy(next, ruleset_head(never->names.ruleset)->route_kind_first, sizeof(next));
    for (size_t i = 0; i < count; i++) {
        struct path resources = {NULL, "resources", 0};
        const cJSON *node;
        int index = 0;
        never->reader->document = documents[i];
        if (documents[i]->kind && cJSON_IsArray(documents[i]->root))
            continue;
        cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(documents[i]->root, "resources")) {
            if (!never_goes_on(never))
                return;
            struct path here = {&resources, NULL, index++};
            warn_entry(never, &here, node, next);
        }
    }
}
