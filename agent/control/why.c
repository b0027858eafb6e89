#include "agent/control/why.h"

#include <stdio.h>
#include <string.h>

#include "rules/address.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/rejection_id.h"
#include "rules/snapshot.h"

static const char *const REASON_WORDS[REASONS] = {"none",      "authority", "param",  "flow",
                                                  "isolation", "degrade",   "system", "adaptive"};

/* The whole id, where the record holds one that was cut. */
static const char *whole_id(const void *ruleset, const struct layout_rejection *r) {
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == r->rule)
            return ruleset_text(ruleset, ruleset_rules(ruleset)[i].id);
    return r->rule_id;
}

static void add_version(const struct versions *versions, const struct layout_rejection *r, struct json_writer *w) {
    const struct version *version = versions ? versions_find(versions, r->generation) : NULL;
    const struct version_rule *rule = version ? versions_rule(version, r->rule) : NULL;
    if (version && version->published)
        json_integer(w, "published", version->published);
    if (!rule)
        return;
    const char *file = versions_file(versions, rule);
    if (file) {
        json_text(w, "file", file);
        json_count(w, "line", rule->line);
    }
    json_count(w, "changed_in_version", rule->since);
    if (rule->since_time)
        json_integer(w, "changed", rule->since_time);
    if (rule->author != (uid_t)-1)
        json_count(w, "changed_by_uid", rule->author);
}

static void add_caller(const struct layout_rejection *r, struct json_writer *w) {
    char address[ADDRESS_TEXT_MAX + 1];
    size_t length = address_text(r->address, r->address_length, address);
    json_open(w, "caller");
    json_text(w, "origin", r->origin);
    json_bytes(w, "address", address, length);
    json_close(w);
}

static void add_metrics(const struct app *app, const struct rejection *rejection, struct json_writer *w) {
    const struct metrics *now = &app->metrics;
    bool ended = rejection->second != 0;
    if (!ended && rejection->record.resource >= now->count)
        return;
    const struct metrics_resource *m = ended ? NULL : &now->resources[rejection->record.resource];
    json_open(w, "figures");
    json_count(w, "second", ended ? rejection->second : now->second);
    json_count(w, "pass", m ? m->rate.pass : rejection->pass);
    json_count(w, "block", m ? m->rate.block : rejection->block);
    json_count(w, "exception", m ? m->rate.exception : rejection->exception);
    json_count(w, "in_flight", m ? m->in_flight : rejection->in_flight);
    json_number(w, "rt_ms", m ? m->rt_ms : (double)rejection->rt_ms);
    json_close(w);
}

static void add_resource(const struct app *app, uint32_t resource, struct json_writer *w) {
    char name[LAYOUT_RESOURCE_NAME_MAX];
    publish_resource_name(&app->memory, resource, name);
    json_text(w, "resource", name);
}

static void add_all(const struct control_sources *from, const struct app *app, const struct rejection *rejection,
                    struct json_writer *w) {
    const struct layout_rejection *r = &rejection->record;
    size_t size;
    json_number(w, "time", (double)r->time_ns / 1e9);
    json_count(w, "pid", r->pid);
    add_resource(app, r->resource, w);
    json_text(w, "reason", REASON_WORDS[r->reason]);
    json_text(w, "rule", whole_id(publish_current(&app->memory, &size), r));
    json_count(w, "rules_version", r->generation);
    json_count(w, "rules_version_now", snapshot_generation(app->memory.rules));
    add_version(history_of(from->history, app->name), r, w);
    json_number(w, "limit", r->limit);
    json_number(w, "remaining", r->remaining);
    json_number(w, "interval_ms", (double)r->interval_ns / 1e6);
    json_number(w, "retry_ms", (double)r->retry_ns / 1e6);
    json_count(w, "more", r->more);
    add_caller(r, w);
    if (r->trace[0])
        json_text(w, "trace", r->trace);
    add_metrics(app, rejection, w);
}

void why_answer(const struct control_sources *from, const char *id, struct json_writer *w) {
    uint64_t number;
    uint32_t check;
    if (!rejection_id_read(id, &number, &check)) {
        json_text(w, "error", "that is no id: they look like 3F-K7QM");
        return;
    }
    struct app *app = from->apps->first;
    while (app && !rejection_id_fits(app->memory.counters->hash_seed, number, check))
        app = app->next;
    if (app)
        rejections_take(from->recent, &app->rejections, &app->memory);
    const struct rejection *rejection = app ? rejections_find(from->recent, &app->memory, number) : NULL;
    json_text(w, "id", id);
    if (app)
        json_text(w, "app", app->name);
    if (rejection)
        add_all(from, app, rejection, w);
    else
        json_text(w, "error",
                  app ? "that id is too old: only the last rejections are remembered"
                      : "no app here gave that id: it is mistyped, or the app stopped or restarted");
}
