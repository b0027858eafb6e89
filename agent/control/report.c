/* What control.sock answers: the agent's state as JSON. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/kernel/callers.h"
#include "agent/internal.h"
#include "agent/process/proc.h"
#include "agent/control/why.h"
#include "rules/rule.h"
#include "rules/snapshot.h"

#define ADD_NUMBER(object, name, value) cJSON_AddNumberToObject(object, name, (double)(value))

/* Bytes of a character of UTF-8 at `p`, 0 if it is none. */
static size_t character(const unsigned char *p) {
    size_t length = p[0] < 0x80                   ? 1
                    : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                    : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                    : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || beyond ? 0 : length;
}

/* Names come from clients' requests and other people's files: what is no UTF-8 becomes "?". */
static void add_text(cJSON *object, const char *name, const char *value) {
    char clean[PROC_TEXT_MAX * 2];
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)value; *p && n < sizeof clean - 5;) {
        size_t length = character(p);
        if (length)
            memcpy(clean + n, p, length);
        else
            clean[n] = '?';
        n += length ? length : 1;
        p += length ? length : 1;
    }
    clean[n] = 0;
    cJSON_AddStringToObject(object, name, clean);
}

void report_text(cJSON *object, const char *name, const char *value) {
    add_text(object, name, value);
}

static const char *const SIDES[] = {[SIDE_ANY] = "any", [SIDE_INBOUND] = "inbound", [SIDE_OUTBOUND] = "outbound"};
static const char *const CIRCUITS[] = {"none", "closed", "half-open", "open"};

/* ----------------------------------------------------------------------------------------------------------- status */

static void add_agent(const struct agent *agent, cJSON *root) {
    cJSON *object = cJSON_AddObjectToObject(root, "agent");
    ADD_NUMBER(object, "pid", getpid());
    add_text(object, "version", WEIR_VERSION);
    ADD_NUMBER(object, "since", agent->since);
    add_text(object, "run_dir", agent->run_dir);
    cJSON_AddBoolToObject(object, "embedded", agent->options.embedded);
}

static void add_process(cJSON *list, const struct app *app, const struct client *client) {
    cJSON *object = cJSON_CreateObject();
    const struct layout_process *p = publish_process(&app->memory, client->slot);
    uint64_t generation = __atomic_load_n(&p->rules_generation, __ATOMIC_RELAXED);
    ADD_NUMBER(object, "pid", client->pid);
    add_text(object, "exe", client->exe);
    ADD_NUMBER(object, "since", client->since);
    ADD_NUMBER(object, "rules_version", generation);
    cJSON_AddBoolToObject(object, "current", generation == snapshot_generation(app->memory.rules));
    cJSON_AddBoolToObject(object, "idle", __atomic_load_n(&p->seen_ns, __ATOMIC_RELAXED) < app->published_ns);
    ADD_NUMBER(object, "undecided", __atomic_load_n(&p->undecided, __ATOMIC_RELAXED));
    ADD_NUMBER(object, "refused_rulesets", __atomic_load_n(&p->refused_rulesets, __ATOMIC_RELAXED));
    cJSON_AddItemToArray(list, object);
}

static void add_app(cJSON *list, const struct agent *agent, const struct app *app) {
    cJSON *object = cJSON_CreateObject();
    const struct layout_counters_header *c = app->memory.counters;
    add_text(object, "app", app->name);
    ADD_NUMBER(object, "rules_version", snapshot_generation(app->memory.rules));
    ADD_NUMBER(object, "files", app->documents);
    if (!app->inherited)
        ADD_NUMBER(object, "rules", app->rules);
    cJSON_AddBoolToObject(object, "off", snapshot_is_off(app->memory.rules));
    /* The rules in force are older than the files, because a file has errors or the files contradict each other. */
    cJSON_AddBoolToObject(object, "stale", app->inherited || app->unpublished || app->errors.count > 0);
    ADD_NUMBER(object, "resources", publish_resources_used(&app->memory));
    ADD_NUMBER(object, "slots_refused", __atomic_load_n(&c->slots_refused, __ATOMIC_RELAXED));
    ADD_NUMBER(object, "resources_refused", __atomic_load_n(&c->resources_refused, __ATOMIC_RELAXED));
    ADD_NUMBER(object, "cells_refused", __atomic_load_n(&c->cells_refused, __ATOMIC_RELAXED));
    guard_report(app->agent, app, object);
    callers_report(app->agent, app, object);
    unseen_report(agent, app, object);
    cJSON *processes = cJSON_AddArrayToObject(object, "processes");
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (app->clients.slot[slot])
            add_process(processes, app, app->clients.slot[slot]);
    cJSON_AddItemToArray(list, object);
}

