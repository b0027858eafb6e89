/* How much CPU an app uses of what it could use. */
#ifndef WEIR_AGENT_APPS_APP_CPU_H
#define WEIR_AGENT_APPS_APP_CPU_H

#include "agent/apps/app.h"
#include "agent/process/cpu.h"

/* Since the call before, 0…1; < 0: unknown, or no rule asks.  Right behind cpu_sample(): of that time. */
double app_cpu_sample(struct app *, const struct cpu *);

#endif
