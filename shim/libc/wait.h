/* Waiting until descriptors are ready while requests wait for their turn on some of them (wakeup.h): on these nothing
 * is to be read before the turn has come, whatever the kernel has; except the end of a client that leaves.  Neither the
 * caller's arrays nor its sets are touched here: what is to be looked at is copied. */
#ifndef WEIR_SHIM_WAIT_H
#define WEIR_SHIM_WAIT_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Around a call that waits: where a rule looks at how long requests wait, the application may be found to have had
 * nothing else to do until now. */
uint64_t wait_begins(void);
void wait_ended(uint64_t began_ns, bool client); /* `client`: for nothing but clients to send more */

#define WAIT_FOR_EVER UINT64_MAX
enum { WAIT_FEW = 32 };

struct real;

struct wait {
    const struct real *via;
    const sigset_t *mask; /* as of ppoll() */
    uint64_t end_ns;      /* engine clock */
    size_t count;
    struct pollfd *looks; /* what the kernel is asked; afterwards `revents` is what the application is to see */
    short *wanted;        /* what the application asked for */
    size_t size;          /* of a block from the arena; 0: `few` */
    struct pollfd few[WAIT_FEW];
    short few_wanted[WAIT_FEW];
};

/* Is there a request that waits, so that a call of the application's needs more than the real one?  Not in our own
 * code's calls.  `frame` as for the reentry. */
bool wait_concerns(const void *frame);
/* A moment of the engine clock that is so far off; `timeout` may be NULL.  False: it is not one that the kernel
 * accepts. */
bool wait_end(const struct timespec *timeout, uint64_t *ret_end_ns);
struct timespec wait_left(uint64_t end_ns);
/* Room for so many; false: no memory.  wait_close() gives it back. */
bool wait_open(struct wait *w, size_t count);
void wait_close(struct wait *w);
/* Is one of these waiting that is to be read? */
bool wait_has_turns(struct wait *w, const void *frame);
/* Until something is ready, a turn has come, or the time is over: how many are ready, or -1 and errno. */
int wait_until_ready(struct wait *w, const void *frame);

#endif
