/* How a message with a path gets its resource name: "GET:/product/{id}".  Pure.
 *
 * The order in which a name is sought: configured routes ("resources": those of a virtual host first, then exact paths,
 * then in the order of the files), rules whose resource is this very method and path, rules whose resource has
 * {templates}, and at last the path itself with everything that looks like an id collapsed, and siblings that
 * proliferate. */
#ifndef WEIR_RULES_ROUTE_H
#define WEIR_RULES_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/naming/names.h"

enum { ROUTE_PATH_MAX = 2048 }; /* bytes of a normalised path that are looked at */
enum { ROUTE_HOST_MAX = 256 };  /* bytes of a host with the NUL */

/* ---------------------------------------------------------------------------------------------------------- finding */

/* Servers differ in what a path means.  %2F may be a slash (nginx, lighttpd, Python's http.server) or a character of a
 * segment (node), and so may a backslash (WHATWG's URLs); a segment may end at its first ';' (Java's servlets) or not;
 * of "/a/." and "/a/b/.." a slash is left (RFC 3986) or none (Python's http.server); "//host/path" may begin with a
 * host (WHATWG's URLs relative to a base) or not; so may "x:/path" with
 * a scheme (Apache httpd, Python's urlsplit, Java's URI); and some take the path to end at %00 (C), or at the no-break
 * space and the next line of Latin-1 (Python's str.split).  A request whose path can be read in several ways counts for
 * the configured routes, and for the rules, of each. */
enum route_reading {
    ROUTE_READ_PLAIN = 0,
    ROUTE_READ_SLASHES = 1,
    ROUTE_READ_PARAMETERS = 2,
    ROUTE_READ_DOTS = 4,
    ROUTE_READ_HOST = 8,
    ROUTE_READ_SCHEME = 16,
    ROUTE_READ_CUT = 32,
    ROUTE_READINGS = 64
};

enum route_how { ROUTE_HOW_CONFIGURED, ROUTE_HOW_RULE, ROUTE_HOW_TEMPLATE, ROUTE_HOW_LEARNED };
struct route_found { /* what route_find() did, for groups and for `weir explain` */
    enum route_how how;
    uint32_t route;     /* index into the ruleset's routes, with ROUTE_HOW_CONFIGURED and ROUTE_HOW_TEMPLATE */
    unsigned others;    /* enum route_reading: readings that could come to another name */
    unsigned collapsed; /* segments that a learned name has as {id} or {*} */
    bool undecided;     /* some regular expression could not be asked: the name is good for this request only */
    bool proliferated;  /* a segment became {*}, for the first time of all */
    size_t path_length, host_length;
    char path[ROUTE_PATH_MAX];       /* normalised, NUL-terminated */
    char host[ROUTE_HOST_MAX];       /* likewise */
    char scratch[2][ROUTE_PATH_MAX]; /* nothing */
};
/* Writes the resource name of a request, its path read in that way.  Returns its length (< size, always
 * NUL-terminated); a longer name ends in '~' and a hash. */
size_t route_find(const struct naming_rules *, const struct naming_message *, unsigned reading, char *ret_name,
                  size_t size, struct route_found *ret_found);

/* All API groups that the request falls in, each once, in the order of the files: offsets of their names in the
 * ruleset's strings.  Returns how many are written, at most `max`. */
size_t route_groups(const struct naming_rules *, struct route_found *, uint32_t *ret_names, size_t max);

/* The priority (enum rule_priority) that "resources" gives the resource of that name. */
uint8_t route_priority(const void *ruleset, const char *name, size_t length);

/* --------------------------------------------------------------------------------------------------------- spelling */

/* The path of a request target (origin or absolute form) in the one spelling that names and patterns are about: query
 * and fragment cut, percent-encoding of ordinary characters undone and the rest of it in capitals, // and dot segments
 * resolved, so that no spelling of a path dodges a rule.  %2F stays as it is.  Returns its length (< size).  The end of
 * a path that is too long is ROUTE_CUT. */
size_t route_path(const char *target, size_t length, char *ret_path, size_t size);
#define ROUTE_CUT "{id}"
/* The same in one of several readings; and which others could come to another path. */
size_t route_read(const char *target, size_t length, unsigned reading, char *ret_path, size_t size,
                  unsigned *ret_others);
/* The host that a target in absolute form names; length 0: it is in origin form. */
const char *route_authority(const char *target, size_t length, size_t *ret_length);
/* A host in the one spelling that names are about: lower case, without user, port and trailing dot.  Returns its
 * length; 0 where there is none, or one that is too long to be one. */
size_t route_host(const char *host, size_t length, char ret_host[static ROUTE_HOST_MAX]);
/* A configured pattern in the same spelling as paths; { } * ? keep their meaning. */
size_t route_pattern(const char *pattern, size_t length, char *ret_pattern, size_t size);

// Does a path match a pattern?  {name}: one segment or a part of it; *: anything but /; **: anything; a pattern that
// ends in /** matches its parent, too; ?: one character but /.
bool route_glob(const char *pattern, const char *path, size_t length);
bool route_prefix(const char *pattern, const char *path, size_t length);

/* The parts of a resource's name that is about HTTP requests: "GET:/a" or, with a virtual host, "GET:http://host/a".
 * False: it is another kind of name. */
struct route_parts {
    size_t method_length; /* at the name's beginning */
    const char *host;     /* not terminated */
    size_t host_length;   /* 0 = any host */
    const char *path;     /* to the end of the name */
};
bool route_parts(const char *name, struct route_parts *ret_parts);

/* Names of callers that a header cannot give: what a caller is on this host (unit:NAME, uid:N, comm:NAME). */
bool route_origin_reserved(const char *name, size_t length);

/* ------------------------------------------------------------------------------------------------------------ slots */

/* For the ruleset builder: the slots that a route or a name is found by.  `count` is a power of two, more than the
 * entries. */
void route_index_route(uint32_t *slots, uint32_t count, uint32_t number, uint8_t match, const char *pattern);
void route_index_name(uint32_t *slots, uint32_t count, uint32_t text, const char *name);

#endif
