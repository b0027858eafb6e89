/* Overload protection: what its fields mean together, and what some of them do not mean any more. */
#include <string.h>

#include "rules/text/kinds.h"

static const char *default_or_not(const cJSON *node, const char *key) {
    return reader_is_set(node, key) ? "" : ", the default";
}

void check_adaptive(struct reader *reader, const struct path *path, const cJSON *node, struct rule *rule) {
    const char *key = reader_is_set(node, "intervalMs") ? "intervalMs" : "targetMs";
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(node, key);
    struct path here = {path, key, 0};
    if (rule->grade == ADAPTIVE_DELAY && rule->mode != MODE_OFF)
    rule->requires |= RULE_FEATURE_DELAY;
    if (at && rule->stat_interval_ns < rule->max_queue_ns)
        reader_error(reader, &here, at,
                     "targetMs (%g%s) is longer than intervalMs (%g%s): set intervalMs to several times targetMs",
                     (double)rule->max_queue_ns / 1e6, default_or_not(node, "targetMs"),
                     (double)rule->stat_interval_ns / 1e6, default_or_not(node, "intervalMs"));
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
                    "\"%s\" no longer exists and means \"delay\": \"%s\" rejected nothing on overloaded servers, "
                    "whose requests wait in the socket, where it did not look",
                    word, word);
    warn_of_fields(reader, path, node, rule);
}
