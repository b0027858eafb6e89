/* A limiter that is added: every other request. */
#include "rules/engine/attempt.h"
#include "rules/engine/limiters/limiters.h"

struct other {
    struct cell cell;
    uint32_t turn; /* atomic */
};

static bool other_check(struct attempt *attempt, struct binding *binding, uint32_t resource, uint32_t n) {
    struct other *other = (struct other *)attempt_cell(attempt, binding, resource, CELL_OTHER);
    return !other || (__atomic_fetch_add(&other->turn, n, __ATOMIC_RELAXED) & 1) == 0;
}

const struct limiter_ops limiter_other = {.least = sizeof(struct other), .check = other_check};
