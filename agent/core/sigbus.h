/* The counters of an app are writable by its processes, and so can be cut off by them.  A touch beyond the end of a
 * file is SIGBUS: here it becomes a page of zeros and a flag. */
#ifndef WEIR_AGENT_SIGBUS_H
#define WEIR_AGENT_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/* `*damaged` is set when a page of this mapping had to be replaced.  The first call installs the handler; a SIGBUS
 * anywhere else takes its former course. */
void sigbus_protect(void *address, size_t bytes, bool *damaged);
void sigbus_release(const void *address);

#endif
