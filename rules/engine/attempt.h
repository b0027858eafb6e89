/* One request's attempt to be admitted, as the limiters see it. */
#ifndef WEIR_RULES_ENGINE_ATTEMPT_H
#define WEIR_RULES_ENGINE_ATTEMPT_H

#include "rules/engine/engine_private.h"

enum take { TAKE_WINDOW, TAKE_TURN };
struct taken { /* from a limiter, to be given back if a later one refuses */
    void *state;
    uint64_t before, after; /* TAKE_WINDOW: before = tick */
    uint32_t n, kind;
};

enum { TICKET_SIDE = 3, TICKET_CONNECTION = 4 }; /* engine_ticket.side: enum rule_side, and is it a connection? */
enum {                                           /* engine_ticket.flags */
       TICKET_FORK = 7,                          /* low bits of the incarnation that gave it */
       TICKET_ENDS = 8,                          /* its policy wants to know how it ends */
       TICKET_PRIVATE = 16, /* in flight it is counted in the process's own memory: there was no area yet */
       TICKET_POLICY_SHIFT = 5
};

/* Words of engine_ticket.holds: kind, flags and the cell's number; then, but for HOLD_COUNT, one more that the kind
 * needs; then, with HOLD_MANY, how much is held. */
enum hold { HOLD_COUNT, HOLD_TTL, HOLD_PROBE, HOLD_STAGE, HOLD_PARAM, HOLD_BREAKER, HOLD_TURN };
enum { HOLD_KIND_SHIFT = 28, HOLD_SHARED = 1 << 27, HOLD_MANY = 1 << 26, HOLD_UNIT_MASK = HOLD_MANY - 1 };

struct attempt {
    struct engine *engine;
    struct view *view;
    const struct engine_request *request;
    struct engine_ticket *ticket;
    struct engine_decision *decision;
    uint64_t now_ns;
    uint64_t wait_ns;  /* longest wait asked for so far */
    uint64_t retry_ns; /* set by a limiter that refuses */
    unsigned shard;
    uint32_t slot; /* of this process; UINT32_MAX = none */
    uint8_t priority;
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
static inline const struct cell_space *attempt_space(const struct attempt *attempt, const struct rule *rule) {
    return attempt_alone(attempt, rule) ? &attempt->engine->own : &attempt->engine->app;
}
struct cell *attempt_bind_cell(struct attempt *, struct binding *, uint32_t resource, enum cell_kind, size_t bytes);
/* The limiter's cell of a binding, made at first use; NULL: no room, the rule is not enforced. */
static inline struct cell *attempt_cell(struct attempt *attempt, struct binding *binding, uint32_t resource,
                                        enum cell_kind kind, size_t bytes) {
    struct cell *cell = load_acquire(&binding->cell);
    if (__builtin_expect(cell && cell_is_shared(cell) != attempt_alone(attempt, binding->rule), 1))
        return cell;
    return attempt_bind_cell(attempt, binding, resource, kind, bytes);
}
struct cell *attempt_make_cell(struct attempt *, struct binding *, uint32_t resource, enum cell_kind, size_t bytes,
                               uint8_t variant, uint64_t origin);
struct taken *attempt_more(struct attempt *); /* room for one more than a few; NULL: there is none */
void attempt_end(struct attempt *);
static inline void attempt_took(struct attempt *attempt, enum take kind, void *state, uint64_t before, uint64_t after,
                                uint32_t n) {
    struct taken *taken = __builtin_expect(attempt->takes_count < ENGINE_TAKES_FEW, 1)
                              ? &attempt->takes[attempt->takes_count]
                              : attempt_more(attempt);
    if (!taken)
        return;
    *taken = (struct taken){state, before, after, n, kind};
    attempt->takes_count++;
}
struct queue;
/* A turn that is waited for: whoever leaves before it, and is the last in the queue, gives it back. */
void attempt_hold_turn(struct attempt *, const struct queue *queue, uint64_t after, uint64_t cost_ns);
bool attempt_hold(struct attempt *, enum hold, const struct cell *, uint32_t extra, uint32_t n);
/* Everything taken goes back. */
void attempt_give_back(struct attempt *);
void attempt_end_holds(struct engine *, struct engine_ticket *, bool cancelled, uint64_t now_ns);
/* Concurrency of a binding: takes n (asking or not) and holds them; or looks. */
bool attempt_count(struct attempt *, struct binding *, uint32_t resource, uint32_t limit, uint32_t n, bool ask,
                   uint32_t *ret_left);
uint32_t attempt_count_now(struct attempt *, struct binding *, uint32_t resource);

#endif
