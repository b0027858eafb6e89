/* What we know of each descriptor: one 64-bit word.  Those of the low numbers are in an array, so that the word of a
 * descriptor that does not concern us is one load and a branch, without lock, in any context; those of high numbers, as
 * few programs have them, are in leaves that are mapped when the first of their descriptors is tracked.  Words are
 * swapped whole: kind, generation and connection can never be seen in a mixture. */
#ifndef WEIR_SHIM_FD_TABLE_H
#define WEIR_SHIM_FD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum { FD_TABLE_SIZE = 1 << 20, FD_TABLE_LEAF = 1 << 14 }; /* descriptors beyond the size are never tracked */

enum fd_kind {
    FD_UNKNOWN,  /* never seen: inherited, passed to us, or opened by a call that is not interposed */
    FD_PLAIN,    /* does not concern us */
    FD_EPOLL,    /* an epoll set that a connection was put into */
    FD_OURS,     /* a timer that stands for a waiting request (wakeup.c); its value: the connection */
    FD_SOCKET,   /* a stream socket of AF_INET(6), made here, neither connected nor known to listen */
    FD_LISTENER, /* its value: port or, for AF_UNIX, the index of its name (listener.c) */
    FD_OUTBOUND, /* connected here and answered: only its end matters */
    FD_STREAM,   /* an accepted connection */
    FD_AWAITED,  /* connected here, not a byte came back yet */
};

enum fd_flag {                 /* of a socket or listener */
               FD_EDGE = 1,    /* was put into an epoll set with EPOLLET */
               FD_PATIENT = 2, /* accept() was seen to block on it for long: a loop that has nothing else to do */
};

extern _Atomic uint64_t fd_table_low[FD_TABLE_LEAF];
uint64_t fd_table_high(int fd); /* of the others */

static inline uint64_t fd_table_get(int fd) /* FD_PLAIN for what cannot be tracked */
{
    return __builtin_expect((unsigned)fd < FD_TABLE_LEAF, 1)
               ? __atomic_load_n((uint64_t *)&fd_table_low[fd], __ATOMIC_SEQ_CST)
               : fd_table_high(fd);
}

static inline enum fd_kind fd_word_kind(uint64_t word) {
    return (enum fd_kind)(word & 0xff);
}

static inline unsigned fd_word_flags(uint64_t word) {
    return (unsigned)(word >> 8) & 3;
}

static inline uint32_t fd_word_generation(uint64_t word) /* 22 bits */
{
    return (uint32_t)word >> 10;
}

static inline uint32_t fd_word_value(uint64_t word) /* a connection's arena index, or what the kind says */
{
    return (uint32_t)(word >> 32);
}

/* Puts a new state in place, under a new generation; returns the word before. */
uint64_t fd_table_swap(int fd, enum fd_kind kind, uint32_t value);
/* The same if the word is still `expected`. */
bool fd_table_replace(int fd, uint64_t expected, enum fd_kind kind, uint32_t value);
void fd_table_flag(int fd, uint64_t expected, enum fd_flag flag); /* unless the word changed meanwhile */
/* No descriptor above this one was ever given a state with a value; -1: none. */
int fd_table_highest(void);

/* Reading and writing need nothing of us. */
static inline bool fd_table_passes(int fd) {
    uint8_t kind = (uint8_t)(__builtin_expect((unsigned)fd < FD_TABLE_LEAF, 1)
                                 ? __atomic_load_n((uint64_t *)&fd_table_low[fd], __ATOMIC_RELAXED)
                                 : fd_table_high(fd));
    return (uint8_t)(kind - FD_PLAIN) <= FD_OUTBOUND - FD_PLAIN;
}

#endif
