/* How much of the CPU that a program can use it does use: 0 (idle) … 1 (it can do no more).  Pure.
 *
 * Not the host's CPU use: a program may be full on a host that is half idle, and idle on one that is full.  It is full
 *   - when it has had all the time of the CPUs that it may use (affinity, its cgroups' quota);
 *   - when it is held back at its quota in every period of it, although the periods' slack keeps the use below;
 *   - when the threads that serve never sleep.  Of these we know how long they ran, and how long they were ready to
 *     run and had to wait.  An event loop that does either all the time is full, on however many CPUs, and also when
 *     another program, nice or not, has half of its CPU.  A thread that sleeps most of the time is not full, whatever
 *     others do: it waits, if at all, the moments between waking up and running;
 *   - when it runs one thread at a time, as interpreters with a global lock do, and has had one CPU's time.  That does
 *     not show in its use alone (a parallel program at half load looks the same), so it goes by the interpreter's
 *     name, and is refuted by a use of more than that.  Threads that serve one connection and end leave no trace of
 *     how long they waited, but in its own cgroup (PSI): without that, beside other programs the use is all that is
 *     known of such an interpreter;
 *   - when in its own cgroup a task waits for a CPU at any moment (PSI).  The host's pressure is no evidence: others'
 *     tasks may be the ones that wait.
 *
 * A program of several processes is full when those that serve are, on the average: one of eight is an eighth.  Where
 * more of their threads want to run than there are CPUs, a CPU is unwanted only while several of them sleep at once; as
 * they may do so together (requests come in bursts), at most two are taken to sleep independently of each other.
 *
 * Any figure that is not known is < 0, and says nothing; so do NaN and infinities. */
#ifndef WEIR_AGENT_SATURATION_H
#define WEIR_AGENT_SATURATION_H

#include <stdbool.h>

struct saturation_process {
    double used;   /* CPUs' worth of time that it had: 1.5 is one and a half all the time */
    double busy;   /* share of the time that its serving threads ran or waited for a CPU: the mean of them, 0…1 */
    double wanted; /* the same, their sum */
    bool one_at_a_time; /* its threads take turns */
};
/* 0…1; < 0: unknown. */
double saturation_of_process(const struct saturation_process *);

struct saturation_app {
    double used;      /* CPUs' worth of time that all of its processes had */
    double could;     /* CPUs that it may use: fractions where there is a quota */
    double throttled; /* share of its quota's periods in which it was held back, 0…1 */
    double pressure;  /* share of the time that a task of its own cgroup waited for a CPU, 0…1 */
    double serving;   /* the mean of saturation_of_process() over those that serve */
    double wanted;    /* the sum of saturation_process.wanted over those */
    double turns;     /* CPUs' worth of time that it had, if one process serves and its threads take turns */
};
/* 0…1; < 0: unknown. */
double saturation_of_app(const struct saturation_app *);

/* Does a program of this name (a path, or "[comm]") run one thread at a time? */
bool saturation_one_at_a_time(const char *program);
/* More than this many CPUs' worth of time, and a program runs several threads at a time after all. */
#define SATURATION_PARALLEL 1.3

#endif
