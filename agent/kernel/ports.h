/* What the kernel programs have counted, as control.sock answers it. */
#ifndef WEIR_AGENT_KERNEL_PORTS_H
#define WEIR_AGENT_KERNEL_PORTS_H

#include <stdint.h>

#include "agent/core/json_writer.h"
#include "agent/core/log.h"
#include "ebpf/ebpf.h"

/* Adds the members "owners", "namespace", "why" (nothing is counted), "since", "rows", "listeners" (see control.h). */
void ports_answer(const struct ebpf *, const struct log *, struct json_writer *);

/* At the end of each second, Unix time: where the table of rows gets full, those that are dead make room. */
void ports_tick(const struct ebpf *, const struct log *, uint64_t second);

#endif
