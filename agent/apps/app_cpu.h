/* How much CPU an app uses of what it could use: what rules go by that shed load by CPU (agent/process/saturation.h).
 */
#ifndef WEIR_AGENT_APPS_APP_CPU_H
#define WEIR_AGENT_APPS_APP_CPU_H

#include "agent/apps/app.h"

struct app_cpu_figures { /* of the last look; each < 0: unknown */
    double saturation;   /* 0…1 */
    double used, could;  /* CPUs */
    double cpus_used;    /* of the time of the CPUs that it may use, by all programs, 0…1 */
    uint32_t hidden;     /* processes that /proc does not show to this agent */
};

/* Since the call before, 0…1; < 0: unknown, or no rule asks.  It is the agent's only call that reads /proc at
 * intervals: a few files of each process that is attached. */
double app_cpu_sample(struct app *, uint64_t now_ns);
/* NULL: no rule asks, or it was not looked at yet. */
const struct app_cpu_figures *app_cpu_figures(const struct app *);
/* Does a rule of the ruleset go by it? */
bool app_cpu_wanted(const void *ruleset);
void app_cpu_close(struct app *);

#endif
