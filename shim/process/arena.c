/* Freed blocks of one size stand in a stack, whose head carries a 32-bit tag that changes with every push and pop, so
 * that a head that was taken, used and put back meanwhile is distinguished from one that stayed (the ABA problem; R. K.
 * Treiber, "Systems Programming: Coping with Parallelism", 1986).  New blocks are cut from the current chunk by moving
 * one 64-bit word: chunk number and offset.  Chunks are aligned to their size and begin with their number. */
#include "shim/process/arena.h"

#include "shim/process/pages.h"

enum {
    CHUNK = ARENA_CHUNK,
    CHUNK_UNITS = ARENA_UNITS,
    CHUNKS = ARENA_CHUNKS,
    FINE = 16, /* classes of 1 … 16 units, then one per power of two */
    CLASSES = FINE + 6,
};
_Static_assert(ARENA_UNIT << 10 == ARENA_BLOCK_MAX, "the classes end at the largest block");

struct arena_unit *_Atomic arena_chunks[CHUNKS];
static _Atomic uint64_t next_cut = 1; /* chunk << 32 | unit; unit 0 of each holds its number, so that no index is 0 */
static struct arena_pool classes[CLASSES];

static uint32_t units_of(size_t size) {
    return size ? (uint32_t)((size + ARENA_UNIT - 1) / ARENA_UNIT) : 1;
}

static unsigned class_of(size_t size, uint32_t *ret_units) {
    uint32_t units = units_of(size);

    if (units <= FINE) {
        *ret_units = units;
        return units - 1;
    }
    unsigned power = 32 - (unsigned)__builtin_clz(units - 1); /* 17 … 32 units are class 16, and so on */
    *ret_units = 1u << power;
    return FINE + power - 5;
}

uint32_t arena_index(const void *block) {
    uintptr_t chunk = (uintptr_t)block & ~(uintptr_t)(CHUNK - 1);

    return *(const uint32_t *)chunk * CHUNK_UNITS + (uint32_t)(((uintptr_t)block - chunk) / ARENA_UNIT);
}

void *arena_at(uint32_t index) {
    struct arena_unit *chunk = atomic_load_explicit(&arena_chunks[index / ARENA_UNITS], memory_order_acquire);
    return &chunk[index % ARENA_UNITS];
}

static _Atomic uint32_t *link_of(uint32_t index) {
    return arena_at(index);
}

static uint32_t pop(_Atomic uint64_t *stack) {
    uint64_t head = atomic_load_explicit(stack, memory_order_acquire);

    while ((uint32_t)head) {
        uint32_t next = atomic_load_explicit(link_of((uint32_t)head), memory_order_relaxed);
        uint64_t tagged = ((head >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(stack, &head, tagged, memory_order_acq_rel, memory_order_acquire))
            return (uint32_t)head;
    }
    return 0;
}

static void push(_Atomic uint64_t *stack, uint32_t index) {
    uint64_t head = atomic_load_explicit(stack, memory_order_relaxed), tagged;

    do {
        atomic_store_explicit(link_of(index), (uint32_t)head, memory_order_relaxed);
        tagged = ((head >> 32) + 1) << 32 | index;
    } while (!atomic_compare_exchange_weak_explicit(stack, &head, tagged, memory_order_acq_rel, memory_order_relaxed));
}

/* Twice the size, less what lies before and behind the aligned part. */
static char *map_chunk(uint32_t number) {
    char *whole = pages_take(2 * (size_t)CHUNK);

    if (!whole)
        return NULL;
    char *chunk = (char *)(((uintptr_t)whole + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
    if (chunk > whole)
        pages_give(whole, (size_t)(chunk - whole));
    pages_give(chunk + CHUNK, (size_t)(whole + CHUNK - chunk));
    *(uint32_t *)chunk = number;
    return chunk;
}

/* The second thread with the same chunk gives its mapping back. */
static int chunk_ready(uint32_t number) {
    if (atomic_load_explicit(&arena_chunks[number], memory_order_acquire))
        return 1;
    struct arena_unit *fresh = (struct arena_unit *)map_chunk(number), *none = NULL;
    if (!fresh)
        return 0;
    if (!atomic_compare_exchange_strong(&arena_chunks[number], &none, fresh))
        pages_give(fresh, CHUNK);
    return 1;
}

static uint32_t cut(uint32_t units) {
    uint64_t at = atomic_load(&next_cut);

    for (;;) {
        uint32_t chunk = (uint32_t)(at >> 32), unit = (uint32_t)at;
        if (unit + units > CHUNK_UNITS) { /* the rest of a chunk is left unused: less than one block */
            chunk++;
            unit = 1;
        }
        if (chunk >= CHUNKS || !chunk_ready(chunk))
            return 0;
        if (atomic_compare_exchange_weak(&next_cut, &at, (uint64_t)chunk << 32 | (unit + units)))
            return chunk * CHUNK_UNITS + unit;
    }
}

void *arena_pool_take(struct arena_pool *pool) {
    uint32_t index = pop(&pool->freed);

    if (!index)
        index = cut(units_of(pool->size));
    return index ? arena_at(index) : NULL;
}

void arena_pool_give(struct arena_pool *pool, void *block) {
    push(&pool->freed, arena_index(block));
}

void *arena_take(size_t size) {
    uint32_t units;

    if (size > ARENA_BLOCK_MAX)
        return pages_take(size);
    uint32_t index = pop(&classes[class_of(size, &units)].freed);
    if (!index)
        index = cut(units);
    return index ? arena_at(index) : NULL;
}

void arena_give(void *block, size_t size) {
    uint32_t units;

    if (!block)
        return;
    if (size > ARENA_BLOCK_MAX)
        pages_give(block, size);
    else
        arena_pool_give(&classes[class_of(size, &units)], block);
}
