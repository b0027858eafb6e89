#include "shim/session/stream_state.h"

enum { FIRST = 1024 };

void buffer_drop(struct stream *s, struct buffer **buffer) {
    if (*buffer)
        s->memory->give(*buffer, (*buffer)->capacity);
    *buffer = NULL;
}

bool buffer_reserve(struct stream *s, struct buffer **buffer, size_t more) {
    struct buffer *old = *buffer;
    size_t have = old ? old->size : 0, need = sizeof(*old) + have + more, capacity = old ? old->capacity : FIRST;
    if (old && need <= capacity)
        return true;
    while (capacity < need)
        capacity *= 2;
    struct buffer *fresh = capacity <= UINT32_MAX ? s->memory->take(capacity) : NULL;
    if (!fresh)
        return false;
    *fresh = (struct buffer){.at = old ? old->at : 0, .size = (uint32_t)have, .capacity = (uint32_t)capacity};
    if (have)
        memcpy(fresh->bytes, old->bytes, have);
    buffer_drop(s, buffer);
    *buffer = fresh;
    return true;
}

bool buffer_append(struct stream *s, struct buffer **buffer, const char *bytes, size_t size) {
    if (!buffer_reserve(s, buffer, size))
        return false;
    if (size)
        memcpy((*buffer)->bytes + (*buffer)->size, bytes, size);
    (*buffer)->size += (uint32_t)size;
    return true;
}
