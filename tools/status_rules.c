#include "tools/status_rules.h"

#include <stdio.h>
#include <string.h>

#include "tools/control.h"
#include "tools/output.h"
#include "tools/overload.h"
#include "tools/text.h"

static const char *plural(int count, const char *several) {
    return count == 1 ? "" : several;
}

static void print_held(const cJSON *app, const cJSON *held, int processes) {
    const char *name = control_text(app, "app"), *names = control_text(held, "names");
    if (*names)
        output_text(
            stdout,
            "%s: %s names app \"%s\" now: %d process%s of %s keep the rules they had, until they end; name \"%s\" "
            "again, or restart them as \"%s\"",
            name, control_text(held, "file"), names, processes, plural(processes, "es"), name, name, names);
    else
        output_text(stdout,
                    "%s: %s names no app any more: %d process%s of %s keep the rules they had; name \"%s\" again, or "
                    "remove the file",
                    name, control_text(held, "file"), processes, plural(processes, "es"), name, name);
}

void status_rules_apps(const cJSON *apps) {
    const cJSON *app;
    cJSON_ArrayForEach(app, apps) {
        const cJSON *held = cJSON_GetObjectItemCaseSensitive(app, "held");
        int processes = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(app, "processes"));
        if (held)
            print_held(app, held, processes);
        else if (control_true(app, "lifted") && processes)
            output_text(stdout, "%s: no rules any more: its %d process%s %s not limited", control_text(app, "app"),
                        processes, plural(processes, "es"), processes == 1 ? "is" : "are");
    }
}

void status_rules_overload(const cJSON *apps) {
    const cJSON *app;
    char text[400];
    bool any = false;
    cJSON_ArrayForEach(app, apps) {
        if (!overload_line(app, text, sizeof text))
            continue;
        text_clean(text);
        output_text(stdout, "%s", text);
        any = true;
    }
    if (any)
        putchar('\n');
}

/* "12 s", "3 min", "2 h", "5 days" */
static void duration(double seconds, char *text, size_t size) {
    if (seconds < 120)
        snprintf(text, size, "%.0f s", seconds < 0 ? 0 : seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, size, "%.0f h", seconds / 3600);
    else
        snprintf(text, size, "%.0f days", seconds / 86400);
}

static void print_unmet(const cJSON *app, const cJSON *rule, double now) {
    const char *why = control_text(rule, "why"), *near = control_text(rule, "nearest"),
               *resource = control_text(rule, "resource");
    char since[32];
    duration(now - control_number(rule, "since"), since, sizeof since);
    if (strcmp(why, "value") == 0)
        output_text(stdout, "%s: rule %s: no request of %s has had its parameter for %s", control_text(app, "app"),
                    control_text(rule, "rule"), resource, since);
    else
        output_text(stdout, "%s: rule %s: no traffic of %s%s for %s%s%s (%s:%.0f)", control_text(app, "app"),
                    control_text(rule, "rule"), resource,
                    strcmp(why, "reference") == 0 ? ", by whose counters it decides," : "", since,
                    *near ? "; there is traffic of " : "", near, control_text(rule, "file"),
                    control_number(rule, "line"));
}

void status_rules_unmet(const cJSON *apps, double now) {
    const cJSON *app, *rule;
    bool any = false;
    cJSON_ArrayForEach(app, apps) {
        const cJSON *unmet = cJSON_GetObjectItemCaseSensitive(app, "unmet");
        any |= cJSON_GetArraySize(unmet) > 0;
        double more = control_number(app, "rules_unmet") - cJSON_GetArraySize(unmet);
        cJSON_ArrayForEach(rule, unmet) print_unmet(app, rule, now);
        if (more > 0)
            output_text(stdout, "%s: %.0f more rules have met no traffic", control_text(app, "app"), more);
    }
    if (any)
        putchar('\n');
}

static void print_warning(const cJSON *file, const cJSON *warning) {
    const char *path = control_text(warning, "path");
    output_text(stdout, "%s:%.0f:%.0f: warning: %s%s%s", control_text(file, "path"), control_number(warning, "line"),
                control_number(warning, "column"), path, *path ? ": " : "", control_text(warning, "message"));
}

void status_rules_warnings(const cJSON *files, bool verbose) {
    const cJSON *file, *warning;
    cJSON_ArrayForEach(file, files) {
        const cJSON *warnings = cJSON_GetObjectItemCaseSensitive(file, "warnings");
        int count = cJSON_GetArraySize(warnings);
        if (count && !verbose)
            output_text(stdout, "%s: %d warning%s: `weir status -v`", control_text(file, "path"), count,
                        plural(count, "s"));
        if (verbose)
            cJSON_ArrayForEach(warning, warnings) print_warning(file, warning);
    }
}
