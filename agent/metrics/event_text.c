#include "agent/metrics/event_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rules/rule_dir.h"
#include "rules/engine/engine.h"

enum { LINE_MAX_BYTES = 1024 };

static const char *const STATES[] = {"none", "closed", "half-open", "open"};

static const char *state(uint8_t number) {
    return STATES[number < sizeof STATES / sizeof *STATES ? number : 0];
}

static size_t within(int length, size_t size) {
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

static size_t line(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static size_t line(char *text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return within(length, size);
}

/* What to do about it stands in each. */
static size_t unseen_text(const struct layout_event *e, const char *resource, char *text, size_t size) {
    static const char *const what[UNSEEN_KINDS] = {
        [UNSEEN_FOREIGN] = "not HTTP: refused on a listener that serves it; if it serves other clients, too, give it "
                           "\"protocol\": \"tcp\"",
        [UNSEEN_HTTP2] = "HTTP/2 by prior knowledge: refused, since rules about requests hold on the listener; "
                         "\"protocol\": \"h2\" lets it pass unseen",
        [UNSEEN_UPGRADE] = "an upgrade to HTTP/2 was withheld from the server: the client goes on with HTTP/1.1; "
                           "\"protocol\": \"h2\" lets it pass unseen",
        [UNSEEN_PROXY] = "a header of the PROXY protocol is missing, or could be read in two ways: refused",
    };
    const char *kind = e->from < UNSEEN_KINDS && what[e->from] ? what[e->from] : "refused, since it cannot be judged";
    return line(text, size, "%s: %s (%g since the last such event)", resource, kind, e->value);
}

size_t event_text_state(const struct layout_event *e, const char *resource, char *text, size_t size) {
    char rule[sizeof e->rule_id + 1] = "";
    memcpy(rule, e->rule_id, sizeof e->rule_id);
    switch (e->kind) {
    case EVENT_CIRCUIT:
        return line(text, size, "circuit of %s (rule %s): %s -> %s at %g", resource, rule, state(e->from), state(e->to),
                    e->value);
    case EVENT_ADAPTIVE:
        return line(text, size, "adaptive protection (rule %s): %s, %g", rule,
                    e->to == 0     ? "over"
                    : e->from == 0 ? "began"
                                   : "goes on",
                    e->value);
    case EVENT_SYSTEM:
        return line(text, size, "system protection (rule %s): %s, %g", rule, e->to ? "rejects" : "over", e->value);
    case EVENT_BUDGET: return line(text, size, "the budget of resources is used up: new names count as {other}");
    case EVENT_SIBLINGS:
        return line(text, size, "more than %g names beside each other: new ones count as %s", e->value, resource);
    case EVENT_CROWDED:
        return line(text, size,
                    "a request counts for %g resources at most: %s is in more groups, the last are left out", e->value,
                    resource);
    case EVENT_UNSEEN: return unseen_text(e, resource, text, size);
    case EVENT_CELLS_FULL:
        return e->to ? line(text, size,
                            "no room for a limiter of rule %s on %s alone: it shares one with others (%g so far)", rule,
                            resource, e->value)
                     : line(text, size, "no memory for rule %s on %s: a rough limit of each process holds there", rule,
                            resource);
    default: return line(text, size, "event %u of rule %s on %s", e->kind, rule, resource);
    }
}

static size_t rules_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_RULES_PUBLISHED:
        return line(text, size, "%s: rules version %llu published, %u rule%s, %u file%s", e->app,
                    (unsigned long long)e->published.generation, e->published.rules, e->published.rules == 1 ? "" : "s",
                    e->published.files, e->published.files == 1 ? "" : "s");
    case BUS_RULES_UNPUBLISHED:
        return line(text, size, "%s: rules not published: %s; the rules before stay in force, tried again every second",
                    e->app, strerror(-e->error));
    case BUS_RULES_CONTRADICT:
        return line(text, size, "%s: the fragments contradict each other; the rules before stay in force", e->app);
    case BUS_FILE_REFUSED:
        return line(text, size, "%s: %s", e->file.path,
                    e->file.has_good ? "its last good rules stay in force" : "not in force until it is mended");
    case BUS_FILE_WITHOUT_APP: return line(text, size, "%s: error: %s", e->file.path, RULE_FILE_NAMES_NO_APP);
    case BUS_FILE_MISSING:
        return line(text, size, "%s: no such file or directory; it is taken up as soon as it appears", e->file.path);
    default: return 0;
    }
}

