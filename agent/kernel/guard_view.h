/* What the guard's plan is made from beside the rules: who listens, which of them have a shim, where the cgroups of
 * units are.  All of it is read by walks that take their time, so they are made on the worker's thread. */
#ifndef WEIR_AGENT_KERNEL_GUARD_VIEW_H
#define WEIR_AGENT_KERNEL_GUARD_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/process/listeners.h"

enum { GUARD_UNIT_MAX = 256, GUARD_PATH_MAX = 1024 };

struct guard_wish {                /* what is to be read */
    char proc[GUARD_PATH_MAX];     /* where procfs is mounted */
    char cgroups[GUARD_PATH_MAX];  /* where cgroup v2 is mounted; "": nowhere */
    bool listeners;                /* they are needed */
    char (*units)[GUARD_UNIT_MAX]; /* names of the cgroups that are looked for: "shop.service"; malloc'ed */
    size_t units_count;
};
/* False without memory. */
bool guard_wish_unit(struct guard_wish *, const char *unit);
void guard_wish_clear(struct guard_wish *);

struct guard_cgroup {
    char unit[GUARD_UNIT_MAX];
    uint64_t inode;
    uint32_t level; /* below the root of the hierarchy */
};

struct guard_view {
    bool read; /* there is one */
    struct listeners listeners;
    bool *has_shim;         /* of listeners.processes */
    uint64_t own_namespace; /* of the network: inode, 0 = unknown */
    struct guard_cgroup *cgroups;
    size_t cgroups_count;
    uint64_t read_ns, cost_ns; /* when that was (CLOCK_MONOTONIC), and how long it took */
};

/* What cannot be read is not in the view. */
void guard_view_read(const struct guard_wish *, struct guard_view *ret_view);
void guard_view_clear(struct guard_view *);

#endif
