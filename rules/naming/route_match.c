/* Which routes and which rules' names a request matches: the slots of the ruleset, and the patterns behind them. */
#include <string.h>

#include "rules/pattern.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/naming/route_private.h"

enum { SLOT_SEED = 0x726f757465 & 0x7fffffff, SEGMENTS_MAX = 64, METHOD_MAX = 200 };

/* ------------------------------------------------------------------------------------------------------------ slots */

/* A route stands in the slots under its literal beginning: all of an exact path, else everything before the segment
 * with the first wildcard.  A path is looked up under each of its own beginnings that end in a slash, and as a whole:
 * the number of look-ups is the path's depth, whatever the number of routes. */

static uint32_t slot_of(uint32_t count, const char *key, size_t length) {
    return (uint32_t)hash_bytes(SLOT_SEED, key, length) & (count - 1);
}

static void slot_put(uint32_t *slots, uint32_t count, uint32_t at, uint32_t value) {
    for (uint32_t i = 0; i < count; i++, at = (at + 1) & (count - 1)) {
        if (slots[at] == value)
            return;
        if (!slots[at]) {
            slots[at] = value;
            return;
        }
    }
}

/* Bytes of the pattern's literal beginning. */
static size_t literal_length(uint8_t match, const char *pattern) {
    size_t length = strlen(pattern);
    if (match == MATCH_REGEX)
        return 0;
    if (match == MATCH_EXACT)
        return length;
    size_t plain = strcspn(pattern, "{*?");
    if (match == MATCH_GLOB && plain == length)
        return length;
    if (plain > 0 && strcmp(pattern + plain, "**") == 0 && pattern[plain - 1] == '/')
        plain--; /* the parent matches, too */
    while (plain > 0 && pattern[plain - 1] != '/')
        plain--;
    return plain;
}

void route_index_route(uint32_t *slots, uint32_t count, uint32_t number, uint8_t match, const char *pattern) {
    slot_put(slots, count, slot_of(count, pattern, literal_length(match, pattern)), number);
}

/* Names are indexed in the spelling that requests are brought to; returns its length. */
static size_t name_spelling(const char *name, char ret_spelling[static ROUTE_PATH_MAX]) {
    struct route_parts parts;
    char host[ROUTE_HOST_MAX];
    if (!route_parts(name, &parts) || parts.method_length >= METHOD_MAX)
        return 0;
    size_t length = parts.method_length;
    memcpy(ret_spelling, name, length);
    ret_spelling[length++] = ':';
    if (parts.host_length) {
        size_t host_length = route_host(parts.host, parts.host_length, host);
        memcpy(ret_spelling + length, "http://", 7);
        memcpy(ret_spelling + length + 7, host, host_length);
        length += 7 + host_length;
    }
    return length + route_pattern(parts.path, strlen(parts.path), ret_spelling + length, ROUTE_PATH_MAX - length);
}

void route_index_name(uint32_t *slots, uint32_t count, uint32_t text, const char *name) {
    char spelling[ROUTE_PATH_MAX];
    size_t length = name_spelling(name, spelling);
    slot_put(slots, count, slot_of(count, spelling, length), text);
}

/* ---------------------------------------------------------------------------------------------- regular expressions */

static uint32_t count_regexes(const void *ruleset) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < ruleset_head(ruleset)->routes_count; i++)
        count += ruleset_routes(ruleset)[i].match == MATCH_REGEX;
    return count;
}

size_t route_regexes_size(const void *ruleset) {
    return count_regexes(ruleset)
               ? sizeof(struct route_regexes) + ruleset_head(ruleset)->routes_count * sizeof(struct pattern *)
               : 0;
}

const struct route_regexes *route_regexes_compile(void *table, struct pattern_arena *arena, const void *ruleset) {
    struct route_regexes *regexes = table;
    regexes->count = ruleset_head(ruleset)->routes_count;
    for (uint32_t i = 0; i < regexes->count; i++) {
        const struct ruleset_route *route = &ruleset_routes(ruleset)[i];
        regexes->patterns[i] = route->match == MATCH_REGEX
                                   ? pattern_compile(arena, ruleset_text(ruleset, route->pattern))
                                   : NULL;
    }
    return regexes;
}

