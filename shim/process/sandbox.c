#include "shim/process/sandbox.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic uint32_t made; /* a bit for each kind of call */

void sandbox_begin(void) {
    atomic_store(&made, 0);
    __atomic_store_n(&raw_restricted, true, __ATOMIC_SEQ_CST);
}

void sandbox_failed(bool before) {
    __atomic_store_n(&raw_restricted, before, __ATOMIC_SEQ_CST);
}

void sandbox_note(enum call_kind kind) {
    uint32_t bit = 1u << kind;

    if (sandbox_on() && !(atomic_load_explicit(&made, memory_order_relaxed) & bit))
        atomic_fetch_or(&made, bit);
}

bool sandbox_allows(enum call_kind kind) {
    return atomic_load_explicit(&made, memory_order_relaxed) >> kind & 1;
}

/* A mutex that one thread may take twice notes whose it is: the C library knows each thread's number. */
static uint32_t thread_id(void) {
    pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

    if (pthread_mutex_lock(&mutex) != 0)
        return 0;
    uint32_t owner = (uint32_t)mutex.__data.__owner;
    pthread_mutex_unlock(&mutex);
    return owner;
}

uint32_t sandbox_process_id(void) {
    long pid = OWN1(SYS_getpid, 0);

    return pid > 0 ? (uint32_t)pid : thread_id();
}
