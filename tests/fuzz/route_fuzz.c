/* Paths, patterns and names from hostile bytes: bounded, terminated, and one spelling. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/naming/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *make_ruleset(void) {
    static const struct {
        const char *pattern;
        uint8_t kind, match;
    } routes[] = {{"/product/{sku}", ROUTE_PATTERN, MATCH_GLOB}, {"/a/**/z*", ROUTE_PATTERN, MATCH_GLOB},
                  {"/exact", ROUTE_PATTERN, MATCH_EXACT},        {"/pre", ROUTE_PATTERN, MATCH_PREFIX},
                  {"/product/**", ROUTE_API, MATCH_PREFIX},      {"/{a}-{b}/x", ROUTE_PATTERN, MATCH_GLOB},
                  {"/h/{x}", ROUTE_PATTERN, MATCH_GLOB},         {"/h/**", ROUTE_API, MATCH_PREFIX}};
    struct ruleset_builder *builder = ruleset_builder_new("fuzz");
    struct rule rule;
    size_t size;
    rule_defaults(&rule, RULE_FLOW);
    rule.resource = ruleset_add_text(builder, "GET:/user/me", 12);
    ruleset_add_rule(builder, &rule);
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        struct ruleset_route route = {
            .kind = routes[i].kind,
            .match = routes[i].match,
            .pattern = ruleset_add_text(builder, routes[i].pattern, strlen(routes[i].pattern))};
        route.name = route.kind == ROUTE_API ? ruleset_add_text(builder, "group", 5) : 0;
        if (strncmp(routes[i].pattern, "/h/", 3) == 0)
            route.host = ruleset_add_text(builder, "*.example.com", 13);
        route.priority = PRIORITY_LOW;
        ruleset_add_route(builder, &route);
    }
    return ruleset_builder_finish(builder, &size);
}

static void check_path(const char *target, size_t length, unsigned reading) {
    char path[ROUTE_PATH_MAX], again[ROUTE_PATH_MAX];
    unsigned others, none;
    size_t got = route_read(target, length, reading, path, sizeof(path), &others);
    size_t cut = sizeof(ROUTE_CUT) - 1, rest = got >= cut && strcmp(path + got - cut, ROUTE_CUT) == 0 ? got - cut : got;
    if (got >= sizeof(path) || strlen(path) != got || (path[0] != '/' && strcmp(path, "*") != 0) ||
        strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../") || (others & reading))
        abort();
    for (size_t i = 0; i < rest; i++)
        if (path[i] <= ' ' || path[i] >= 0x7f || strchr("?#{}\\\"<>", path[i]))
            abort();
    if (((reading & ROUTE_READ_SLASHES) && strstr(path, "%2F")) ||
        ((reading & ROUTE_READ_PARAMETERS) && strchr(path, ';')))
        abort();
    /* Its own spelling stays, but for a % that stood for itself (and a path that was cut). */
    if (!strstr(path, "%25") && rest == got) {
        route_read(path, got, reading, again, sizeof(again), &none);
        if (strcmp(path, again) != 0)
            abort();
    }
}

/* However it is written: each of the path's characters as it is or as %xx, a slash as several, a segment "." or two
 * that undo each other in between, an authority before it, a query behind it. */
static void check_spellings(const char *target, size_t length, unsigned reading, const uint8_t *how, size_t how_size) {
    static const char *const slashes[] = {"/", "//", "/./", "/x/../", "/%2E/", "/x/%2e./", "///"};
    char path[ROUTE_PATH_MAX], again[ROUTE_PATH_MAX], spelt[ROUTE_PATH_MAX * 8];
    unsigned others;
    size_t got = route_read(target, length, reading, path, sizeof(path), &others), at = 0;
    if (path[0] != '/' || got > 1000 || strstr(path, ROUTE_CUT) || !how_size)
        return;
    if (how[0] & 1)
        at = (size_t)sprintf(spelt, "%s", how[0] & 2 ? "http://h" : "HTTPS://h:1");
    for (size_t i = 0; i < got; i++) {
        uint8_t way = how[i % how_size];
        bool escape = path[i] == '%' && i + 2 < got;
        if (path[i] == '/' && !i && (reading & ROUTE_READ_HOST))
            spelt[at++] = '/'; /* two of them begin a host */
        else if (path[i] == '/')
            at += (size_t)sprintf(spelt + at, "%s", slashes[way % (sizeof(slashes) / sizeof(*slashes))]);
        else if (escape) /* an encoding that stays one, in either case */
            at += (size_t)sprintf(spelt + at, way & 4 ? "%%%02x" : "%%%02X",
                                  (unsigned)strtoul((char[]){path[i + 1], path[i + 2], 0}, NULL, 16)),
                i += 2;
        else
            at += (size_t)sprintf(spelt + at, way & 4 ? way & 8 ? "%%%02x" : "%%%02X" : "%c", path[i]);
    }
    if (how[0] & 16)
        at += (size_t)sprintf(spelt + at, "?a=/../b#c");
    route_read(spelt, at, reading, again, sizeof(again), &others);
    if (strcmp(path, again) != 0) {
        fprintf(stderr, "\"%s\" from \"%.*s\" is \"%s\"\n", path, (int)at, spelt, again);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void *ruleset;
    static struct route_found found;
    if (!ruleset)
        ruleset = make_ruleset();
    if (size < 2)
        return 0;
    size_t room = data[0] + 1u, split = data[1] < size - 2 ? data[1] : size - 2;
    char *bytes = malloc(size - 1), *name = malloc(room); /* exactly as large as they are, for the sanitizer */
    memcpy(bytes, data + 2, size - 2);
    for (unsigned reading = 0; reading < ROUTE_READINGS; reading++) {
        check_path(bytes, size - 2, reading);
        check_spellings(bytes + split, size - 2 - split, reading, data + 2, split);
    }
    static uint64_t slots[64];
    struct naming_siblings siblings = {.slots = slots, .count = 64, .limit = 3, .seed = 1};
    struct naming_rules rules = naming_rules_of(ruleset);
    rules.siblings = data[0] & 1 ? &siblings : NULL;
    struct naming_message request = {"http", bytes, split, bytes + split, size - 2 - split, bytes, split, data[0] & 2};
    size_t length = route_find(&rules, &request, data[0] % ROUTE_READINGS, name, room, &found);
    if (length >= room || strnlen(name, room) > length)
        abort();
    /* The short way to a path's one spelling comes to what the long one does. */
    char whole[ROUTE_PATH_MAX];
    unsigned others;
    size_t written = route_read(request.path, request.path_length, data[0] % ROUTE_READINGS, whole, sizeof(whole),
                                &others);
    if (written != found.path_length || memcmp(whole, found.path, written) != 0 || others != found.others)
        abort();
    uint32_t groups[2];
    route_groups(&rules, &found, groups, 2);
    route_priority(ruleset, name, length);
    bytes[size - 2] = '\0'; /* the first part is a pattern now */
    char pattern[300];
    route_pattern(bytes, strnlen(bytes, split), pattern, sizeof(pattern));
    route_glob(pattern, bytes + split, size - 2 - split);
    route_prefix(pattern, bytes + split, size - 2 - split);
    free(bytes);
    free(name);
    return 0;
}
