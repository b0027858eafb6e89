/* Who decides: weir's own rules, or Sentinel's decisions ("options": {"compat": "sentinel"}).
 *
 * The engine around it (engine.c, request.c) owns what does not depend on the answer: which resources there are, the
 * tickets of requests in flight, statistics, rule hits, events, rejections, which rules are in force.  A policy gets a
 * request that has been begun, says what becomes of it, and reports what it did through metrics_* (engine_private.h).
 * A new one is a file with such a table, and a line in policies[]. */
#ifndef WEIR_RULES_ENGINE_POLICY_H
#define WEIR_RULES_ENGINE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "rules/engine/engine.h"

struct decision; /* decision.h */
struct compiled; /* engine_private.h */

struct policy {
    /* The engine is about to be freed: what it took of engine->memory goes back. */
    void (*end)(struct engine *);
    /* The rules of `next` are about to be in force in place of those of `current` (NULL: none). 0, -EBUSY (a thread is
     * in the way: again later), -ENOMEM, or -ENOSPC (what was in force stays). */
    int (*adopt)(struct engine *, const struct compiled *current, const struct compiled *next);
    /* Rules of another policy are about to be in force: a ruleset may go.  0 or -EBUSY. */
    int (*retire)(struct engine *);
    /* Decides.  Writes what there is to say into decision->result, and what the request holds into decision->ticket;
     * on ENGINE_BLOCK nothing is held.  With TICKET_ENDS in ticket->flags it learns of the end. */
    enum engine_verdict (*enter)(struct decision *);
    /* The same of what is at the door (engine_request.door): is it rejected?  NULL: never. */
    bool (*door)(struct decision *);
    /* Its response begins: its latency is known, and `error` if it is one already. */
    void (*begun)(struct engine *, struct engine_ticket *, uint64_t now_ns, uint64_t rt_ns, bool error);
    /* Bytes of its body came.  NULL: of no interest. */
    void (*arrived)(struct engine *, struct engine_ticket *, uint64_t bytes, uint64_t now_ns);
    /* The request completed. */
    void (*leave)(struct engine *, struct engine_ticket *, uint64_t now_ns, uint64_t rt_ns,
                  const struct engine_outcome *);
    /* It never ran. */
    void (*cancel)(struct engine *, struct engine_ticket *, uint64_t now_ns);
    /* New CPU and load figures of the host; `compiled` is in force. */
    void (*sample)(struct engine *, struct compiled *compiled, uint64_t now_ns, const struct engine_sample *);
    /* In a forked child: what the parent's threads were in the middle of will not be finished. */
    void (*after_fork)(struct engine *);
};

enum { POLICY_OWN, POLICY_SENTINEL, POLICIES }; /* as ruleset_options.compat_sentinel has it */
extern const struct policy policy_own, policy_sentinel;
extern const struct policy *const policies[POLICIES];

#endif
