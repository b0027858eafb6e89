#include "agent/kernel/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/log.h"
#include "agent/kernel/guard_rules.h"
#include "agent/process/half_open.h"
#include "ebpf/ebpf.h"
#include "rules/engine/engine.h"
#include "rules/pages.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

static const uint64_t LOOK_NS = 1000000000u, REPEAT_NS = 60ull * 1000000000u;
enum { LOOK_SHARE = 50, READ_SHARE = 10 }; /* of the time at most one part in so many goes into looking; after edits */
enum { UNENFORCED_MAX = 64 };

/* ----------------------------------------------------------------------------------------------------------- counts */

static void forget_engine(struct guard_counters *counters) {
    if (counters->engine)
        engine_free(counters->engine);
    *counters = (struct guard_counters){0};
}

/* An engine that only counts; of its memory a few pages are touched. */
static struct engine *engine_of(struct agent_guard *guard, const struct publish *memory) {
    const struct layout_counters_header *counters = memory->counters;
    for (size_t i = 0; i < guard->counters_count; i++)
        if (guard->counters[i].counters == counters)
            return guard->counters[i].engine;
    struct guard_counters *more = reallocarray(guard->counters, guard->counters_count + 1, sizeof *more);
    if (!more)
        return NULL;
    guard->counters = more;
    struct engine *engine = engine_new(&pages_memory, &memory->map, UINT32_MAX);
    if (!engine)
        return NULL;
    guard->counters[guard->counters_count++] = (struct guard_counters){counters, engine};
    return engine;
}

static void memory_closed(struct agent_guard *guard, const void *counters) {
    for (size_t i = 0; i < guard->counters_count; i++)
        if (guard->counters[i].counters == counters) {
            forget_engine(&guard->counters[i]);
            guard->counters[i] = guard->counters[--guard->counters_count];
            return;
        }
}

static void app_closed(struct agent_guard *guard, const char *app) {
    for (size_t i = 0; i < guard->plan.lines_count; i++)
        if (guard->plan.lines[i].app && strcmp(guard->plan.lines[i].app->name, app) == 0)
            guard->plan.lines[i].app = NULL;
}

static const struct rule *rule_of(const void *ruleset, uint64_t id_hash) {
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == id_hash)
            return &ruleset_rules(ruleset)[i];
    return NULL;
}

static void count_hits(struct engine *engine, const struct app *app, uint32_t resource,
                       const struct guarding_counts *counts) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    for (uint32_t i = 0; i < GUARD_LIMITS_MAX; i++) {
        if (!counts->limit_refused[i] && !counts->limit_simulated[i])
            continue;
        const struct rule *rule = rule_of(ruleset, counts->rule[i]);
        if (rule)
            engine_hit_elsewhere(engine, resource, rule->id_hash, ruleset_text(ruleset, rule->id),
                                 rule->kind == RULE_ISOLATION ? REASON_ISOLATION : REASON_FLOW,
                                 counts->limit_refused[i], counts->limit_simulated[i]);
    }
}

static void take_counts(struct agent_guard *guard, struct guard_line *line) {
    const struct guarding_entry *entry = &guard->plan.wanted.entries[line->entry - 1];
    struct app *app = line->app;
    struct guarding_counts counts;
    if (entry->guard == UINT32_MAX)
        return;
    struct engine *engine = engine_of(guard, &app->memory);
    if (!engine)
        return;
    guarding_take(guard->ebpf->guarding, entry->guard, &counts);
    uint32_t resource = engine_resource(engine, line->resource, strlen(line->resource),
                                        entry->side == GUARD_INBOUND ? SIDE_INBOUND : SIDE_OUTBOUND);
    engine_count_elsewhere(engine, resource, counts.passed, counts.refused, counts.simulated);
    count_hits(engine, app, resource, &counts);
    line->active = counts.active;
    line->pending = counts.pending;
    if (resource < app->metrics.count)
        app->metrics.resources[resource].in_flight += counts.active;
}

