#include "shim/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t offset;

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail, so errno stays */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec +
           atomic_load_explicit(&offset, memory_order_relaxed);
}

void clock_set_offset(uint64_t offset_ns) {
    atomic_store_explicit(&offset, offset_ns, memory_order_relaxed);
}
