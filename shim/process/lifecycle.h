/* Birth, fork and end of the shim in a process. */
#ifndef WEIR_SHIM_LIFECYCLE_H
#define WEIR_SHIM_LIFECYCLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;

/* Which process this is, counted from the one that loaded the shim: changes with every fork, however it was made (a
 * page that the kernel wipes in the child, MADV_WIPEONFORK, shows it), and not with vfork. */
uint32_t lifecycle_epoch(void);
/* The same for what is done with every byte: another number than the epoch (0) in a child that has not noticed yet. */
extern _Atomic uint32_t *lifecycle_mark;
/* Engine clock of the last fork that made this process; 0: none.  A ticket that is older is the parent's. */
extern _Atomic uint64_t lifecycle_forked_ns;
/* The engine, or NULL: pass everything.  To be called under the reentry. */
struct engine *lifecycle_engine(void);
/* Are connections that begin now to be followed?  Yes while there is an engine, and while it is only switched off
 * (`weir off`): what was accepted meanwhile is under the rules again when it is on. */
bool lifecycle_watches(void);

/* The beginning and the end, from start.c. A set-uid program reads none of weir's environment and connects to no agent;
 * its calls find every descriptor untracked. */
void lifecycle_start(void);
void lifecycle_stop(void);
/* The application is about to put a filter on itself: what the kernel is needed for is done now, and from here on our
 * own calls are not made (sandbox.h). */
void lifecycle_before_filter(void);
/* Of start.c: what the parts do then. */
void lifecycle_parts_before_filter(void);
/* Of start.c: what every part has to forget in a forked child.  Async-signal-safe. */
void lifecycle_parts_after_fork(void);
/* Likewise: what they have to do before a fork in the parent, and in the child when all of the above is done. */
void lifecycle_parts_before_fork(void);
void lifecycle_parts_in_child(void);

#endif
