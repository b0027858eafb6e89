/* Events of the bus in words, one line each: the only place that words them. */
#ifndef WEIR_AGENT_METRICS_EVENT_TEXT_H
#define WEIR_AGENT_METRICS_EVENT_TEXT_H

#include <stddef.h>

#include "agent/core/bus.h"
#include "agent/core/log.h"

/* The line, cut to `size`, and its level; 0: this event has no line.  Pure. */
size_t event_text(const struct bus_event *, char *text, size_t size, enum log_level *ret_level);
/* A state that a process wrote down, without app and process.  Pure.  Returns its length. */
size_t event_text_state(const struct layout_event *, const char *resource, char *text, size_t size);

/* The subscriber that logs them; `context` is the struct log. */
void event_text_log(void *context, const struct bus_event *);

#endif
