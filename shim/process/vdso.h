/* The clock that the kernel maps into every process (vDSO), found by ourselves: libc's functions may be interposed by a
 * library that changes the time (libfaketime), and a system call may be one too many (sandbox.h). */
#ifndef WEIR_SHIM_VDSO_H
#define WEIR_SHIM_VDSO_H

#include <time.h>

typedef int vdso_clock_gettime(clockid_t clock, struct timespec *ret_now);

/* NULL: this kernel has none. */
vdso_clock_gettime *vdso_clock(void);

#endif
