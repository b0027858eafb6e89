#include "agent/control/app_state.h"

#include <string.h>
#include <time.h>

#include "rules/ruleset.h"
#include "rules/snapshot.h"

static bool has_wrong_file(const struct app *app) {
    const struct rule_dir *rules = app->list->rules;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule_file *file = rules->files[i];
        const char *name = rule_dir_app(rules, file);
        if (file->errors.count > 0 && name && strcmp(name, app->name) == 0)
            return true;
    }
    return false;
}

bool app_state_is_stale(const struct app *app) {
    return app->inherited || app->unpublished || app->held || app->errors.count > 0 || has_wrong_file(app);
}

static void figure(struct json_writer *w, const char *name, double value) {
    if (value >= 0)
        json_number(w, name, value);
}

void app_state_overload(const struct app *app, struct json_writer *w) {
    const struct episode_now *now = episodes_present(&app->episodes);
    char rule[sizeof now->event.rule_id + 1] = "";
    if (!now)
        return;
    struct episode figures = episodes_figures(&app->episodes, now, loop_now_ns());
    memcpy(rule, now->event.rule_id, sizeof now->event.rule_id);
    json_open(w, "overload");
    json_text(w, "rule", rule);
    json_number(w, "since", (double)time(NULL) - (double)(loop_now_ns() - now->begun_ns) / 1e9);
    json_number(w, "lasted_s", figures.lasted_s);
    json_bool(w, "simulated", figures.simulated);
    figure(w, "wait_ms", figures.delay_ms);
    figure(w, "rejected", figures.rejected);
    figure(w, "goodput", figures.goodput);
    figure(w, "goodput_before", figures.goodput_before);
    figure(w, "cpu", figures.cpu);
    json_close(w);
}

void app_state_report(const struct app *app, struct json_writer *w) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    uint32_t count = ruleset ? ruleset_head(ruleset)->rules_count : 0, simulated = 0;
    for (uint32_t i = 0; i < count; i++)
        simulated += ruleset_rules(ruleset)[i].mode == MODE_SIMULATE;
    json_text(w, "app", app->name);
    json_bool(w, "off", snapshot_is_off(app->memory.rules));
    json_bool(w, "stale", app_state_is_stale(app));
    json_count(w, "rules", count);
    json_count(w, "rules_simulated", simulated);
    json_count(w, "rules_unmet", app_unmet_count(app));
    app_state_overload(app, w);
}
