/* SystemCallFilter= of a systemd unit, and what libweir.so needs of it: a filter that is there when a program starts
 * concerns the library from its first call on.  Pure. */
#ifndef WEIR_TOOLS_CALL_FILTER_H
#define WEIR_TOOLS_CALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the calls that the library makes for itself, a bit each; of no others. */
typedef uint64_t call_set;

/* {0}: there is no filter. */
struct call_filter {
    enum { CALL_FILTER_NONE, CALL_FILTER_ALLOWS, CALL_FILTER_DENIES } kind; /* the first assignment says which */
    call_set allowed;
    call_set denied;   /* by name or group: "~…" */
    call_set answered; /* of these, with an error of their own instead of the end of the process */
    bool answers;      /* SystemCallErrorNumber=: so is all that is not allowed */
};

/* One assignment each, in systemd's order; "" resets. */
void call_filter_take(struct call_filter *, const char *value);        /* SystemCallFilter= */
void call_filter_take_answer(struct call_filter *, const char *value); /* SystemCallErrorNumber= */
/* As if all that the library needs were listed here.  Nothing, where no filter has begun: the list would be one. */
void call_filter_extend(struct call_filter *);

call_set call_filter_missing(const struct call_filter *);
/* Does the kernel end a process for one of the calls that are missing? */
bool call_filter_kills(const struct call_filter *);

enum { CALL_NAMES_MAX = 640 }; /* bytes for the names of all, with the NUL */
/* "connect faccessat", in order. */
void call_set_names(call_set, char ret_names[static CALL_NAMES_MAX]);

#endif
