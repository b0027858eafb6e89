/* Who is at the other end of a connection within this host: asked of the kernel once for a connection, and only if a
 * rule names callers by unit, process or user.  Then that is one system call more for each connection. */
#ifndef WEIR_SHIM_CALLER_H
#define WEIR_SHIM_CALLER_H

#include <stdint.h>

#include "shim/admission/admit.h"

enum { CALLER_UNKNOWN = UINT32_MAX }; /* admit_connection.caller: asked, and not known */

struct caller_names { /* in the arena; admit_connection.caller is its index */
    uint8_t unit_length, comm_length, uid_length;
    char unit[116], comm[24], uid[16]; /* "unit:cron.service", "comm:curl", "uid:1000" */
};

/* `fd`: of the connection, or -1. */
void caller_ask(struct admit_connection *, const void *ruleset, int fd);
void caller_forget(struct admit_connection *);

#endif