/* -------------------------------------------------------------------------------------------- what never was
 * established */

static uint32_t coming(const struct agent_guard *guard, const struct guard_line *line, const struct half_open *list,
                       size_t count) {
    uint32_t found = 0;
    for (size_t p = 0; p < guard->plan.wanted.places_count; p++) {
        const struct guard_place *place = &guard->plan.places[p].place;
        if (guard->plan.places[p].entry != line->entry)
            continue;
        for (size_t i = 0; i < count; i++)
            found += place->side == GUARD_OUTBOUND
                         ? list[i].outbound && list[i].remote_port == place->port &&
                               memcmp(list[i].remote, place->address, sizeof place->address) == 0
                         : !list[i].outbound && list[i].local_port == place->port;
    }
    return found;
}

/* A connection that was let in and then went away before the connection was established keeps a place among those in
 * flight.  What the kernel has not known of at two looks in a row is given back. */
static void give_back_pending(struct agent_guard *guard) {
    struct half_open *list = NULL;
    size_t count = 0;
    bool any = false;
    for (size_t i = 0; i < guard->plan.lines_count; i++)
        any |= guard->plan.lines[i].entry && guard->plan.lines[i].pending;
    if (any && half_open_read(&list, &count) < 0)
        return;
    for (size_t i = 0; i < guard->plan.lines_count; i++) {
        struct guard_line *line = &guard->plan.lines[i];
        uint32_t there = line->entry && line->pending ? coming(guard, line, list, count) : 0;
        uint32_t excess = line->entry && line->pending > there ? line->pending - there : 0;
        uint32_t lost = excess < line->excess ? excess : line->excess;
        line->excess = excess - lost;
        if (lost)
            guarding_forget_pending(guard->ebpf->guarding, guard->plan.wanted.entries[line->entry - 1].guard, lost);
    }
    free(list);
}

/* ------------------------------------------------------------------------------------------------------------ rules */

static void report_error(struct agent_guard *guard, int error) {
    struct bus_event event = {.kind = BUS_GUARD_FAILED, .error = error};
    if (error && log_is_due(&guard->failed_ns, loop_now_ns(), REPEAT_NS))
        bus_publish(guard->bus, &event);
}

static void report_line(const struct agent_guard *guard, const struct guard_line *line) {
    struct bus_event event = {.kind = BUS_GUARD_LIMITS, .app = line->app->name};
    event.guard.resource = line->resource;
    event.guard.by = line->by;
    event.guard.why = line->why;
    bus_publish(guard->bus, &event);
}

static void keep_counts(struct guard_line *line, const struct guard_line *before) {
    line->active = before->active;
    line->pending = before->pending;
    line->excess = before->excess;
}

static void report_changes(struct agent_guard *guard, const struct guard_line *former, size_t former_count) {
    for (size_t i = 0; i < guard->plan.lines_count; i++) {
        const struct guard_line *line = &guard->plan.lines[i], *before = NULL;
        for (size_t k = 0; k < former_count; k++)
            if (former[k].app == line->app && strcmp(former[k].resource, line->resource) == 0)
                before = &former[k];
        if (before)
            keep_counts(&guard->plan.lines[i], before);
        if (!before || before->by != line->by)
            report_line(guard, line);
    }
}

/* ------------------------------------------------------------------------------------------------------------ shims */

