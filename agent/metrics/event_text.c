#include "agent/metrics/event_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metrics/episode.h"
#include "agent/metrics/limit_text.h"
#include "agent/rules/rule_dir.h"
#include "rules/engine/engine.h"

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
        [UNSEEN_HTTP2] = "HTTP/2 by prior knowledge: refused, because rules about requests apply to the listener; "
                         "\"protocol\": \"h2\" lets it pass unchecked",
        [UNSEEN_UPGRADE] = "an upgrade to HTTP/2 was hidden from the server: the client continues with HTTP/1.1; "
                           "\"protocol\": \"h2\" lets it pass unchecked",
        [UNSEEN_PROXY] = "missing or ambiguous PROXY protocol header: refused",
    };
    const char *kind = e->from < UNSEEN_KINDS && what[e->from] ? what[e->from] : "refused, because it cannot be judged";
    return line(text, size, "%s: %s (%g since the last such event)", resource, kind, e->value);
}

size_t event_text_state(const struct layout_event *e, const char *resource, char *text, size_t size) {
    char rule[sizeof e->rule_id + 1] = "";
    struct episode episode;
    memcpy(rule, e->rule_id, sizeof e->rule_id);
    switch (e->kind) {
    case EVENT_CIRCUIT:
        return line(text, size, "circuit of %s (rule %s): %s -> %s at %g", resource, rule, state(e->from), state(e->to),
                    e->value);
    case EVENT_ADAPTIVE: episode = episode_read(e); return episode_text(&episode, rule, text, size);
    case EVENT_SYSTEM:
        return line(text, size, "system protection (rule %s): %s, %g", rule, e->to ? "rejects" : "over", e->value);
    case EVENT_BUDGET:
        return line(text, size, "the budget of resource names is used up: new names are counted as {other}");
    case EVENT_SIBLINGS:
        return line(text, size, "more than %g sibling names: new ones are counted as %s", e->value, resource);
    case EVENT_CROWDED:
        return line(text, size,
                    "a request counts for at most %g resources: %s is in more groups, the last ones are left out",
                    e->value, resource);
    case EVENT_UNSEEN: return unseen_text(e, resource, text, size);
    case EVENT_CELLS_FULL:
        return e->to ? line(text, size,
                            "no room for a separate limiter of rule %s on %s: it shares one with others (%g so far)",
                            rule, resource, e->value)
                     : line(text, size, "no memory for rule %s on %s: an approximate limit per process applies", rule,
                            resource);
    default: return line(text, size, "event %u of rule %s on %s", e->kind, rule, resource);
    }
}

static size_t rules_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_RULES_PUBLISHED:
        return line(text, size, "rules version %llu published, %u rule%s, %u file%s",
                    (unsigned long long)e->published.generation, e->published.rules, e->published.rules == 1 ? "" : "s",
                    e->published.files, e->published.files == 1 ? "" : "s");
    case BUS_RULES_UNPUBLISHED:
        return line(text, size, "rules not published: %s; the previous rules stay in force; retrying every second",
                    strerror(-e->error));
    case BUS_RULES_CONTRADICT:
        return line(text, size, "the fragments contradict each other; the previous rules stay in force");
    case BUS_FILE_REFUSED:
        return line(text, size, "%s: %s", e->file.path,
                    e->file.has_good ? "its last valid rules stay in force" : "not in force until it is fixed");
    case BUS_FILE_WITHOUT_APP: return line(text, size, "%s: error: %s", e->file.path, RULE_FILE_NAMES_NO_APP);
    case BUS_FILE_MISSING:
        return line(text, size, "%s: no such file or directory; it is read as soon as it appears", e->file.path);
    default: return 0;
    }
}

/* What an edit took away, or would have. */
static size_t lifted_text(const struct bus_event *e, char *text, size_t size) {
    unsigned processes = e->kind == BUS_RULES_HELD ? e->held.processes : e->lifted.processes;
    const char *plural = processes == 1 ? "" : "es", *files = "its rules files are gone";
    if (e->kind == BUS_RULES_HELD)
        return line(text, size,
                    "%s names %s%s%s now: %u process%s of %s keep the rules they had, until they end; name \"%s\" "
                    "again, or restart them as the other app",
                    e->held.path, *e->held.names ? "app \"" : "no app", e->held.names, *e->held.names ? "\"" : "",
                    processes, plural, e->app, e->app);
    if (e->lifted.files)
        files = "its files contain no rules any more";
    if (!processes)
        return line(text, size, "%s: no rules are in force, all traffic passes", files);
    return line(text, size, "%s: %u process%s of it %s not limited any more, all traffic passes", files, processes,
                plural, processes == 1 ? "is" : "are");
}

