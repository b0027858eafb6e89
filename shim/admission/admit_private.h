/* What the files that decide (request.c, connection.c, resources.c, refuse.c) share: the rules that one decision goes
 * by, and the end of a ticket. */
#ifndef WEIR_SHIM_ADMIT_PRIVATE_H
#define WEIR_SHIM_ADMIT_PRIVATE_H

#include "rules/engine/engine.h"
#include "rules/rule.h"
#include "shim/session/stream.h"

struct admit_connection;

struct admit_rules {
    struct engine *engine;
    uint32_t token;
    const struct ruleset_header *ruleset;
    const struct naming_rules *naming;
    uint64_t key; /* of what is remembered under them */
};

/* request.c.  False: there are none.  True: engine_read_end follows. */
bool admit_rules_begin(struct admit_rules *, struct engine *);
/* The end of a ticket.  In a forked child the streams are copies of the parent's, and so are the tickets in them: those
 * the parent ends. */
void admit_end(struct engine_ticket *, uint64_t now_ns, bool error, bool aborted);

/* request.c.  Of a request that the application has not read yet (engine_request.door), on the connection's socket
 * `fd`: true: it is rejected, and this is its answer, after which the connection ends. */
bool admit_refuses_at_door(struct admit_connection *, const struct message *, int fd,
                           char answer[static STREAM_TEXT_MAX], size_t *ret_answer_size);

/* connection.c: of the policy's table. */
void admit_opaque(void *context, enum opaque_reason);

#endif
