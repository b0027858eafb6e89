/* What the agents say of processes, for `weir doctor`. */
#ifndef WEIR_TOOLS_DOCTOR_AGENTS_H
#define WEIR_TOOLS_DOCTOR_AGENTS_H

#include <stdbool.h>

#include "tools/control.h"
#include "tools/doctor/finding.h"

struct doctor_agents {
    struct control_answers status, metrics, ports;
};

/* `run_dir`: that agent alone, or NULL. */
void doctor_agents_ask(const char *run_dir, struct doctor_agents *ret_agents);
void doctor_agents_clear(struct doctor_agents *);

/* Fills in the finding's view and app. */
void doctor_agents_say(const struct doctor_agents *, struct doctor_finding *);

/* Where the kernel has counted connections and the shim none: looks for some seconds which of them count new ones, and
 * corrects view.traffic.  False: there was no such port, and nothing was waited for. */
bool doctor_agents_watch(const struct doctor_agents *before, const char *run_dir, struct doctor *);

#endif
