#include "agent/control/hot_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/app_state.h"
#include "agent/metrics/hot.h"
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

static double rounded(double value) {
    return round(value * 100) / 100;
}

static void add_value(const struct hot_shown *shown, struct json_writer *w) {
    char text[HOT_VALUE_TEXT];
    hot_text(&shown->value, text);
    json_open(w, NULL);
    json_text(w, "value", text);
    json_number(w, "per_second", rounded(shown->per_second));
    json_number(w, "blocked_per_second", rounded(shown->blocked_per_second));
    json_count(w, "in_flight", shown->in_flight);
    json_close(w);
}

static void add_list(const struct app *app, const void *ruleset, const struct hot_list *list, struct json_writer *w) {
    const struct rule *rule = &ruleset_rules(ruleset)[list->rule];
    bool in_flight = rule->grade == GRADE_THREAD, known = list->resource < app->metrics.count;
    char text[160] = "";
    describe(ruleset, rule, text, sizeof text);
    json_open(w, NULL);
    json_text(w, "rule", ruleset_text(ruleset, rule->id));
    json_text(w, "resource", known ? app->metrics.resources[list->resource].name : "");
    json_text(w, "param", text);
    json_text(w, "grade", in_flight ? "thread" : "qps");
    json_number(w, "count", rule->count);
    json_number(w, "interval_s", in_flight ? 0 : (double)rule->interval_ns / 1e9);
    json_open_list(w, "values");
    for (size_t i = 0; i < list->count; i++)
        add_value(&list->values[i], w);
    json_close_list(w);
    json_close(w);
}

static void add_app(const struct app *app, struct json_writer *w) {
    size_t size;
    struct hot_list *lists;
    const void *ruleset = publish_current(&app->memory, &size);
    size_t count = hot_read(&app->memory, ruleset, app_engine_now_ns(app), &lists);
    json_open(w, NULL);
    app_state_report(app, w);
    json_open_list(w, "hot");
    for (size_t i = 0; i < count; i++)
        add_list(app, ruleset, &lists[i], w);
    json_close_list(w);
    json_close(w);
    free(lists);
}

void hot_keys_answer(const struct app_list *apps, struct json_writer *w) {
    json_count(w, "second", apps->second);
    json_open_list(w, "apps");
    for (const struct app *app = apps->first; app; app = app->next)
        add_app(app, w);
    json_close_list(w);
}
