#include "agent/metrics/events.h"

#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "rules/engine/engine.h"

static const char *const STATES[] = {"none", "closed", "half-open", "open"};

static const char *state(uint8_t number) {
    return STATES[number < sizeof STATES / sizeof *STATES ? number : 0];
}

size_t events_text(char *text, size_t size, const struct layout_event *e, const char *resource) {
    char rule[sizeof e->rule_id + 1] = "";
    int length;
    memcpy(rule, e->rule_id, sizeof e->rule_id);
    switch (e->kind) {
    case EVENT_CIRCUIT:
        length = snprintf(text, size, "circuit of %s (rule %s): %s -> %s at %g", resource, rule, state(e->from),
                          state(e->to), e->value);
        break;
    case EVENT_ADAPTIVE:
        length = snprintf(text, size, "adaptive protection (rule %s): %s, %g", rule,
                          e->to == 0     ? "over"
                          : e->from == 0 ? "began"
                                         : "goes on",
                          e->value);
        break;
    case EVENT_SYSTEM:
        length = snprintf(text, size, "system protection (rule %s): %s, %g", rule, e->to ? "rejects" : "over",
                          e->value);
        break;
    case EVENT_BUDGET:
        length = snprintf(text, size, "the budget of resources is used up: new names count as {other}");
        break;
    case EVENT_SIBLINGS:
        length = snprintf(text, size, "more than %g names beside each other: new ones count as %s", e->value, resource);
        break;
    case EVENT_CROWDED:
        length = snprintf(text, size,
                          "a request counts for %g resources at most: %s is in more groups, the last are left out",
                          e->value, resource);
        break;
    case EVENT_CELLS_FULL:
        length = snprintf(text, size, "no room for rule %s on %s: it is not enforced there", rule, resource);
        break;
    default: length = snprintf(text, size, "event %u of rule %s on %s", e->kind, rule, resource);
    }
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

void events_begin(struct app *app) {
    app->event_seen = __atomic_load_n(&app->memory.counters->event_next, __ATOMIC_ACQUIRE);
}

static bool take(const struct app *app, uint64_t number, struct layout_event *ret_event) {
    struct layout_event *slot = &publish_events(&app->memory)[number % LAYOUT_EVENTS];
    return publish_copy_slot(slot, &slot->sequence, number, ret_event, sizeof *ret_event);
}

static void tell(const struct app *app, const struct layout_event *event) {
    char text[512];
    const char *resource = event->resource < app->metrics.count ? app->metrics.resources[event->resource].name
                                                                : "a new resource";
    events_text(text, sizeof text, event, resource);
    agent_say(app->agent, AGENT_LOG_WARNING, "%s: process %u: %s", app->name, event->pid, text);
}

/* A slot whose number was drawn but which is not written yet is waited for until the next look: its writer may have
 * been killed. */
void events_tell(struct app *app) {
    uint64_t next = __atomic_load_n(&app->memory.counters->event_next, __ATOMIC_ACQUIRE);
    struct layout_event event;
    if (next < app->event_seen || next - app->event_seen > LAYOUT_EVENTS) { /* scribbled on, or too many at once */
        uint64_t lost = next > app->event_seen ? next - app->event_seen - LAYOUT_EVENTS : 0;
        if (lost)
            agent_say(app->agent, AGENT_LOG_WARNING, "%s: %llu events came too fast to be told", app->name,
                      (unsigned long long)lost);
        app->event_seen = next > LAYOUT_EVENTS ? next - LAYOUT_EVENTS : 0;
    }
    for (; app->event_seen < next; app->event_seen++) {
        if (take(app, app->event_seen, &event))
            tell(app, &event);
        else if (app->event_gap != app->event_seen + 1) {
            app->event_gap = app->event_seen + 1;
            break;
        }
    }
}
