#include "shim/process/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t offset;

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail, so errno stays */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec +
           atomic_load_explicit(&offset, memory_order_relaxed);
}

uint64_t clock_monotonic_ns(uint64_t at_ns) {
    uint64_t ahead_ns = atomic_load_explicit(&offset, memory_order_relaxed);
    return at_ns > ahead_ns ? at_ns - ahead_ns : 1;
}

uint64_t clock_nap_ns(uint64_t left_ns) {
    enum { SHORT_NS = 4000000 }; /* is rounded up by no more than the timer slack, 50 us */
    return left_ns > SHORT_NS ? left_ns - left_ns / 128 - SHORT_NS / 4 : left_ns;
}

void clock_set_offset(uint64_t offset_ns) {
    atomic_store_explicit(&offset, offset_ns, memory_order_relaxed);
}
