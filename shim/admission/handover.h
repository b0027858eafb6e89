/* Tickets of connections that other processes hold, too, because of a fork or a descriptor that was passed on: each is
 * put into custody (rules/engine/custody.h), and a note of it takes its place.  What ended a ticket then leaves the
 * custody; the process that the ticket is of ends it when all have left. */
#ifndef WEIR_SHIM_HANDOVER_H
#define WEIR_SHIM_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/custody.h"
#include "rules/engine/engine.h"

enum {
    HANDED_OVER = UINT8_MAX
}; /* engine_ticket.resources_count of a ticket in custody; its first lease is the note */
/* (An operation rather than a function, as is the next: on the way of every request.) */
#define handover_is(ticket) __builtin_expect((ticket)->resources_count == HANDED_OVER, 0)

/* Another process is about to hold the ticket's connection.  `round`: at most once in each, for all of the
 * connection's descriptors; 0: anyhow.  A ticket that holds nothing stays as it is.  Returns whether it is in custody.
 */
bool handover_send(struct engine_ticket *, const struct custody_identity *, uint32_t round);
/* That did not come about. */
void handover_unsend(struct engine_ticket *);
/* In a forked child: a ticket that was in custody at the fork of that round. */
void handover_join(struct engine_ticket *, uint32_t round);
/* A connection came from another process: what of it is in custody is held here, too. */
void handover_receive(struct engine *, const struct custody_identity *, struct engine_ticket *ret_ticket);
/* A ticket in custody ends here; `over`: it ends everywhere. */
void handover_end(struct engine_ticket *, bool over, bool error, uint64_t now_ns);
/* A process that has replaced its program holds no connection but those that it has received since. */
void handover_forget_others(struct engine *);

/* Tickets of this process's in custody.  Those whose connections have ended are ended. */
extern _Atomic uint32_t handover_count;
void handover_settle(struct engine *);
#define handover_look(engine)                                                                                          \
    do {                                                                                                               \
        if (__builtin_expect(atomic_load_explicit(&handover_count, memory_order_relaxed) != 0, 0))                     \
            handover_settle(engine);                                                                                   \
    } while (0)

#endif
