/* What is being decided of one request, as the limiters see it. */
#ifndef WEIR_RULES_ENGINE_DECISION_H
#define WEIR_RULES_ENGINE_DECISION_H

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/policy.h"

enum { TICKET_SIDE = 3, TICKET_CONNECTION = 4 }; /* engine_ticket.side: enum rule_side, and is it a connection? */
enum {                                           /* engine_ticket.flags */
       TICKET_FORK = 7,                          /* low bits of the incarnation that gave it */
       TICKET_PRIVATE = 16, /* in flight it is counted in the process's own memory: there was no area yet */
       TICKET_POLICY_SHIFT = 5
};
_Static_assert(TICKET_ENTRY == POLICY_SENTINEL << TICKET_POLICY_SHIFT, "Sentinel measures from entry to exit");

/* engine_ticket.engine_private[0] of weir's own rules: what is to be learnt of the request's end, and whether its body
 * is charged as it comes. */
enum { LEARNS_NONE, LEARNS_ALL, LEARNS_END, LEARNS_MASK = 3, LEARNS_BYTES = 4 };

/* Words of engine_ticket.leases: the limiter's kind, tag, flags and the state's number; then, with LEASE_EXTRA, one
 * more for the limiter itself; then, with LEASE_MANY, how much is held. */
enum {
    LEASE_KIND_SHIFT = 27,
    LEASE_SHARED = 1 << 26,
    LEASE_MANY = 1 << 25,
    LEASE_EXTRA = 1 << 24,
    LEASE_TAG_SHIFT = 22,
    LEASE_UNIT_MASK = STATE_UNIT_MASK
};
_Static_assert((int)LIMITER_KINDS <= 32 && (int)STATE_UNIT_MASK < 1 << LEASE_TAG_SHIFT, "a lease fits into its word");

struct decision {
    struct engine *engine;
    struct compiled *compiled;
    const struct engine_request *request;
    struct engine_ticket *ticket;
    struct engine_result *result;
    uint64_t now_ns;
    uint64_t wait_ns;  /* longest wait asked for so far */
    uint64_t retry_ns; /* set by a limiter that refuses */
    unsigned shard;
    uint32_t slot; /* of this process; UINT32_MAX = none */
    uint8_t priority;
    bool common;    /* decision_bind_state(): the state is one that resources share; its own word may be another's */
    uint8_t detail; /* of a limiter that refuses, for engine_result.detail */
    bool exempt;    /* system and adaptive rules: it counts, but is not rejected */
    struct engine_name origin; /* which of the caller's names the present rule is about, if it is about some callers */
    uint32_t takes_count;
    unsigned scratch;   /* where `more` is */
    struct taken *more; /* takes beyond the first few; NULL: none */
    struct taken takes[ENGINE_TAKES_FEW];
};

/* A process without a slot in the app's memory decides by itself, whatever the scope. */
static inline bool decision_alone(const struct decision *decision, const struct rule *rule) {
    return decision->slot == UINT32_MAX || rule->scope == SCOPE_PROCESS;
}
struct limiter_state *decision_bind_state(struct decision *, struct binding *, uint32_t resource, enum limiter_kind);
/* The state of a binding, of that kind, made at first use: its own, or, where there is no room, one that it shares with
 * other resources of the rule; NULL: no room for that either (limiters/spare.h). */
static inline struct limiter_state *decision_state(struct decision *decision, struct binding *binding,
                                                   uint32_t resource, enum limiter_kind kind) {
    struct limiter_state *state = load_acquire(&binding->state);
    if (__builtin_expect(state && state_is_shared(state) != decision_alone(decision, binding->rule), 1))
        return state;
    return decision_bind_state(decision, binding, resource, kind);
}

/* A rule rejects the request, or (`retry_ns`) lets it wait: the result says which one, and when to come back. */
void decision_say_why(struct decision *, const struct binding *, uint32_t resource, uint64_t retry_ns);
/* A rule's limiter did not let it pass.  True: it is rejected, and the result says why; false: it is only counted. */
bool decision_refuse(struct decision *, struct binding *, uint32_t resource);

/* Notes what was taken, of a state of that kind: it is given back if a later rule refuses. */
void decision_took(struct decision *, enum limiter_kind, void *state, uint64_t before, uint64_t after, uint32_t n);
void decision_give_back(struct decision *);
/* The end of a decision, however it came out. */
void decision_end(struct decision *);

/* Where this process counts what is in flight, by resource: all requests that are in it. */
uint32_t *engine_in_flight_words(const struct engine *, const struct engine_ticket *);

/* Words of the ticket that are left to circuits: one that lends a probe has to learn what became of it. */
enum { LEASES_OF_CIRCUITS = 6 };
/* Room for so many more words in the ticket? */
bool decision_can_hold(const struct decision *, unsigned words);
/* The request holds n of that state until it is at its end. */
bool decision_hold(struct decision *, const struct limiter_state *, unsigned tag, const uint32_t *extra, uint32_t n);
void leases_end(struct engine *, struct engine_ticket *, bool ran, uint64_t now_ns);
/* Bytes of the request's body came: by the rules in force by now. */
bool decision_pays_later(struct decision *,
                         const struct limiter_state *); /* with LEASE_PAYS; false: no room to say so */
void leases_charge(struct engine *, const struct compiled *, const struct engine_ticket *, uint64_t bytes,
                   uint64_t now_ns);
/* Those of one kind, of that state or (NULL) of any, before the others. */
void leases_end_early(struct engine *, struct engine_ticket *, enum limiter_kind, const struct limiter_state *,
                      bool ran, uint64_t now_ns);
/* The ticket's lease of that state, if it has one. */
bool ticket_lease(const struct engine_ticket *, const struct limiter_state *, struct lease *ret_lease);

#endif
