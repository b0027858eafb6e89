/* The subscriber that logs events: what happens at once, rejections summed up (metrics/blocked.h). */
#ifndef WEIR_AGENT_METRICS_EVENT_LOG_H
#define WEIR_AGENT_METRICS_EVENT_LOG_H

#include "agent/core/bus.h"
#include "agent/core/log.h"
#include "agent/metrics/blocked.h"

struct event_log {
    struct log log;
    struct blocked blocked;
    struct event_gate gate;
};

void event_log_open(struct event_log *, const struct log *);
void event_log_close(struct event_log *);                     /* after the sums that are not reported yet */
void event_log_take(void *context, const struct bus_event *); /* `context` is the struct event_log */

#endif
