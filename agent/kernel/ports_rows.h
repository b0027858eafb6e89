/* The rows of `weir ports`. */
#ifndef WEIR_AGENT_KERNEL_PORTS_ROWS_H
#define WEIR_AGENT_KERNEL_PORTS_ROWS_H

#include <stddef.h>

#include "agent/core/json_writer.h"
#include "ebpf/cgroups.h"
#include "ebpf/counting.h"

/* Adds "rows":[…]. */
void ports_rows_write(const struct counting_row *rows, size_t count, const struct cgroups *, struct json_writer *);

#endif
