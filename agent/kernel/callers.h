/* Rules that name callers of this host (unit:, comm:, uid:): the kernel programs that know them are attached while any
 * app has such a rule. */
#ifndef WEIR_AGENT_CALLERS_H
#define WEIR_AGENT_CALLERS_H

#include <stdbool.h>

struct agent;
struct app;
struct cJSON;

void callers_update(struct agent *); /* rules have changed */
/* Adds "callers":"known", or why they are not, to an app whose rules ask for them. */
void callers_report(const struct agent *, const struct app *, struct cJSON *object);

#endif
