/* Hot keys as the processes of an app record them (layout.h), joined: what each rule sees most on each resource.
 * Nothing that a process wrote is taken at its word.  Pure but for malloc. */
#ifndef WEIR_AGENT_HOT_H
#define WEIR_AGENT_HOT_H

#include <stddef.h>
#include <stdint.h>

#include "agent/rules/publish.h"

enum { HOT_SHOWN = 20, HOT_VALUE_TEXT = 96 /* bytes of a value made readable, with the NUL */ };

struct hot_shown {
    struct layout_hot_value value;
    double per_second, blocked_per_second; /* over about the last ten seconds */
    uint64_t in_flight;                    /* of rules about that, at its last request */
};

struct hot_list {      /* of one rule and resource */
    uint32_t rule;     /* index into the ruleset's rules */
    uint32_t resource; /* entry */
    size_t count;
    struct hot_shown values[HOT_SHOWN]; /* most frequent first */
};

/* Reads all of them; `ret_lists` is malloc'ed.  `ruleset` is the app's in force; what is about no rule of it is left
 * out.
 */
size_t hot_read(const struct publish *, const void *ruleset, uint64_t engine_now_ns, struct hot_list **ret_lists);

/* The value for people: addresses as such, control characters as "\x1b", what was cut with "…~" and a mark of the
 * whole.
 */
void hot_text(const struct layout_hot_value *, char ret_text[static HOT_VALUE_TEXT]);

#endif
