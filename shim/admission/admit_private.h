/* What the files that decide (request.c, connection.c, resources.c, refuse.c) share: the rules that one decision goes
 * by, and the end of a ticket. */
#ifndef WEIR_SHIM_ADMIT_PRIVATE_H
#define WEIR_SHIM_ADMIT_PRIVATE_H

#include "rules/engine/engine.h"
#include "shim/process/lifecycle.h"

struct admit_rules {
    struct engine *engine;
    uint32_t token;
    const void *ruleset;
    uint64_t key; /* of what is remembered under them */
};

/* False: there are none.  True: engine_read_end follows. */
static inline bool admit_rules_begin(struct admit_rules *rules, struct engine *engine) {
    rules->engine = engine;
    rules->token = engine_read_begin(engine);
    rules->ruleset = engine_ruleset_within(engine, rules->token);
    rules->key = engine_generation_within(engine, rules->token) * 0x9e3779b97f4a7c15u ^ (uintptr_t)engine;
    if (!rules->ruleset)
        engine_read_end(engine, rules->token);
    return rules->ruleset != NULL;
}

/* In a forked child the streams are copies of the parent's, and so are the tickets in them: the parent ends those. */
static inline bool admit_is_ours(const struct engine_ticket *ticket) {
    return ticket->resources_count && ticket->start_ns >= lifecycle_forked_ns();
}

static inline void admit_end(struct engine_ticket *ticket, uint64_t now_ns, bool error, bool aborted) {
    if (admit_is_ours(ticket))
        engine_exit(ticket->engine, ticket, now_ns, &(struct engine_outcome){.error = error, .aborted = aborted});
    ticket->resources_count = 0;
}

#endif
