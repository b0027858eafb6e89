/* The rows of `weir ports` as JSON text, written straight away: objects of cJSON for a full table would keep the agent
 * from everything else for a third of a second. */
#ifndef WEIR_AGENT_PORTS_ROWS_H
#define WEIR_AGENT_PORTS_ROWS_H

#include <stddef.h>

#include "ebpf/cgroups.h"
#include "ebpf/counting.h"

/* A JSON array, malloc'ed; NULL without memory. */
char *ports_rows_text(const struct counting_row *rows, size_t count, const struct cgroups *cgroups);

#endif
