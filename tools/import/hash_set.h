/* A set of 64-bit hashes.  Two that collide are one: what goes by it must bear that. */
#ifndef WEIR_TOOLS_IMPORT_HASH_SET_H
#define WEIR_TOOLS_IMPORT_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_set {
    uint64_t *slots; /* 0: free */
    size_t size, used;
};
bool hash_set_has(const struct hash_set *, uint64_t hash);
/* Without memory it is not added. */
void hash_set_add(struct hash_set *, uint64_t hash);
void hash_set_clear(struct hash_set *);

#endif
