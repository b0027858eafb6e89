#include "agent/control/why.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "agent/internal.h"
#include "rules/address.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/rejection_id.h"
#include "rules/snapshot.h"

#define ADD_NUMBER(object, name, value) cJSON_AddNumberToObject(object, name, (double)(value))

static const char *const REASON_WORDS[REASONS] = {"none",      "authority", "param",  "flow",
                                                  "isolation", "degrade",   "system", "adaptive"};

/* The whole id, where the record holds one that was cut. */
static const char *whole_id(const void *ruleset, const struct layout_rejection *r) {
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == r->rule)
            return ruleset_text(ruleset, ruleset_rules(ruleset)[i].id);
    return r->rule_id;
}

static void add_version(const struct app *app, const struct layout_rejection *r, cJSON *answer) {
    const struct version *version = versions_find(&app->versions, r->generation);
    const struct version_rule *rule = version ? versions_rule(version, r->rule) : NULL;
    ADD_NUMBER(answer, "rules_version", r->generation);
    ADD_NUMBER(answer, "rules_version_now", snapshot_generation(app->memory.rules));
    if (version && version->published)
        ADD_NUMBER(answer, "published", version->published);
    if (!rule)
        return;
    const char *file = versions_file(&app->versions, rule);
    if (file) {
        report_text(answer, "file", file);
        ADD_NUMBER(answer, "line", rule->line);
    }
    ADD_NUMBER(answer, "changed_in_version", rule->since);
    if (rule->since_time)
        ADD_NUMBER(answer, "changed", rule->since_time);
    if (rule->author != (uid_t)-1)
        ADD_NUMBER(answer, "changed_by_uid", rule->author);
}

static void add_caller(const struct layout_rejection *r, cJSON *answer) {
    cJSON *caller = cJSON_AddObjectToObject(answer, "caller");
    char address[ADDRESS_TEXT_MAX + 1];
    size_t length = address_text(r->address, r->address_length, address);
    address[length] = 0;
    report_text(caller, "origin", r->origin);
    report_text(caller, "address", address);
}

static void add_figures(const struct app *app, const struct rejection *rejection, cJSON *answer) {
    const struct metrics *now = &app->metrics;
    bool ended = rejection->second != 0;
    if (!ended && rejection->record.resource >= now->count)
        return;
    cJSON *metrics = cJSON_AddObjectToObject(answer, "figures");
    const struct metrics_resource *f = ended ? NULL : &now->resources[rejection->record.resource];
    ADD_NUMBER(metrics, "second", ended ? rejection->second : now->second);
    ADD_NUMBER(metrics, "pass", f ? f->rate.pass : rejection->pass);
    ADD_NUMBER(metrics, "block", f ? f->rate.block : rejection->block);
    ADD_NUMBER(metrics, "exception", f ? f->rate.exception : rejection->exception);
    ADD_NUMBER(metrics, "in_flight", f ? f->in_flight : rejection->in_flight);
    ADD_NUMBER(metrics, "rt_ms", f ? f->rt_ms : (double)rejection->rt_ms);
}

/* It may be too new for the figures to know its name. */
static void add_resource(const struct app *app, uint32_t resource, cJSON *answer) {
    char name[LAYOUT_RESOURCE_NAME_MAX] = "{other}";
    if (resource < publish_resources_used(&app->memory))
        memcpy(name, publish_resource(&app->memory, resource)->name, sizeof name - 1);
    name[sizeof name - 1] = 0;
    report_text(answer, "resource", name);
}

static void add_all(const struct app *app, const struct rejection *rejection, cJSON *answer) {
    const struct layout_rejection *r = &rejection->record;
    size_t size;
    ADD_NUMBER(answer, "time", (double)r->time_ns / 1e9);
    ADD_NUMBER(answer, "pid", r->pid);
    add_resource(app, r->resource, answer);
    report_text(answer, "reason", REASON_WORDS[r->reason]);
    report_text(answer, "rule", whole_id(publish_current(&app->memory, &size), r));
    add_version(app, r, answer);
    ADD_NUMBER(answer, "limit", r->limit);
    ADD_NUMBER(answer, "remaining", r->remaining);
    ADD_NUMBER(answer, "interval_ms", (double)r->interval_ns / 1e6);
    ADD_NUMBER(answer, "retry_ms", (double)r->retry_ns / 1e6);
    ADD_NUMBER(answer, "more", r->more);
    add_caller(r, answer);
    if (r->trace[0])
        report_text(answer, "trace", r->trace);
    add_figures(app, rejection, answer);
}

void why_answer(struct agent *agent, const char *id, cJSON *answer) {
    uint64_t number;
    uint32_t check;
    if (!id || !rejection_id_read(id, &number, &check)) {
        report_text(answer, "error", "that is no id: they look like 3F-K7QM");
        return;
    }
    struct app *known = agent->apps;
    while (known && !rejection_id_fits(known->memory.counters->hash_seed, number, check))
        known = known->next;
    if (known)
        rejections_take(known);
    const struct rejection *rejection = known ? rejections_find(agent, known, number) : NULL;
    report_text(answer, "id", id);
    if (known)
        report_text(answer, "app", known->name);
    if (rejection)
        add_all(known, rejection, answer);
    else
        report_text(answer, "error",
                    known ? "that id is too old: only the last rejections are remembered"
                          : "no app here gave that id: a slip, or its app is gone or was started anew");
}
