/* How long names_of() would take, without doing it. */
#include <string.h>

#include "rules/naming/naming_private.h"
#include "rules/ruleset.h"

enum { STEPS_OF_REGEX = 300, STEPS_OF_REQUEST = 100, STEPS_OF_ROUTE = 2, BYTES_OF_STEP = 16 };

static uint64_t work_of_route(const struct naming_ask *ask, uint32_t index) {
    const struct ruleset_route *route = &ask->rules->routes[index];
    const char *pattern = ask->rules->strings + route->pattern;
    if (route->match == MATCH_REGEX)
        return STEPS_OF_REGEX;
    size_t plain = strcspn(pattern, "{*?"), common = plain < ask->path_length ? plain : ask->path_length;
    bool begins = route->match == MATCH_GLOB && memcmp(pattern, ask->path, common) == 0;
    return STEPS_OF_ROUTE + (begins ? (uint64_t)strlen(pattern) * ask->path_length / BYTES_OF_STEP : 0);
}

static uint64_t work_of_kind(const struct naming_ask *ask, enum route_kind kind, uint64_t most) {
    const struct ruleset_header *head = ask->rules->ruleset;
    struct naming_candidates candidates = {.first = head->route_kind_first[kind],
                                           .kinds = head->route_kind_count[kind]};
    uint64_t steps = 0;
    for (uint32_t route; steps < most && (route = naming_next(ask, &candidates)) != UINT32_MAX;)
        steps += work_of_route(ask, route);
    return steps;
}

uint64_t naming_work(const struct naming_rules *rules, const char *path, uint64_t most) {
    char spelling[ROUTE_PATH_MAX];
    size_t length = route_path(path, strlen(path), spelling, sizeof(spelling));
    struct naming_ask ask = {.rules = rules, .path = spelling, .path_length = length};
    uint64_t steps = work_of_kind(&ask, ROUTE_PATTERN, most) + work_of_kind(&ask, ROUTE_API, most);
    bool readings = path[strcspn(path, "%;\\.")] || strstr(path, "//"); /* there may be several of it */
    return STEPS_OF_REQUEST + steps * (readings ? 4 : 1);
}