static bool regex_matches(const struct route_ask *ask, uint32_t route) {
    const struct route_regexes *regexes = ask->rules->regexes;
    if (!regexes || route >= regexes->count || !regexes->patterns[route])
        return false;
    int matches = regexes->match(regexes->context, regexes->patterns[route], ask->path, ask->path_length);
    ask->found->undecided |= matches < 0;
    return matches > 0;
}

/* --------------------------------------------------------------------------------------------------------- matching */

/* "*.example.com": any name below it. */
static bool host_matches(const char *pattern, const char *host, size_t length) {
    size_t size = strlen(pattern);
    if (pattern[0] != '*')
        return size == length && memcmp(pattern, host, size) == 0;
    return length >= size && memcmp(pattern + 1, host + length - (size - 1), size - 1) == 0;
}

static bool route_matches(const struct route_ask *ask, uint32_t index) {
    const void *ruleset = ask->rules->ruleset;
    const struct ruleset_route *route = &ruleset_routes(ruleset)[index];
    const char *pattern = ruleset_text(ruleset, route->pattern), *method = ruleset_text(ruleset, route->method);
    if (*method && (strlen(method) != ask->method_length || memcmp(method, ask->method, ask->method_length) != 0))
        return false;
    if (route->host && !host_matches(ruleset_text(ruleset, route->host), ask->host, ask->host_length))
        return false;
    switch (route->match) {
    case MATCH_EXACT: return strlen(pattern) == ask->path_length && memcmp(pattern, ask->path, ask->path_length) == 0;
    case MATCH_PREFIX: return route_prefix(pattern, ask->path, ask->path_length);
    case MATCH_GLOB: return route_glob(pattern, ask->path, ask->path_length);
    default: return regex_matches(ask, index);
    }
}

void route_each(const struct route_ask *ask, const struct route_taker *taker, void *context) {
    const struct ruleset_header *head = ruleset_head(ask->rules->ruleset);
    uint32_t count = head->route_slots_count, first = head->route_kind_first[taker->kind];
    uint32_t kinds = head->route_kind_count[taker->kind];
    const uint32_t *slots = ruleset_route_slots(ask->rules->ruleset);
    size_t length = 0;
    for (unsigned segment = 0; count && kinds && segment < SEGMENTS_MAX; segment++) {
        uint32_t at = slot_of(count, ask->path, length);
        for (uint32_t i = 0; i < count && slots[at]; i++, at = (at + 1) & (count - 1)) {
            uint32_t route = slots[at] - 1;
            if (route - first < kinds && taker->wants(ask, route, context) && route_matches(ask, route))
                taker->take(ask, route, context);
        }
        if (length == ask->path_length)
            return;
        do
            length++;
        while (length < ask->path_length && ask->path[length - 1] != '/');
        if (segment + 2 == SEGMENTS_MAX)
            length = ask->path_length;
    }
}

static uint32_t find_name(const struct route_ask *ask, const char *host, size_t host_length) {
    const void *ruleset = ask->rules->ruleset;
    char *name = ask->found->scratch[0], *other = ask->found->scratch[1];
    uint32_t count = ruleset_head(ruleset)->name_slots_count;
    const uint32_t *slots = ruleset_name_slots(ruleset);
    size_t before = ask->method_length + 1 + (host_length ? 7 + host_length : 0), length = before + ask->path_length;
    if (length >= LAYOUT_RESOURCE_NAME_MAX * 3) /* a name's spelling may be three times as long as the name */
        return 0;
    memcpy(name, ask->method, ask->method_length);
    name[ask->method_length] = ':';
    if (host_length) {
        memcpy(name + ask->method_length + 1, "http://", 7);
        memcpy(name + ask->method_length + 8, host, host_length);
    }
    memcpy(name + before, ask->path, ask->path_length);
    uint32_t at = slot_of(count, name, length);
    for (uint32_t i = 0; i < count && slots[at]; i++, at = (at + 1) & (count - 1))
        if (name_spelling(ruleset_text(ruleset, slots[at]), other) == length && memcmp(name, other, length) == 0)
            return slots[at];
    return 0;
}

uint32_t route_rule_name(const struct route_ask *ask) {
    const struct ruleset_header *head = ruleset_head(ask->rules->ruleset);
    uint32_t name = 0;
    if (head->name_slots_count && head->hosts && ask->host_length)
        name = find_name(ask, ask->host, ask->host_length);
    return name || !head->name_slots_count ? name : find_name(ask, NULL, 0);
}
