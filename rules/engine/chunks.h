/* Address space that grows with what is put into it: chunks, each further one doubling the whole, mapped when the first
 * byte of them is needed.  Places are offsets; what stands at one never reaches from a chunk into another.  Any number
 * of threads may be at it, without locks. */
#ifndef WEIR_RULES_ENGINE_CHUNKS_H
#define WEIR_RULES_ENGINE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/engine/engine.h"

enum { CHUNKS = 12, CHUNKS_FIRST = 128 << 10 }; /* 256 MiB in all */
#define CHUNKS_BYTES ((uint32_t)CHUNKS_FIRST << (CHUNKS - 1))

struct chunks {
    char *base[CHUNKS]; /* atomic; the address that offset 0 would have if it were in the chunk; NULL: not yet */
    struct engine_memory memory;
};

static inline unsigned chunks_number(uint32_t at) {
    return 31 - (unsigned)__builtin_clz(at / (CHUNKS_FIRST / 2) | 1);
}
/* Where that offset is; NULL: nothing was ever put there. */
static inline void *chunks_at(const struct chunks *chunks, uint32_t at) {
    char *base = __atomic_load_n(&chunks->base[chunks_number(at)], __ATOMIC_ACQUIRE);
    return base ? base + at : NULL;
}
/* The first place from an offset on for so many bytes, mapped and, where nothing was before, zeroed; false: there is
 * none below `limit`, or no memory. */
bool chunks_place(struct chunks *, uint32_t from, uint32_t bytes, uint32_t limit, uint32_t *ret_at);
/* The offset of what is at an address; false: it is not in there. */
bool chunks_offset(const struct chunks *, const void *address, uint32_t *ret_at);
void chunks_free(struct chunks *); /* gives all of it back; it is empty then */

#endif
