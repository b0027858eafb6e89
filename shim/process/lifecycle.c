#include "shim/process/lifecycle.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "shim/process/attach.h"
#include "shim/process/clock.h"
#include "shim/process/pages.h"
#include "shim/process/reentry.h"
#include "shim/process/log.h"
#include "shim/process/sandbox.h"
#include "shim/libc/syscall_raw.h"

enum { PAGE = 4096, NOT_YET = 0, RUNNING = 1, INERT = 2 };

static _Atomic int state = NOT_YET;
static _Atomic uint32_t epoch = 1;
static _Atomic uint32_t always_there = 1;
_Atomic uint32_t *lifecycle_mark = &always_there; /* else a page that is wiped in a child */
_Atomic uint64_t lifecycle_forked_ns;

static void map_mark(void) {
    long page = OWN6(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page < 0 && page >= -4095)
        return;
    if (OWN3(SYS_madvise, page, PAGE, MADV_WIPEONFORK) < 0) { /* before Linux 4.14: the fork handler has to do */
        OWN2(SYS_munmap, page, PAGE);
        return;
    }
    lifecycle_mark = (_Atomic uint32_t *)page;
    atomic_store(lifecycle_mark, atomic_load(&epoch));
}

/* In a child, by the first of its threads that comes here. */
static __attribute__((noinline, cold)) void forked(void) {
    pages_after_fork();
    lifecycle_parts_after_fork();
    attach_after_fork();
    atomic_store(&lifecycle_forked_ns, clock_ns());
    atomic_store(lifecycle_mark, atomic_fetch_add(&epoch, 1) + 1);
    lifecycle_parts_in_child();
}

static void before_fork(void) {
    int saved = errno;

    if (atomic_load_explicit(&state, memory_order_relaxed) == RUNNING)
        lifecycle_parts_before_fork();
    errno = saved;
}

static void in_child(void) {
    int saved = errno;

    if (lifecycle_mark == &always_there)
        forked();
    else
        lifecycle_epoch();
    errno = saved;
}

uint32_t lifecycle_epoch(void) {
    uint32_t wiped = 0, before = atomic_load_explicit(&epoch, memory_order_relaxed);

    if (atomic_load_explicit(lifecycle_mark, memory_order_relaxed) == 0 &&
        atomic_compare_exchange_strong(lifecycle_mark, &wiped, before + 1))
        forked();
    return atomic_load_explicit(&epoch, memory_order_relaxed);
}

struct engine *lifecycle_engine(void) {
    if (atomic_load_explicit(&state, memory_order_relaxed) != RUNNING)
        return NULL;
    lifecycle_epoch();
    return attach_engine(clock_ns());
}

bool lifecycle_watches(void) {
    return lifecycle_engine() || (atomic_load_explicit(&state, memory_order_relaxed) == RUNNING && attach_off());
}

void lifecycle_before_filter(void) {
    struct reentry_op *op = sandbox_on() || reentry_vforked ? NULL : reentry_enter(__builtin_frame_address(0), NULL);

    if (op) {
        uint32_t serial = op->serial;
        if (atomic_load(&state) == RUNNING) {
            lifecycle_epoch();
            attach_before_filter();
            lifecycle_parts_before_filter();
        }
        reentry_leave(op, serial);
    }
    sandbox_begin();
}

void lifecycle_start(void) {
    if (getauxval(AT_SECURE)) {
        atomic_store(&state, INERT);
        return;
    }
    clock_start();
    map_mark();
    reentry_start();
    log_start();
    pthread_atfork(before_fork, NULL, in_child);
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    if (op) {
        uint32_t serial = op->serial;
        attach_start();
        atomic_store(&state, RUNNING);
        reentry_leave(op, serial);
    }
}

void lifecycle_stop(void) {
    int running = RUNNING;

    if (!atomic_compare_exchange_strong(&state, &running, INERT))
        return;
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    if (op) {
        uint32_t serial = op->serial;
        attach_stop();
        reentry_leave(op, serial);
    }
}
