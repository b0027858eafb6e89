/* The one clock of the shim: nanoseconds, the CLOCK_MONOTONIC that the agent sees plus the app's fixed offset
 * (layout.h). Neither a namespace of clocks (unshare -T) nor a library that changes the time (libfaketime) moves it:
 * limits of scope app are of all processes.  No system call. */
#ifndef WEIR_SHIM_CLOCK_H
#define WEIR_SHIM_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);
uint64_t
clock_monotonic_ns(uint64_t at_ns); /* the same moment on CLOCK_MONOTONIC; 1 for what is before its beginning */
/* How long to sleep at first in order to be awake on time: the kernel rounds long sleeps of poll and select up, by a
 * thousandth (a two-hundredth for a niced process). */
uint64_t clock_nap_ns(uint64_t left_ns);
void clock_start(void); /* from the constructor, before anything else of this */
/* When the counters file is mapped, and when it turns out that the agent's heartbeat (its own CLOCK_MONOTONIC; 0: none)
 * is not of now. */
void clock_set_offset(uint64_t app_ns, uint64_t agent_alive_ns);

#endif
