#include "agent/apps/app_rules.h"

#include <stdlib.h>
#include <string.h>

#include "agent/apps/app_cpu.h"
#include "agent/core/log.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

static const uint64_t REPEAT_NS = 60ull * 1000000000u, HELD_NS = 60ull * 1000000000u;

static void report(const struct app *app, enum bus_kind kind) {
    struct bus_event event = {.kind = kind, .app = app->name};
    bus_publish(app->list->bus, &event);
}

/* -------------------------------------------------------------------------------------------------------- fragments */

static bool belongs(const struct app *app, const struct rule_file *file) {
    const char *named = rule_dir_app(app->list->rules, file);
    return file->good && named && strcmp(named, app->name) == 0;
}

/* The fragments of an app, in order; *ret_count of them, the list to be freed. */
static struct rule_document **documents_of(const struct app *app, size_t *ret_count) {
    const struct rule_dir *rules = app->list->rules;
    struct rule_document **documents = calloc(rules->count + 1, sizeof(struct rule_document *));
    *ret_count = 0;
    for (size_t i = 0; documents && i < rules->count; i++)
        if (belongs(app, rules->files[i]))
            documents[(*ret_count)++] = rules->files[i]->good;
    return documents;
}

static uint64_t hash_fragments(const struct app *app) {
    const struct rule_dir *rules = app->list->rules;
    uint64_t hash = 1;
    for (size_t i = 0; i < rules->count; i++)
        if (belongs(app, rules->files[i]))
            hash = hash_bytes(hash, &rules->files[i]->serial, sizeof rules->files[i]->serial);
    return hash;
}

/* Are rules in force from a file there, or from one in that folder? */
static bool comes_from(const struct app *app, const char *path) {
    size_t size, length = strlen(path);
    const void *ruleset = publish_current(&app->memory, &size);
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++) {
        const char *file = ruleset_text(ruleset, ruleset_rules(ruleset)[i].file);
        if (strncmp(file, path, length) == 0 && (!file[length] || file[length] == '/' || path[length - 1] == '/'))
            return true;
    }
    return false;
}

/* After a restart a file with errors has no last good version to go by, but the rules in force have: they stay as long
 * as a file that may be a part of them is unreadable. */
static bool must_wait(const struct app *app) {
    const struct rule_dir *rules = app->list->rules;
    if (!app->inherited)
        return false;
    for (size_t i = 0; i < rules->missing_count; i++)
        if (comes_from(app, rules->missing[i]))
            return true;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule_file *file = rules->files[i];
        const char *named = rule_dir_app(rules, file);
        if (!file->good && (named ? strcmp(named, app->name) == 0 : app->fragments == 0))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ an app is renamed */

static const struct rule_file *file_at(const struct rule_dir *rules, const char *path) {
    for (size_t i = 0; i < rules->count; i++)
        if (strcmp(rules->files[i]->path, path) == 0)
            return rules->files[i];
    return NULL;
}

const struct rule_file *app_rules_renamed(const struct app *app) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    const char *last = "";
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++) {
        const char *path = ruleset_text(ruleset, ruleset_rules(ruleset)[i].file);
        const struct rule_file *file = strcmp(path, last) == 0 ? NULL : file_at(app->list->rules, path);
        last = path;
        if (file && file->good && !file->gone && !belongs(app, file))
            return file;
    }
    return NULL;
}

/* An edit of "app" would take the rules away from processes that run, and nothing would look wrong: those before stay
 * in force for them until they end, the file is removed, or some file names the app again. */
static bool must_hold(struct app *app) {
    bool in_use = app->clients.count || app->inherited || app->held;
    const struct rule_file *file = app->documents == 0 && in_use ? app_rules_renamed(app) : NULL;
    app->held = file != NULL;
    if (!file || app->held_serial == file->serial)
        return app->held;
    struct bus_event event = {.kind = BUS_RULES_HELD, .app = app->name};
    const char *names = rule_dir_app(app->list->rules, file);
    app->held_serial = file->serial;
    app->held_idle_ns = loop_now_ns();
    event.held.path = file->path;
    event.held.names = names ? names : "";
    event.held.processes = app->clients.count;
    bus_publish(app->list->bus, &event);
    return true;
}

/* --------------------------------------------------------------------------------------------------------- publishing
 */

