/* Made with a ruleset: the slots that routes and rules' names are found by, and the regular expressions of routes. */
#include <string.h>

#include "rules/pattern.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/naming/naming_private.h"

enum { METHOD_MAX = 200 };

/* ------------------------------------------------------------------------------------------------------------ slots */

/* A route stands in the slots under its literal beginning: all of an exact path, else everything before the segment
 * with the first wildcard.  A path is looked up under each of its own beginnings that end in a slash, and as a whole:
 * the number of look-ups is the path's depth, whatever the number of routes. */

static uint32_t slot_of(uint32_t count, const char *key, size_t length) {
    return (uint32_t)hash_bytes(NAMING_SLOT_SEED, key, length) & (count - 1);
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

size_t naming_spelling(const char *name, char ret_spelling[static ROUTE_PATH_MAX]) {
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
    size_t length = naming_spelling(name, spelling);
    slot_put(slots, count, slot_of(count, spelling, length), text);
}

struct naming_rules naming_rules_of(const void *ruleset) {
    return (struct naming_rules){
        .ruleset = ruleset,
        .routes = ruleset_routes(ruleset),
        .route_slots = ruleset_route_slots(ruleset),
        .name_slots = ruleset_name_slots(ruleset),
        .strings = ruleset_text(ruleset, 0),
    };
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

bool naming_regex_matches(const struct naming_ask *ask, uint32_t route) {
    const struct route_regexes *regexes = ask->rules->regexes;
    if (!regexes || route >= regexes->count || !regexes->patterns[route])
        return false;
    int matches = regexes->match(regexes->context, regexes->patterns[route], ask->path, ask->path_length);
    ask->found->undecided |= matches < 0;
    return matches > 0;
}
