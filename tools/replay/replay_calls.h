/* The calls in flight of a replay, by their id in the trace. */
#ifndef WEIR_TOOLS_REPLAY_CALLS_H
#define WEIR_TOOLS_REPLAY_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/engine/engine.h"

struct call_slot {
    uint64_t id;     /* hash of the id's text; 0 = free */
    uint32_t ticket; /* index into tickets, or CALL_BLOCKED */
};
struct calls {
    struct call_slot *slots; /* open addressing, at most half full */
    size_t size, count;
    struct engine_ticket *tickets;
    uint32_t *unused; /* indices of tickets that are free again */
    uint32_t tickets_count, tickets_room, unused_count;
};
enum { CALL_BLOCKED = UINT32_MAX, CALL_UNKNOWN = UINT32_MAX - 1 };

uint64_t calls_id(const char *text, size_t length);
/* The call's ticket index, CALL_BLOCKED, or CALL_UNKNOWN. */
uint32_t calls_find(const struct calls *, uint64_t id);
/* Keeps the ticket under an id that is not in use; NULL: it was blocked. False without memory. */
bool calls_add(struct calls *, uint64_t id, const struct engine_ticket *);
/* Forgets the id. */
void calls_remove(struct calls *, uint64_t id);
void calls_free(struct calls *);

#endif
