/* Words of a process's own that several of its threads change, at the price of plain ones while it has a single thread,
 * as most servers' workers have: a locked instruction costs some twenty of the others.  libc says whether there are
 * more threads (glibc 2.32 or later).  What is left is one instruction each, which no signal handler can come in the
 * middle of; so they are operations rather than functions.  Never for memory that another process
 * changes at the same time. */
#ifndef WEIR_RULES_ALONE_H
#define WEIR_RULES_ALONE_H

#include <stdbool.h>
#include <stdint.h>

/* alone_add32, alone_add64 return the value before. */
#if defined(__x86_64__) && __has_include(<sys/single_threaded.h>) && !defined(__SANITIZE_THREAD__)
#include <sys/single_threaded.h>
#define ALONE_ADD(type, word, value)                                                                                   \
    ({                                                                                                                 \
        type *alone_word = (word), alone_value = (type)(value);                                                        \
        if (!__libc_single_threaded)                                                                                   \
            alone_value = __atomic_fetch_add(alone_word, alone_value, __ATOMIC_SEQ_CST);                               \
        else                                                                                                           \
            __asm__ volatile("xadd %0, %1" : "+r"(alone_value), "+m"(*alone_word) : : "memory", "cc");                 \
        alone_value;                                                                                                   \
    })
#define ALONE_TAKE(type, word, expected, value)                                                                        \
    ({                                                                                                                 \
        type *alone_word = (word), *alone_expected = (expected), alone_next = (type)(value);                           \
        bool alone_taken;                                                                                              \
        if (!__libc_single_threaded)                                                                                   \
            alone_taken = __atomic_compare_exchange_n(alone_word, alone_expected, alone_next, false, __ATOMIC_SEQ_CST, \
                                                      __ATOMIC_SEQ_CST);                                               \
        else                                                                                                           \
            __asm__ volatile("cmpxchg %3, %1"                                                                          \
                             : "=@ccz"(alone_taken), "+m"(*alone_word), "+a"(*alone_expected)                          \
                             : "r"(alone_next)                                                                         \
                             : "memory");                                                                              \
        alone_taken;                                                                                                   \
    })
#else
#define ALONE_ADD(type, word, value) __atomic_fetch_add((word), (type)(value), __ATOMIC_SEQ_CST)
#define ALONE_TAKE(type, word, expected, value)                                                                        \
    __atomic_compare_exchange_n((word), (expected), (type)(value), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif
#define alone_add32(word, value) ALONE_ADD(uint32_t, word, value)
#define alone_add64(word, value) ALONE_ADD(uint64_t, word, value)
/* `*expected` is refreshed on failure. */
#define alone_take32(word, expected, value) ALONE_TAKE(uint32_t, word, expected, value)
#define alone_take64(word, expected, value) ALONE_TAKE(uint64_t, word, expected, value)

#endif
