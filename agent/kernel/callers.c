#include "agent/kernel/callers.h"

#include "ebpf/calling.h"
#include "rules/ruleset.h"

static bool asks(const struct app *app) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    return ruleset && ruleset_head(ruleset)->options.local_callers;
}

static void report_unknown(const struct callers *callers, const struct app *app, const char *why, int error) {
    struct bus_event event = {.kind = BUS_CALLERS_UNKNOWN, .app = app ? app->name : NULL, .error = error};
    event.why = why;
    bus_publish(callers->bus, &event);
}

static void update(struct callers *callers) {
    const struct app *first = callers->apps->first;
    while (first && !asks(first))
        first = first->next;
    bool wanted = first != NULL, news = wanted != callers->wanted;
    callers->wanted = wanted;
    if (!callers->ebpf)
        return;
    int error = callers->ebpf->calling ? calling_want(callers->ebpf->calling, wanted) : 0;
    if (error)
        report_unknown(callers, NULL, "", error);
    else if (news && wanted && !callers->ebpf->calling)
        report_unknown(callers, first, callers->ebpf->feature[EBPF_CALLER].why, 0);
}

void callers_take(void *context, const struct bus_event *event) {
    if (event->kind == BUS_RULES_CHANGED)
        update(context);
}

void callers_report(const struct callers *callers, const struct app *app, struct json_writer *w) {
    if (asks(app))
        json_text(w, "callers", callers->ebpf->calling ? "known" : callers->ebpf->feature[EBPF_CALLER].why);
}
