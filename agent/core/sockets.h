/* Listening sockets in the run directory, and who is at the other end. */
#ifndef WEIR_AGENT_SOCKETS_H
#define WEIR_AGENT_SOCKETS_H

#include <stdbool.h>
#include <sys/types.h>

/* A listening non-blocking socket $path/$name with that mode; replaces the one that an earlier agent left.  Its group
 * is the run directory's.  Returns it, or -errno (-ENAMETOOLONG: the path does not fit into a socket address). */
int sockets_listen(int directory, const char *path, const char *name, int type, mode_t mode, int backlog);
/* Is the peer root, the agent's own user, or in that group ((gid_t)-1: none)? */
bool sockets_peer_is_trusted(int fd, gid_t group);

#endif
