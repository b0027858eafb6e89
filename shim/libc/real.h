/* The functions that we stand in front of.  No pointer is ever NULL: until real_bind() has run, each leads to a stand-
 * in that makes the plain system call, so that a call before our constructor (a static constructor, an
 * allocator that is just initialising itself inside dlsym) is served as if we were not there. */
#ifndef WEIR_SHIM_REAL_H
#define WEIR_SHIM_REAL_H

#include <stdbool.h>

#include "shim/libc/calls.h"

#define REAL_FIELD(ret, name, params, args) ret(*name) params;
struct real {
    SHIM_CALLS(REAL_FIELD, REAL_FIELD, REAL_FIELD)
};
#undef REAL_FIELD

extern struct real real;      /* the next definition in the process's search order, mostly libc's */
extern const struct real raw; /* the plain system calls: no cancellation point; errno as libc sets it */

/* Once, from the constructor: no other thread that uses it can be running then. */
void real_bind(void);

#endif