static void report_errors(const struct app *app) {
    for (size_t i = 0; i < app->errors.count; i++) {
        struct bus_event event = {.kind = BUS_RULES_ERROR, .app = app->name, .rule_error = &app->errors.list[i]};
        bus_publish(app->list->bus, &event);
    }
    report(app, BUS_RULES_CONTRADICT);
}

static void unpublished(struct app *app, int error) {
    struct bus_event event = {.kind = BUS_RULES_UNPUBLISHED, .app = app->name, .error = error};
    app->unpublished = true;
    app->fragments = 0; /* tried again */
    if (log_is_due(&app->publish_error_ns, loop_now_ns(), REPEAT_NS))
        bus_publish(app->list->bus, &event);
}

static bool said_before(const struct rule_errors *errors, const struct rule_error *warning) {
    for (size_t i = 0; i < errors->warnings_count; i++)
        if (strcmp(errors->warnings[i].message, warning->message) == 0 &&
            strcmp(errors->warnings[i].file, warning->file) == 0)
            return true;
    return false;
}

/* Each once, as long as it is true. */
static void report_warnings(const struct app *app, const struct rule_errors *before) {
    for (size_t i = 0; i < app->errors.warnings_count; i++) {
        struct bus_event event = {.kind = BUS_RULES_WARNING, .app = app->name};
        event.rule_error = &app->errors.warnings[i];
        if (!event.rule_error->change && !said_before(before, event.rule_error))
            bus_publish(app->list->bus, &event);
    }
}

/* It had rules, and an edit left none: that may be meant, but processes that run are not limited any more. */
static void note_lifted(struct app *app, uint32_t before) {
    if (app->rules) {
        app->lifted = false;
        return;
    }
    struct bus_event event = {.kind = BUS_RULES_LIFTED, .app = app->name};
    event.lifted.files = app->documents;
    event.lifted.processes = app->clients.count;
    app->lifted |= before > 0;
    if (before)
        bus_publish(app->list->bus, &event);
}

static uint32_t rules_in_force(const struct app *app) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    return ruleset ? ruleset_head(ruleset)->rules_count : 0;
}

static bool has_times(const void *ruleset) {
    for (uint32_t i = 0; i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].when_count)
            return true;
    return false;
}

static void publish(struct app *app, const void *ruleset, size_t size) {
    bool changed;
    uint32_t before = rules_in_force(app);
    app_take_states(app); /* of the rules before */
    int error = publish_ruleset(&app->memory, ruleset, size, &changed);
    if (error) {
        unpublished(app, error);
        return;
    }
    app_end_episodes(app, EPISODES_CHANGED);
    bool renewed = app->renewing && !changed; /* the moments of the same rules were computed again, to no effect */
    struct bus_event event = {.kind = changed ? BUS_RULES_PUBLISHED : BUS_RULES_TAKEN_UP, .app = app->name};
    app->unpublished = app->inherited = false;
    app->rules = ruleset_head(ruleset)->rules_count;
    app->when = has_times(ruleset);
    app->by_cpu = app_cpu_wanted(ruleset);
    if (changed)
        app->published_ns = app_engine_now_ns(app);
    event.published.generation = snapshot_generation(app->memory.rules);
    event.published.ruleset = ruleset;
    event.published.rules = app->rules;
    event.published.files = app->documents;
    if (renewed)
        return;
    bus_publish(app->list->bus, &event);
    note_lifted(app, before);
}

void app_rules_update(struct app *app) {
    uint64_t fragments = hash_fragments(app);
    bool wait = must_wait(app), was_held = app->held, hold = must_hold(app);
    if (fragments == app->fragments && !(app->inherited && !wait) && hold == was_held)
        return;
    app->fragments = fragments;
    if (wait || hold)
        return;
    size_t count, size;
    struct rule_document **documents = documents_of(app, &count);
    struct rule_errors before = app->errors;
    app->errors = (struct rule_errors){0};
    void *ruleset = documents ? rule_text_ruleset(documents, count, app->name, &size, &app->errors) : NULL;
    free(documents);
    if (ruleset)
        publish(app, ruleset, size);
    else
        report_errors(app);
    report_warnings(app, &before);
    rule_errors_clear(&before);
    app->renewing = false;
    free(ruleset);
}

void app_rules_tick(struct app *app, uint64_t now_ns) {
    if (app->clients.count)
        app->held_idle_ns = now_ns;
    if (app->held && now_ns - app->held_idle_ns > HELD_NS) {
        app->held = app->inherited = false;
        app->fragments = 0;
    }
    if (app->fragments == 0 && !app->inherited)
        app_rules_update(app);
}
