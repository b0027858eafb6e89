/* What the fragments of one app make together: names are unique among all of them, and rules come into the ruleset when
 * all have been read. */
#ifndef WEIR_RULES_TEXT_JOIN_H
#define WEIR_RULES_TEXT_JOIN_H

#include "rules/text/kinds.h"

struct definition;
struct pending;
struct join {
    struct definition *definitions; /* open-addressed */
    size_t definitions_size, definitions_used;
    struct pending *rules;
    size_t rules_count, rules_capacity;
    uint32_t next_index[RULE_KINDS]; /* position of the next rule in its array, over all fragments */
    bool failed;                     /* no memory */
};

/* Ids, references, then every rule into the reader's ruleset.  `whole`: all fragments are there, so that what is named
 * must exist. */
void join_finish(struct reader *, bool whole);
void join_clear(struct join *);

#endif
