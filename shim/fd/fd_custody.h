/* Descriptors that other processes get: by fork, and over a socket.  What their connections hold goes into custody
 * first (shim/admission/handover.h). */
#ifndef WEIR_SHIM_FD_CUSTODY_H
#define WEIR_SHIM_FD_CUSTODY_H

#include <stdbool.h>

struct sockaddr_storage;
struct admit_connection;

/* Around a fork, in the parent and then in the child: of all descriptors.  Async-signal-safe in the child. */
void fd_custody_before_fork(void);
void fd_custody_in_child(void);
/* A process that has replaced its program: of what it held, what it still has. */
void fd_custody_after_exec(void);
/* The descriptor is about to be sent; true: it takes something with it, and fd_custody_unsend is to follow if it is not
 * sent after all.  Under the reentry, as are the next. */
bool fd_custody_send(int fd);
void fd_custody_unsend(int fd);
/* Did ever a process of the app pass connections on? */
bool fd_custody_used(void);
/* A connection that another process accepted is this one's, too. */
void fd_custody_receive(struct admit_connection *, const struct sockaddr_storage *peer);

#endif
