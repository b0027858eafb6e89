#include "agent/kernel/guard.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/kernel/guard_plan.h"
#include "agent/kernel/guard_rules.h"
#include "agent/process/half_open.h"
#include "agent/internal.h"
#include "ebpf/ebpf.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

static const uint64_t LOOK_NS = 1000000000u, TELL_NS = 60ull * 1000000000u;
enum { LOOK_SHARE = 50 }; /* of the agent's time at most one part in so many goes into looking for listeners */
enum { UNENFORCED_MAX = 64 };

/* ---------------------------------------------------------------------------------------------------------- figures */

static void forget_engine(struct guard_counters *counters) {
    if (counters->engine)
        munmap(counters->engine, engine_memory_size());
    *counters = (struct guard_counters){0};
}

/* An engine that only counts; of its memory a few pages are touched. */
static struct engine *engine_of(struct agent_guard *guard, struct layout_counters_header *counters) {
    for (size_t i = 0; i < guard->counters_count; i++)
        if (guard->counters[i].counters == counters)
            return guard->counters[i].engine;
    struct guard_counters *more = reallocarray(guard->counters, guard->counters_count + 1, sizeof *more);
    if (!more)
        return NULL;
    guard->counters = more;
    void *memory = mmap(NULL, engine_memory_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct engine *engine = engine_new(memory, counters, UINT32_MAX);
    guard->counters[guard->counters_count++] = (struct guard_counters){counters, engine};
    return engine;
}

void guard_memory_gone(struct agent *agent, const struct layout_counters_header *counters) {
    struct agent_guard *guard = &agent->guard;
    for (size_t i = 0; i < guard->counters_count; i++)
        if (guard->counters[i].counters == counters) {
            forget_engine(&guard->counters[i]);
            guard->counters[i] = guard->counters[--guard->counters_count];
            return;
        }
}

void guard_app_gone(const struct app *app) {
    struct agent_guard *guard = &app->agent->guard;
    for (size_t i = 0; i < guard->lines_count; i++)
        if (guard->lines[i].app == app)
            guard->lines[i].app = NULL;
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

static void take_figures(struct agent *agent, struct guard_line *line) {
    const struct guarding_entry *entry = &agent->guard.plan.entries[line->entry - 1];
    struct app *app = line->app;
    struct guarding_counts counts;
    if (entry->guard == UINT32_MAX)
        return;
    struct engine *engine = engine_of(&agent->guard, app->memory.counters);
    if (!engine)
        return;
    guarding_take(agent->ebpf->guarding, entry->guard, &counts);
    uint32_t resource = engine_resource(engine, line->resource, strlen(line->resource),
                                        entry->side == GUARD_INBOUND ? SIDE_INBOUND : SIDE_OUTBOUND);
    engine_count_elsewhere(engine, resource, counts.passed, counts.refused, counts.simulated);
    count_hits(engine, app, resource, &counts);
    line->active = counts.active;
    line->pending = counts.pending;
    if (resource < app->metrics.count)
        app->metrics.resources[resource].in_flight += counts.active;
}

/* -------------------------------------------------------------------------------------------- what never came about */

static uint32_t coming(const struct agent_guard *guard, const struct guard_line *line, const struct half_open *list,
                       size_t count) {
    uint32_t found = 0;
    for (size_t p = 0; p < guard->plan.places_count; p++) {
        const struct guard_place *place = &guard->places[p].place;
        if (guard->places[p].entry != line->entry)
            continue;
        for (size_t i = 0; i < count; i++)
            found += place->side == GUARD_OUTBOUND
                         ? list[i].outbound && list[i].remote_port == place->port &&
                               memcmp(list[i].remote, place->address, sizeof place->address) == 0
                         : !list[i].outbound && list[i].local_port == place->port;
    }
    return found;
}

/* Who was let in and then went away before the connection was established keeps a place among those in flight.  What
 * the kernel has not known of at two looks in a row is given back. */
static void give_back_pending(struct agent *agent) {
    struct agent_guard *guard = &agent->guard;
    struct half_open *list = NULL;
    size_t count = 0;
    bool any = false;
    for (size_t i = 0; i < guard->lines_count; i++)
        any |= guard->lines[i].entry && guard->lines[i].pending;
    if (any && half_open_read(&list, &count) < 0)
        return;
    for (size_t i = 0; i < guard->lines_count; i++) {
        struct guard_line *line = &guard->lines[i];
        uint32_t there = line->entry && line->pending ? coming(guard, line, list, count) : 0;
        uint32_t excess = line->entry && line->pending > there ? line->pending - there : 0;
        uint32_t lost = excess < line->excess ? excess : line->excess;
        line->excess = excess - lost;
        if (lost)
            guarding_forget_pending(agent->ebpf->guarding, guard->plan.entries[line->entry - 1].guard, lost);
    }
    free(list);
}

/* ------------------------------------------------------------------------------------------------------------ rules */

static void tell_error(struct agent *agent, int error) {
    uint64_t now_ns = loop_now_ns();
    if (!error || (agent->guard.told_ns && now_ns - agent->guard.told_ns < TELL_NS))
        return;
    agent->guard.told_ns = now_ns;
    agent_say(agent, AGENT_LOG_ERROR, "limits for programs without a shim: %s; not all of them are in force",
              strerror(-error));
}

static const char *by_word(enum guard_by by) {
    return by == GUARD_BY_KERNEL ? "kernel" : by == GUARD_BY_SHIM ? "shim" : "nobody";
}

static void keep_counts(struct guard_line *line, const struct guard_line *before) {
    line->active = before->active;
    line->pending = before->pending;
    line->excess = before->excess;
}

static void tell_changes(struct agent *agent, const struct guard_line *former, size_t former_count) {
    struct agent_guard *guard = &agent->guard;
    for (size_t i = 0; i < guard->lines_count; i++) {
        const struct guard_line *line = &guard->lines[i], *before = NULL;
        for (size_t k = 0; k < former_count; k++)
            if (former[k].app == line->app && strcmp(former[k].resource, line->resource) == 0)
                before = &former[k];
        if (before)
            keep_counts(&guard->lines[i], before);
        if (before && before->by == line->by)
            continue;
        agent_say(agent, line->by == GUARD_BY_NOBODY ? AGENT_LOG_WARNING : AGENT_LOG_INFO,
                  "%s: %s is limited by %s%s%s", line->app->name, line->resource,
                  line->by == GUARD_BY_KERNEL ? "the kernel, for programs without a shim"
                  : line->by == GUARD_BY_SHIM ? "the shim"
                                              : "nobody",
                  line->by == GUARD_BY_NOBODY ? ": " : "", line->by == GUARD_BY_NOBODY ? line->why : "");
    }
}

/* Processes that attached in an earlier agent's time, and before the kernel's list was made. */
static void know_shims(struct agent *agent) {
    if (agent->guard.shims_known)
        return;
    agent->guard.shims_known = true;
    guarding_shims_clear(agent->ebpf->guarding);
    for (const struct app *app = agent->apps; app; app = app->next)
        for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
            if (app->clients.slot[slot])
                guard_shim(agent, app->clients.slot[slot]->pid);
}

static void look(struct agent *agent) {
    struct agent_guard *guard = &agent->guard;
    uint64_t began_ns = loop_now_ns();
    struct guard_line *former = NULL;
    size_t former_count = guard->lines_count;
    if (guard_plan_open(guard) < 0)
        return;
    if (former_count && (former = malloc(former_count * sizeof *former)) != NULL)
        memcpy(former, guard->lines, former_count * sizeof *former);
    bool wanted = guard_plan_make(agent);
    if (agent->ebpf->guarding && (wanted || guard->serving || !guard->shims_known)) {
        know_shims(agent);
        tell_error(agent, guarding_apply(agent->ebpf->guarding, &guard->plan));
    }
    tell_changes(agent, former, former ? former_count : 0);
    free(former);
    guard->serving = wanted;
    guard->look_ns = loop_now_ns();
    guard->look_cost_ns = guard->look_ns - began_ns;
}

void guard_update(struct agent *agent) {
    if (agent->ebpf)
        look(agent);
}

void guard_switched(struct agent *agent) {
    struct agent_guard *guard = &agent->guard;
    for (size_t i = 0; i < guard->plan.entries_count; i++) {
        const struct app *app = app_find(agent, guard->plan.entries[i].app);
        guard->plan.entries[i].off = app && snapshot_is_off(app->memory.rules);
    }
    if (agent->ebpf && agent->ebpf->guarding && guard->plan.entries)
        tell_error(agent, guarding_apply(agent->ebpf->guarding, &guard->plan));
}

void guard_tick(struct agent *agent, uint64_t now_ns) {
    struct agent_guard *guard = &agent->guard;
    if (!agent->ebpf)
        return;
    uint64_t pause_ns = guard->look_cost_ns * LOOK_SHARE;
    if (agent->ebpf->guarding) {
        guarding_beat(agent->ebpf->guarding);
        for (size_t i = 0; i < guard->lines_count; i++)
            if (guard->lines[i].app && guard->lines[i].entry)
                take_figures(agent, &guard->lines[i]);
        give_back_pending(agent);
    }
    if (guard->serving && now_ns - guard->look_ns + LOOK_NS / 10 >= (pause_ns > LOOK_NS ? pause_ns : LOOK_NS))
        look(agent);
}

void guard_close(struct agent *agent) {
    struct agent_guard *guard = &agent->guard;
    for (size_t i = 0; i < guard->counters_count; i++)
        forget_engine(&guard->counters[i]);
    free(guard->counters);
    guard->counters = NULL;
    guard->counters_count = 0;
    guard_plan_close(guard);
}

/* ------------------------------------------------------------------------------------------------------------ shims */

void guard_shim(struct agent *agent, pid_t pid) {
    char path[64];
    struct stat status;
    if (!agent->ebpf || !agent->ebpf->guarding || pid <= 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    guarding_shim(agent->ebpf->guarding, (uint32_t)pid, stat(path, &status) == 0 ? status.st_ino : 0);
}

void guard_shim_gone(struct agent *agent, pid_t pid) {
    if (agent->ebpf && agent->ebpf->guarding && pid > 0)
        guarding_shim_gone(agent->ebpf->guarding, (uint32_t)pid);
}

/* ----------------------------------------------------------------------------------------------------------- report */

static void add_unenforced(cJSON *object, const struct app *app) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    cJSON *list = NULL;
    for (uint32_t i = 0, n = 0; ruleset && i < ruleset_head(ruleset)->rules_count && n < UNENFORCED_MAX; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        const char *why = rule->mode == MODE_OFF ? NULL : guard_rules_why_not(ruleset, rule);
        if (!why)
            continue;
        if (!list)
            list = cJSON_AddArrayToObject(object, "unenforced");
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "rule", ruleset_text(ruleset, rule->id));
        cJSON_AddStringToObject(one, "why", why);
        cJSON_AddItemToArray(list, one);
        n++;
    }
}

void guard_report(const struct agent *agent, const struct app *app, cJSON *object) {
    const struct agent_guard *guard = &agent->guard;
    cJSON *list = NULL;
    bool without_shim = false;
    for (size_t i = 0; i < guard->lines_count; i++) {
        const struct guard_line *line = &guard->lines[i];
        if (line->app != app)
            continue;
        if (!list)
            list = cJSON_AddArrayToObject(object, "guard");
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "resource", line->resource);
        cJSON_AddStringToObject(one, "by", by_word(line->by));
        cJSON_AddStringToObject(one, "why", line->by == GUARD_BY_NOBODY ? line->why : "");
        cJSON_AddNumberToObject(one, "pid", line->pid);
        cJSON_AddNumberToObject(one, "active", line->active);
        cJSON_AddNumberToObject(one, "left_out", line->left_out);
        cJSON_AddItemToArray(list, one);
        without_shim |= line->by != GUARD_BY_SHIM;
    }
    if (without_shim)
        add_unenforced(object, app);
}
