/* What an unknown descriptor is, and the names of listeners. */
#ifndef WEIR_SHIM_CLASSIFY_H
#define WEIR_SHIM_CLASSIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/admission/admit.h"

/* Looks at a descriptor of kind FD_UNKNOWN (inherited, or passed over a socket) and notes what it is: a connection
 * that another process accepted for us becomes a stream.  Costs a few system calls, once for each.  Returns the new
 * word; without an engine nothing is asked, and it stays unknown.  Inside reentry_enter; errno is kept. */
uint64_t classify(int fd);

/* The same for the low numbers, and for sockets that listen, while the kernel may still be asked. */
void classify_known(void);

/* Port or path of a listening stream socket into `ret_admit` (inbound, no peer yet); false: not one that weir has to
 * watch. */
bool classify_listener(int fd, struct admit_connection *ret_admit);
/* The peer of an accepted connection. */
void classify_peer(struct admit_connection *admit, const struct sockaddr_storage *address, socklen_t length);
/* Is this a stream socket of AF_INET or AF_INET6 over TCP? */
bool classify_is_tcp(int fd);

#endif
