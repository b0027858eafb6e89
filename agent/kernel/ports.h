/* What the kernel programs have counted, as control.sock answers it. */
#ifndef WEIR_AGENT_KERNEL_PORTS_H
#define WEIR_AGENT_KERNEL_PORTS_H

#include <stdint.h>

#include "agent/core/json_writer.h"
#include "agent/core/worker.h"
#include "ebpf/ebpf.h"

/* Adds the members "owners", "namespace", "why" (nothing is counted), "since", "rows", "listeners" (see control.h).
 * Walks over all sockets and cgroups of the host: on the worker's thread. */
void ports_answer(const struct ebpf *, struct json_writer *);

/* At the end of each second, Unix time: now and then, where the table of rows gets full, those that are dead make room.
 */
void ports_tick(const struct ebpf *, struct worker *, uint64_t second);

#endif