static size_t rule_error_line(const struct bus_event *e, char *text, size_t size) {
    char *words = e->kind == BUS_RULES_WARNING ? rule_warning_text(e->rule_error) : rule_error_text(e->rule_error);
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
                    "process %d (%s) of user %u may not be this app; to allow it add \"match\": {\"uid\": %u} to "
                    "its rules file",
                    (int)e->process.pid, program, (unsigned)e->process.uid, (unsigned)e->process.uid);
    return line(text, size, "process %d %s (%s, slot %u)", (int)e->process.pid, changes[e->kind], program,
                e->process.slot);
}

static size_t windows_text(const struct bus_event *e, char *text, size_t size) {
    static const struct {
        int error;
        const char *text;
    } errors[] = {{-EBADMSG, "it is damaged"},
                  {-EPROTO, "it belongs to another version"},
                  {-ENODEV, "it belongs to another app"}};
    const char *error = e->error == -E2BIG ? "more of them than can be saved" : strerror(-e->error);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (e->error == errors[i].error)
            error = errors[i].text;
    switch (e->kind) {
    case BUS_WINDOWS_RESTORED:
        return line(text, size, "windows of %u long limits restored%s", e->windows.limits,
                    e->windows.early ? "; the clock is before the time they were saved: that time is assumed" : "");
    case BUS_WINDOWS_UNUSABLE:
        return line(text, size, "the file of long windows is ignored: %s; they start from zero", error);
    default: return line(text, size, "long windows are not saved: %s", error);
    }
}

static size_t memory_text(const struct bus_event *e, char *text, size_t size) {
    const char *where = e->memory.directory, *error = strerror(-e->error);
    switch (e->kind) {
    case BUS_MEMORY_REPLACED:
        return line(text, size, "shared memory in %s was damaged or of another version; it was created again", where);
    case BUS_MEMORY_LOST:
        return line(text, size,
                    "the previous agent's counters were not kept by a service manager: processes attach again, "
                    "metrics and windows start from zero");
    case BUS_MEMORY_MISSING:
        return line(text, size, "no shared memory in %s: %s%s; retrying every second", where, error,
                    e->error == -ENOSPC ? ": free some space there" : "");
    case BUS_MEMORY_FULL:
        return line(text, size,
                    "shared memory in %s cannot grow: %s; new resources are counted as {other}, existing ones continue",
                    where, error);
    default: return 0;
    }
}

static size_t app_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_APP_UNUSED: return line(text, size, "no rules and no processes: shared memory removed");
    case BUS_APP_OFF: return line(text, size, "switched off: all traffic passes until it is switched on");
    case BUS_APP_ON: return line(text, size, "switched on");
    case BUS_STATES_LOST:
        return line(text, size, "%llu events were too frequent to be reported", (unsigned long long)e->count);
    case BUS_UNSEEN:
        return line(text, size,
                    "port %u: %llu of %llu connections bypassed the shim and are not protected; `weir doctor` "
                    "shows why",
                    e->unseen.port, (unsigned long long)e->unseen.missing, (unsigned long long)e->unseen.all);
    default: return 0;
    }
}

static size_t state_text(const struct bus_event *e, char *text, size_t size) {
    size_t length = e->state.whole ? 0 : line(text, size, "process %u: ", e->state.record->pid);
    return length + event_text_state(e->state.record, e->state.resource, text + length, size - length);
}

static size_t kernel_text(const struct bus_event *e, char *text, size_t size) {
    switch (e->kind) {
    case BUS_GUARD_LIMITS:
        if (e->guard.by == BUS_BY_NOTHING)
            return line(text, size, "%s is not limited: %s", e->guard.resource, e->guard.why);
        return line(text, size, "%s is limited by the %s", e->guard.resource,
                    e->guard.by == BUS_BY_SHIM ? "shim" : "kernel, for programs without a shim");
    case BUS_EVENTS_UNSAVED:
        return line(text, size, "the event log cannot be written: %s; events are lost meanwhile", strerror(-e->error));
    case BUS_EVENTS_LEFT_OUT:
        return line(text, size, "%llu further event%s of that second left out", (unsigned long long)e->count,
                    e->count == 1 ? "" : "s");
    case BUS_GUARD_FAILED:
        return line(text, size, "limits for programs without a shim: %s; not all of them are in force",
                    strerror(-e->error));
    case BUS_CALLERS_UNKNOWN:
        return e->app ? line(text, size, "rules name callers by unit:, comm: or uid:, but callers are not known: %s",
                             e->why)
                      : line(text, size, "callers of this host are not known: %s", strerror(-e->error));
    default: return 0;
    }
}

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static size_t blocked_text(const struct bus_event *e, char *text, size_t size) {
    unsigned long long count = (unsigned long long)e->blocked.count;
    char limit[128];
    if (e->kind == BUS_BLOCKED_MORE)
        return line(text, size, "%llu more rejection%s, of %u further pair%s of rule and resource, summed up here",
                    count, plural(e->blocked.count), e->blocked.rules, plural(e->blocked.rules));
    limit_last_text(e->blocked.limit_of, e->blocked.limit, e->blocked.interval_ns, limit, sizeof limit);
    bool rule = e->blocked.rule[0], id = e->blocked.id[0], caller = e->blocked.caller[0];
    return line(text, size, "%s: %llu rejected in %u s by %s%s (%s%s%s)%s%s%s%s", e->blocked.resource, count,
                e->blocked.seconds, rule ? "rule " : "", rule ? e->blocked.rule : "a rule that is gone",
                limit_reason(e->blocked.reason), id ? ", " : "", id ? limit : "", id ? ", last id " : "", e->blocked.id,
                caller ? ", caller " : "", e->blocked.caller);
}

