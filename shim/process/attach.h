/* The shim's tie to the agent: gets the shared memory, keeps the engine's rules fresh, takes a slot of its own after a
 * fork.  Any doubt means "no engine", and no engine means that everything passes. */
#ifndef WEIR_SHIM_ATTACH_H
#define WEIR_SHIM_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* From the constructor, once: reads WEIR_APP, WEIR_RUN_DIR, WEIR_DISABLE (the environment may be gone later), says
 * hello to the agent with bounded patience (200 ms), maps, adopts the rules in force.  Inert in set-uid programs. */
void attach_start(void);
/* The engine, or NULL: pass everything (no agent, no app, no rule at all, or switched off).  One load and a branch when
 * nothing changed.  Adopts a newly published ruleset, takes a slot in a forked child, and, while there is no agent,
 * tries again at most once a second without waiting. */
struct engine *attach_engine(uint64_t now_ns);
/* The application is about to put a filter on itself (sandbox.h): what the kernel is needed for is done now. */
void attach_before_filter(void);
/* Is everything switched off (`weir off`)?  attach_engine returns NULL then; requests in flight are ended by the engine
 * that their tickets name. */
bool attach_off(void);
void attach_after_fork(void);    /* in the child, from the fork handler: async-signal-safe, no system call but getpid */
void attach_take_slot(void);     /* in a forked child: now, rather than with its first request; as above */
unsigned attach_inherited(void); /* connections held by the program that this one replaced (custody_move) */
void attach_count_undecided(void); /* a request passed without a decision: for the metrics of this process */
void attach_count_malformed(void); /* a request was refused because it was malformed or ambiguous: likewise */
void attach_count_early(void);     /* the application answered a request that was not complete: likewise */
void attach_stop(
    void); /* process exit: passes everything from now on; the agent takes the slot back when the process is gone */

#endif
