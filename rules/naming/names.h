/* From a message to the names of all that it counts for, whatever its protocol: "GET:/product/{id}", "redis:GET".
 *
 * Pure: no allocation, no clock; what makes it fast (the slots of the ruleset) is part of the ruleset, and what is
 * learned is counted in memory that the caller gives.  Any number of threads at once. */
#ifndef WEIR_RULES_NAMING_NAMES_H
#define WEIR_RULES_NAMING_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pattern;
struct pattern_arena;
struct route_found; /* route.h */
struct ruleset_route;

/* What a protocol knows a message by; nothing is terminated, and what it does not have is of length 0. */
struct naming_message {
    const char *protocol; /* its word in names, terminated: "http", "redis" */
    const char *method;   /* the verb: GET; a command; a class of statements */
    size_t method_length;
    const char *path; /* as sent; a URL, too.  Without one, the name is PROTOCOL:METHOD */
    size_t path_length;
    const char *host; /* the host that it names; NULL = none */
    size_t host_length;
    bool with_host; /* learned names are those of the host, too: GET:http://payments:8080/charge/{id} */
};

/* The compiled regular expressions of one ruleset's routes. */
struct route_regexes {
    /* 1: matches, 0: does not, -1: cannot be decided now.  What takes too long matches: who sends it gains nothing. */
    int (*match)(void *context, const struct pattern *, const char *text, size_t length);
    void *context;
    uint32_t count; /* of routes */
    const struct pattern *patterns[];
};
/* Bytes of the table (0 = the ruleset has no such route), aligned to 16; the expressions go to the arena.  Both are
 * needed as long as the ruleset is in use.  To be done when rules are adopted. */
size_t route_regexes_size(const void *ruleset);
const struct route_regexes *route_regexes_compile(void *table, struct pattern_arena *, const void *ruleset);

/* What a path's learned siblings are counted in: slots that all processes of an app may share.  Bounded: where they are
 * used up, everything new is one sibling too many. */
struct naming_siblings {
    uint64_t *slots; /* atomic; `count` of them, a power of two */
    uint32_t count;
    uint32_t limit; /* names beside each other, before new ones become {*} */
    uint64_t seed;
};

struct naming_rules { /* all that names are found by */
    const void *ruleset;
    const struct ruleset_route *routes; /* of the ruleset, as what follows */
    const uint32_t *route_slots, *name_slots;
    const char *strings;
    const struct route_regexes *regexes;    /* NULL: routes and groups by regular expression do not match */
    const struct naming_siblings *siblings; /* NULL: they may proliferate */
    /* Does the pattern of some rule apply to the one name, but not to the other?  NULL: no rule has a pattern. */
    bool (*misses)(void *context, const char *name, size_t length, const char *other, size_t other_length);
    void *context;
};
/* Those of a checked ruleset, without regular expressions, siblings and patterns. */
struct naming_rules naming_rules_of(const void *ruleset);

struct naming_sink { /* where names go */
    /* `found`: what is known of a route; NULL: a group.  `reading`: of the path (enum route_reading).  The name is
     * NUL-terminated, and valid during the call. */
    void (*take)(void *context, const char *name, size_t length, const struct route_found *found, unsigned reading);
    void *context;
    void *room; /* NAMES_ROOM bytes, aligned to 8: too many for the stack of an application's thread */
};
enum { NAMES_ROOM = 12 << 10 };
/* Its route, what rules speak of if its path is read in another way, its groups; most specific first, some perhaps
 * twice.  False: a regular expression could not be asked just now, so that they hold for this message only. */
bool names_of(const struct naming_rules *, const struct naming_message *, const struct naming_sink *);

/* Steps (some 20 ns each) that it takes at most for that path, or more than `most`: few, where routes begin
 * differently.
 */
uint64_t naming_work(const struct naming_rules *, const char *path, uint64_t most);

#endif
