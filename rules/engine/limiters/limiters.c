#include "rules/engine/limiters/limiters.h"

#define LIMITER_OPS(name, ops) extern const struct limiter_ops limiter_##ops;
LIMITERS(LIMITER_OPS)
#undef LIMITER_OPS

const struct limiter_ops *const limiters[LIMITER_KINDS] = {
#define LIMITER_ENTRY(name, ops) [LIMITER_##name] = &limiter_##ops,
    LIMITERS(LIMITER_ENTRY)
#undef LIMITER_ENTRY
};

enum limiter_kind limiter_of(const struct rule *rule) {
    for (unsigned kind = LIMITER_NONE + 1; kind < LIMITER_KINDS; kind++)
        if (limiters[kind]->serves && limiters[kind]->serves(rule))
            return (enum limiter_kind)kind;
    return LIMITER_NONE; /* no rule is without one: ruleset_check() knows all kinds */
}

size_t limiter_bytes(enum limiter_kind kind, const struct limiter *limiter) {
    return limiters[kind]->bytes ? limiters[kind]->bytes(limiter) : limiters[kind]->least;
}
