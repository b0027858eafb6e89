#include "tools/replay/replay_calls.h"

#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"

uint64_t calls_id(const char *text, size_t length) {
    return hash_bytes(0, text, length);
}

static struct call_slot *slot_of(const struct calls *calls, uint64_t id) {
    size_t at = id >> 8 & (calls->size - 1);
    while (calls->slots[at].id && calls->slots[at].id != id)
        at = (at + 1) & (calls->size - 1);
    return &calls->slots[at];
}

uint32_t calls_find(const struct calls *calls, uint64_t id) {
    if (!calls->size)
        return CALL_UNKNOWN;
    const struct call_slot *slot = slot_of(calls, id);
    return slot->id ? slot->ticket : CALL_UNKNOWN;
}

static bool grow_slots(struct calls *calls) {
    struct calls larger = {.size = calls->size ? calls->size * 2 : 1024};
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < calls->size; i++)
        if (calls->slots[i].id)
            *slot_of(&larger, calls->slots[i].id) = calls->slots[i];
    free(calls->slots);
    calls->slots = larger.slots;
    calls->size = larger.size;
    return true;
}

static bool grow_tickets(struct calls *calls) {
    uint32_t room = calls->tickets_room ? calls->tickets_room * 2 : 256;
    struct engine_ticket *tickets = realloc(calls->tickets, room * sizeof *tickets);
    if (tickets)
        calls->tickets = tickets;
    uint32_t *unused = realloc(calls->unused, room * sizeof *unused);
    if (unused)
        calls->unused = unused;
    if (!tickets || !unused)
        return false;
    calls->tickets_room = room;
    return true;
}

bool calls_add(struct calls *calls, uint64_t id, const struct engine_ticket *ticket) {
    uint32_t index = CALL_BLOCKED;
    if (calls->count * 2 >= calls->size && !grow_slots(calls))
        return false;
    if (ticket) {
        if (!calls->unused_count && calls->tickets_count == calls->tickets_room && !grow_tickets(calls))
            return false;
        index = calls->unused_count ? calls->unused[--calls->unused_count] : calls->tickets_count++;
        calls->tickets[index] = *ticket;
    }
    *slot_of(calls, id) = (struct call_slot){id, index};
    calls->count++;
    return true;
}

void calls_remove(struct calls *calls, uint64_t id) {
    struct call_slot *slot = slot_of(calls, id);
    if (slot->ticket != CALL_BLOCKED)
        calls->unused[calls->unused_count++] = slot->ticket;
    slot->id = 0;
    calls->count--;
    /* What was displaced by it moves up, so that no search stops at the gap. */
    for (size_t at = (size_t)(slot - calls->slots);;) {
        at = (at + 1) & (calls->size - 1);
        struct call_slot moved = calls->slots[at];
        if (!moved.id)
            return;
        calls->slots[at].id = 0;
        *slot_of(calls, moved.id) = moved;
    }
}

void calls_free(struct calls *calls) {
    free(calls->slots);
    free(calls->tickets);
    free(calls->unused);
    memset(calls, 0, sizeof *calls);
}
