/* Connections that the application has closed while the client may still be sending: closed at once, with bytes of the
 * client's that have not been read, the kernel would send a reset, which overtakes the last answer.  A copy of the
 * descriptor lives on until the client has closed, or for two seconds.  There are few of them, looked at by later calls
 * of the application's; the oldest gives way. */
#ifndef WEIR_SHIM_LINGER_H
#define WEIR_SHIM_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The application is about to close this descriptor, its side is shut down and the connection is in no epoll set any
 * more (wakeup_leave_sets).  Async-signal-safe; errno is kept. */
void linger_keep(int fd);
void linger_end(int fd); /* one of the copies */
void linger_after_fork(void);

void linger_sweep(void);
extern _Atomic uint32_t linger_count;
/* Reads away what has come, and closes the ones that are done; not more often than a hundred times a second. */
static inline void linger_look(void) {
    if (__builtin_expect(atomic_load_explicit(&linger_count, memory_order_relaxed) != 0, 0))
        linger_sweep();
}

#endif
