/* How much CPU the cgroups of a process let it have, v1 and v2, and how often it had to wait for it.
 *
 * A quota is a number of CPUs, fractions included (0.5: half of one).  What counts is the least of all ancestors.  The
 * hierarchies are found where this agent has them mounted; what it cannot read is "no limit known", never a limit. */
#ifndef WEIR_AGENT_CGROUP_H
#define WEIR_AGENT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

enum { CGROUP_PATH_MAX = 512 };

struct cgroup_mount {
    char root[CGROUP_PATH_MAX];  /* the path, as in /proc/PID/cgroup, of what is mounted */
    char point[CGROUP_PATH_MAX]; /* where; "" = nowhere */
};
struct cgroup_mounts {
    struct cgroup_mount v1; /* the hierarchy with the controller `cpu` */
    struct cgroup_mount v2;
};

struct cgroup_limit {
    double cpus;                    /* 0 = none */
    char limiting[CGROUP_PATH_MAX]; /* folder of the cgroup whose quota that is; "" without one */
    char own[CGROUP_PATH_MAX];      /* folder of the cgroup of v2 that the process is in; "" = unknown */
};

/* Of the agent's own mounts; false: no hierarchy of either kind is there. */
bool cgroup_find(struct cgroup_mounts *ret_mounts);
/* `text`: of /proc/PID/cgroup. */
void cgroup_limit_of(const struct cgroup_mounts *, const char *text, struct cgroup_limit *ret_limit);

/* What the kernel has counted of a cgroup since it was made. */
struct cgroup_waits {
    uint64_t periods, throttled; /* periods of the quota in which it ran, and in which it used it up */
    uint64_t some_us;            /* in which one of its tasks or more waited for a CPU (PSI); 0 = not kept */
};
/* `folder`: with v1's or v2's cpu.stat, and cpu.pressure.  False: nothing can be read. */
bool cgroup_read_waits(const char *folder, struct cgroup_waits *ret_waits);
/* Are these processes, in ascending order, the only ones in it? */
bool cgroup_has_only(const char *folder, const int *pids, unsigned count);

/* Pure parts.  Anything but a quota above 0 in a period above 0, both finite, is no limit: 0. */
double cgroup_quota_v2(const char *max);                             /* the text of cpu.max */
double cgroup_quota_v1(const char *quota_us, const char *period_us); /* of cpu.cfs_quota_us and cpu.cfs_period_us */
void cgroup_parse_mounts(const char *mountinfo, struct cgroup_mounts *ret_mounts);
/* The path of a process in the hierarchy with v1's controller `cpu`, or in v2; false: it is in none. */
bool cgroup_parse_path(const char *text, bool v2, char ret_path[static CGROUP_PATH_MAX]);
/* The folder of that path; false: it is outside of what is mounted. */
bool cgroup_folder(const struct cgroup_mount *, const char *path, char ret_folder[static CGROUP_PATH_MAX]);
void cgroup_parse_stat(const char *text, struct cgroup_waits *ret_waits); /* cpu.stat */
uint64_t cgroup_parse_pressure(const char *text);                         /* cpu.pressure: `some`'s total, us */

#endif
