/* How much CPU one process had between two looks, and how busy the threads were that serve in it. */
#ifndef WEIR_AGENT_APPS_PROCESS_USE_H
#define WEIR_AGENT_APPS_PROCESS_USE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/apps/clients.h"
#include "agent/process/saturation.h"
#include "agent/process/thread_time.h"
#include "rules/layout.h"

enum { PROCESS_USE_NOTES = sizeof((struct layout_process *)0)->served_by / sizeof(uint32_t) };

struct process_use { /* all 0: not looked at yet */
    uint64_t owner;  /* of its slot: another one is another process */
    pid_t pid, parent;
    uint64_t ran_ns;             /* as it was at the last look */
    uint64_t children_ns;        /* as it was … */
    uint64_t children_at_ns;     /* … then */
    uint64_t ended_ns;           /* of children that were looked at themselves: not to be counted again … */
    uint64_t ended_at_ns;        /* … since then */
    double children;             /* CPUs' worth of time that other programs had which it started */
    bool one_at_a_time;          /* until it has proved to be parallel */
    struct process_use_thread {  /* the threads that served before the last look */
        pid_t inner, tid;        /* as it calls itself, and as the agent sees it; 0 = none */
        struct thread_time time; /* as it was then */
    } thread[PROCESS_USE_NOTES];
};

struct process_use_look {
    uint64_t now_ns, passed_ns; /* since the last look */
    double cpus;                /* of the host */
    bool serves;                /* the process was seen to serve since */
};
/* False: it is new, or cannot be looked at, so nothing is known yet. */
bool process_use_look(struct process_use *, const struct client *, const struct layout_process *,
                      const struct process_use_look *, struct saturation_process *ret_process);
/* The process of that parent has ended: the parent's kernel account will show its time once more. */
void process_use_ended(struct process_use *parent, const struct process_use *child, uint64_t now_ns);

#endif
