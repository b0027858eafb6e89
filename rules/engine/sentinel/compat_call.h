/* Calls in flight: the lock that guards everything, and the way in and out. */
#ifndef WEIR_RULES_COMPAT_CALL_H
#define WEIR_RULES_COMPAT_CALL_H

#include "rules/engine/sentinel/compat_private.h"

/* Attempts at the lock.  A call that decides waits some milliseconds if it must: a holder may have been put to sleep in
 * the middle.  An exit is put down instead. */
enum { COMPAT_TRIES_ENTER = 400000, COMPAT_TRIES_EXIT = 4000, COMPAT_TRIES_ADOPT = 4000000 };

/* compat_lock.c */
bool compat_lock(struct compat *, int tries);
void compat_unlock(struct compat *);

/* compat_call.c; the lock is held */
struct compat_moment compat_moment_of(struct compat *, uint64_t now_ns);
bool compat_context_known(struct compat *, const char *name, size_t length);
struct compat_named_node *compat_node_of(struct compat *, struct compat_map *, const char *name, size_t length);
void compat_finish(struct compat *, struct engine_ticket *, uint64_t now_ns, const struct engine_outcome *,
                   bool cancel);
void compat_note_undecided(struct compat *);

#endif