/* A process enforces by itself. */
static void shim_known(struct agent_guard *guard, pid_t pid) {
    char path[64];
    struct stat status;
    if (!guard->ebpf->guarding || pid <= 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    guarding_shim(guard->ebpf->guarding, (uint32_t)pid, stat(path, &status) == 0 ? status.st_ino : 0);
}

static void shim_gone(struct agent_guard *guard, pid_t pid) {
    if (guard->ebpf->guarding && pid > 0)
        guarding_shim_gone(guard->ebpf->guarding, (uint32_t)pid);
}

/* Processes that attached in an earlier agent's time, and before the kernel's list was made. */
static void know_shims(struct agent_guard *guard) {
    if (guard->shims_known)
        return;
    guard->shims_known = true;
    guarding_shims_clear(guard->ebpf->guarding);
    for (const struct app *app = guard->apps->first; app; app = app->next)
        for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
            if (app->clients.slot[slot] && app->clients.slot[slot]->vouched)
                shim_known(guard, app->clients.slot[slot]->pid);
}

static void enforce(struct agent_guard *guard) {
    struct guard_line *former = NULL;
    size_t former_count = guard->plan.lines_count;
    if (guard_plan_open(&guard->plan) < 0)
        return;
    if (former_count && (former = malloc(former_count * sizeof *former)) != NULL)
        memcpy(former, guard->plan.lines, former_count * sizeof *former);
    bool wanted = guard_plan_make(&guard->plan);
    if (guard->ebpf->guarding && (wanted || guard->serving || !guard->shims_known)) {
        know_shims(guard);
        report_error(guard, guarding_apply(guard->ebpf->guarding, &guard->plan.wanted));
    }
    report_changes(guard, former, former ? former_count : 0);
    free(former);
    guard->serving = wanted;
    guard->enforced_ns = loop_now_ns();
}

/* ----------------------------------------------------------------------------------------------------------- looking
 */

struct reading { /* a view that the worker reads */
    struct work work;
    struct agent_guard *guard;
    struct guard_wish wish;
    struct guard_view view;
};

static void reading_run(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    guard_view_read(&reading->wish, &reading->view);
}

static void reading_done(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    struct agent_guard *guard = reading->guard;
    guard_view_clear(&guard->plan.view);
    guard->plan.view = reading->view;
    reading->view = (struct guard_view){0};
    guard->reading = false;
    enforce(guard);
}

static void reading_drop(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    guard_wish_clear(&reading->wish);
    guard_view_clear(&reading->view);
    free(reading);
}

/* Has a new view read, unless that goes on already or was done just now: many edits in a short time are no reason to
 * walk through all descriptors of the host many times.  False: there is nothing to be read. */
static bool read_view(struct agent_guard *guard) {
    uint64_t now_ns = loop_now_ns();
    struct guard_wish wish;
    bool wanted = guard_plan_wish(&guard->plan, guard->proc, &wish);
    bool lately = guard->plan.view.read && now_ns - guard->plan.view.read_ns < READ_SHARE * guard->plan.view.cost_ns;
    struct reading *reading = wanted && !guard->reading && !lately ? calloc(1, sizeof *reading) : NULL;
    if (!reading) {
        guard_wish_clear(&wish);
        return wanted;
    }
    guard->reading = true;
    *reading = (struct reading){.work = {reading_run, reading_done, reading_drop, NULL}, .guard = guard, .wish = wish};
    worker_ask(guard->worker, &reading->work);
    return true;
}

/* Rules have changed.  Where nothing was enforced a view may be old: then the new one is waited for, and so is the
 * first one of all, until which that of an earlier agent's time stays in force. */
static void rules_changed(struct agent_guard *guard) {
    bool wanted = read_view(guard);
    if (!wanted || (guard->plan.view.read && (guard->serving || !guard->reading)))
        enforce(guard);
}

static void switched(struct agent_guard *guard) {
    for (size_t i = 0; i < guard->plan.wanted.entries_count; i++) {
        const struct app *app = app_find(guard->apps, guard->plan.wanted.entries[i].app);
        guard->plan.wanted.entries[i].off = app && snapshot_is_off(app->memory.rules);
    }
    if (guard->ebpf->guarding && guard->plan.wanted.entries)
        report_error(guard, guarding_apply(guard->ebpf->guarding, &guard->plan.wanted));
}

void guard_take(void *context, const struct bus_event *event) {
    struct agent_guard *guard = context;
    switch (event->kind) {
    case BUS_RULES_CHANGED: rules_changed(guard); break;
    case BUS_APP_OFF:
    case BUS_APP_ON: switched(guard); break;
    case BUS_PROCESS_ADMITTED:
    case BUS_PROCESS_ATTACHED:
    case BUS_PROCESS_FOUND:
        if (event->process.vouched) /* the memory of an app may name any process */
            shim_known(guard, event->process.pid);
        break;
    case BUS_PROCESS_LEFT:
    case BUS_PROCESS_GONE: shim_gone(guard, event->process.pid); break;
    case BUS_MEMORY_CLOSED: memory_closed(guard, event->memory.counters); break;
    case BUS_APP_CLOSED: app_closed(guard, event->app); break;
    default: break;
    }
}

void guard_tick(struct agent_guard *guard, uint64_t now_ns) {
    const struct guard_view *view = &guard->plan.view;
    uint64_t pause_ns = view->cost_ns * LOOK_SHARE;
    if (guard->ebpf->guarding) {
        guarding_beat(guard->ebpf->guarding);
        for (size_t i = 0; i < guard->plan.lines_count; i++)
            if (guard->plan.lines[i].app && guard->plan.lines[i].entry)
                take_counts(guard, &guard->plan.lines[i]);
        give_back_pending(guard);
    }
    bool due = now_ns - guard->enforced_ns + LOOK_NS / 10 >= (pause_ns > LOOK_NS ? pause_ns : LOOK_NS);
    if (guard->serving && due && !read_view(guard))
        enforce(guard); /* programs and cgroups of callers may be others now */
}

void guard_close(struct agent_guard *guard) {
    for (size_t i = 0; i < guard->counters_count; i++)
        forget_engine(&guard->counters[i]);
    free(guard->counters);
    guard->counters = NULL;
    guard->counters_count = 0;
    guard_plan_close(&guard->plan);
}

void guard_open(struct agent_guard *guard, const struct agent_guard *given) {
    *guard = *given;
    guard->plan = (struct guard_plan){.ebpf = given->ebpf, .apps = given->apps};
}

/* ----------------------------------------------------------------------------------------------------------- report */

static void add_unenforced(const struct app *app, struct json_writer *w) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    bool any = false;
    for (uint32_t i = 0, n = 0; ruleset && i < ruleset_head(ruleset)->rules_count && n < UNENFORCED_MAX; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        const char *why = rule->mode == MODE_OFF ? NULL : guard_rules_why_not(ruleset, rule);
        if (!why)
            continue;
        if (!any)
            json_open_list(w, "unenforced");
        any = true;
        json_open(w, NULL);
        json_text(w, "rule", ruleset_text(ruleset, rule->id));
        json_text(w, "why", why);
        json_close(w);
        n++;
    }
    if (any)
        json_close_list(w);
}

static void add_line(const struct guard_line *line, struct json_writer *w) {
    static const char *const by[] = {[BUS_BY_KERNEL] = "kernel", [BUS_BY_SHIM] = "shim", [BUS_BY_NOTHING] = "nobody"};
    json_open(w, NULL);
    json_text(w, "resource", line->resource);
    json_text(w, "by", by[line->by]);
    json_text(w, "why", line->by == BUS_BY_NOTHING ? line->why : "");
    json_integer(w, "pid", line->pid);
    json_count(w, "active", line->active);
    json_count(w, "left_out", line->left_out);
    json_close(w);
}

void guard_report(const struct agent_guard *guard, const struct app *app, struct json_writer *w) {
    bool any = false, without_shim = false;
    for (size_t i = 0; i < guard->plan.lines_count; i++) {
        const struct guard_line *line = &guard->plan.lines[i];
        if (line->app != app)
            continue;
        if (!any)
            json_open_list(w, "guard");
        any = true;
        add_line(line, w);
        without_shim |= line->by != BUS_BY_SHIM;
    }
    if (any)
        json_close_list(w);
    if (without_shim)
        add_unenforced(app, w);
}
