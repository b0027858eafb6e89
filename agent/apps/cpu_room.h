/* The CPUs that an app may use, by the affinity and the cgroups of its processes, and how its cgroups had to wait. */
#ifndef WEIR_AGENT_APPS_CPU_ROOM_H
#define WEIR_AGENT_APPS_CPU_ROOM_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/process/cgroup.h"
#include "agent/process/cpu.h"

enum { CPU_ROOM_GROUPS = 8 };

struct cpu_room_group { /* processes that are in the same cgroups */
    uint64_t hash;      /* of their /proc/PID/cgroup; 0 = free */
    uint64_t read_ns;   /* when their limit was read */
    struct cgroup_limit limit;
    struct cgroup_waits limiting, own; /* as of the last look */
    bool here;                         /* in this look */
};

struct cpu_room { /* all 0 at first */
    struct cgroup_mounts mounts;
    bool found; /* the mounts were looked for */
    struct cpu_room_group group[CPU_ROOM_GROUPS];
    bool crowded;                /* more groups than there is room for: no quota is known */
    cpu_set_t allowed, measured; /* in this look; that `times` are of */
    struct cpu_times times;      /* as of the last look */
};

/* Begins a look; each process is added, and then the sums are taken. */
void cpu_room_begin(struct cpu_room *);
/* `hash`: of its cgroups as cpu_room_hash() found them before. */
void cpu_room_add(struct cpu_room *, pid_t pid, uint64_t hash, uint64_t now_ns);
uint64_t cpu_room_hash(pid_t pid); /* 0: cannot be read */

/* How many CPUs' time there is: that of all the CPUs allowed, or less by quotas.  `host`: CPUs online. */
double cpu_room_size(const struct cpu_room *, double host);
/* Since the last look: the share of the time of the CPUs allowed that was used, by all programs; < 0: unknown. */
double cpu_room_used(struct cpu_room *);
/* Since the last look: the share of periods in which a quota was used up; < 0: there is no quota. */
double cpu_room_throttled(struct cpu_room *);
/* Since the last look, `passed_ns` ago: the share of the time that a task waited, where these processes, in ascending
 * order, are all in one cgroup of v2 that has no others; else < 0. */
double cpu_room_pressure(struct cpu_room *, const int *pids, unsigned count, uint64_t passed_ns);

#endif
