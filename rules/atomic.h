/* The engine's memory ordering, all of it.
 *
 * relaxed      counters, caches and hints: nothing is read because of them
 * acquire /    a pointer, index or key that says "what I lead to is complete": bindings, cells, entries, rulesets
 * release
 * atomic_take  a word that *is* the limiter: compare-and-swap, total order.  Limiters whose state is several words
 *              (window: slot before head; concurrency of an app: own word before the sum) need every participant to see
 *              them in one order, hence sequential consistency; on x86 that costs nothing more.
 *
 * Words may lie in shared memory: they are plain integers, never C11 _Atomic, so that the layout is
 * the same for all. */
#ifndef WEIR_RULES_ENGINE_ATOMIC_H
#define WEIR_RULES_ENGINE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_total(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define store_total(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED) /* returns the value before */
#define add_total(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)

/* A double, as the bits of a word. */
static inline double load_double(const uint64_t *word) {
    uint64_t bits = load_relaxed(word);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
static inline void store_double(uint64_t *word, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_relaxed(word, bits);
}

/* Swaps if the word is `*expected`, which is refreshed on failure. */
#define atomic_swap_if(word, expected, value)                                                                          \
    __atomic_compare_exchange_n((word), (expected), (value), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define atomic_take(word, expected, value) atomic_swap_if((uint64_t *)(word), (uint64_t *)(expected), (uint64_t)(value))
#define atomic_take32(word, expected, value)                                                                           \
    atomic_swap_if((uint32_t *)(word), (uint32_t *)(expected), (uint32_t)(value))

/* Gives back, but never below zero: the word may have been cleared, as a dead process's is. */
static inline void sub_floor32(uint32_t *word, uint32_t amount) {
    uint32_t old = load_relaxed(word);
    while (old && !atomic_take32(word, &old, old > amount ? old - amount : 0)) {
    }
}

/* A private copy of a record that other processes may write to, at this moment, too: what was checked in the copy is
 * what will be used.  The compiler reads nothing of the record again. */
#define load_record(to, from)                                                                                          \
    do {                                                                                                               \
        memcpy((to), (from), sizeof(*(to)));                                                                           \
        __asm__ volatile("" ::: "memory");                                                                             \
    } while (0)

/* Two halves in one word: what must change together. */
#define pack(high, low) ((uint64_t)(uint32_t)(high) << 32 | (uint32_t)(low))
#define high_of(word) ((uint32_t)((uint64_t)(word) >> 32))
#define low_of(word) ((uint32_t)(word))

#endif
