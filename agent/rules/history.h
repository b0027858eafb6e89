/* The versions of every app's rules that were in force in this agent's time: a subscriber of the bus. */
#ifndef WEIR_AGENT_RULES_HISTORY_H
#define WEIR_AGENT_RULES_HISTORY_H

#include "agent/core/bus.h"
#include "agent/rules/rule_dir.h"
#include "agent/rules/versions.h"

struct history {
    const struct rule_dir *rules; /* which knows whose the files are */
    struct history_app *first;
};

/* Adds what BUS_RULES_PUBLISHED and BUS_RULES_TAKEN_UP say; forgets an app that is closed.  `context` is the struct
 * history. */
void history_take(void *context, const struct bus_event *);
/* NULL: that app has published nothing. */
const struct versions *history_of(const struct history *, const char *app);
void history_close(struct history *);

#endif
