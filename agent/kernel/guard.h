/* Limits on connections for programs without a shim: which listening socket and which process is enforced on in the
 * kernel (ebpf/guarding.h), which by its shim, and never both. */
#ifndef WEIR_AGENT_GUARD_H
#define WEIR_AGENT_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/process/listeners.h"
#include "ebpf/guarding.h"
#include "rules/layout.h"

struct agent;
struct app;
struct cJSON;
struct engine;

enum guard_by { GUARD_BY_KERNEL, GUARD_BY_SHIM, GUARD_BY_NOBODY };

struct guard_line { /* one resource of an app that rules limit connections of, as the status shows it */
    struct app *app;
    char resource[LAYOUT_RESOURCE_NAME_MAX];
    enum guard_by by;
    uint32_t entry;           /* index + 1 into the plan; 0 = none */
    pid_t pid;                /* of whom: a process that listens; 0 = of whoever calls */
    const char *why;          /* GUARD_BY_NOBODY */
    uint32_t active, pending; /* of a guard that counts them: connections, and let in but not established yet */
    uint32_t left_out;        /* rules that found no room */
    uint32_t excess;          /* pending connections that were not there when last compared */
};

struct guard_counters { /* through which an app's figures get what the kernel counted */
    struct layout_counters_header *counters;
    struct engine *engine;
};

struct agent_guard {
    struct guarding_plan plan;
    struct guarding_place *places;
    struct guard_member *members;
    struct guard_line *lines;
    size_t lines_count;
    struct listeners listeners;
    uint64_t read_ns, read_cost_ns; /* when they were read, and how long that took */
    struct guard_counters *counters;
    size_t counters_count;
    uint64_t look_ns, look_cost_ns; /* when listeners were last looked for, and how long that took */
    uint64_t told_ns;               /* when an error was */
    bool shims_known;
    bool serving; /* anything is guarded */
};

/* Looks at rules and listeners anew: rules have changed, or (guard_tick) some time has passed. */
void guard_update(struct agent *);
void guard_tick(struct agent *, uint64_t now_ns);
void guard_close(struct agent *);
/* These are about to go away. */
void guard_app_gone(const struct app *);
void guard_memory_gone(struct agent *, const struct layout_counters_header *);
/* An app was switched off or on. */
void guard_switched(struct agent *);
/* A process says that it has a shim; such a process is gone. */
void guard_shim(struct agent *, pid_t pid);
void guard_shim_gone(struct agent *, pid_t pid);

/* Adds "guard":[{"resource","by":"kernel"|"shim"|"nobody","why","pid","active"}] and "unenforced":[{"rule","why"}], the
 * rules that do not hold for programs without a shim, if there are such. */
void guard_report(const struct agent *, const struct app *, struct cJSON *object);

#endif
