/* Traces: recorded or made-up traffic, a line an event (docs/compat.md has the columns).
 *
 * Pure: reads the bytes it is given and nothing beyond, allocates nothing; a row's fields point into the line. */
#ifndef WEIR_RULES_COMPAT_TRACE_H
#define WEIR_RULES_COMPAT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/engine/engine.h"

enum { TRACE_LINE_MAX = 65536 }; /* bytes of a line, without its end */

enum trace_column {
    TRACE_T_MS,
    TRACE_EVENT,
    TRACE_ID,
    TRACE_RESOURCE,
    TRACE_CONTEXT,
    TRACE_ORIGIN,
    TRACE_ARGS,
    TRACE_ACQUIRE,
    TRACE_INOUT,
    TRACE_PRIO,
    TRACE_RT_MS,
    TRACE_ERR,
    TRACE_DECISION,
    TRACE_WAIT_MS,
    TRACE_DETAIL,
    TRACE_DBG,
    TRACE_COLUMNS
};
#define TRACE_HEADER                                                                                                   \
    "t_ms,event,id,resource,context,origin,args,acquire,inout,prio,rt_ms,err,decision,wait_ms,detail,dbg"

enum trace_event { TRACE_ENTRY, TRACE_EXIT, TRACE_SYS, TRACE_RULES };

struct trace_field {
    const char *text;
    size_t length;
};

struct trace_row {
    enum trace_event event;
    uint64_t now_ns;
    uint32_t acquire;
    bool inbound, prioritized, error;
    int64_t rt_ms;                           /* < 0: not given */
    struct trace_field field[TRACE_COLUMNS]; /* as written; empty where the trace has no such column */
};

struct trace_fault {
    size_t column;      /* 1-based, in bytes */
    const char *reason; /* static text, a format with at most one %.*s, which is `what` */
    struct trace_field what;
};

struct trace {                       /* one trace being read, line by line */
    int8_t column_of[TRACE_COLUMNS]; /* position in a line of this trace, -1 = it has none */
    int columns;                     /* in a line of this trace; 0 = the header has not been read yet */
    bool standard;                   /* all of them, in the order of TRACE_HEADER */
    uint64_t last_ns;
};

/* A line without its LF.  The first one is the header: TRACE_LINE_HEADER. */
enum trace_answer { TRACE_LINE_ROW, TRACE_LINE_HEADER, TRACE_LINE_WRONG };
enum trace_answer trace_line(struct trace *, const char *line, size_t length, struct trace_row *ret_row,
                             struct trace_fault *ret_fault);

/* The arguments of a call: s:text|i:5|[i:1;i:2].  Values go to `values` (the elements of lists behind the `capacity`
 * of the arguments themselves … all in one array), rewritten numbers to `text`.  Returns how many arguments there are,
 * or -1 and a fault. */
struct trace_args {
    struct engine_value *values;   /* room for TRACE_ARGS_MAX */
    struct engine_value *elements; /* room for TRACE_ARGS_MAX */
    char *text;                    /* room for TRACE_TEXT_MAX */
};
enum { TRACE_ARGS_MAX = TRACE_LINE_MAX / 2 + 1, TRACE_TEXT_MAX = TRACE_LINE_MAX * 16 };
int trace_args(struct trace_field field, const struct trace_args *room, struct trace_fault *ret_fault);

/* load=1.5;cpu=0.25: what is not mentioned stays as it is; the CPU is the application's as well as the host's.  False
 * and a fault. */
bool trace_sample(struct trace_field field, struct engine_sample *sample, struct trace_fault *ret_fault);

/* A number of milliseconds with up to six decimals, in nanoseconds; false if it is none. */
bool trace_time(struct trace_field field, uint64_t *ret_ns);
/* The same back; returns the length (at most 32, no NUL). */
size_t trace_print_ms(uint64_t ns, char ret_text[static 32]);

#endif
