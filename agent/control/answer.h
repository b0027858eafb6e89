/* The answers to single requests of control.sock (control.h). */
#ifndef WEIR_AGENT_CONTROL_ANSWER_H
#define WEIR_AGENT_CONTROL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/control/sources.h"
#include "agent/core/json_writer.h"

struct answer_request {
    char cmd[64], app[256], id[64];
    char kinds[256]; /* of "events", with the next three */
    double since;
    int64_t after, most;
    const char *error; /* NULL: the request is one; else why it is none */
    char message[256];
    bool takes_time; /* the answer walks through the host: make it on the worker's thread */
};

/* Reads a line, which is changed in place. */
void answer_read(char *line, size_t length, struct answer_request *ret_request);
/* The answer, a line of JSON with its newline, malloc'ed; NULL without memory.  `may_change`: the peer may give orders.
 * One that takes time uses of the sources just what the worker's thread may. */
char *answer_make(const struct control_sources *, const struct answer_request *, bool may_change, size_t *ret_length);

#endif
