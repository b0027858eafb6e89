/* What happens in the agent, as typed events: published by the part that it happens in, delivered to every subscriber
 * in the order of their table.  Of the loop's thread only.
 *
 * Delivery is a call: a subscriber has seen the event when bus_publish returns, and the pointers in an event are valid
 * until then.  A subscriber may publish in its turn (the guard does, when rules change): the inner event is delivered
 * to all of them at once, before those further down have seen the outer one.  Subscribers do not block and do not fail:
 * one that needs time copies what it needs. */
#ifndef WEIR_AGENT_CORE_BUS_H
#define WEIR_AGENT_CORE_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rules/layout.h"
#include "rules/text/rule_text.h"

/* Kind, its name for machines, and what is in the event beside `app`. */
#define BUS_KINDS(X)                                                                                                   \
    X(BUS_RULES_CHANGED, "rules.changed", "files were read: apps have what they say; no app")                          \
    X(BUS_RULES_PUBLISHED, "rules.published", "published")                                                             \
    X(BUS_RULES_TAKEN_UP, "rules.taken-up", "published; in force since an earlier agent's time")                       \
    X(BUS_RULES_UNPUBLISHED, "rules.unpublished", "error")                                                             \
    X(BUS_RULES_CONTRADICT, "rules.contradict", "the errors came before it")                                           \
    X(BUS_RULES_WARNING, "rules.warning", "rule_error: valid, and may not be what was meant")                          \
    X(BUS_RULES_HELD, "rules.held", "held: the app's file names another app; the rules before stay in force")          \
    X(BUS_RULES_LIFTED, "rules.lifted", "lifted: it had rules, and has none any more")                                 \
    X(BUS_RULES_ERROR, "rules.error", "rule_error; app may be NULL")                                                   \
    X(BUS_FILE_REFUSED, "file.refused", "file; no app")                                                                \
    X(BUS_FILE_WITHOUT_APP, "file.without-app", "file; no app")                                                        \
    X(BUS_FILE_MISSING, "file.missing", "file; no app")                                                                \
    X(BUS_PROCESS_ADMITTED, "process.admitted", "process: it is about to get the app's memory")                        \
    X(BUS_PROCESS_REFUSED, "process.refused", "process")                                                               \
    X(BUS_PROCESS_ATTACHED, "process.attached", "process")                                                             \
    X(BUS_PROCESS_FOUND, "process.found", "process: attached in an earlier agent's time")                              \
    X(BUS_PROCESS_LEFT, "process.left", "process: it gave its slot back")                                              \
    X(BUS_PROCESS_GONE, "process.gone", "process: it died")                                                            \
    X(BUS_MEMORY_REPLACED, "memory.replaced", "memory: unusable files were created again")                             \
    X(BUS_MEMORY_LOST, "memory.lost", "memory: counters did not outlive the agent before, and start from zero")        \
    X(BUS_MEMORY_MISSING, "memory.missing", "memory, error")                                                           \
    X(BUS_MEMORY_FULL, "memory.full", "memory, error")                                                                 \
    X(BUS_WINDOWS_RESTORED, "windows.restored", "windows: of long limits, from the state directory")                   \
    X(BUS_WINDOWS_UNUSABLE, "windows.unusable", "error: the file is ignored")                                          \
    X(BUS_WINDOWS_UNSAVED, "windows.unsaved", "error")                                                                 \
    X(BUS_MEMORY_CLOSED, "memory.closed", "memory: its mapping is about to go away")                                   \
    X(BUS_APP_UNUSED, "app.unused", "neither rules nor processes: about to be removed")                                \
    X(BUS_APP_CLOSED, "app.closed", "about to be forgotten")                                                           \
    X(BUS_APP_OFF, "app.off", "all its traffic passes from now on")                                                    \
    X(BUS_APP_ON, "app.on", "its rules hold again")                                                                    \
    X(BUS_STATE, "state", "state: a circuit, adaptive protection, a budget … as a process wrote it down")              \
    X(BUS_STATES_LOST, "state.lost", "count: more of them than there was room for")                                    \
    X(BUS_REJECTIONS, "rejections", "rejections: of one second, resource, rule and origin")                            \
    X(BUS_BLOCKED, "blocked", "blocked: rejections of a resource and rule, summed up (metrics/blocked.h)")             \
    X(BUS_BLOCKED_MORE, "blocked.more", "blocked: those of further resources and rules, together; no app")             \
    X(BUS_GUARD_LIMITS, "guard.limits", "guard: what enforces the limits of a resource is another now")                \
    X(BUS_GUARD_FAILED, "guard.failed", "error; no app")                                                               \
    X(BUS_CALLERS_UNKNOWN, "callers.unknown", "why; no app where the kernel programs failed")                          \
    X(BUS_EVENTS_UNSAVED, "events.unsaved", "error: the event log cannot be written; no app")                          \
    X(BUS_EVENTS_LEFT_OUT, "events.left-out", "count: more events came in a second than are written; no app")          \
    X(BUS_UNSEEN, "traffic.unseen", "unseen: connections that went past the shim")                                     \
    X(BUS_SECOND, "second", "second: it has ended, and everything about it was published; no app")

