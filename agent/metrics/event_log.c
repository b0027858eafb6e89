#include "agent/metrics/event_log.h"

#include "agent/metrics/event_record.h"

enum { PERIOD_S = 10, LINES_A_SECOND = 10, ROWS = 256 };

void event_log_open(struct event_log *event_log, const struct log *log) {
    *event_log = (struct event_log){.log = *log,
                                    .blocked = {.period_s = PERIOD_S, .lines_max = LINES_A_SECOND, .rows_max = ROWS}};
}

static void say(void *context, const struct bus_event *event) {
    struct event_log *event_log = context;
    struct event_record record;
    if (event_record_make(event, &record) && event_gate_passes(&event_log->gate))
        event_record_log(&record, &event_log->log);
}

void event_log_take(void *context, const struct bus_event *event) {
    struct event_log *event_log = context;
    if (event->kind == BUS_REJECTIONS)
        blocked_add(&event_log->blocked, event);
    else if (event->kind == BUS_SECOND) {
        event_gate_next(&event_log->gate, say, event_log);
        blocked_due(&event_log->blocked, event->second, false, say, event_log);
    } else {
        say(event_log, event);
    }
}

void event_log_close(struct event_log *event_log) {
    blocked_due(&event_log->blocked, 0, true, say, event_log);
    blocked_close(&event_log->blocked);
}
