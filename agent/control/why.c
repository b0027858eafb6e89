#include "agent/control/why.h"

#include <stdio.h>
#include <string.h>

#include "agent/metrics/limit_text.h"
#include "rules/address.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/rejection_id.h"
#include "rules/snapshot.h"

static const struct rule *rule_of(const void *ruleset, const struct layout_rejection *r) {
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == r->rule)
            return &ruleset_rules(ruleset)[i];
    return NULL;
}

/* Does the rule in force say what it said then? */
static bool says_the_same(const struct app *app, const struct versions *versions, const struct layout_rejection *r) {
    uint64_t now = snapshot_generation(app->memory.rules);
    const struct version *version = versions ? versions_find(versions, now) : NULL;
    const struct version_rule *rule = version ? versions_rule(version, r->rule) : NULL;
    return now == r->generation || (rule && rule->since <= r->generation);
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

/* As the answer's Retry-After: a window lets its oldest request go a hundredth of its length late. */
static uint64_t retry_of(const struct layout_rejection *r) {
    bool late = r->retry_ns > r->interval_ns && r->retry_ns - r->interval_ns <= r->interval_ns / 50;
    return late ? r->interval_ns : r->retry_ns;
}

static void add_limit(const struct layout_rejection *r, struct json_writer *w) {
    char text[128];
    uint8_t of = r->limit_of;
    double limit = r->limit, counted = r->counted;
    json_number(w, "limit", limit);
    json_number(w, "remaining", r->remaining);
    json_number(w, "interval_ms", (double)r->interval_ns / 1e6);
    json_number(w, "retry_ms", (double)retry_of(r) / 1e6);
    json_text(w, "limit_of", limit_of_word(of));
    limit_text(of, limit, r->interval_ns, text, sizeof text);
    json_text(w, "limit_text", text);
    if (!limit_counted_text(of, counted, text, sizeof text))
        return;
    json_number(w, "counted", counted);
    json_text(w, "counted_text", text);
}

static bool is_of_value(uint8_t limit_of) {
    return limit_of == LIMIT_VALUE_RATE || limit_of == LIMIT_VALUE_IN_FLIGHT;
}

static void add_value(const struct rejection *rejection, struct json_writer *w) {
    if (!rejection->record.value_length)
        return;
    json_bytes(w, "value", rejection->record.value, rejection->record.value_length);
    json_bool(w, "value_cut", rejection->record.value_cut != 0);
}

/* What the rule says besides: the other resource, the list, when a circuit opens; and whether the value has a threshold
 * of its own. */
static void add_rule(const void *ruleset, const struct rule *rule, const struct layout_rejection *r,
                     struct json_writer *w) {
    const char *related = ruleset_text(ruleset, rule->ref_resource), *list = ruleset_text(ruleset, rule->origin);
    if (related[0])
        json_text(w, rule->strategy == STRATEGY_CHAIN ? "entrance" : "related", related);
    if (rule->kind == RULE_AUTHORITY)
        json_text(w, "list", list);
    else if (rule->origin_kind != ORIGIN_DEFAULT)
        json_text(w, "limit_app", list);
    if (is_of_value(r->limit_of) && r->limit != rule->count)
        json_number(w, "rule_limit", rule->count);
    if (rule->kind != RULE_DEGRADE)
        return;
    json_open(w, "circuit");
    json_number(w, "min_requests", rule->grade == DEGRADE_AVG_RT ? rule->rt_slow_requests : rule->min_requests);
    json_number(w, "stat_interval_ms", (double)rule->stat_interval_ns / 1e6);
    if (rule->grade == DEGRADE_SLOW)
        json_number(w, "slow_ratio", rule->slow_ratio);
    json_close(w);
}

static void add_caller(const struct layout_rejection *r, struct json_writer *w) {
    char address[ADDRESS_TEXT_MAX + 1];
    size_t length = address_text(r->address, r->address_length, address);
    json_open(w, "caller");
    json_text(w, "origin", r->origin);
    json_bytes(w, "address", address, length);
    json_close(w);
}

/* Of the resource in that second, once it has ended. */
static void add_metrics(const struct rejection *rejection, struct json_writer *w) {
    if (!rejection->second)
        return;
    json_open(w, "figures");
    json_count(w, "second", rejection->second);
    json_count(w, "pass", rejection->pass);
    json_count(w, "block", rejection->block);
    json_count(w, "exception", rejection->exception);
    json_count(w, "in_flight", rejection->in_flight);
    json_number(w, "rt_ms", (double)rejection->rt_ms);
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
    json_text(w, "reason", limit_reason(r->reason));
    const void *ruleset = publish_current(&app->memory, &size);
    const struct rule *rule = rule_of(ruleset, r);
    const struct versions *versions = history_of(from->history, app->name);
    json_text(w, "rule", rule ? ruleset_text(ruleset, rule->id) : r->rule_id); /* the record's may be cut */
    json_count(w, "rules_version", r->generation);
    json_count(w, "rules_version_now", snapshot_generation(app->memory.rules));
    add_version(versions, r, w);
    add_limit(r, w);
    add_value(rejection, w);
    if (rule && says_the_same(app, versions, r))
        add_rule(ruleset, rule, r, w);
    json_count(w, "more", r->more);
    add_caller(r, w);
    if (r->trace[0])
        json_text(w, "trace", r->trace);
    add_metrics(rejection, w);
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
