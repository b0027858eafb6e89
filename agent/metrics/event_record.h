/* An event of the bus as a record: what the log, the journal and the event log say of it, out of one table. */
#ifndef WEIR_AGENT_METRICS_EVENT_RECORD_H
#define WEIR_AGENT_METRICS_EVENT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/bus.h"
#include "agent/core/json_writer.h"
#include "agent/core/log.h"
#include "agent/metrics/event_text.h"

struct event_record {
    const char *kind;       /* "rules.published"; what is before the dot is its group */
    const char *message_id; /* for the journal */
    enum log_level level;
    /* "" = none.  Valid as long as the event. */
    const char *app, *resource, *rule, *reason, *id, *caller, *file;
    uint64_t count, pid, version; /* 0 = none; version: of the rules */
    const char *episode, *mode;   /* of overload protection: "began", "goes-on", "over"; "simulate"; "" = none */
    /* What it measured, < 0 = none: as struct episode has it. */
    double wait_ms, rejected, goodput, goodput_before, lasted_s, cpu;
    bool bare; /* `text` names its place by itself: no app before it */
    char text[EVENT_TEXT_MAX];
    char rule_room[48];
};

/* Is it a kind, or a group of them?  `text` is not terminated. */
bool event_record_is_kind(const char *text, size_t length);
/* All groups, with commas between them. */
size_t event_record_groups(char *text, size_t size);

/* False: this event is nothing for people.  Pure. */
bool event_record_make(const struct bus_event *, struct event_record *ret_record);
/* Its line in a log, "app: text". */
size_t event_record_line(const struct event_record *, char *line, size_t size);
/* Its members, within an open object. */
void event_record_json(const struct event_record *, struct json_writer *);
/* A line with its fields: WEIR_KIND, WEIR_APP, … */
void event_record_log(const struct event_record *, const struct log *);

#endif
