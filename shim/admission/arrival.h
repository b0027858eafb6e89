/* How long a request lay with the kernel before the application read it. */
#ifndef WEIR_SHIM_ADMISSION_ARRIVAL_H
#define WEIR_SHIM_ADMISSION_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

struct admit_connection;
struct message;

/* Of the request whose head was read just now from the connection's socket `fd`, or lies with it (`door`), in ns;
 * ENGINE_WAITED_UNKNOWN: it cannot be determined, as under a filter that forbids to ask.  It is not what the client
 * itself made it wait: what came while the connection had another request (busy_ns of struct message) had to wait for
 * that one. Nor is it the time that this thread slept for other clients to send the rest of something.
 *
 * TCP: since the last byte came, by the kernel's clock, which has a granularity of 1 to 10 ms.  The kernel is asked for
 * some requests only, the others are taken to have waited as long as the last of these.  Those of which more is to
 * come, or before or behind which there are others, are taken to have waited as long as others do in the mean: else a
 * client that sends a byte now and then would never have waited.  Unix sockets, whose kernel says nothing of the kind:
 * since the listener's queue was found empty, without the time that this thread slept for whatever might come; that is
 * too long rather than too short, and nothing is known of a connection's second request.  Any thread. */
uint64_t arrival_waited_ns(const struct admit_connection *, int fd, const struct message *, bool door, uint64_t now_ns);
/* A rule looks at it. */
void arrival_asked(uint64_t now_ns);

#endif
