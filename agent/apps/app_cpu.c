#include "agent/apps/app_cpu.h"

#include <sched.h>

/* The attached processes' time since the look before; one that is new begins to count now. */
static double used_ticks(struct app *app, cpu_set_t *ret_allowed, pid_t *ret_any) {
    double used = 0;
    CPU_ZERO(ret_allowed);
    *ret_any = 0;
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++) {
        struct client *client = app->clients.slot[slot];
        cpu_set_t allowed;
        uint64_t ticks = client && client->pid ? cpu_process_ticks(client->pid) : 0;
        if (!ticks)
            continue;
        used += client->cpu_ticks && ticks > client->cpu_ticks ? (double)(ticks - client->cpu_ticks) : 0;
        client->cpu_ticks = ticks;
        if (sched_getaffinity(client->pid, sizeof allowed, &allowed) == 0)
            CPU_OR(ret_allowed, ret_allowed, &allowed);
        *ret_any = client->pid;
    }
    return used;
}

double app_cpu_sample(struct app *app, const struct cpu *cpu) {
    cpu_set_t allowed;
    pid_t any;
    if (!app->adaptive && !app->inherited)
        return -1;
    double used = used_ticks(app, &allowed, &any);
    if (!any)
        return -1;
    double cpus = CPU_COUNT(&allowed), quota = cpu_quota(any);
    return cpu_share(cpu, used, quota > 0 && (quota < cpus || cpus == 0) ? quota : cpus);
}
