#include "agent/control/status.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/apps/app_cpu.h"
#include "agent/apps/app_rules.h"
#include "agent/control/app_state.h"
#include "agent/control/fates.h"
#include "agent/kernel/bpf.h"
#include "agent/process/proc.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "rules/when.h"

/* ------------------------------------------------------------------------------------------------------------- apps */

/* Rules that its library cannot enforce, by id: it is of an older version than the agent. */
static void add_left_out(const struct app *app, const struct layout_process *p, struct json_writer *w) {
    size_t size;
    uint64_t features = __atomic_load_n(&p->features, __ATOMIC_RELAXED);
    const void *ruleset = __atomic_load_n(&p->left_out, __ATOMIC_RELAXED) ? publish_current(&app->memory, &size) : NULL;
    json_open_list(w, "left_out");
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].requires & ~features)
            json_text(w, NULL, ruleset_text(ruleset, ruleset_rules(ruleset)[i].id));
    json_close_list(w);
}

static void add_process(const struct app *app, const struct client *client, struct json_writer *w) {
    const struct layout_process *p = publish_process(&app->memory, client->slot);
    uint64_t generation = __atomic_load_n(&p->rules_generation, __ATOMIC_RELAXED);
    json_open(w, NULL);
    json_integer(w, "pid", client->pid);
    json_text(w, "exe", client->exe);
    json_integer(w, "since", client->since);
    json_count(w, "rules_version", generation);
    json_bool(w, "current", generation == snapshot_generation(app->memory.rules));
    json_bool(w, "idle", __atomic_load_n(&p->seen_ns, __ATOMIC_RELAXED) < app->published_ns);
    json_count(w, "undecided", __atomic_load_n(&p->undecided, __ATOMIC_RELAXED));
    json_count(w, "acted_early", __atomic_load_n(&p->acted_early, __ATOMIC_RELAXED));
    json_count(w, "malformed", __atomic_load_n(&p->malformed, __ATOMIC_RELAXED));
    json_count(w, "refused_rulesets", __atomic_load_n(&p->refused_rulesets, __ATOMIC_RELAXED));
    json_count(w, "layout", __atomic_load_n(&p->layout, __ATOMIC_RELAXED));
    json_bool(w, "short_of_memory", __atomic_load_n(&p->trouble, __ATOMIC_RELAXED) == LAYOUT_TROUBLE_MEMORY);
    add_left_out(app, p, w);
    json_close(w);
}

static void add_memory(const struct app *app, struct json_writer *w) {
    const struct layout_counters_header *c = app->memory.counters;
    json_count(w, "resources", publish_resources_used(&app->memory));
    json_count(w, "slots_refused", __atomic_load_n(&c->slots_refused, __ATOMIC_RELAXED));
    json_count(w, "resources_refused", __atomic_load_n(&c->resources_refused, __ATOMIC_RELAXED));
    json_count(w, "resources_sharing", __atomic_load_n(&c->resources_sharing, __ATOMIC_RELAXED));
    json_count(w, "cells_refused", __atomic_load_n(&c->cells_refused, __ATOMIC_RELAXED));
}

/* The file that names another app now. */
static void add_held(const struct app *app, struct json_writer *w) {
    const struct rule_file *file = app->held ? app_rules_renamed(app) : NULL;
    const char *names = file ? rule_dir_app(app->list->rules, file) : NULL;
    if (!file)
        return;
    json_open(w, "held");
    json_text(w, "file", file->path);
    json_text(w, "names", names ? names : "");
    json_close(w);
}

/* Rules with times of day: are they in force now, and until when (Unix seconds; 0: not known). */
static void add_times(const struct app *app, struct json_writer *w) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    json_open_list(w, "times");
    for (uint32_t i = 0; app->when && ruleset && i < ruleset_head(ruleset)->rules_count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        uint64_t until;
        if (!rule->when_count || rule->mode == MODE_OFF)
            continue;
        json_open(w, NULL);
        json_text(w, "rule", ruleset_text(ruleset, rule->id));
        json_text(w, "when", ruleset_text(ruleset, rule->when));
        json_bool(w, "now", when_in_force(ruleset, rule, (uint64_t)time(NULL), &until));
        json_count(w, "until", until >= WHEN_UNKNOWN ? 0 : until);
        json_close(w);
    }
    json_close_list(w);
}

/* What it uses of the CPU that it could use, where a rule goes by it; null: not known, and then such a rule rejects
 * nothing. */
static void add_cpu(const struct app *app, struct json_writer *w) {
    static const double UNKNOWN = 0.0 / 0.0;
    const struct app_cpu_figures *figures = app_cpu_figures(app);
    if (!figures)
        return;
    json_open(w, "cpu");
    json_number(w, "saturation", figures->saturation < 0 ? UNKNOWN : figures->saturation);
    json_number(w, "used", figures->used < 0 ? UNKNOWN : figures->used);
    json_number(w, "could", figures->could < 0 ? UNKNOWN : figures->could);
    json_count(w, "hidden", figures->hidden);
    json_close(w);
}

static void add_app(const struct control_sources *from, const struct app *app, struct json_writer *w) {
    json_open(w, NULL);
    json_text(w, "app", app->name);
    json_count(w, "rules_version", snapshot_generation(app->memory.rules));
    json_count(w, "files", app->documents);
    if (!app->inherited)
        json_count(w, "rules", app->rules);
    json_bool(w, "off", snapshot_is_off(app->memory.rules));
    json_bool(w, "stale", app_state_is_stale(app));
    json_bool(w, "lifted", app->lifted);
    add_held(app, w);
    json_count(w, "rules_unmet", app_unmet_count(app));
    app_state_overload(app, w);
    app_unmet_report(app, w);
    add_memory(app, w);
    add_times(app, w);
    add_cpu(app, w);
    guard_report(from->guard, app, w);
    callers_report(from->callers, app, w);
    unseen_report(from->unseen, app, w);
    fates_report(app, w);
    json_open_list(w, "processes");
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (app->clients.slot[slot])
            add_process(app, app->clients.slot[slot], w);
    json_close_list(w);
    json_close(w);
}

