/* What the kernel is to enforce, worked out from the rules in force, the listening sockets and who holds them. */
#ifndef WEIR_AGENT_KERNEL_GUARD_PLAN_H
#define WEIR_AGENT_KERNEL_GUARD_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/apps/app.h"
#include "agent/core/bus.h"
#include "agent/kernel/guard_view.h"
#include "ebpf/guarding.h"
#include "rules/layout.h"

struct guard_line {  /* one resource of an app that rules limit connections of, as the status shows it */
    struct app *app; /* NULL: it is closed */
    char resource[LAYOUT_RESOURCE_NAME_MAX];
    enum bus_enforcer by;
    uint32_t entry;           /* index + 1 into the plan; 0 = none */
    pid_t pid;                /* a process that listens; 0: the rule is about callers */
    const char *why;          /* of BUS_BY_NOTHING */
    uint32_t active, pending; /* of a guard that counts them: connections, and let in but not established yet */
    uint32_t left_out;        /* rules that found no room */
    uint32_t excess;          /* pending connections that were not there when last compared */
};

struct guard_plan {
    const struct ebpf *ebpf;
    const struct app_list *apps;
    struct guarding_plan wanted; /* its lists are those below */
    struct guarding_place *places;
    struct guard_member *members;
    struct guard_line *lines;
    size_t lines_count;
    struct guard_view view;
};

int guard_plan_open(struct guard_plan *); /* room for a plan: 0 or -ENOMEM */
void guard_plan_close(struct guard_plan *);
/* What is to be read before a plan can be made; false: nothing is.  Pure, but for memory; free it in any case. */
bool guard_plan_wish(const struct guard_plan *, const char *proc, struct guard_wish *ret_wish);
/* Makes a new plan from the rules and view.  False: nothing is to be enforced. */
bool guard_plan_make(struct guard_plan *);

#endif
