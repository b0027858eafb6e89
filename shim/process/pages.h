/* Whole pages of private memory, zeroed, by kernel calls of our own; and a reserve of them that is taken before the
 * application's filter forbids these calls (sandbox.h).  Any thread. */
#ifndef WEIR_SHIM_PAGES_H
#define WEIR_SHIM_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* NULL: no memory.  `bytes` is rounded up to whole pages. */
void *pages_take(size_t bytes);
/* The same number of bytes as taken, or whole pages of them. */
void pages_give(const void *memory, size_t bytes);
/* Address space for so many bytes, at most once; pages of it are taken while the kernel may not be asked.  `bytes` is
 * bounded by PAGES_RESERVE_MAX. */
enum { PAGES_RESERVE_MAX = 32 << 20 };
void pages_reserve(size_t bytes);
void pages_after_fork(void);

#endif
