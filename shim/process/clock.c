#include "shim/process/clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shim/libc/syscall_raw.h"
#include "shim/process/vdso.h"

#define SECOND_NS INT64_C(1000000000)

static _Atomic uint64_t offset; /* may be negative: a namespace of clocks */
static _Atomic(vdso_clock_gettime *) mapped;
static _Atomic uint64_t last_ns; /* where nothing is mapped */

void clock_start(void) {
    atomic_store(&mapped, vdso_clock());
}

/* Without a mapped clock a filter may forbid to ask for the time: then it stands still, and limits with it. */
static __attribute__((noinline, cold)) uint64_t asked_ns(void) {
    struct timespec now = {0};

    if (OWN2(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0)
        atomic_store(&last_ns, (uint64_t)(now.tv_sec * SECOND_NS + now.tv_nsec));
    return atomic_load(&last_ns);
}

static inline uint64_t monotonic_ns(void) {
    vdso_clock_gettime *get = atomic_load_explicit(&mapped, memory_order_relaxed);
    struct timespec now;

    if (__builtin_expect(!get || get(CLOCK_MONOTONIC, &now) != 0, 0))
        return asked_ns();
    return (uint64_t)(now.tv_sec * SECOND_NS + now.tv_nsec);
}

uint64_t clock_ns(void) {
    return monotonic_ns() + atomic_load_explicit(&offset, memory_order_relaxed);
}

uint64_t clock_monotonic_ns(uint64_t at_ns) {
    int64_t at = (int64_t)(at_ns - atomic_load_explicit(&offset, memory_order_relaxed));
    return at > 0 ? (uint64_t)at : 1;
}

uint64_t clock_nap_ns(uint64_t left_ns) {
    enum { SHORT_NS = 4000000 }; /* is rounded up by no more than the timer slack, 50 us */
    return left_ns > SHORT_NS ? left_ns - left_ns / 128 - SHORT_NS / 4 : left_ns;
}

/* ------------------------------------------------------------------------------------------ namespaces of clocks */

/* What this process's namespace adds to the host's clock: "monotonic SECONDS NANOSECONDS", a line of the file. */
static int64_t namespace_ns(void) {
    char text[256], *rest;
    long fd = OWN4(SYS_openat, AT_FDCWD, "/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC, 0);
    long size = fd < 0 ? 0 : OWN3(SYS_read, fd, text, sizeof text - 1);

    if (fd >= 0)
        OWN1(SYS_close, fd);
    text[size > 0 ? size : 0] = '\0';
    const char *line = strstr(text, "monotonic");
    if (!line)
        return 0;
    int64_t seconds = strtoll(line + strlen("monotonic"), &rest, 10);
    return seconds * SECOND_NS + strtoll(rest, NULL, 10);
}

static uint64_t distance(int64_t ns) {
    return ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
}

/* Of an agent that is slow, but not one that sees another clock: the future is none, nor is a minute ago. */
static bool is_plausible(int64_t age_ns) {
    return age_ns > -5 * SECOND_NS && age_ns < 60 * SECOND_NS;
}

void clock_set_offset(uint64_t app_ns, uint64_t agent_alive_ns) {
    int64_t ahead = (int64_t)(monotonic_ns() - agent_alive_ns), space = 0;

    if (agent_alive_ns && distance(ahead) > SECOND_NS)
        space = namespace_ns();
    if (distance(ahead - space) > distance(ahead)) /* the agent is in the same one */
        space = 0;
    if (agent_alive_ns && !is_plausible(ahead - space))
        space = ahead; /* in one of its own: a second is as near as can be known */
    atomic_store_explicit(&offset, app_ns - (uint64_t)space, memory_order_relaxed);
}