static size_t rule_error_line(const struct bus_event *e, char *text, size_t size) {
    char *words = rule_error_text(e->rule_error);
    size_t length = line(text, size, "%s", words ? words : "out of memory");
    free(words);
    return length;
}

static size_t process_text(const struct bus_event *e, char *text, size_t size) {
    static const char *const changes[] = {[BUS_PROCESS_ATTACHED] = "attached",
                                          [BUS_PROCESS_FOUND] = "found",
                                          [BUS_PROCESS_LEFT] = "left",
                                          [BUS_PROCESS_GONE] = "gone"};
    const char *program = e->process.program[0] ? e->process.program : "unknown program";
    if (e->kind == BUS_PROCESS_REFUSED)
        return line(text, size,
                    "%s: process %d (%s) of user %u may not be this app; to allow it add \"match\": {\"uid\": %u} to "
                    "its rules file",
                    e->app, (int)e->process.pid, program, (unsigned)e->process.uid, (unsigned)e->process.uid);
    return line(text, size, "%s: process %d %s (%s, slot %u)", e->app, (int)e->process.pid, changes[e->kind], program,
                e->process.slot);
}

static size_t windows_text(const struct bus_event *e, char *text, size_t size) {
    static const struct {
        int error;
        const char *text;
    } errors[] = {{-EBADMSG, "it is damaged"}, {-EPROTO, "it is another version's"}, {-ENODEV, "it is another app's"}};
    const char *error = e->error == -E2BIG ? "more of them than are kept" : strerror(-e->error);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (e->error == errors[i].error)
            error = errors[i].text;
    switch (e->kind) {
    case BUS_WINDOWS_RESTORED:
        return line(text, size, "%s: windows of %u long limits go on%s", e->app, e->windows.limits,
                    e->windows.early ? "; the clock stands before the time they were saved: as if it were that time"
                                     : "");
    case BUS_WINDOWS_UNUSABLE:
        return line(text, size, "%s: the file of long windows is ignored: %s; they begin anew", e->app, error);
    default: return line(text, size, "%s: long windows are not saved: %s", e->app, error);
    }
}

static size_t memory_text(const struct bus_event *e, char *text, size_t size) {
    const char *where = e->memory.directory, *error = strerror(-e->error);
    switch (e->kind) {
    case BUS_MEMORY_REPLACED:
        return line(text, size, "%s: shared memory in %s was of another version or damaged, and is made anew", e->app,
                    where);
    case BUS_MEMORY_LOST:
        return line(text, size,
                    "%s: counters ended with the agent before, as no service manager kept them: processes attach anew, "
                    "and metrics and windows begin anew",
                    e->app);
    case BUS_MEMORY_MISSING:
        return line(text, size, "%s: no shared memory in %s: %s%s; tried again every second", e->app, where, error,
                    e->error == -ENOSPC ? ": make room there" : "");
    case BUS_MEMORY_FULL:
        return line(text, size,
                    "%s: shared memory in %s cannot grow: %s; new resources count as {other}, what is there goes on",
                    e->app, where, error);
    default: return 0;
    }
}

static size_t app_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_APP_UNUSED: return line(text, size, "%s: no rules and no processes: its shared memory is removed", e->app);
    case BUS_APP_OFF: return line(text, size, "%s: switched off: all traffic passes until it is switched on", e->app);
    case BUS_APP_ON: return line(text, size, "%s: switched on", e->app);
    case BUS_STATES_LOST:
        return line(text, size, "%s: %llu events came too fast to be reported", e->app, (unsigned long long)e->count);
    case BUS_UNSEEN:
        return line(text, size,
                    "%s: port %u: %llu of %llu connections went past the shim and are not protected; `weir doctor` "
                    "says why",
                    e->app, e->unseen.port, (unsigned long long)e->unseen.missing, (unsigned long long)e->unseen.all);
    default: return 0;
    }
}

static size_t state_text(const struct bus_event *e, char *text, size_t size) {
    size_t length = line(text, size, "%s: process %u: ", e->app, e->state.record->pid);
    return length + event_text_state(e->state.record, e->state.resource, text + length, size - length);
}

