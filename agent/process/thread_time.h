/* What the scheduler has given a thread, or a process with all of its threads.
 *
 * /proc/PID/task/TID/schedstat: time on a CPU, and time that it could have run and had to wait for one: behind others
 * of its own program, behind other programs, or for its cgroup's quota.  All users may read it (unless /proc is mounted
 * with hidepid). */
#ifndef WEIR_AGENT_THREAD_TIME_H
#define WEIR_AGENT_THREAD_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct thread_time {
    uint64_t ran_ns, waited_ns;
};

/* `tid`: as the agent sees it.  False: it is not a thread of that process (any more), or may not be read. */
bool thread_time_read(pid_t pid, pid_t tid, struct thread_time *ret_time);
/* All threads together, those that ended included; 0: unknown, or it is gone. */
uint64_t thread_time_of_process(pid_t pid);
/* The thread, as the agent sees it, that calls itself `inner` in the process' own namespace of pids; 0: there is none,
 * or not among the first 256. */
pid_t thread_time_find(pid_t pid, pid_t inner);
/* The parent, and the time of those children that ended and were waited for. */
bool thread_time_children(pid_t pid, pid_t *ret_parent, uint64_t *ret_ns);

/* Pure parts. */
bool thread_time_parse(const char *schedstat, struct thread_time *ret_time);
bool thread_time_parse_children(const char *stat, uint64_t tick_ns, pid_t *ret_parent, uint64_t *ret_ns);
pid_t thread_time_parse_inner(const char *status); /* the innermost number of NSpid; 0: not there */

#endif
