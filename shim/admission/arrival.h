/* How long a request lay with the kernel before the application read it. */
#ifndef WEIR_SHIM_ADMISSION_ARRIVAL_H
#define WEIR_SHIM_ADMISSION_ARRIVAL_H

#include <stdint.h>

/* Of the request whose last byte was read just now from the TCP socket `fd`, in ns; ENGINE_WAITED_UNKNOWN: it cannot be
 * determined, as under a filter that forbids to ask.  `busy_ns` as in struct message: one that came meanwhile had to
 * wait for the connection's other request, and not for the application.  The kernel is asked for some requests only,
 * the others are taken to have waited as long as the last of these; its clock has a granularity of 1 to 10 ms.  Any
 * thread. */
uint64_t arrival_waited_ns(int fd, uint64_t busy_ns, uint64_t now_ns);

#endif