static void add_errors(cJSON *list, const struct rule_errors *errors, const char *file) {
    for (size_t i = 0; i < errors->count; i++) {
        const struct rule_error *error = &errors->list[i];
        if (file && strcmp(error->file, file) != 0)
            continue;
        cJSON *object = cJSON_CreateObject();
        ADD_NUMBER(object, "line", error->line);
        ADD_NUMBER(object, "column", error->column);
        add_text(object, "path", error->path);
        add_text(object, "message", error->message);
        cJSON_AddItemToArray(list, object);
    }
}

static void add_plain_error(cJSON *list, const char *message) {
    cJSON *object = cJSON_CreateObject();
    ADD_NUMBER(object, "line", 0);
    ADD_NUMBER(object, "column", 0);
    add_text(object, "path", "");
    add_text(object, "message", message);
    cJSON_AddItemToArray(list, object);
}

/* What a process has to be for the file to be for it; nothing where the file does not say. */
static void add_match(cJSON *object, const struct rule_document *document) {
    struct rule_app_match match = rule_document_match(document);
    const struct {
        const char *name, *value;
    } texts[] = {{"exe", match.exe}, {"unit", match.unit}, {"cgroup", match.cgroup}, {"comm", match.comm}};
    cJSON *members = cJSON_AddObjectToObject(object, "match");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].value)
            add_text(members, texts[i].name, texts[i].value);
    if (match.uid >= 0)
        ADD_NUMBER(members, "uid", match.uid);
}

static void add_turned_away(cJSON *root, const struct attach_server *server) {
    static const char *const words[] = {
        [ATTACH_NO_APP] = "no-app", [ATTACH_OTHER_LAYOUT] = "other-version", [ATTACH_REFUSED] = "refused"};
    cJSON *list = cJSON_AddArrayToObject(root, "turned_away");
    for (size_t i = 0; i < ATTACH_TURNED_AWAY; i++) {
        const struct attach_turned_away *entry = &server->turned_away[i];
        if (!entry->pid || !proc_start_time(entry->pid))
            continue; /* gone */
        cJSON *object = cJSON_CreateObject();
        ADD_NUMBER(object, "pid", entry->pid);
        ADD_NUMBER(object, "uid", entry->uid);
        add_text(object, "app", entry->app);
        add_text(object, "why", words[entry->why]);
        cJSON_AddItemToArray(list, object);
    }
}

static void add_file(cJSON *list, const struct agent *agent, const struct rule_file *file) {
    cJSON *object = cJSON_CreateObject();
    const char *name = app_of_file(agent, file);
    const struct app *app = name ? app_find(agent, name) : NULL;
    cJSON *errors = cJSON_CreateArray();
    add_errors(errors, &file->errors, NULL);
    if (app)
        add_errors(errors, &app->errors, file->path);
    if (file->good && !name)
        add_plain_error(errors, RULE_FILE_NAMES_NO_APP);
    add_text(object, "path", file->path);
    add_text(object, "app", name ? name : "");
    add_text(object, "state", cJSON_GetArraySize(errors) ? "error" : "ok");
    ADD_NUMBER(object, "loaded", file->loaded);
    if (file->good)
        add_match(object, file->good);
    cJSON_AddItemToObject(object, "errors", errors);
    cJSON_AddItemToArray(list, object);
}

static void add_missing(cJSON *list, const char *path) {
    cJSON *object = cJSON_CreateObject();
    add_text(object, "path", path);
    add_text(object, "app", "");
    add_text(object, "state", "error");
    ADD_NUMBER(object, "loaded", 0);
    add_plain_error(cJSON_AddArrayToObject(object, "errors"),
                    "no such file or directory; it is taken up as soon as it appears");
    cJSON_AddItemToArray(list, object);
}

static void answer_status(const struct agent *agent, cJSON *root) {
    add_agent(agent, root);
    cJSON *apps = cJSON_AddArrayToObject(root, "apps");
    for (const struct app *app = agent->apps; app; app = app->next)
        add_app(apps, agent, app);
    cJSON *files = cJSON_AddArrayToObject(root, "files");
    for (size_t i = 0; i < agent->rules.count; i++)
        add_file(files, agent, agent->rules.files[i]);
    for (size_t i = 0; i < agent->rules.missing_count; i++)
        add_missing(files, agent->rules.missing[i]);
    add_turned_away(root, &agent->attach);
    bpf_report(agent, root);
}

/* ---------------------------------------------------------------------------------------------------------- figures */

