/* Memory for an engine straight from the kernel, by libc's mmap: for the agent and the tools.  The shim has its own way
 * to it. */
#ifndef WEIR_RULES_PAGES_H
#define WEIR_RULES_PAGES_H

#include "rules/engine/engine.h"

extern const struct engine_memory pages_memory;

#endif
