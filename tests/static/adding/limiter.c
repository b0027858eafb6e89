/* A limiter that is added: every other request. */
#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"

struct other {
    struct limiter_state base;
    uint32_t turn; /* atomic */
};

static bool other_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    struct other *other = (struct other *)decision_state(decision, binding, resource, LIMITER_OTHER);
    return !other || (__atomic_fetch_add(&other->turn, n, __ATOMIC_RELAXED) & 1) == 0;
}

const struct limiter_ops limiter_other = {.least = sizeof(struct other), .check = other_check};
