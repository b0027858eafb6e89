/* The one clock of the shim: nanoseconds, CLOCK_MONOTONIC plus the app's fixed offset (layout.h). */
#ifndef WEIR_SHIM_CLOCK_H
#define WEIR_SHIM_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);
void clock_set_offset(uint64_t offset_ns); /* once, when the counters file is mapped */

#endif
