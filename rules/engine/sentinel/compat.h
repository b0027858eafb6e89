/* "options": {"compat": "sentinel"}: the decisions of Sentinel 1.8.9, call for call (docs/compat.md).
 *
 * The same shape as engine.h, which hands over to it while a rule set in force says so.  Everything is per process, as
 * in Sentinel: `scope`, `penalty`, `cost` and `canary` have no meaning here.
 *
 * Memory: taken from the caller in steps, as resources and values come (struct engine_memory), up to a limit.  When it
 * is used up, what finds no room (a new resource, a new origin, a new hot key) is not limited, as Sentinel does
 * beyond its 6000 resources.
 *
 * Threads: any number at once.  Inside is one lock private to the process (never in shared memory), held for about a
 * microsecond.  A call waits for it as long as a holder that was put to sleep may need to wake up; one that still does
 * not get it (a signal handler in the middle of its own thread's call) is rejected.  An exit or a cancel that does not
 * get it is put down in a small lock-free list, which the next holder works off.
 */
#ifndef WEIR_RULES_COMPAT_COMPAT_H
#define WEIR_RULES_COMPAT_COMPAT_H

#include <stddef.h>
#include <stdint.h>

#include "rules/engine/engine.h"

struct compat;

enum { COMPAT_LEASES = 3 }; /* words of engine_ticket.leases for each resource of a ticket; others may stand behind */

enum compat_family { /* the lists of rules that are loaded, compared and restarted each on its own */
                     FAMILY_AUTHORITY,
                     FAMILY_PARAM,
                     FAMILY_GATEWAY,
                     FAMILY_FLOW,
                     FAMILY_ISOLATION,
                     FAMILY_DEGRADE,
                     FAMILY_DEFAULT_DEGRADE,
                     FAMILY_SYSTEM,
                     FAMILIES
};

struct compat_name { /* of one resource of a request */
    const char *text;
    size_t length;
};

/* What the owner wants to hear of.  Called with the lock held: nothing of this file may be called from within.  `owner`
 * as given to compat_listen(), `call` as given to compat_decide().  Rules are those of the ruleset in force by then
 * (compat_ruleset()); NULL: a rule that it does not hold any more. */
struct compat_listener {
    /* A rule rejected the call at one of its resources (request->resources[i]), or would have, in mode simulate. */
    void (*rejected)(void *owner, void *call, const struct rule *, uint32_t resource, enum reason, bool simulated);
    /* By which number the owner knows a rule that a decision is about: goes into the decision. */
    uint32_t (*number)(void *owner, void *call, const struct rule *);
    /* A circuit of a resource changed (from != to), or was met for the first time; `worst` state of all that it has. */
    void (*circuit)(void *owner, const struct rule *, uint32_t resource, uint64_t now_ns, enum circuit_state from,
                    enum circuit_state to, enum circuit_state worst);
    /* A request passed one of its resources without a decision there: Sentinel's limits, or memory used up. */
    void (*undecided)(void *owner);
};

/* At most about `limit` bytes are taken of `memory`; 0: the usual limit.  NULL: no memory.  `seed` keys the hashes of
 * names and values (layout hash_seed; any number will do for a replay, decisions do not depend on it). */
struct compat *compat_new(const struct engine_memory *memory, size_t limit, uint64_t seed);
void compat_free(struct compat *); /* nothing of it is in use */
/* To be called once, before the first call.  With a listener an inbound call that names no entrance has entered through
 * each of its resources (rules with strategy "chain"), as a request on the wire has; without, through Sentinel's
 * default context only. */
void compat_listen(struct compat *, const struct compat_listener *, void *owner);

/* In a forked child, before anything else.  The child starts afresh with the rules that were in force: another thread
 * of the parent may have been in the middle of anything.  Tickets of the parent mean nothing here. */
void compat_after_fork(struct compat *);

/* Puts a checked ruleset in force; the ruleset before it is not needed any more afterwards.  Sentinel's rules of
 * reloading: a list equal to the current one of its kind changes nothing; otherwise all flow shapers start again,
 * circuits and hot parameter states of equal rules stay, and so do all statistics. 0, -EAGAIN (another thread kept the
 * lock: try again later), or -ENOSPC (the rules before stay in force). */
int compat_adopt(struct compat *, const void *ruleset, size_t size);
/* The same, but lists of the families in `alone` (1 << enum compat_family) are left as they are, if they have been
 * loaded before: for a replay in which just one kind of rules is loaded.  The ruleset holds them all the same. */
int compat_adopt_others(struct compat *, const void *ruleset, size_t size, uint32_t alone);
/* Other rules than Sentinel's are in force from now on: the ruleset is not needed any more.  What is in flight may
 * still end. 0 or -EAGAIN. */
int compat_retire(struct compat *);
const void *compat_ruleset(const struct compat *); /* the one in force, or NULL */

/* Decides one request.  `names[i]` is the name of request->resources[i]; several resources are entered one after the
 * other, as nested entries are, and the first that blocks ends it (the ones before it are given back).  Of the total
 * inbound traffic a request is one call, however many resources it has: system rules are asked once.
 * ENGINE_WAIT: `wait_ns` of waiting is due, while everything is counted at `now_ns` already.  On ENGINE_BLOCK, wait_ns
 * is what an earlier queueing rule had made the call wait. */
enum engine_verdict compat_enter(struct compat *, uint64_t now_ns, const struct engine_request *,
                                 const struct compat_name *names, struct engine_ticket *ret_ticket,
                                 struct engine_result *ret_result);
/* The same for a ticket that the caller has begun (start_ns, side, acquire, resources): written are what the call holds
 * and engine_private, and of the decision what there is to say.  `call` is for the listener. */
enum engine_verdict compat_decide(struct compat *, uint64_t now_ns, const struct engine_request *,
                                  const struct compat_name *names, struct engine_ticket *, struct engine_result *,
                                  void *call);
/* RT is now_ns - ticket->start_ns, each cut to milliseconds. */
void compat_exit(struct compat *, struct engine_ticket *, uint64_t now_ns, const struct engine_outcome *);
/* The call never ran: what it holds goes back, its completion is not counted (its pass stays counted). */
void compat_cancel(struct compat *, struct engine_ticket *, uint64_t now_ns);
/* CPU share and load1 for the system rules, in force until the next sample; < 0 = unknown. */
void compat_sample(struct compat *, uint64_t now_ns, const struct engine_sample *);

/* Requests that passed without a decision because of Sentinel's limits, or because memory could not be had. */
uint64_t compat_undecided(const struct compat *);

/* Bytes of the memory that have been handed out at one time or another. */
size_t compat_memory_used(const struct compat *);

/* The counters behind the rules, for tools and tests: sums of the window of one second, and the calls in flight. */
struct compat_figures {
    int64_t pass, block, success, exception, rt_ms, in_flight;
};
/* False when the resource is unknown or the lock could not be had. */
bool compat_figures(struct compat *, uint64_t now_ns, const char *name, size_t length,
                    struct compat_figures *ret_figures);
/* The worst state of the circuits of a resource. */
enum circuit_state compat_circuit(struct compat *, const char *name, size_t length);

#endif
