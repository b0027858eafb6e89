/* Overload protection: what its fields mean together, and what some of them do not mean any more. */
#include <string.h>

#include "rules/text/kinds.h"

void check_adaptive(struct reader *reader, const struct path *path, const cJSON *node, struct rule *rule) {
    const char *key = reader_is_set(node, "intervalMs") ? "intervalMs" : "targetMs";
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(node, key);
    struct path here = {path, key, 0};
    if (rule->grade == ADAPTIVE_DELAY && rule->mode != MODE_OFF)
    rule->requires |= RULE_FEATURE_DELAY;
    if (at && rule->stat_interval_ns < rule->max_queue_ns)
        reader_error(reader, &here, at,
                     "intervalMs (%g) is shorter than targetMs (%g): waits of a whole interval are overload, and "
                     "are then kept around the target, so give it several times the target",
                     (double)rule->stat_interval_ns / 1e6, (double)rule->max_queue_ns / 1e6);
}

/* Fields that one of the algorithms alone looks at. */
static const struct {
    const char *key, *algorithm;
    enum rule_adaptive of;
} fields[] = {
    {"cpu", "cpu", ADAPTIVE_CPU},
    {"targetMs", "delay", ADAPTIVE_DELAY},
    {"intervalMs", "delay", ADAPTIVE_DELAY},
};

static void warn_of_fields(struct reader *reader, const struct path *path, const cJSON *node, const struct rule *rule) {
    const char *by_default = reader_is_set(node, "algorithm") ? "" : ", the default";
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const cJSON *field = cJSON_GetObjectItemCaseSensitive(node, fields[i].key);
        struct path here = {path, fields[i].key, 0};
        if (field && rule->grade != fields[i].of)
            reader_warn(reader, &here, field,
                        "has no effect with algorithm \"%s\"%s: set \"algorithm\": \"%s\", or remove it",
                        rule->grade == ADAPTIVE_CPU ? "cpu" : "delay", by_default, fields[i].algorithm);
    }
}

void warn_of_adaptive(struct reader *reader, const struct path *path, const cJSON *node, const struct rule *rule) {
    const cJSON *algorithm = cJSON_GetObjectItemCaseSensitive(node, "algorithm");
    const char *word = cJSON_IsString(algorithm) ? algorithm->valuestring : "";
    struct path here = {path, "algorithm", 0};
    if (rule->kind != RULE_ADAPTIVE || rule->mode == MODE_OFF)
        return;
    if (strcmp(word, "gradient") == 0 || strcmp(word, "bbr") == 0)
        reader_warn(reader, &here, algorithm,
                    "\"%s\" no longer exists, \"delay\" is used: it rejected nothing on overloaded servers, whose "
                    "requests wait in the socket, where neither latency nor requests in flight show them",
                    word);
    warn_of_fields(reader, path, node, rule);
}
