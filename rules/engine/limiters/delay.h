/* Overload protection by queueing delay: requests that wait to be read, and requests that wait within the application.
 */
#ifndef WEIR_RULES_ENGINE_LIMITERS_DELAY_H
#define WEIR_RULES_ENGINE_LIMITERS_DELAY_H

#include "rules/engine/decision.h"
#include "rules/engine/limiters/backlog.h"
#include "rules/engine/limiters/vitals.h"
#include "rules/engine/limiters/waiting.h"

struct delay { /* LIMITER_DELAY */
    struct limiter_state base;
    struct waiting waiting[WAITING_QUEUES]; /* of whichever process reads it: they may share a listening socket */
    struct backlog backlog;
    uint64_t over_ns; /* atomic; when a request was rejected last, or would have been; 0: none was */
};

enum delay_kind { DELAY_WAITED, DELAY_IN_FLIGHT }; /* engine_result.detail of a rejection */

struct delay *delay_of(struct decision *, unsigned i); /* NULL: no room */
/* False: rejected.  Else, or if it is exempt, it is in flight.  `salt`: of the callers' luck. */
bool delay_check(struct decision *, unsigned i, uint64_t salt);
/* Are requests known to wait too long before they are read? */
bool delay_waits(struct engine *, struct delay *, uint64_t now_ns);
/* Of one at the door.  False: it has waited too long. */
bool delay_door(struct decision *, unsigned i, uint64_t salt);
/* Its response began, as in shed_done(). */
void delay_done(struct decision *, unsigned i, uint64_t rt_ns, bool success);
/* How long requests have to wait, ms: those that are read, or those within beyond the best latency. */
double delay_ms(struct decision *, unsigned i, const struct vitals *);
/* Has one been rejected in the last second, so that the episode goes on? */
bool delay_sheds(const struct delay *, uint64_t now_ns);

#endif
