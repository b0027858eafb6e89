/* control.sock: questions and orders of the command line, see agent.h. */
#ifndef WEIR_AGENT_CONTROL_H
#define WEIR_AGENT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/loop.h"

struct agent;

struct control {
    struct agent *agent;
    struct loop_source source;
    struct control_connection *connections;
    uint32_t count;
};

int control_open(struct control *, struct agent *); /* 0 or -errno */
void control_close(struct control *);
void control_tick(struct control *, uint64_t now_ns); /* ends connections that take too long */

/* The answer to one request, a line of JSON with its newline, malloc'ed; NULL without memory.  `may_change`: the peer
 * may give orders. */
char *control_answer(struct agent *, const char *request, bool may_change);

#endif
