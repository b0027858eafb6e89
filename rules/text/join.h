/* What the fragments of one app make together: names are unique among all of them, and rules come into the ruleset when
 * all have been read. */
#ifndef WEIR_RULES_TEXT_JOIN_H
#define WEIR_RULES_TEXT_JOIN_H

#include "rules/text/kinds.h"

struct definition;
struct pending {
    struct rule rule;
    double limits[SYSTEM_LIMITS];
    char *id; /* NULL = to be derived */
    const char *action, *section;
    int index; /* in its section's array; -1: the section is the rule */
    const struct rule_document *document;
    const cJSON *node;
};
struct join {
    struct definition *definitions; /* open-addressed */
    size_t definitions_size, definitions_used;
    struct pending *rules;
    size_t rules_count, rules_capacity;
    uint32_t next_index[RULE_KINDS]; /* position of the next rule in its array, over all fragments */
    bool failed;                     /* no memory */
};

/* A rule about "GET:/user/{name}" is a route, too: its traffic has to get that name.  Is it such a name?  And its
 * route. */
bool join_names_route(const char *name);
void join_add_named_route(struct ruleset_builder *, const char *name);

/* Ids, references, then every rule into the reader's ruleset.  `whole`: all fragments are there, so that what is named
 * must exist. */
void join_finish(struct reader *, bool whole);
void join_clear(struct join *);

#endif
