/* One request's attempt to be admitted, as the limiters see it. */
#ifndef WEIR_RULES_ENGINE_ATTEMPT_H
#define WEIR_RULES_ENGINE_ATTEMPT_H

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/limiters.h"

enum { TICKET_SIDE = 3, TICKET_CONNECTION = 4 }; /* engine_ticket.side: enum rule_side, and is it a connection? */
enum {                                           /* engine_ticket.flags */
       TICKET_FORK = 7,                          /* low bits of the incarnation that gave it */
       TICKET_ENDS = 8,                          /* its policy wants to know how it ends */
       TICKET_PRIVATE = 16, /* in flight it is counted in the process's own memory: there was no area yet */
       TICKET_POLICY_SHIFT = 5
};

/* Words of engine_ticket.holds: the limiter's kind, tag, flags and the cell's number; then, with LEASE_EXTRA, one more
 * for the limiter itself; then, with LEASE_MANY, how much is held. */
enum {
    LEASE_KIND_SHIFT = 28,
    LEASE_SHARED = 1 << 27,
    LEASE_MANY = 1 << 26,
    LEASE_EXTRA = 1 << 25,
    LEASE_TAG_SHIFT = 23,
    LEASE_UNIT_MASK = CELL_UNIT_MASK
};
_Static_assert((int)CELL_KINDS <= 16 && (int)CELL_UNIT_MASK < 1 << LEASE_TAG_SHIFT, "a lease fits into its word");

struct attempt {
    struct engine *engine;
    struct view *view;
    const struct engine_request *request;
    struct engine_ticket *ticket;
    struct engine_result *decision;
    uint64_t now_ns;
    uint64_t wait_ns;  /* longest wait asked for so far */
    uint64_t retry_ns; /* set by a limiter that refuses */
    unsigned shard;
    uint32_t slot; /* of this process; UINT32_MAX = none */
    uint8_t priority;
    bool exempt;               /* system and adaptive rules: it counts, but is not rejected */
    struct engine_name origin; /* which of the caller's names the present rule is about, if it is about some callers */
    uint32_t takes_count;
    unsigned scratch;   /* where `more` is */
    struct taken *more; /* takes beyond the first few; NULL: none */
    struct taken takes[ENGINE_TAKES_FEW];
};

/* A process without a slot in the app's memory decides by itself, whatever the scope. */
static inline bool attempt_alone(const struct attempt *attempt, const struct rule *rule) {
    return attempt->slot == UINT32_MAX || rule->scope == SCOPE_PROCESS;
}
struct cell *attempt_bind_cell(struct attempt *, struct binding *, uint32_t resource, enum cell_kind);
/* The state of a binding, of that kind, made at first use; NULL: no room, the rule is not enforced. */
static inline struct cell *attempt_cell(struct attempt *attempt, struct binding *binding, uint32_t resource,
                                        enum cell_kind kind) {
    struct cell *cell = load_acquire(&binding->cell);
    if (__builtin_expect(cell && cell_is_shared(cell) != attempt_alone(attempt, binding->rule), 1))
        return cell;
    return attempt_bind_cell(attempt, binding, resource, kind);
}

/* Notes what was taken, of a state of that kind: it is given back if a later rule refuses. */
void attempt_took(struct attempt *, enum cell_kind, void *state, uint64_t before, uint64_t after, uint32_t n);
void attempt_give_back(struct attempt *);
/* The end of an attempt, however it came out. */
void attempt_end(struct attempt *);

/* Room for so many more words in the ticket? */
bool attempt_can_hold(const struct attempt *, unsigned words);
/* The request holds n of that cell until it is at its end. */
bool attempt_hold(struct attempt *, const struct cell *, unsigned tag, const uint32_t *extra, uint32_t n);
void attempt_end_leases(struct engine *, struct engine_ticket *, bool ran, uint64_t now_ns);
/* The ticket's lease of that cell, if it has one. */
bool ticket_lease(const struct engine_ticket *, const struct cell *, struct lease *ret_lease);

#endif
