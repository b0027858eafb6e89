/* Work that takes its time (walks of /proc, of cgroups, of all sockets), on a thread beside the loop, one piece after
 * the other.  The loop asks and goes on; what was found comes back to it.  The thread is started with the first piece.
 */
#ifndef WEIR_AGENT_CORE_WORKER_H
#define WEIR_AGENT_CORE_WORKER_H

#include <stdbool.h>

#include "agent/core/loop.h"

struct work { /* first member of what it is about: a malloc'ed piece of its own, with copies of all that it reads */
    void (*run)(struct work *);  /* on the thread; touches nothing that the loop may touch meanwhile */
    void (*done)(struct work *); /* on the loop, afterwards; not any more once the worker is closed */
    void (*drop)(struct work *); /* frees it, in any case, on either of them */
    struct work *next;
};

struct worker {
    struct loop *loop;
    struct loop_source source;
    struct worker_state *state; /* shared with the thread */
};

int worker_open(struct worker *, struct loop *); /* 0 or -errno */
/* Hands a piece of work over, which is the worker's from here on.  Where no thread can be had it is
 * done here; `done` comes later in any case. */
void worker_ask(struct worker *, struct work *);
/* Before a fork: the thread ends after the piece that it works on; the next one starts it again, in whichever process.
 * False: that piece does not end. */
bool worker_pause(struct worker *);
/* False: a piece that is being worked on does not end, and is left to itself; what it reads has to stay. */
bool worker_close(struct worker *);

#endif
