/* Fractions where only whole numbers can be counted: valid, and not what was meant. */
#include <math.h>

#include "rules/text/kinds.h"

static bool counts_in_flight(const struct rule *rule) {
    bool rates = rule->kind == RULE_FLOW || rule->kind == RULE_PARAM || rule->kind == RULE_GATEWAY;
    return rule->kind == RULE_ISOLATION || (rates && rule->grade == GRADE_THREAD);
}

static void warn_in_flight(struct reader *reader, const struct path *path, const cJSON *node, double count) {
    if (!(count > 0) || count == floor(count))
        return;
    if (count < 1)
        reader_warn(reader, path, node, "%g is less than one request in flight: every request is rejected", count);
    else
        reader_warn(reader, path, node, "requests in flight are whole numbers: %g counts as %.0f", count, floor(count));
}

static void warn_of_items(struct reader *reader, const struct path *path, const cJSON *node) {
    struct path list = {path, "paramFlowItemList", 0};
    const cJSON *item, *items = cJSON_GetObjectItemCaseSensitive(node, "paramFlowItemList");
    int index = 0;
    cJSON_ArrayForEach(item, items) {
        struct path element = {&list, NULL, index++}, place = {&element, "count", 0};
        const cJSON *count = cJSON_GetObjectItemCaseSensitive(item, "count");
        if (cJSON_IsNumber(count))
            warn_in_flight(reader, &place, count, count->valuedouble);
    }
}

static void warn_of_system(struct reader *reader, const struct path *path, const cJSON *node) {
    static const char *const names[] = {"qps", "maxThread"};
    for (unsigned i = 0; i < 2; i++) {
        const cJSON *limit = cJSON_GetObjectItemCaseSensitive(node, names[i]);
        struct path place = {path, names[i], 0};
        if (cJSON_IsNumber(limit) && limit->valuedouble > 0 && limit->valuedouble != floor(limit->valuedouble))
            reader_warn(reader, &place, limit, "whole requests are counted: %g counts as %.0f%s", limit->valuedouble,
                        floor(limit->valuedouble), limit->valuedouble < 1 ? ", every request is rejected" : "");
    }
}

void warn_of_fractions(struct reader *reader, const struct path *path, const cJSON *node, const struct rule *rule) {
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(node, "count");
    struct path place = {path, "count", 0};
    if (rule->kind == RULE_SYSTEM)
        warn_of_system(reader, path, node);
    if (!counts_in_flight(rule))
        return;
    if (count)
        warn_in_flight(reader, &place, count, rule->count);
    warn_of_items(reader, path, node);
}