static size_t kernel_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_GUARD_LIMITS:
        if (e->guard.by == BUS_BY_NOTHING)
            return line(text, size, "%s: %s is not limited: %s", e->app, e->guard.resource, e->guard.why);
        return line(text, size, "%s: %s is limited by the %s", e->app, e->guard.resource,
                    e->guard.by == BUS_BY_SHIM ? "shim" : "kernel, for programs without a shim");
    case BUS_GUARD_FAILED:
        return line(text, size, "limits for programs without a shim: %s; not all of them are in force",
                    strerror(-e->error));
    case BUS_CALLERS_UNKNOWN:
        return e->app
                   ? line(text, size, "%s: rules name callers by unit:, comm: or uid:, but callers are not known: %s",
                          e->app, e->why)
                   : line(text, size, "callers of this host are not known: %s", strerror(-e->error));
    default: return 0;
    }
}

/* The level of each kind and its words; a kind without words is nothing for the log. */
static const struct {
    size_t (*words)(const struct bus_event *, char *text, size_t size);
    enum log_level level;
} KINDS[BUS_KINDS_COUNT] = {
    [BUS_RULES_PUBLISHED] = {rules_text, LOG_LEVEL_INFO},
    [BUS_RULES_UNPUBLISHED] = {rules_text, LOG_LEVEL_ERROR},
    [BUS_RULES_CONTRADICT] = {rules_text, LOG_LEVEL_ERROR},
    [BUS_RULES_ERROR] = {rule_error_line, LOG_LEVEL_ERROR},
    [BUS_FILE_REFUSED] = {rules_text, LOG_LEVEL_ERROR},
    [BUS_FILE_WITHOUT_APP] = {rules_text, LOG_LEVEL_ERROR},
    [BUS_FILE_MISSING] = {rules_text, LOG_LEVEL_WARNING},
    [BUS_PROCESS_REFUSED] = {process_text, LOG_LEVEL_WARNING},
    [BUS_PROCESS_ATTACHED] = {process_text, LOG_LEVEL_INFO},
    [BUS_PROCESS_FOUND] = {process_text, LOG_LEVEL_INFO},
    [BUS_PROCESS_LEFT] = {process_text, LOG_LEVEL_INFO},
    [BUS_PROCESS_GONE] = {process_text, LOG_LEVEL_INFO},
    [BUS_WINDOWS_RESTORED] = {windows_text, LOG_LEVEL_INFO},
    [BUS_WINDOWS_UNUSABLE] = {windows_text, LOG_LEVEL_WARNING},
    [BUS_WINDOWS_UNSAVED] = {windows_text, LOG_LEVEL_WARNING},
    [BUS_MEMORY_REPLACED] = {memory_text, LOG_LEVEL_WARNING},
    [BUS_MEMORY_MISSING] = {memory_text, LOG_LEVEL_ERROR},
    [BUS_MEMORY_LOST] = {memory_text, LOG_LEVEL_WARNING},
    [BUS_MEMORY_FULL] = {memory_text, LOG_LEVEL_ERROR},
    [BUS_APP_UNUSED] = {app_text, LOG_LEVEL_INFO},
    [BUS_APP_OFF] = {app_text, LOG_LEVEL_WARNING},
    [BUS_APP_ON] = {app_text, LOG_LEVEL_WARNING},
    [BUS_STATE] = {state_text, LOG_LEVEL_WARNING},
    [BUS_STATES_LOST] = {app_text, LOG_LEVEL_WARNING},
    [BUS_GUARD_LIMITS] = {kernel_text, LOG_LEVEL_INFO},
    [BUS_GUARD_FAILED] = {kernel_text, LOG_LEVEL_ERROR},
    [BUS_CALLERS_UNKNOWN] = {kernel_text, LOG_LEVEL_WARNING},
    [BUS_UNSEEN] = {app_text, LOG_LEVEL_WARNING},
};

size_t event_text(const struct bus_event *e, char *text, size_t size, enum log_level *ret_level) {
    if (!KINDS[e->kind].words)
        return 0;
    *ret_level = KINDS[e->kind].level;
    if (e->kind == BUS_GUARD_LIMITS && e->guard.by == BUS_BY_NOTHING)
        *ret_level = LOG_LEVEL_WARNING;
    if (e->kind == BUS_CALLERS_UNKNOWN && !e->app)
        *ret_level = LOG_LEVEL_ERROR;
    size_t length = KINDS[e->kind].words(e, text, size);
    for (size_t i = 0; i < length; i++) /* processes give names: none of them begins a line of its own */
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    return length;
}

void event_text_log(void *context, const struct bus_event *e) {
    char text[LINE_MAX_BYTES];
    enum log_level level;
    if (event_text(e, text, sizeof text, &level) > 0)
        log_say(context, level, "%s", text);
}
