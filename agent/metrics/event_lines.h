/* The event log as text: a JSON object on a line, {"seq":…,"time":…,"level":…,"kind":…, …}.  What is no such line (torn
 * by a crash, damaged, from elsewhere) is passed over.  Pure. */
#ifndef WEIR_AGENT_METRICS_EVENT_LINES_H
#define WEIR_AGENT_METRICS_EVENT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EVENT_LINE_MAX = 8192 }; /* bytes of a line */

struct event_filter {  /* which lines */
    uint64_t after;    /* with a larger number than this */
    double since;      /* Unix time, and later; 0 = any */
    const char *app;   /* "" = any */
    const char *kinds; /* "circuit,rules": kinds, or what is before their dot; "" = any */
};

struct event_line {
    const char *at; /* without its end of line */
    size_t length;
    uint64_t number;
    double time;
};

/* The next line from `*at` on that is an event, whatever the filter, and moves on behind it.  False: no more. */
bool event_lines_next(const char *text, size_t length, size_t *at, struct event_line *ret_line);
bool event_lines_match(const struct event_line *, const struct event_filter *);

#endif
