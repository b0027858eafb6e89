/* How busy the host is: CPU use between two looks, and the load average. */
#ifndef WEIR_AGENT_CPU_H
#define WEIR_AGENT_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_times {
    uint64_t busy, all;
    uint64_t spare; /* idle, or used by what gives way to anything else (nice) */
};                  /* clock ticks */
struct cpu {
    struct cpu_times before;
    struct cpu_times passed; /* between the last two looks */
    bool known;
};

/* CPU use since the call before, 0…1, and load1; < 0 where unknown (always so the first time, for CPU). */
void cpu_sample(struct cpu *, double *ret_cpu, double *ret_load1);

/* Of what a program could have used between the last two looks, the share that it did: `used` ticks, with `cpus` that
 * it may run on (0: all), fractions of one included.  It could have what it had and what was spare; where others left
 * less than half of its CPUs, it is taken for half of them: an idle program is not loaded because others are busy. 0…1,
 * < 0: unknown.  Pure. */
double cpu_share(const struct cpu *, double used, double cpus);
uint64_t cpu_process_ticks(int pid); /* user and system time of all of its threads, and 1; 0: unknown */
/* How many CPUs' time the cgroups (v2) of a process let it have; 0: no limit, or unknown. */
double cpu_quota(int pid);

/* The first line of /proc/stat.  Time stolen by other guests of the machine counts as busy: it is not there to be used.
 * Pure. */
bool cpu_parse_stat(const char *text, struct cpu_times *ret_times);

#endif
