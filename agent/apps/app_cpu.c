#include "agent/apps/app_cpu.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/apps/cpu_room.h"
#include "agent/apps/process_use.h"
#include "agent/process/saturation.h"
#include "rules/atomic.h"
#include "rules/rule.h"
#include "rules/ruleset.h"

static const uint64_t SERVED_NS = 1000000000u; /* a process that was not seen for so long does not serve */
static const uint64_t AT_LEAST_NS = 50000000u; /* between two looks: less says nothing, as the kernel counts in ticks */
static const uint64_t AT_MOST_NS = 10000000000u; /* an older look is of another time */
static const uint64_t CGROUP_NS = 2000000000u;   /* between two looks at which cgroups a process is in */

struct app_cpu {
    uint64_t looked_ns;
    struct app_cpu_figures figures;
    struct cpu_room room;
    struct process_use use[LAYOUT_PROCESSES];
    struct {
        uint64_t cgroups, read_ns; /* cpu_room_hash() of the process, and when */
    } place[LAYOUT_PROCESSES];
};

struct look { /* what one look finds */
    struct process_use_look process;
    uint64_t engine_now_ns;
    double used, serving, wanted;
    double turns; /* of the last that serves, if its threads take turns; else < 0 */
    uint32_t known, serve;
    int pid[LAYOUT_PROCESSES];
    unsigned count;
};

bool app_cpu_wanted(const void *ruleset) {
    const struct rule *rules = ruleset_rules(ruleset);
    for (uint32_t i = 0; i < ruleset_head(ruleset)->rules_count; i++)
        if (rules[i].kind == RULE_ADAPTIVE ||
            (rules[i].kind == RULE_SYSTEM && (rules[i].grade == SYSTEM_CPU || rules[i].grade == SYSTEM_LOAD)))
            return true;
    return false;
}

/* A process that has gone since the last look: its parent's account will show its time. */
static void let_go(struct app_cpu *cpu, uint32_t slot, uint64_t now_ns) {
    struct process_use *gone = &cpu->use[slot];
    for (uint32_t i = 0; gone->parent && i < LAYOUT_PROCESSES; i++)
        if (cpu->use[i].pid == gone->parent)
            process_use_ended(&cpu->use[i], gone, now_ns);
    memset(gone, 0, sizeof *gone);
    memset(&cpu->place[slot], 0, sizeof cpu->place[slot]);
}

static void let_go_all(struct app *app, uint64_t now_ns) {
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++) {
        const struct client *client = app->clients.slot[slot];
        if (app->cpu->use[slot].owner && (!client || client->owner != app->cpu->use[slot].owner))
            let_go(app->cpu, slot, now_ns);
    }
}

static void place(struct app_cpu *cpu, const struct client *client, uint64_t now_ns) {
    uint32_t slot = client->slot;
    if (!cpu->place[slot].cgroups || now_ns - cpu->place[slot].read_ns > CGROUP_NS) {
        cpu->place[slot].cgroups = cpu_room_hash(client->pid);
        cpu->place[slot].read_ns = now_ns;
    }
    cpu->figures.hidden += cpu->place[slot].cgroups == 0;
    cpu_room_add(&cpu->room, client->pid, cpu->place[slot].cgroups, now_ns);
}

static void look_at(struct app *app, const struct client *client, struct look *look) {
    const struct layout_process *process = publish_process(&app->memory, client->slot);
    struct process_use *use = &app->cpu->use[client->slot];
    struct saturation_process figures;
    uint64_t seen_ns = load_relaxed(&process->seen_ns);
    look->process.serves = (int64_t)(look->engine_now_ns - seen_ns) < (int64_t)SERVED_NS;
    bool known = process_use_look(use, client, process, &look->process, &figures);
    look->pid[look->count++] = client->pid;
    place(app->cpu, client, look->process.now_ns);
    if (!known)
        return;
    look->known++;
    look->used += figures.used + use->children;
    double saturation = look->process.serves ? saturation_of_process(&figures) : -1;
    look->serving += saturation >= 0 ? saturation : 0;
    look->serve += saturation >= 0;
    look->turns = saturation >= 0 ? (figures.one_at_a_time ? figures.used : -1) : look->turns;
    look->wanted += look->process.serves && figures.wanted >= 0 ? figures.wanted : 0;
}

static int by_number(const void *a, const void *b) {
    int first = *(const int *)a, second = *(const int *)b;
    return (first > second) - (first < second);
}

static double sum_up(struct app_cpu *cpu, struct look *look) {
    qsort(look->pid, look->count, sizeof *look->pid, by_number);
    struct saturation_app app = {
        .used = look->used,
        .could = cpu_room_size(&cpu->room, look->process.cpus),
        .throttled = cpu_room_throttled(&cpu->room),
        .pressure = cpu_room_pressure(&cpu->room, look->pid, look->count, look->process.passed_ns),
        .serving = look->serve ? look->serving / look->serve : -1,
        .wanted = look->serve ? look->wanted : -1,
        .turns = look->serve == 1 ? look->turns : -1,
    };
    cpu->figures.used = app.used;
    cpu->figures.could = app.could;
    cpu->figures.cpus_used = cpu_room_used(&cpu->room);
    return saturation_of_app(&app);
}

static double look_at_all(struct app *app, uint64_t now_ns, uint64_t passed_ns) {
    struct look look = {.process = {now_ns, passed_ns, (double)sysconf(_SC_NPROCESSORS_ONLN), false},
                        .engine_now_ns = app_engine_now_ns(app)};
    app->cpu->figures = (struct app_cpu_figures){.saturation = -1, .used = -1, .could = -1, .cpus_used = -1};
    let_go_all(app, now_ns);
    cpu_room_begin(&app->cpu->room);
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (app->clients.slot[slot] && app->clients.slot[slot]->pid > 0)
            look_at(app, app->clients.slot[slot], &look);
    double saturation = sum_up(app->cpu, &look);
    return look.known && passed_ns < AT_MOST_NS ? saturation : -1;
}

double app_cpu_sample(struct app *app, uint64_t now_ns) {
    if (!app->by_cpu && !app->inherited) {
        app_cpu_close(app);
        return -1;
    }
    if (!app->cpu)
        app->cpu = calloc(1, sizeof *app->cpu);
    if (!app->cpu)
        return -1;
    uint64_t passed_ns = now_ns - app->cpu->looked_ns;
    if (passed_ns < AT_LEAST_NS)
        return app->cpu->figures.saturation;
    app->cpu->looked_ns = now_ns;
    app->cpu->figures.saturation = look_at_all(app, now_ns, passed_ns);
    return app->cpu->figures.saturation;
}

const struct app_cpu_figures *app_cpu_figures(const struct app *app) {
    return app->cpu && app->by_cpu ? &app->cpu->figures : NULL;
}

void app_cpu_close(struct app *app) {
    free(app->cpu);
    app->cpu = NULL;
}
