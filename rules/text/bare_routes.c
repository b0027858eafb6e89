/* Sentinel's adapters call a resource by its path alone: "/order".  In a bare array that is a route of that name, for
 * any method; or, where a rule is about one method of this path, a group, so that a request counts for both. */
#include <stdio.h>
#include <string.h>

#include "rules/layout.h"
#include "rules/naming/route.h"
#include "rules/text/kinds.h"

static bool has_rule_of_a_method(const struct reader *reader, const char *path) {
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"};
    char name[LAYOUT_RESOURCE_NAME_MAX];
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        snprintf(name, sizeof(name), "%s:%s", methods[i], path);
        if (join_find(reader, NAME_RESOURCE, name) >= 0)
            return true;
    }
    return false;
}

void bare_route(struct reader *reader, const cJSON *rule) {
    const cJSON *resource = cJSON_GetObjectItemCaseSensitive(rule, "resource");
    const char *name = cJSON_IsString(resource) ? resource->valuestring : "";
    struct place_text first;
    char spelling[700];
    if (name[0] != '/' || join_find(reader, NAME_API, name) >= 0)
        return;
    route_pattern(name, strlen(name), spelling, sizeof(spelling));
    ruleset_string pattern = reader_add(reader, spelling);
    if (!join_define(reader, NAME_ROUTE, name, rule, pattern, &first))
        return;
    struct ruleset_route route = {.kind = has_rule_of_a_method(reader, name) ? ROUTE_API : ROUTE_PATTERN,
                                  .match = strpbrk(name, "{*?") ? MATCH_GLOB : MATCH_EXACT,
                                  .priority = PRIORITY_NORMAL,
                                  .name = reader_add(reader, name),
                                  .pattern = pattern};
    ruleset_add_route(reader->builder, &route);
}
