/* The rules of an app: its files' fragments joined and published, and when those before stay in force instead. */
#ifndef WEIR_AGENT_APPS_APP_RULES_H
#define WEIR_AGENT_APPS_APP_RULES_H

#include "agent/apps/app.h"

/* Joins and publishes, if a fragment changed. */
void app_rules_update(struct app *);
/* Once a second: what has to be tried again, and what need not be held any more. */
void app_rules_tick(struct app *, uint64_t now_ns);
/* The file whose rules are in force, and which names another app by now, or none; NULL: there is none. */
const struct rule_file *app_rules_renamed(const struct app *);

#endif
