/* How busy the host is: CPU use between two looks, and the load average. */
#ifndef WEIR_AGENT_CPU_H
#define WEIR_AGENT_CPU_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

struct cpu_times {
    uint64_t busy, all;
}; /* clock ticks */
struct cpu {
    struct cpu_times before;
    bool known;
};

/* CPU use since the call before, 0…1, and load1; < 0 where unknown (always so the first time, for CPU). */
void cpu_sample(struct cpu *, double *ret_cpu, double *ret_load1);

/* The first line of /proc/stat.  Time stolen by other guests of the machine counts as busy: it is not there to be used.
 * Pure. */
bool cpu_parse_stat(const char *text, struct cpu_times *ret_times);
/* The line of one CPU, such as "cpu12 …"; false: it is none. */
bool cpu_parse_line(const char *line, int *ret_cpu, struct cpu_times *ret_times);
/* The sums of these CPUs, of /proc/stat; false: one of them is not there. */
bool cpu_times_of(const cpu_set_t *, struct cpu_times *ret_times);

#endif
