/* Rejections summed up for people: the first of each rule and resource at once, then one sum in a period, and never
 * more than so many lines a second; what is beyond that is one line with the total.  Clients choose how many rejections
 * there are, and of how many resources: memory and output are bounded.
 *
 * Time is a parameter.  Of the loop's thread only. */
#ifndef WEIR_AGENT_METRICS_BLOCKED_H
#define WEIR_AGENT_METRICS_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/bus.h"

struct blocked_row;

struct blocked {
    uint32_t period_s;        /* between two sums of a rule and resource */
    uint32_t lines_max;       /* at a time */
    uint32_t rows_max;        /* rules and resources that are kept apart */
    struct blocked_row *rows; /* NULL until there is one, or without memory */
    uint32_t count;
    uint64_t more;       /* rejections that got no row or no line */
    uint32_t more_rules; /* of so many rules and resources, counted once a second each */
};

/* Adds a BUS_REJECTIONS. */
void blocked_add(struct blocked *, const struct bus_event *);
/* Once a second: gives `take` a BUS_BLOCKED for each sum that is due at this Unix time, then, if need be, a
 * BUS_BLOCKED_MORE.  `all`: whatever there is, as this is the end. */
void blocked_due(struct blocked *, uint64_t second, bool all, void (*take)(void *context, const struct bus_event *),
                 void *context);
void blocked_close(struct blocked *);

/* So many events of any kind in a second, and how many were left out. */
struct event_gate {
    uint32_t passed;
    uint64_t left_out;
};
enum { EVENT_GATE_MOST = 200 };
bool event_gate_passes(struct event_gate *);
/* A second has ended: gives `take` a BUS_EVENTS_LEFT_OUT if there is need of one. */
void event_gate_next(struct event_gate *, void (*take)(void *context, const struct bus_event *), void *context);

#endif
