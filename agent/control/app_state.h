/* What is to be said of an app beside every figure of it: whether its rules are those of its files, and enforced. */
#ifndef WEIR_AGENT_CONTROL_APP_STATE_H
#define WEIR_AGENT_CONTROL_APP_STATE_H

#include <stdbool.h>

#include "agent/apps/app.h"
#include "agent/core/json_writer.h"

/* The rules in force are older than the files, because a file has errors or names another app now, the files contradict
 * each other, or the newest rules could not be written. */
bool app_state_is_stale(const struct app *);
/* Adds "overload", what its overload protection reported last, while an episode lasts. */
void app_state_overload(const struct app *, struct json_writer *);
/* Adds "app", "off", "stale", "rules", "rules_simulated" and "rules_unmet" (how many, how many of them in mode
 * simulate, and how many that no traffic has met), and "overload". */
void app_state_report(const struct app *, struct json_writer *);

#endif