/* ------------------------------------------------------------------------------------------------------------ files */

static void add_error(unsigned line, unsigned column, const char *path, const char *message, struct json_writer *w) {
    json_open(w, NULL);
    json_count(w, "line", line);
    json_count(w, "column", column);
    json_text(w, "path", path);
    json_text(w, "message", message);
    json_close(w);
}

/* Those of one file, or all with NULL; how many. */
static size_t add_errors(const struct rule_errors *errors, const char *file, struct json_writer *w) {
    size_t count = 0;
    for (size_t i = 0; i < errors->count; i++) {
        const struct rule_error *e = &errors->list[i];
        if (file && strcmp(e->file, file) != 0)
            continue;
        count++;
        if (w)
            add_error(e->line, e->column, e->path, e->message, w);
    }
    return count;
}

/* What a process has to be for the file to be for it; nothing where the file does not say. */
static void add_match(const struct rule_document *document, struct json_writer *w) {
    struct rule_app_match match = rule_document_match(document);
    const struct {
        const char *name, *value;
    } texts[] = {{"exe", match.exe}, {"unit", match.unit}, {"cgroup", match.cgroup}, {"comm", match.comm}};
    json_open(w, "match");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].value)
            json_text(w, texts[i].name, texts[i].value);
    if (match.uid >= 0)
        json_integer(w, "uid", match.uid);
    json_close(w);
}

static size_t add_errors_of(const struct rule_file *file, const char *name, const struct app *app,
                            struct json_writer *w) {
    size_t count = add_errors(&file->errors, NULL, w) + (app ? add_errors(&app->errors, file->path, w) : 0);
    bool without_app = file->good && !name;
    if (without_app && w)
        add_error(0, 0, "", RULE_FILE_NAMES_NO_APP, w);
    return count + without_app;
}

static void add_warnings(const struct app *app, const char *file, struct json_writer *w) {
    json_open_list(w, "warnings");
    for (size_t i = 0; app && i < app->errors.warnings_count; i++) {
        const struct rule_error *e = &app->errors.warnings[i];
        if (!e->change && strcmp(e->file, file) == 0)
            add_error(e->line, e->column, e->path, e->message, w);
    }
    json_close_list(w);
}

static void add_file(const struct control_sources *from, const struct rule_file *file, struct json_writer *w) {
    const char *name = rule_dir_app(from->rules, file);
    const struct app *app = name ? app_find(from->apps, name) : NULL;
    json_open(w, NULL);
    json_text(w, "path", file->path);
    json_text(w, "app", name ? name : "");
    json_text(w, "state", add_errors_of(file, name, app, NULL) ? "error" : "ok");
    json_integer(w, "loaded", file->loaded);
    if (file->good)
        add_match(file->good, w);
    json_open_list(w, "errors");
    add_errors_of(file, name, app, w);
    json_close_list(w);
    add_warnings(app, file->path, w);
    json_close(w);
}

static void add_missing(const char *path, struct json_writer *w) {
    json_open(w, NULL);
    json_text(w, "path", path);
    json_text(w, "app", "");
    json_text(w, "state", "error");
    json_integer(w, "loaded", 0);
    json_open_list(w, "errors");
    add_error(0, 0, "", "no such file or directory; it is read as soon as it appears", w);
    json_close_list(w);
    json_close(w);
}

/* -------------------------------------------------------------------------------------------------------- the whole */

static void add_agent(const struct control_sources *from, struct json_writer *w) {
    json_open(w, "agent");
    json_integer(w, "pid", getpid());
    json_text(w, "version", WEIR_VERSION);
    json_integer(w, "since", from->since);
    json_text(w, "run_dir", from->run_dir);
    json_bool(w, "embedded", from->embedded);
    json_close(w);
}

static void add_turned_away(const struct attach_server *server, struct json_writer *w) {
    static const char *const words[] = {
        [ATTACH_NO_APP] = "no-app", [ATTACH_OTHER_LAYOUT] = "other-version", [ATTACH_REFUSED] = "refused"};
    json_open_list(w, "turned_away");
    for (size_t i = 0; i < ATTACH_TURNED_AWAY; i++) {
        const struct attach_turned_away *entry = &server->turned_away[i];
        if (!entry->pid || !proc_start_time(entry->pid))
            continue; /* gone */
        json_open(w, NULL);
        json_integer(w, "pid", entry->pid);
        json_count(w, "uid", entry->uid);
        json_text(w, "app", entry->app);
        json_text(w, "why", words[entry->why]);
        json_close(w);
    }
    json_close_list(w);
}

void status_answer(const struct control_sources *from, struct json_writer *w) {
    add_agent(from, w);
    json_open_list(w, "apps");
    for (const struct app *app = from->apps->first; app; app = app->next)
        add_app(from, app, w);
    json_close_list(w);
    json_open_list(w, "files");
    for (size_t i = 0; i < from->rules->count; i++)
        add_file(from, from->rules->files[i], w);
    for (size_t i = 0; i < from->rules->missing_count; i++)
        add_missing(from->rules->missing[i], w);
    json_close_list(w);
    add_turned_away(from->attach, w);
    bpf_report(from->ebpf, w);
}
