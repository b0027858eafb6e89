/* Between publish.c (room and rules) and publish_files.c (making and finding the files). */
#ifndef WEIR_AGENT_PUBLISH_PRIVATE_H
#define WEIR_AGENT_PUBLISH_PRIVATE_H

#include "agent/rules/publish.h"

/* posix_fallocate; 0 or -errno. */
int publish_allocate(int fd, size_t offset, size_t bytes);
/* The counters' header, what does not grow, and the first part of what does; says so in the rules file.  0 or -errno.
 */
int publish_allocate_first(struct publish *);
/* The prefixes that an earlier agent had allocated, once more: that costs nothing where they are, and makes them so
 * where a process punched holes. */
int publish_allocate_again(struct publish *);

#endif
