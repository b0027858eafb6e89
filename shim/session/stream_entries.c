#include "shim/session/stream_state.h"

/* A ring; its first place is within the stream itself, since most connections have one request at a time. */

enum { RING_FIRST = 8 };

static unsigned capacity(const struct stream *s) {
    return s->entries ? s->entries_capacity : 1;
}

static bool grow(struct stream *s) {
    unsigned more = s->entries ? s->entries_capacity * 2u : RING_FIRST;
    if (more > STREAM_ENTRIES_MAX)
        return false;
    struct stream_entry *ring = s->memory->take(more * sizeof(*ring));
    if (!ring)
        return false;
    for (unsigned i = 0; i < s->entries_count; i++)
        ring[i] = *entry_at(s, i);
    if (s->entries)
        s->memory->give(s->entries, s->entries_capacity * sizeof(*ring));
    s->entries = ring;
    s->entries_capacity = (uint16_t)more;
    s->entries_first = 0;
    return true;
}

struct stream_entry *entries_reserve(struct stream *s) {
    if (s->entries_count == capacity(s) && !grow(s))
        return NULL;
    struct stream_entry *entry = entry_at(s, s->entries_count);
    entry->undecided = entry->close = entry->bare = false;
    return entry;
}

void entries_commit(struct stream *s, enum entry_kind kind) {
    entry_at(s, s->entries_count++)->kind = (uint8_t)kind;
    s->ours_count = (uint16_t)(s->ours_count + (kind == ENTRY_OURS));
}

struct stream_entry *entries_last(struct stream *s) {
    return s->entries_count ? entry_at(s, s->entries_count - 1u) : NULL;
}

static void forget(struct stream *s, struct stream_entry *entry) {
    if (entry->kind == ENTRY_OURS) {
        s->memory->give(entry->answer.bytes, entry->answer.capacity);
        s->ours_count--;
    }
    s->entries_count--;
}

static void give_ring_when_empty(struct stream *s) {
    if (!s->entries_count && s->entries) {
        s->memory->give(s->entries, s->entries_capacity * sizeof(*s->entries));
        s->entries = NULL;
        s->entries_capacity = s->entries_first = 0;
    }
}

void entries_pop(struct stream *s) {
    forget(s, entry_at(s, 0));
    if (s->entries)
        s->entries_first = (uint16_t)((s->entries_first + 1u) & (s->entries_capacity - 1u));
    if (!s->entries_count && s->state == REQUEST_WAITING) { /* the application answered before its turn (408) */
        s->refusing = false;
        stream_wait_over(s);
    }
    give_ring_when_empty(s);
}

void entries_unpush(struct stream *s) {
    forget(s, entry_at(s, s->entries_count - 1u));
    give_ring_when_empty(s);
}

void entries_free(struct stream *s) {
    while (s->entries_count)
        entries_pop(s);
    give_ring_when_empty(s);
}

void stream_each_ticket(struct stream *s, void (*visit)(void *context, struct engine_ticket *), void *context) {
    if (!stream_lock(s))
        return;
    for (unsigned i = 0; i < s->entries_count; i++) {
        struct stream_entry *entry = entry_at(s, i);
        if (entry->kind == ENTRY_APPLICATION && !entry->undecided)
            visit(context, &entry->ticket);
    }
    stream_unlock(s);
}
