/* Writing to a file in full. */
#ifndef WEIR_AGENT_WRITE_ALL_H
#define WEIR_AGENT_WRITE_ALL_H

#include <stddef.h>

/* All bytes, in as many calls as it takes.  0 or -errno; then some of them may have been written. */
int write_all(int fd, const char *bytes, size_t size);

#endif
