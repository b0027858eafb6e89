/* What can never match: names that nothing makes, patterns that no name fits, routes that no request reaches.
 *
 * Judged by the code that makes names (rules/naming/), not by a grammar of its own: a name is made if a request, a
 * connection or a definition can be found that it is made for.  Pure but for malloc. */
#ifndef WEIR_RULES_TEXT_NEVER_H
#define WEIR_RULES_TEXT_NEVER_H

#include <stdbool.h>

#include "rules/layout.h"
#include "rules/naming/route.h"
#include "rules/rule.h"
#include "rules/text/join.h"

enum { NEVER_NAME_MAX = 3 * LAYOUT_RESOURCE_NAME_MAX }; /* bytes of a spelling with its NUL */

struct names { /* those that a ruleset makes */
    const void *ruleset;
    struct naming_rules naming;
    void *regex_table, *regex_scratch, *room;
    void **regex_blocks;
    const struct ruleset_route **defined; /* those with explicit names, sorted by these */
    uint32_t defined_count;
    /* How often the nearest name may still be looked for, and patterns be compiled: that takes time. */
    unsigned guesses, compilations;
    /* And how many steps, of some 20 ns: where they are used up, everything is taken to be made. */
    uint64_t steps, *left; /* left: to them, for those who may not change the rest */
};
/* Steps that one look at the files of an app may take: it holds up what the agent does else. */
enum { NEVER_STEPS = 4000000 };
/* False, and nothing is left from then on: it takes more than what is left. */
bool names_spend(const struct names *, uint64_t steps);
/* False: no memory.  The ruleset must stay valid. */
bool names_open(struct names *, const void *ruleset);
void names_close(struct names *);

/* Directions of traffic: bits. */
enum { NEVER_INBOUND = 1 << SIDE_INBOUND, NEVER_OUTBOUND = 1 << SIDE_OUTBOUND };
static const unsigned NEVER_BOTH = NEVER_INBOUND | NEVER_OUTBOUND;

struct made {
    bool is;                                /* something makes that name in one of the directions that were asked */
    unsigned sides;                         /* in which direction it could be made, asked or not */
    const struct ruleset_route *by;         /* what gives requests of that spelling another name, or NULL */
    char instead[LAYOUT_RESOURCE_NAME_MAX]; /* which; "" = unknown */
    const struct ruleset_route *tcp_only;   /* the listener that is said to serve no requests, or NULL */
};
/* Is that name made?  `sides`: where. */
void names_find(const struct names *, const char *name, unsigned sides, struct made *ret_made);
/* Is it an explicit name of a route, a group, a listener or a destination? */
bool names_define(const struct names *, const char *name);
/* The defined name nearest to it, or NULL. */
const char *names_nearest(struct names *, const char *name);

/* The request that a route's or a name's pattern stands for: {name}, * and ** replaced by a word. */
void never_sample(const char *pattern, const char *word, char *ret_text, size_t size);
extern const char *const never_words[];
#define NEVER_HOST "host.invalid" /* of requests whose host does not matter */
enum { NEVER_WORDS = 4 };
/* All names of a request; true: one of them is `wanted`.  `ret_first`: the first. */
bool names_of_request(const struct names *, const struct naming_message *, const char *wanted,
                      char ret_first[static LAYOUT_RESOURCE_NAME_MAX], uint32_t *ret_route);
/* Does a request get its name from the route with that index?  `ret_first`: the route that its first name is from. */
bool names_reach(const struct names *, const struct naming_message *, uint32_t route, uint32_t *ret_first);

/* The spelling that was probably meant, or false.  `*ret_why`: what is wrong with this one. */
bool never_repair(const char *name, char ret_fix[static NEVER_NAME_MAX], const char **ret_why);
/* The same without asking whether it would be made; `pattern`: of what has wildcards. */
void never_undo_slips(const char *name, bool pattern, char ret_fix[static NEVER_NAME_MAX], const char **ret_why);
/* Likewise of a name that is made: requests could have it, and hardly will. */
bool never_suspect(const char *name, char ret_fix[static NEVER_NAME_MAX], const char **ret_why);
extern const char *const never_methods[]; /* NULL at their end */

/* never_patterns.c: what is wrong with the pattern of a rule, and what is meant instead (or ""); false: nothing. */
bool never_pattern(const struct names *, const struct rule *, const char **ret_why,
                   char ret_fix[static NEVER_NAME_MAX]);
/* Does the regular expression match the text, or could it match one that begins so? */
bool never_regex_begins(const struct names *, const char *pattern, const char *text);

/* never_routes.c, never_values.c: a rule's origins, parameters and thresholds; "resources". */
struct never { /* the walk through what an app's files say */
    struct reader *reader;
    struct names names;
};
/* Is there room for a further warning, and time to look for it? */
bool never_goes_on(const struct never *);
void never_warn_routes(struct never *, struct rule_document *const *documents, size_t count);
void never_warn_values(struct never *, const struct path *, const struct pending *);

#endif
