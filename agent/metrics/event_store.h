/* The event log on disk: JSON lines (metrics/event_lines.h) in events.jsonl, and in events.1.jsonl what was before, of
 * bounded size.  An agent killed at any moment leaves at most one torn line, which the next one closes and readers pass
 * over; numbers go on where they were. */
#ifndef WEIR_AGENT_METRICS_EVENT_STORE_H
#define WEIR_AGENT_METRICS_EVENT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/bus.h"
#include "agent/core/json_writer.h"
#include "agent/metrics/blocked.h"
#include "agent/metrics/event_lines.h"

#define EVENT_STORE_FILE "events.jsonl"
#define EVENT_STORE_BEFORE "events.1.jsonl"
enum { EVENT_STORE_BYTES = 4 << 20 }; /* of each of the two files, at most */

struct event_store {
    int directory;         /* descriptor, not owned; -1: there is no log */
    const struct bus *bus; /* where a log that cannot be written is reported; or NULL */
    uint64_t size_max;     /* of each file, bytes */
    int fd;                /* -1: not open */
    uint64_t size, last;   /* of the file; number of the last event */
    bool torn;             /* the file ends within a line */
    uint64_t error_ns;     /* when it was last said that it cannot be written */
    struct blocked blocked;
    struct event_gate gate;
};

/* Opens the log in that folder, closes a torn line, and goes on with its numbers. */
void event_store_open(struct event_store *, int directory, const struct bus *, uint64_t size_max);
void event_store_close(struct event_store *); /* after the sums that are not written yet */
/* The subscriber: a line for each event, rejections summed up.  `context` is the struct event_store. */
void event_store_take(void *context, const struct bus_event *);

/* Writes "events", the newest `most` lines (0 = all) that the filter wants, oldest first, and "last", the number of the
 * newest of all, into an open object.  By any thread: of the store it looks at `directory` alone. */
void event_store_read(const struct event_store *, const struct event_filter *, uint64_t most, struct json_writer *);

#endif
