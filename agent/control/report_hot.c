/* What control.sock answers about hot values. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metrics/hot.h"
#include "agent/internal.h"
#include "rules/ruleset.h"

static const char *const SOURCES[] = {
    [PARAM_CLIENT_IP] = "clientIp", [PARAM_HOST] = "host",     [PARAM_HEADER] = "header",
    [PARAM_URL] = "urlParam",       [PARAM_COOKIE] = "cookie", [PARAM_PATH] = "path"};
enum { SOURCES_COUNT = sizeof SOURCES / sizeof *SOURCES };

/* "header x-user | urlParam id" */
static void describe(const void *ruleset, const struct rule *rule, char *text, size_t size) {
    size_t n = 0;
    if (!rule->params_count)
        snprintf(text, size, "argument %d", rule->param_idx);
    for (uint32_t i = 0; i < rule->params_count && n < size; i++) {
        const struct rule_param *param = &ruleset_params(ruleset)[rule->params_first + i];
        const char *field = ruleset_text(ruleset, param->field);
        n += (size_t)snprintf(text + n, size - n, "%s%s%s%s", i ? " | " : "",
                              param->source < SOURCES_COUNT ? SOURCES[param->source] : "", *field ? " " : "", field);
        if (param->source == PARAM_PATH && !*field && n < size)
            n += (size_t)snprintf(text + n, size - n, " %u", param->segment);
    }
}

static double rounded(double figure) {
    return round(figure * 100) / 100;
}

static void add_value(cJSON *values, const struct hot_shown *shown) {
    char text[HOT_VALUE_TEXT];
    cJSON *object = cJSON_CreateObject();
    hot_text(&shown->value, text);
    report_text(object, "value", text);
    cJSON_AddNumberToObject(object, "per_second", rounded(shown->per_second));
    cJSON_AddNumberToObject(object, "blocked_per_second", rounded(shown->blocked_per_second));
    cJSON_AddNumberToObject(object, "in_flight", (double)shown->in_flight);
    cJSON_AddItemToArray(values, object);
}

static void add_list(cJSON *lists, const struct app *app, const void *ruleset, const struct hot_list *list) {
    const struct rule *rule = &ruleset_rules(ruleset)[list->rule];
    bool in_flight = rule->grade == GRADE_THREAD, known = list->resource < app->metrics.count;
    char text[160] = "";
    cJSON *object = cJSON_CreateObject();
    describe(ruleset, rule, text, sizeof text);
    report_text(object, "rule", ruleset_text(ruleset, rule->id));
    report_text(object, "resource", known ? app->metrics.resources[list->resource].name : "");
    report_text(object, "param", text);
    report_text(object, "grade", in_flight ? "thread" : "qps");
    cJSON_AddNumberToObject(object, "count", rule->count);
    cJSON_AddNumberToObject(object, "interval_s", in_flight ? 0 : (double)rule->interval_ns / 1e9);
    cJSON *values = cJSON_AddArrayToObject(object, "values");
    for (size_t i = 0; i < list->count; i++)
        add_value(values, &list->values[i]);
    cJSON_AddItemToArray(lists, object);
}

void report_hot(const struct agent *agent, cJSON *root) {
    cJSON_AddNumberToObject(root, "second", (double)agent->second);
    cJSON *apps = cJSON_AddArrayToObject(root, "apps");
    for (const struct app *app = agent->apps; app; app = app->next) {
        size_t size;
        struct hot_list *lists;
        const void *ruleset = publish_current(&app->memory, &size);
        size_t count = hot_read(&app->memory, ruleset, agent_engine_now_ns(app), &lists);
        cJSON *object = cJSON_CreateObject();
        report_text(object, "app", app->name);
        cJSON *hot = cJSON_AddArrayToObject(object, "hot");
        for (size_t i = 0; i < count; i++)
            add_list(hot, app, ruleset, &lists[i]);
        free(lists);
        cJSON_AddItemToArray(apps, object);
    }
}
