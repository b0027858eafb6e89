#include "rules/engine/chunks.h"

static uint32_t first_of(unsigned chunk) {
    return chunk ? (uint32_t)CHUNKS_FIRST << (chunk - 1) : 0;
}

static uint32_t bytes_of(unsigned chunk) {
    return (uint32_t)CHUNKS_FIRST << (chunk ? chunk - 1 : 0);
}

/* Who comes second with the same chunk gives its mapping back. */
static bool is_ready(struct chunks *chunks, unsigned chunk) {
    char *none = NULL;
    if (__atomic_load_n(&chunks->base[chunk], __ATOMIC_ACQUIRE))
        return true;
    char *fresh = chunks->memory.take(chunks->memory.context, bytes_of(chunk));
    if (!fresh)
        return false;
    char *base = (char *)((uintptr_t)fresh - first_of(chunk));
    if (!__atomic_compare_exchange_n(&chunks->base[chunk], &none, base, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        chunks->memory.give(chunks->memory.context, fresh, bytes_of(chunk));
    return true;
}

bool chunks_place(struct chunks *chunks, uint32_t from, uint32_t bytes, uint32_t limit, uint32_t *ret_at) {
    if (from >= limit || from >= CHUNKS_BYTES)
        return false;
    for (unsigned chunk = chunks_number(from); chunk < CHUNKS; chunk++) {
        uint32_t end = first_of(chunk) + bytes_of(chunk);
        if (bytes <= end - from) {
            *ret_at = from;
            return from < limit && bytes <= limit - from && is_ready(chunks, chunk);
        }
        from = end;
    }
    return false;
}

bool chunks_offset(const struct chunks *chunks, const void *address, uint32_t *ret_at) {
    for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
        const char *base = __atomic_load_n(&chunks->base[chunk], __ATOMIC_ACQUIRE);
        uintptr_t at = (uintptr_t)address - (uintptr_t)base;
        if (base && at - first_of(chunk) < bytes_of(chunk)) {
            *ret_at = (uint32_t)at;
            return true;
        }
    }
    return false;
}

void chunks_free(struct chunks *chunks) {
    for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
        if (chunks->base[chunk]) {
            chunks->memory.give(chunks->memory.context, chunks->base[chunk] + first_of(chunk), bytes_of(chunk));
            chunks->base[chunk] = NULL;
        }
}
