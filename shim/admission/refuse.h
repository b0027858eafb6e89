/* A decision against a request: when its answer is to be given, and what it says. */
#ifndef WEIR_SHIM_REFUSE_H
#define WEIR_SHIM_REFUSE_H

#include "shim/admission/admit_private.h"
#include "shim/protocol/protocol.h"

/* 0: at once; else a time of the engine clock (blockActions[].delayMs). */
uint64_t refuse_time(const struct admit_rules *, const struct engine_result *, uint64_t now_ns);
/* Writes the answer in the protocol of the message, and the rejection down for `weir why`.  `*close` is set where the
 * block action ends the connection.  Returns the answer's length, at most STREAM_TEXT_MAX with what the session may
 * have to add. */
size_t refuse_write(const struct admit_rules *, const struct message *, const struct engine_request *,
                    const struct engine_result *, uint64_t now_ns, bool *close, char *ret_answer);

#endif