/* A kind without words is nothing for people. */
static size_t (*const WORDS[BUS_KINDS_COUNT])(const struct bus_event *, char *text, size_t size) = {
    [BUS_RULES_PUBLISHED] = rules_text,
    [BUS_RULES_UNPUBLISHED] = rules_text,
    [BUS_RULES_CONTRADICT] = rules_text,
    [BUS_RULES_ERROR] = rule_error_line,
    [BUS_RULES_WARNING] = rule_error_line,
    [BUS_RULES_HELD] = lifted_text,
    [BUS_RULES_LIFTED] = lifted_text,
    [BUS_FILE_REFUSED] = rules_text,
    [BUS_FILE_WITHOUT_APP] = rules_text,
    [BUS_FILE_MISSING] = rules_text,
    [BUS_PROCESS_REFUSED] = process_text,
    [BUS_PROCESS_ATTACHED] = process_text,
    [BUS_PROCESS_FOUND] = process_text,
    [BUS_PROCESS_LEFT] = process_text,
    [BUS_PROCESS_GONE] = process_text,
    [BUS_WINDOWS_RESTORED] = windows_text,
    [BUS_WINDOWS_UNUSABLE] = windows_text,
    [BUS_WINDOWS_UNSAVED] = windows_text,
    [BUS_MEMORY_REPLACED] = memory_text,
    [BUS_MEMORY_MISSING] = memory_text,
    [BUS_MEMORY_LOST] = memory_text,
    [BUS_MEMORY_FULL] = memory_text,
    [BUS_APP_UNUSED] = app_text,
    [BUS_APP_OFF] = app_text,
    [BUS_APP_ON] = app_text,
    [BUS_STATE] = state_text,
    [BUS_STATES_LOST] = app_text,
    [BUS_BLOCKED] = blocked_text,
    [BUS_BLOCKED_MORE] = blocked_text,
    [BUS_GUARD_LIMITS] = kernel_text,
    [BUS_GUARD_FAILED] = kernel_text,
    [BUS_CALLERS_UNKNOWN] = kernel_text,
    [BUS_UNSEEN] = app_text,
    [BUS_EVENTS_UNSAVED] = kernel_text,
    [BUS_EVENTS_LEFT_OUT] = kernel_text,
};

size_t event_text(const struct bus_event *e, char *text, size_t size) {
    char words[EVENT_TEXT_MAX];
    if (!WORDS[e->kind])
        return 0;
    WORDS[e->kind](e, words, sizeof words);
    return event_text_plain(words, text, size);
}

/* Turns direction, breaks lines, hides or joins text. */
static bool is_harmful(unsigned code) {
    return (code >= 0x80 && code < 0xa0) || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

size_t event_text_printable(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t length = p[0] < 0x20 || p[0] == 0x7f   ? 0
                    : p[0] < 0x80                 ? 1
                    : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                    : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                    : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    unsigned code = length == 2   ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                    : length == 3 ? (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                                  : 0;
    return is_harmful(code) ? 0 : length;
}

size_t event_text_plain(const char *from, char *text, size_t size) {
    size_t n = 0;
    for (const char *p = from; *p;) {
        size_t length = event_text_printable(p), needed = length ? length : 4;
        if (n + needed >= size)
            break;
        if (length)
            memcpy(text + n, p, length);
        else
            snprintf(text + n, size - n, "\\x%02x", (unsigned char)*p);
        n += needed;
        p += length ? length : 1;
    }
    text[n] = 0;
    return n;
}
