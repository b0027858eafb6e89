/* Reading on in a ring that the processes of an app write (layout.h): a slot has the number that was drawn for it. */
#ifndef WEIR_AGENT_METRICS_RING_H
#define WEIR_AGENT_METRICS_RING_H

#include <stdbool.h>
#include <stdint.h>

struct ring {
    uint64_t seen; /* number of the next one to be read */
    uint64_t gap;  /* seen + 1 when that one was drawn and not yet written; given up the next time */
};

/* Reads up to number `next`: `take` is false for a slot that is not written yet.  Such a slot is waited for until the
 * next call, as its writer may have been killed.  Returns how many are lost, because a ring of `slots` has been round
 * since. */
uint64_t ring_read(struct ring *, uint64_t next, uint64_t slots, bool (*take)(void *context, uint64_t number),
                   void *context);

#endif
