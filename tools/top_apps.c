#include "tools/top_apps.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "tools/control.h"
#include "tools/overload.h"
#include "tools/text.h"

/* -------------------------------------------------------------------------------------------- what is not as usual */

static bool say_off(const cJSON *app, const char *name, char *text, size_t size) {
    snprintf(text, size, "%s is OFF: all its traffic passes and is not counted; `weir on %s` switches it on", name,
             name);
    return control_true(app, "off");
}

static bool say_overload(const cJSON *app, const char *name, char *text, size_t size) {
    (void)name;
    *text = 0;
    return overload_line(app, text, size);
}

static bool say_stale(const cJSON *app, const char *name, char *text, size_t size) {
    snprintf(text, size, "%s: STALE RULES: its files have errors, the last good rules are in force; see `weir status`",
             name);
    return control_true(app, "stale");
}

static bool say_simulate(const cJSON *app, const char *name, char *text, size_t size) {
    double rules = control_number(app, "rules"), simulated = control_number(app, "rules_simulated");
    if (simulated == rules)
        snprintf(text, size, "%s: SIMULATE: all its rules only count what they would reject", name);
    else
        snprintf(text, size, "%s: SIMULATE: %.0f of its %.0f rules only count%s what %s would reject", name, simulated,
                 rules, simulated == 1 ? "s" : "", simulated == 1 ? "it" : "they");
    return simulated > 0;
}

static bool say_unmet(const cJSON *app, const char *name, char *text, size_t size) {
    double rules = control_number(app, "rules_unmet");
    snprintf(text, size, "%s: %.0f rule%s met no traffic yet: `weir status`", name, rules,
             rules == 1 ? " has" : "s have");
    return rules > 0;
}

bool top_apps_banner(const cJSON *app, enum top_banner banner, char ret_text[static TOP_APPS_TEXT]) {
    static bool (*const say[TOP_BANNERS])(const cJSON *, const char *, char *,
                                          size_t) = {[TOP_BANNER_OFF] = say_off,
                                                     [TOP_BANNER_OVERLOAD] = say_overload,
                                                     [TOP_BANNER_STALE] = say_stale,
                                                     [TOP_BANNER_SIMULATE] = say_simulate,
                                                     [TOP_BANNER_UNMET] = say_unmet};
    bool said = (banner == TOP_BANNER_OFF || !control_true(app, "off")) &&
                say[banner](app, control_text(app, "app"), ret_text, TOP_APPS_TEXT);
    text_clean(ret_text);
    return said;
}

/* ------------------------------------------------------------------------------------------------------------- sums */

struct sums {
    double pass, block, simulated, exception, in_flight;
    int circuits, listeners;
};

static struct sums sums_of(const cJSON *app) {
    struct sums sums = {0};
    const cJSON *resource;
    cJSON_ArrayForEach(resource, cJSON_GetObjectItemCaseSensitive(app, "resources")) {
        sums.circuits += strcmp(control_text(resource, "circuit"), "open") == 0;
        if (strncmp(control_text(resource, "resource"), "http::", 6) != 0 ||
            strcmp(control_text(resource, "side"), "inbound") != 0)
            continue;
        sums.listeners++;
        sums.pass += control_number(resource, "pass");
        sums.block += control_number(resource, "block");
        sums.simulated += control_number(resource, "simulated");
        sums.exception += control_number(resource, "exception");
        sums.in_flight += control_number(resource, "in_flight");
    }
    return sums;
}

bool top_apps_sums(const cJSON *app, char ret_text[static TOP_APPS_TEXT]) {
    struct sums sums = sums_of(app);
    char simulated[48] = "", circuits[48] = "";
    if (sums.simulated > 0)
        snprintf(simulated, sizeof simulated, " (%.0f more would be)", sums.simulated);
    if (sums.circuits)
        snprintf(circuits, sizeof circuits, ", %d circuit%s open", sums.circuits, sums.circuits == 1 ? "" : "s");
    snprintf(ret_text, TOP_APPS_TEXT, "%s: %.0f requests/s, %.0f rejected%s, %.0f failed, %.0f in flight%s",
             control_text(app, "app"), sums.pass + sums.block, sums.block, simulated, sums.exception, sums.in_flight,
             circuits);
    text_clean(ret_text);
    return sums.listeners > 0 && !control_true(app, "off");
}
