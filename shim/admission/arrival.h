/* How long a request lay with the kernel before the application read it. */
#ifndef WEIR_SHIM_ADMISSION_ARRIVAL_H
#define WEIR_SHIM_ADMISSION_ARRIVAL_H

#include <stdint.h>

struct admit_connection;

/* Of the request whose last byte was read just now from the connection's socket `fd`, in ns; ENGINE_WAITED_UNKNOWN: it
 * cannot be determined, as under a filter that forbids to ask.  `busy_ns` as in struct message: what came meanwhile had
 * to wait for the connection's other request, and not for the application.
 *
 * TCP: since its last byte came, by the kernel's clock, which has a granularity of 1 to 10 ms.  The kernel is asked for
 * some requests only, the others are taken to have waited as long as the last of these.  Unix sockets, whose kernel
 * says nothing of the kind: since the listener's queue was found empty, or a thread of the process had nothing to do,
 * before this connection was taken from it, which is too long rather than too short; and nothing of a connection's
 * second request.  Any thread. */
uint64_t arrival_waited_ns(const struct admit_connection *, int fd, uint64_t busy_ns, uint64_t now_ns);

#endif
