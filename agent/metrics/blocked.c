#include "agent/metrics/blocked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/hash.h"
#include "rules/rejection_id.h"

struct blocked_row {
    uint64_t key;
    uint64_t count;    /* since it was last reported */
    uint64_t reported; /* Unix time; 0 = never */
    double limit;
    uint64_t interval_ns;
    uint8_t reason, limit_of;
    char app[LAYOUT_APP_NAME_MAX], resource[LAYOUT_RESOURCE_NAME_MAX], rule[41];
    char id[REJECTION_ID_MAX], caller[ADDRESS_TEXT_MAX + 1];
};

static uint64_t key_of(const struct bus_event *event) {
    uint64_t key = hash_bytes(1, event->app, strlen(event->app) + 1);
    key = hash_bytes(key, event->rejections.rule, strlen(event->rejections.rule) + 1);
    return hash_bytes(key, event->rejections.resource, strlen(event->rejections.resource) + 1);
}

static bool is_of(const struct blocked_row *row, uint64_t key, const struct bus_event *event) {
    return row->key == key && strcmp(row->app, event->app) == 0 && strcmp(row->rule, event->rejections.rule) == 0 &&
           strcmp(row->resource, event->rejections.resource) == 0;
}

static struct blocked_row *row_of(struct blocked *blocked, const struct bus_event *event) {
    uint64_t key = key_of(event);
    for (uint32_t i = 0; i < blocked->count; i++)
        if (is_of(&blocked->rows[i], key, event))
            return &blocked->rows[i];
    if (!blocked->rows)
        blocked->rows = calloc(blocked->rows_max, sizeof *blocked->rows);
    if (!blocked->rows || blocked->count == blocked->rows_max)
        return NULL;
    struct blocked_row *row = &blocked->rows[blocked->count++];
    *row = (struct blocked_row){.key = key};
    snprintf(row->app, sizeof row->app, "%s", event->app);
    snprintf(row->resource, sizeof row->resource, "%s", event->rejections.resource);
    snprintf(row->rule, sizeof row->rule, "%s", event->rejections.rule);
    return row;
}

void blocked_add(struct blocked *blocked, const struct bus_event *event) {
    struct blocked_row *row = row_of(blocked, event);
    if (!row) {
        blocked->more += event->rejections.count;
        blocked->more_rules++;
        return;
    }
    row->count += event->rejections.count;
    row->reason = event->rejections.reason;
    if (!event->rejections.example[0])
        return;
    row->limit = event->rejections.limit;
    row->interval_ns = event->rejections.interval_ns;
    row->limit_of = event->rejections.limit_of;
    snprintf(row->id, sizeof row->id, "%s", event->rejections.example);
    snprintf(row->caller, sizeof row->caller, "%s", event->rejections.caller);
}

static void report(const struct blocked *blocked, const struct blocked_row *row, uint64_t second,
                   void (*take)(void *context, const struct bus_event *), void *context) {
    uint64_t since = row->reported ? second - row->reported : 1;
    struct bus_event event = {.kind = BUS_BLOCKED, .app = row->app};
    event.blocked.count = row->count;
    event.blocked.seconds = since && since < UINT32_MAX ? (uint32_t)since : blocked->period_s;
    event.blocked.resource = row->resource;
    event.blocked.rule = row->rule;
    event.blocked.id = row->id;
    event.blocked.caller = row->caller;
    event.blocked.limit = row->limit;
    event.blocked.interval_ns = row->interval_ns;
    event.blocked.reason = row->reason;
    event.blocked.limit_of = row->limit_of;
    take(context, &event);
}

void blocked_due(struct blocked *blocked, uint64_t second, bool all,
                 void (*take)(void *context, const struct bus_event *), void *context) {
    uint32_t lines = 0, kept = 0;
    for (uint32_t i = 0; i < blocked->count; i++) {
        struct blocked_row row = blocked->rows[i];
        bool due = all || !row.reported || second - row.reported >= blocked->period_s; /* a clock set back: due */
        if (row.count && due && lines < blocked->lines_max) {
            report(blocked, &row, second, take, context);
            lines++;
        } else if (row.count && due) {
            blocked->more += row.count;
            blocked->more_rules++;
        }
        if (due && !row.count)
            continue; /* quiet for a period: forgotten, and the next one is reported at once */
        if (due) {
            row.count = 0;
            row.reported = second;
        }
        blocked->rows[kept++] = row;
    }
    blocked->count = kept;
    if (!blocked->more)
        return;
    struct bus_event event = {.kind = BUS_BLOCKED_MORE};
    event.blocked.count = blocked->more;
    event.blocked.rules = blocked->more_rules;
    event.blocked.resource = event.blocked.rule = event.blocked.id = event.blocked.caller = "";
    blocked->more = blocked->more_rules = 0;
    take(context, &event);
}

void blocked_close(struct blocked *blocked) {
    free(blocked->rows);
    blocked->rows = NULL;
    blocked->count = 0;
}

bool event_gate_passes(struct event_gate *gate) {
    if (gate->passed >= EVENT_GATE_MOST) {
        gate->left_out++;
        return false;
    }
    gate->passed++;
    return true;
}

void event_gate_next(struct event_gate *gate, void (*take)(void *context, const struct bus_event *), void *context) {
    struct bus_event event = {.kind = BUS_EVENTS_LEFT_OUT, .count = gate->left_out};
    *gate = (struct event_gate){0};
    if (event.count)
        take(context, &event);
}
