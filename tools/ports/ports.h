/* What `weir ports` shows, joined from three sources: what agents' kernel programs have counted, who listens (/proc),
 * and which processes the agents know as protected. */
#ifndef WEIR_TOOLS_PORTS_H
#define WEIR_TOOLS_PORTS_H

#include <stdint.h>

struct cJSON;
struct control_answers;
struct doctor;
struct listeners;

/* {"source":"kernel"|"proc","why":why not the kernel,"since":UNIX,"namespace":own,
 *  "ports":[{"port","namespace","listening","addresses":[…],"protection":"shim"|"kernel"|"partly"|"none"|"unknown"|"",
 *            "missed":connections that went past the shim,
 *            "processes":[{"pid","comm","exe","unit","cgroup","app","protected","cause","why"}],
 *            "waiting","room","drops", and the counts of agent.h, in all and in "ipv4" and "ipv6"}],
 *  "outbound":[{"port","namespace","cgroup","unit", the counts}]}
 * `counts` are the answers to "ports", `states` those to "status"; `doctor` has looked at every process that listens.
 * NULL without memory. */
struct ports_sources {
    const struct control_answers *counts, *states;
    const struct listeners *listeners;
    const struct doctor *doctor;
    uint64_t own_namespace;
};
struct cJSON *ports_join(const struct ports_sources *);

#endif
