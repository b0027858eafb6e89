/* Limiters: what a rule comes to for one resource.
 *
 * Each is one file with a table of operations, and one line in the list below.  Its state lies in
 * memory that other processes may write to where the rule's scope is the app: each word of it is read once, checked,
 * then used.  What a limiter has taken from its state for a request is noted twice: until the request is admitted in
 * the decision (`undo`: a later rule refused it), and, if it holds something while it is in flight, in its ticket
 * (`leave`). */
#ifndef WEIR_RULES_ENGINE_LIMITERS_LIMITERS_H
#define WEIR_RULES_ENGINE_LIMITERS_LIMITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/engine/state.h"

struct decision;
struct binding;
struct engine;
struct limiter;
struct rule;

struct taken { /* from a state, to be given back if a later rule refuses */
    void *state;
    uint64_t before, after;
    uint32_t n;
    uint32_t kind; /* whose undo it is */
};

struct lease { /* what a request holds of a state while it is in flight; words of its ticket */
    struct limiter_state *state;
    size_t bytes;   /* of the state, checked */
    uint32_t tag;   /* 0 … 3: what of it */
    uint32_t extra; /* for the limiter itself */
    uint32_t n;
    bool shared;
};

enum { LEASE_PAYS = 1 }; /* lease.tag of what is charged with the body as it comes */

struct limiter_ops {
    /* Bytes of its state, with the state's header: `least` whatever the rule, `bytes` (NULL: `least`) for this one. */
    size_t least;
    size_t (*bytes)(const struct limiter *);
    /* Is it the limiter of this rule?  Exactly one is.  NULL: of none. */
    bool (*serves)(const struct rule *);
    /* Checks and takes n in one step.  False: rejected; the decision's numbers and decision->retry_ns say why. */
    bool (*check)(struct decision *, struct binding *, uint32_t resource, uint32_t n);
    /* Gives back what check noted; the latest first. */
    void (*undo)(const struct decision *, const struct taken *);
    /* The request is at its end; `ran`: it completed, else it never was admitted, or never ran. */
    void (*leave)(struct engine *, const struct lease *, bool ran, uint64_t now_ns);
    /* So many bytes came of the body of a request that holds of this state, with the tag LEASE_PAYS.  NULL: never. */
    void (*charge)(struct limiter_state *, const struct limiter *, uint64_t n, uint64_t now_ns);
    /* The process of that slot is dead: what it held goes back.  Idempotent. */
    void (*reclaim)(struct limiter_state *, size_t bytes, uint32_t slot);
    /* Nothing of it is held (NULL: nothing ever is): it may be freed once its rule is gone. */
    bool (*idle)(const struct limiter_state *, size_t bytes);
};
extern const struct limiter_ops *const limiters[LIMITER_KINDS]; /* [enum limiter_kind] */

/* The key of its state, for a resource, a caller (0: all) or shape of a table.  What finds no room shares one of
 * COMMONS, whose "resources" have numbers that no resource has. */
uint64_t limiter_state_key(uint64_t seed, uint64_t rule, uint32_t resource, enum limiter_kind, uint64_t origin);
#define COMMONS 16
#define COMMON_FIRST 0xffffff00u

/* The limiter of a rule. */
enum limiter_kind limiter_of(const struct rule *);
size_t limiter_bytes(enum limiter_kind, const struct limiter *);

#endif
