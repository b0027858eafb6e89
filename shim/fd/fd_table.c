/* Bits of a word: 0…7 kind, 8…9 flags, 10…31 generation, 32…63 value. */
#include "shim/fd/fd_table.h"

#include <stdatomic.h>

enum { FLAG_SHIFT = 8, GENERATION_SHIFT = 10 };
#define GENERATION_ONE (1ull << GENERATION_SHIFT)
#define GENERATION_MASK (0xffffffffull & ~(GENERATION_ONE - 1))

_Atomic uint64_t fd_table_words[FD_TABLE_SIZE];
static _Atomic int highest = -1;

static uint64_t made(uint64_t before, enum fd_kind kind, uint32_t value) {
    return (uint64_t)value << 32 | ((before + GENERATION_ONE) & GENERATION_MASK) | (uint64_t)kind;
}

static void note_highest(int fd) {
    int seen = atomic_load_explicit(&highest, memory_order_relaxed);

    while (fd > seen && !atomic_compare_exchange_weak(&highest, &seen, fd))
        continue;
}

uint64_t fd_table_swap(int fd, enum fd_kind kind, uint32_t value) {
    if ((unsigned)fd >= FD_TABLE_SIZE)
        return FD_PLAIN;
    uint64_t before = atomic_load(&fd_table_words[fd]);
    if (fd_word_kind(before) == kind && value == 0 && fd_word_value(before) == 0 && fd_word_flags(before) == 0)
        return before; /* nothing changes: spare the cache line */
    if (value)
        note_highest(fd);
    while (!atomic_compare_exchange_weak(&fd_table_words[fd], &before, made(before, kind, value)))
        continue;
    return before;
}

bool fd_table_replace(int fd, uint64_t expected, enum fd_kind kind, uint32_t value) {
    if ((unsigned)fd >= FD_TABLE_SIZE)
        return false;
    if (value)
        note_highest(fd);
    return atomic_compare_exchange_strong(&fd_table_words[fd], &expected, made(expected, kind, value));
}

void fd_table_flag(int fd, uint64_t expected, enum fd_flag flag) {
    if ((unsigned)fd < FD_TABLE_SIZE)
        atomic_compare_exchange_strong(&fd_table_words[fd], &expected, expected | (uint64_t)flag << FLAG_SHIFT);
}

int fd_table_highest(void) {
    return atomic_load(&highest);
}
