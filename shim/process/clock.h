/* The one clock of the shim: nanoseconds, CLOCK_MONOTONIC plus the app's fixed offset (layout.h). */
#ifndef WEIR_SHIM_CLOCK_H
#define WEIR_SHIM_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);
uint64_t
clock_monotonic_ns(uint64_t at_ns); /* the same moment on CLOCK_MONOTONIC; 1 for what is before its beginning */
/* How long to sleep at first in order to be awake on time: the kernel rounds long sleeps of poll and select up, by a
 * thousandth (a two-hundredth for a niced process). */
uint64_t clock_nap_ns(uint64_t left_ns);
void clock_set_offset(uint64_t offset_ns); /* once, when the counters file is mapped */

#endif
