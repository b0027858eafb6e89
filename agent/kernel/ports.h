/* What the kernel programs have counted, as control.sock answers it; and a look at each app every few seconds whether
 * its shim sees what the kernel sees. */
#ifndef WEIR_AGENT_PORTS_H
#define WEIR_AGENT_PORTS_H

struct agent;
struct cJSON;

/* Adds the members "namespace", "rows", "listeners", or "why" if nothing is counted (see agent.h). */
void ports_answer(const struct agent *, struct cJSON *root);

/* Once a second: where the table of rows gets full, those that are dead make room. */
void ports_tick(struct agent *);

#endif
