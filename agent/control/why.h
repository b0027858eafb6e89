/* {"cmd":"why","id"}: what is known of one rejection, by the id that its client was given. */
#ifndef WEIR_AGENT_CONTROL_WHY_H
#define WEIR_AGENT_CONTROL_WHY_H

#include "agent/control/sources.h"
#include "agent/core/json_writer.h"

/* Adds all that is known, or an "error" that says why nothing is. */
void why_answer(const struct control_sources *, const char *id, struct json_writer *);

#endif
