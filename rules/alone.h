/* Words of a process's own that several of its threads change, at the price of plain ones while it has a single thread,
 * as most servers' workers have: a locked instruction costs some twenty of the others.  libc says whether there are
 * more threads (glibc 2.32 or later).  What is left is one instruction each, which no signal handler can come in the
 * middle of; so they are operations rather than functions, and always in line. Never for memory that another process
 * changes at the same time. */
#ifndef WEIR_RULES_ALONE_H
#define WEIR_RULES_ALONE_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && __has_include(<sys/single_threaded.h>) && !defined(__SANITIZE_THREAD__)
#include <sys/single_threaded.h>
#define ALONE(type, width)                                                                                             \
    static inline __attribute__((always_inline)) type alone_add##width(type *word, type value) {                       \
        if (!__libc_single_threaded)                                                                                   \
            return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);                                                  \
        __asm__ volatile("xadd %0, %1" : "+r"(value), "+m"(*word) : : "memory", "cc");                                 \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline __attribute__((always_inline)) bool alone_take##width(type *word, type *expected, type value) {      \
        bool taken;                                                                                                    \
        if (!__libc_single_threaded)                                                                                   \
            return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
        __asm__ volatile("cmpxchg %3, %1" : "=@ccz"(taken), "+m"(*word), "+a"(*expected) : "r"(value) : "memory");     \
        return taken;                                                                                                  \
    }
#else
#define ALONE(type, width)                                                                                             \
    static inline __attribute__((always_inline)) type alone_add##width(type *word, type value) {                       \
        return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);                                                      \
    }                                                                                                                  \
    static inline __attribute__((always_inline)) bool alone_take##width(type *word, type *expected, type value) {      \
        return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
    }
#endif
ALONE(uint32_t, 32) /* returns the value before */
ALONE(uint64_t, 64) /* `*expected` is refreshed on failure */
#undef ALONE

#endif
