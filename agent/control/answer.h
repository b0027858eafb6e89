/* The answers to single requests of control.sock (control.h). */
#ifndef WEIR_AGENT_CONTROL_ANSWER_H
#define WEIR_AGENT_CONTROL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/control/sources.h"
#include "agent/core/json_writer.h"

/* The answer to one request, a line of JSON with its newline, malloc'ed; NULL without memory.  `may_change`: the peer
 * may give orders.  The request is changed in place. */
char *answer_request(const struct control_sources *, char *request, size_t length, bool may_change, size_t *ret_length);

#endif
