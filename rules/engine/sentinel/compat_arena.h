/* Memory of the compat mode: blocks of powers of two, from address space that grows with them, and a map of names over
 * them. */
#ifndef WEIR_RULES_COMPAT_ARENA_H
#define WEIR_RULES_COMPAT_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/engine/chunks.h"

enum { COMPAT_CLASSES = 28 }; /* blocks of 16 bytes … 2 GiB */

struct compat_arena {
    struct chunks chunks;
    uint32_t limit; /* bytes, at most */
    uint32_t used;  /* bump pointer; the first bytes are no block, so that no place is 0 */
    uint32_t dirty; /* bytes from the start that have been written to: beyond it the pages are still zero */
    void *free[COMPAT_CLASSES];
};

/* Empty; of the chunks that it has, `dirty` bytes have been written to. */
void compat_arena_init(struct compat_arena *, uint32_t limit, uint32_t dirty);
/* Names a block by a number, and back; 0 and NULL go together. */
uint32_t compat_place(const struct compat_arena *, const void *block);
void *compat_at(const struct compat_arena *, uint32_t place);
void *compat_take(struct compat_arena *, size_t size);             /* zeroed, 16-byte aligned; NULL when used up */
void compat_give(struct compat_arena *, void *block, size_t size); /* `size` as taken; NULL is fine */

/* Names to objects.  The object starts with a struct compat_item; it is never moved. */
struct compat_item {
    struct compat_item *next;
    uint64_t hash;
    const char *name;
    size_t length;
};
struct compat_map {
    struct compat_item **slots;
    uint32_t size, count; /* size is a power of two, or 0 */
};
void *compat_map_find(const struct compat_map *, uint64_t hash, const char *name, size_t length);
/* The item's hash is set; its name is copied into the arena.  False when memory is used up. */
bool compat_map_add(struct compat_arena *, struct compat_map *, struct compat_item *, const char *name, size_t length);
void compat_map_clear(struct compat_arena *, struct compat_map *); /* forgets the items; they are the caller's */
void compat_item_give_name(struct compat_arena *, struct compat_item *);

#endif
