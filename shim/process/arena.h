/* The shim's own memory: blocks from anonymous mappings, never from malloc.  take and give are lock-free, so they may
 * be called in signal handlers, after fork in a threaded program, and inside malloc itself.
 *
 * Blocks up to ARENA_BLOCK_MAX come from chunks that are never unmapped, and have a 32-bit index each, which fits into
 * a descriptor's word.  Larger blocks are mappings of their own, and have none. */
#ifndef WEIR_SHIM_ARENA_H
#define WEIR_SHIM_ARENA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { ARENA_UNIT = 64, ARENA_BLOCK_MAX = 64 << 10 };
enum { ARENA_CHUNK = 1 << 20, ARENA_CHUNKS = 4096 }; /* 4 GiB in all */
enum { ARENA_UNITS = ARENA_CHUNK / ARENA_UNIT };     /* of a chunk */

void *arena_take(size_t size); /* aligned to ARENA_UNIT, content undefined; NULL: no memory, pass everything */
void arena_give(void *block, size_t size); /* the same size as taken; NULL is nothing */
uint32_t arena_index(const void *block);   /* of a block of at most ARENA_BLOCK_MAX bytes; never 0 */
void *arena_at(uint32_t index);
struct arena_unit {
    _Alignas(ARENA_UNIT) char bytes[ARENA_UNIT];
};
extern struct arena_unit *_Atomic arena_chunks[ARENA_CHUNKS]; /* by index / ARENA_UNITS; then by index % ARENA_UNITS */

/* Blocks of one size that never become anything else: a stale index always leads to such a block, used or free.  While
 * it is free only its first four bytes are written to. */
struct arena_pool {
    uint32_t size;
    _Atomic uint64_t freed;
};
void *arena_pool_take(struct arena_pool *pool); /* a block that was never used before is zeroed */
void arena_pool_give(struct arena_pool *pool, void *block);

#endif
