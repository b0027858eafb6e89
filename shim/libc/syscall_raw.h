/* System calls without libc: no errno, no cancellation point, no symbol that another preload could have taken.  Each
 * returns as the kernel does: -errno.
 *
 *   RAWn   a call that the application makes, passed on as it is made
 *   OWNn   a call for our own needs.  Under a filter that the application put on itself (shim/process/sandbox.h) none
 * of them reaches the kernel, which could end the process for it: each says EPERM, and what follows from that is its
 * caller's to say. */
#ifndef WEIR_SHIM_SYSCALL_RAW_H
#define WEIR_SHIM_SYSCALL_RAW_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

extern bool raw_restricted; /* atomic: our own calls are not made (sandbox.h) */

#if defined(__x86_64__)
static inline long raw_syscall(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#else
#error "The shim is for x86_64; another machine needs this instruction, and syscall() and vfork() (syscall_x86_64.S)."
#endif

static inline long own_syscall(long number, long a, long b, long c, long d, long e, long f) {
    if (__builtin_expect(__atomic_load_n(&raw_restricted, __ATOMIC_RELAXED), 0))
        return -EPERM;
    return raw_syscall(number, a, b, c, d, e, f);
}

#define RAW6(number, a, b, c, d, e, f)                                                                                 \
    raw_syscall(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define RAW5(number, a, b, c, d, e) RAW6(number, a, b, c, d, e, 0)
#define RAW4(number, a, b, c, d) RAW5(number, a, b, c, d, 0)
#define RAW3(number, a, b, c) RAW4(number, a, b, c, 0)
#define RAW2(number, a, b) RAW3(number, a, b, 0)
#define RAW1(number, a) RAW2(number, a, 0)

#define OWN6(number, a, b, c, d, e, f)                                                                                 \
    own_syscall(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define OWN5(number, a, b, c, d, e) OWN6(number, a, b, c, d, e, 0)
#define OWN4(number, a, b, c, d) OWN5(number, a, b, c, d, 0)
#define OWN3(number, a, b, c) OWN4(number, a, b, c, 0)
#define OWN2(number, a, b) OWN3(number, a, b, 0)
#define OWN1(number, a) OWN2(number, a, 0)

#endif