enum bus_kind {
#define BUS_ENUMERATOR(kind, name, what) kind,
    BUS_KINDS(BUS_ENUMERATOR)
#undef BUS_ENUMERATOR
        BUS_KINDS_COUNT
};

enum bus_enforcer { BUS_BY_KERNEL, BUS_BY_SHIM, BUS_BY_NOTHING };

struct bus_event {
    enum bus_kind kind;
    const char *app; /* or NULL */
    int error;       /* -errno, or 0 */
    union {
        struct {
            uint64_t generation;
            const void *ruleset;
            uint32_t rules, files;
        } published;
        const struct rule_error *rule_error;
        struct {
            const char *path, *names; /* "" = it names none */
            uint32_t processes;
        } held;
        struct {
            uint32_t files, processes; /* that it has */
        } lifted;
        struct {
            const char *path;
            bool has_good; /* its last good rules are in force */
        } file;
        struct {
            pid_t pid; /* as the agent sees it; 0 = it cannot see it */
            uid_t uid; /* of BUS_PROCESS_REFUSED */
            uint32_t slot;
            const char *program; /* its path or "[comm]"; "" = unknown */
            bool vouched;        /* it said itself that it is attached */
        } process;
        struct {
            const char *directory;
            const void *counters; /* of BUS_MEMORY_CLOSED */
        } memory;
        struct {
            const struct layout_event *record;
            const char *resource;
            bool whole; /* about the app, not the process that wrote it */
        } state;
        uint64_t count;
        struct {
            unsigned limits; /* how many */
            bool early;      /* the clock stands before the time they are from */
        } windows;
        struct {
            uint64_t second, count; /* Unix time; how many */
            const char *resource, *limit_app, *origin, *rule;
            const char *example, *trace; /* the id that one of the clients was given, and its trace; "" = none */
            const char *caller;          /* its address; "" = unknown */
            double limit;                /* the rule's threshold then, per interval_ns, of what `limit_of` says */
            uint64_t interval_ns;
            uint8_t reason, limit_of;
        } rejections;
        struct {
            uint64_t count;
            uint32_t seconds; /* in so long */
            uint32_t rules;   /* of BUS_BLOCKED_MORE: pairs of rule and resource; else 0, and the rest is there */
            const char *resource, *rule, *id, *caller; /* "" = unknown */
            double limit;
            uint64_t interval_ns;
            uint8_t reason, limit_of;
        } blocked;
        struct {
            const char *resource, *why;
            enum bus_enforcer by;
        } guard;
        const char *why;
        struct {
            uint64_t missing, all;
            uint16_t port;
        } unseen;
        uint64_t second;
    };
};

struct bus_subscriber {
    const char *name;
    void (*take)(void *context, const struct bus_event *);
    void *context;
};

enum { BUS_SUBSCRIBERS_MAX = 16 };
struct bus {
    struct bus_subscriber subscriber[BUS_SUBSCRIBERS_MAX];
    size_t count;
};

/* False: there are BUS_SUBSCRIBERS_MAX already. */
bool bus_subscribe(struct bus *, struct bus_subscriber);
void bus_publish(const struct bus *, const struct bus_event *);
const char *bus_kind_name(enum bus_kind);

#endif
