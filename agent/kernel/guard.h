/* Limits on connections for programs without a shim: which listening socket and which process is enforced on in the
 * kernel (ebpf/guarding.h), which by its shim, and never both.  A subscriber of the bus: rules that changed, processes
 * that have a shim, apps that are switched off. */
#ifndef WEIR_AGENT_KERNEL_GUARD_H
#define WEIR_AGENT_KERNEL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/apps/app.h"
#include "agent/core/bus.h"
#include "agent/core/json_writer.h"
#include "agent/core/worker.h"
#include "agent/kernel/guard_plan.h"
#include "ebpf/ebpf.h"

struct engine;

struct guard_counters { /* through which an app's metrics get what the kernel counted */
    const struct layout_counters_header *counters;
    struct engine *engine;
};

struct agent_guard {
    /* Given to guard_open. */
    struct ebpf *ebpf;
    const struct app_list *apps;
    const struct bus *bus;
    struct worker *worker;
    const char *proc; /* where procfs is mounted */

    struct guard_plan plan;
    struct guard_counters *counters;
    size_t counters_count;
    uint64_t enforced_ns; /* when the plan was last made */
    bool reading;         /* the worker is about to bring another view */
    uint64_t failed_ns;   /* when an error was last reported */
    bool shims_known;
    bool serving; /* anything is guarded */
};

/* `given`: the members above. */
void guard_open(struct agent_guard *, const struct agent_guard *given);
void guard_close(struct agent_guard *);
void guard_take(void *context, const struct bus_event *);
/* Once a second: counts are taken, and after some time listeners are looked for again. */
void guard_tick(struct agent_guard *, uint64_t now_ns);

/* Adds "guard":[{"resource","by":"kernel"|"shim"|"nobody","why","pid","active"}] and "unenforced":[{"rule","why"}], the
 * rules that do not hold for programs without a shim, if there are such. */
void guard_report(const struct agent_guard *, const struct app *, struct json_writer *);

#endif
