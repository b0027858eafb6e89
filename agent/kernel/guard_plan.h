/* What the kernel is to enforce, worked out from the rules in force, the listening sockets and who holds them. */
#ifndef WEIR_AGENT_GUARD_PLAN_H
#define WEIR_AGENT_GUARD_PLAN_H

#include <stdbool.h>

struct agent;
struct agent_guard;

int guard_plan_open(struct agent_guard *); /* room for a plan: 0 or -ENOMEM */
void guard_plan_close(struct agent_guard *);
/* Makes the plan anew.  False: nothing is to be enforced, and nothing had to be looked for. */
bool guard_plan_make(struct agent *);

#endif