static void add_resource(cJSON *list, const struct metrics_resource *r) {
    cJSON *object = cJSON_CreateObject();
    add_text(object, "resource", r->name);
    add_text(object, "side", r->side < sizeof SIDES / sizeof *SIDES ? SIDES[r->side] : "any");
    ADD_NUMBER(object, "pass", r->rate.pass);
    ADD_NUMBER(object, "block", r->rate.block);
    ADD_NUMBER(object, "exception", r->rate.exception);
    ADD_NUMBER(object, "success", r->rate.success);
    ADD_NUMBER(object, "simulated", r->rate.simulated);
    ADD_NUMBER(object, "queued", r->rate.queued);
    ADD_NUMBER(object, "rt_ms", r->rt_ms);
    ADD_NUMBER(object, "rt_p99_ms", r->rt_p99_ms);
    ADD_NUMBER(object, "in_flight", r->in_flight);
    add_text(object, "circuit", CIRCUITS[r->circuit < 4 ? r->circuit : 0]);
    ADD_NUMBER(object, "total_pass", r->total.pass);
    ADD_NUMBER(object, "total_block", r->total.block);
    ADD_NUMBER(object, "total_exception", r->total.exception);
    ADD_NUMBER(object, "total_success", r->total.success);
    ADD_NUMBER(object, "total_simulated", r->total.simulated);
    cJSON_AddItemToArray(list, object);
}

static void answer_figures(const struct agent *agent, cJSON *root) {
    ADD_NUMBER(root, "second", agent->second);
    cJSON *apps = cJSON_AddArrayToObject(root, "apps");
    for (const struct app *app = agent->apps; app; app = app->next) {
        cJSON *object = cJSON_CreateObject();
        add_text(object, "app", app->name);
        cJSON *resources = cJSON_AddArrayToObject(object, "resources");
        for (uint32_t i = 0; i < app->metrics.count; i++) {
            const struct metrics_resource *r = &app->metrics.resources[i];
            bool ever = r->total.pass || r->total.block || r->in_flight;
            if (ever || (i > 0 && r->name[0])) /* "{other}" only once something went there; no name: nobody's */
                add_resource(resources, r);
        }
        cJSON_AddItemToArray(apps, object);
    }
}

/* ----------------------------------------------------------------------------------------------------------- orders */

static void answer_error(cJSON *root, const char *format, const char *text) {
    char message[512];
    snprintf(message, sizeof message, format, text);
    add_text(root, "error", message);
}

static void answer_switch(struct agent *agent, cJSON *root, const cJSON *request, bool off, bool may_change) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "app"));
    struct app *app = name ? app_find(agent, name) : NULL;
    if (!may_change)
        answer_error(root, "%s", "only root, the agent's user and its group may do that");
    else if (!name)
        answer_error(root, "%s", "\"app\": expected the name of an app");
    else if (!app)
        answer_error(root, "no app named \"%s\"; `weir status` lists them", name);
    else {
        app_set_off(app, off);
        cJSON_AddBoolToObject(root, "ok", true);
    }
}

static void answer_reload(struct agent *agent, cJSON *root, bool may_change) {
    if (!may_change) {
        answer_error(root, "%s", "only root, the agent's user and its group may do that");
        return;
    }
    agent_reload(agent);
    cJSON_AddBoolToObject(root, "ok", true);
}

static void answer(struct agent *agent, cJSON *root, const cJSON *request, bool may_change) {
    const char *cmd = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "cmd"));
    if (!cmd)
        answer_error(root, "%s", "expected one line of JSON of at most 4000 bytes: {\"cmd\": …}");
    else if (strcmp(cmd, "status") == 0)
        answer_status(agent, root);
    else if (strcmp(cmd, "figures") == 0)
        answer_figures(agent, root);
    else if (strcmp(cmd, "hot") == 0)
        report_hot(agent, root);
    else if (strcmp(cmd, "why") == 0)
        why_answer(agent, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "id")), root);
    else if (strcmp(cmd, "ports") == 0)
        ports_answer(agent, root);
    else if (strcmp(cmd, "off") == 0 || strcmp(cmd, "on") == 0)
        answer_switch(agent, root, request, cmd[1] == 'f', may_change);
    else if (strcmp(cmd, "reload") == 0)
        answer_reload(agent, root, may_change);
    else
        answer_error(root, "unknown cmd \"%s\": there are status, figures, hot, why, ports, off, on, reload", cmd);
}

char *control_answer(struct agent *agent, const char *request, bool may_change) {
    cJSON *parsed = cJSON_Parse(request), *root = cJSON_CreateObject();
    answer(agent, root, parsed, may_change);
    char *line = cJSON_PrintUnformatted(root);
    size_t length = line ? strlen(line) : 0;
    char *with_newline = line ? realloc(line, length + 2) : NULL;
    if (with_newline)
        memcpy(with_newline + length, "\n", 2);
    else
        free(line);
    cJSON_Delete(parsed);
    cJSON_Delete(root);
    return with_newline;
}
