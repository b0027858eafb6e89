/* Bits of a word: 0…7 kind, 8…9 flags, 10…31 generation, 32…63 value. */
#include "shim/fd/fd_table.h"

#include <stdatomic.h>

#include "shim/process/arena.h"

enum { FLAG_SHIFT = 8, GENERATION_SHIFT = 10 };
#define GENERATION_ONE (1ull << GENERATION_SHIFT)
#define GENERATION_MASK (0xffffffffull & ~(GENERATION_ONE - 1))

enum { LEAVES = FD_TABLE_SIZE / FD_TABLE_LEAF, LEAF_BYTES = FD_TABLE_LEAF * sizeof(uint64_t) };
_Static_assert((size_t)LEAF_BYTES > (size_t)ARENA_BLOCK_MAX, "a leaf is a mapping of its own, and zeroed");

_Atomic uint64_t fd_table_low[FD_TABLE_LEAF];
static _Atomic(_Atomic uint64_t *) leaves[LEAVES]; /* the first is never used; NULL: nothing of it is tracked */
static _Atomic int highest = -1;

uint64_t fd_table_high(int fd) {
    if ((unsigned)fd >= FD_TABLE_SIZE)
        return FD_PLAIN;
    _Atomic uint64_t *leaf = atomic_load_explicit(&leaves[fd / FD_TABLE_LEAF], memory_order_acquire);
    return leaf ? atomic_load(&leaf[fd % FD_TABLE_LEAF]) : FD_UNKNOWN;
}

/* Who comes second with the same leaf gives its mapping back. */
static _Atomic uint64_t *leaf_made(unsigned number) {
    _Atomic uint64_t *fresh = arena_take(LEAF_BYTES), *none = NULL;
    if (!fresh || atomic_compare_exchange_strong(&leaves[number], &none, fresh))
        return fresh;
    arena_give((void *)fresh, LEAF_BYTES);
    return none;
}

/* NULL: it cannot be tracked, or (not `make`) its leaf is not there. */
static _Atomic uint64_t *word_of(int fd, bool make) {
    unsigned number = (unsigned)fd / FD_TABLE_LEAF;
    if (number == 0)
        return &fd_table_low[fd];
    if ((unsigned)fd >= FD_TABLE_SIZE)
        return NULL;
    _Atomic uint64_t *leaf = atomic_load_explicit(&leaves[number], memory_order_acquire);
    if (!leaf && make)
        leaf = leaf_made(number);
    return leaf ? &leaf[fd % FD_TABLE_LEAF] : NULL;
}

static uint64_t made(uint64_t before, enum fd_kind kind, uint32_t value) {
    return (uint64_t)value << 32 | ((before + GENERATION_ONE) & GENERATION_MASK) | (uint64_t)kind;
}

static void note_highest(int fd) {
    int seen = atomic_load_explicit(&highest, memory_order_relaxed);

    while (fd > seen && !atomic_compare_exchange_weak(&highest, &seen, fd))
        continue;
}

uint64_t fd_table_swap(int fd, enum fd_kind kind, uint32_t value) {
    _Atomic uint64_t *word = word_of(fd, kind != FD_UNKNOWN || value);
    if (!word)
        return (unsigned)fd < FD_TABLE_SIZE ? FD_UNKNOWN : FD_PLAIN;
    uint64_t before = atomic_load(word);
    if (fd_word_kind(before) == kind && value == 0 && fd_word_value(before) == 0 && fd_word_flags(before) == 0)
        return before; /* nothing changes: spare the cache line */
    if (value)
        note_highest(fd);
    while (!atomic_compare_exchange_weak(word, &before, made(before, kind, value)))
        continue;
    return before;
}

bool fd_table_replace(int fd, uint64_t expected, enum fd_kind kind, uint32_t value) {
    _Atomic uint64_t *word = word_of(fd, true);
    if (!word)
        return false;
    if (value)
        note_highest(fd);
    return atomic_compare_exchange_strong(word, &expected, made(expected, kind, value));
}

void fd_table_flag(int fd, uint64_t expected, enum fd_flag flag) {
    _Atomic uint64_t *word = word_of(fd, false);
    if (word)
        atomic_compare_exchange_strong(word, &expected, expected | (uint64_t)flag << FLAG_SHIFT);
}

int fd_table_highest(void) {
    return atomic_load(&highest);
}
