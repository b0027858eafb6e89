/* The list of limiters. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_LIST_H
#define WEIR_RULES_ENGINE_LIMITERS_LIST_H

/* The order is that of enum limiter_kind, whose numbers stand in shared memory: new ones come last.  (Some kinds of
 * state have no limiter of their own, and some limiters no state.) */
#define LIMITERS(X)                                                                                                    \
    X(WINDOW, window)                                                                                                  \
    X(QUEUE, queue)                                                                                                    \
    X(IN_FLIGHT_LOCAL, in_flight_local)                                                                                \
    X(IN_FLIGHT_SHARED, in_flight_shared)                                                                              \
    X(TTL, ttl)                                                                                                        \
    X(BREAKER, breaker)                                                                                                \
    X(PARAM, param)                                                                                                    \
    X(ORIGINS, origins)                                                                                                \
    X(VITALS, vitals)                                                                                                  \
    X(ADAPTIVE, adaptive)                                                                                              \
    X(AUTHORITY, authority)                                                                                            \
    X(RELATE, relate)                                                                                                  \
    X(SYSTEM, system)                                                                                                  \
    X(CUSTODY, custody)                                                                                                \
    X(BYTES, bytes_paid)                                                                                               \
    X(DELAY, delay)                                                                                                    \
    X(BUDGET, budget)

enum limiter_kind {
    LIMITER_NONE,
#define LIMITER_KIND(name, ops) LIMITER_##name,
    LIMITERS(LIMITER_KIND)
#undef LIMITER_KIND
        LIMITER_KINDS
};

#endif
