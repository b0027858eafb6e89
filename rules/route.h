/* How an HTTP request gets its resource name: "GET:/product/{id}".  Pure: no allocation, no state; what makes it fast
 * (the slots of the image) is part of the image.
 *
 * The order in which a name is sought: configured routes ("resources", exact paths first, then in the order of the
 * files), rules whose resource is this very method and path, rules whose resource has {templates}, and at last the path
 * itself with everything that looks like an id collapsed. */
#ifndef WEIR_RULES_ROUTE_H
#define WEIR_RULES_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROUTE_PATH_MAX = 2048 }; /* bytes of a normalised path that are looked at */
enum { ROUTE_CAPTURES_MAX = 16 };

struct route_regexes; /* the compiled regular expressions of one image's routes */

/* Memory (bytes, 0 = the image has none) that route_regexes_compile needs, aligned to 16, as long as the image is in
 * use. To be done when rules are adopted: without it, routes and groups by regular expression do not match. */
size_t route_regexes_size(const void *image);
const struct route_regexes *route_regexes_compile(void *memory, size_t size, const void *image);

/* Writes the resource name of a request under a checked image.  Returns its length (< size, always NUL-terminated);
 * a longer name ends in '~' and a hash.  Regular expressions are left out: see route_find. */
size_t route_name(const void *image, const char *method, size_t method_length, const char *target, size_t target_length,
                  char *ret_name, size_t size);

/* All API groups that the request's path falls in, each once, in the order of the files: offsets of their names in the
 * image's strings.  Returns how many there are; at most `max` are written. */
size_t route_groups(const void *image, const struct route_regexes *regexes, const char *target, size_t target_length,
                    uint32_t *ret_names, size_t max);

enum route_how { ROUTE_HOW_CONFIGURED, ROUTE_HOW_RULE, ROUTE_HOW_TEMPLATE, ROUTE_HOW_LEARNED };
struct route_capture {
    const char *name; /* of the {template}, "id" where the name was learned; not terminated */
    size_t name_length;
    size_t start, length; /* of the value, in route_found.path */
};
struct route_found { /* what route_name() did, for parameters and for `weir explain` */
    enum route_how how;
    uint32_t route; /* index into the image's routes, with ROUTE_HOW_CONFIGURED and ROUTE_HOW_TEMPLATE */
    size_t path_length;
    size_t captures_count;
    struct route_capture captures[ROUTE_CAPTURES_MAX]; /* path segments that stand for {something} */
    char path[ROUTE_PATH_MAX];                         /* normalised, NUL-terminated */
};
size_t route_find(const void *image, const struct route_regexes *regexes, const char *method, size_t method_length,
                  const char *target, size_t target_length, char *ret_name, size_t size, struct route_found *ret_found);

/* The path of a request target (origin or absolute form) in the one spelling that names and patterns are about: query
 * and fragment cut, percent-encoding of ordinary characters undone and the rest of it in capitals, // and dot segments
 * resolved, so that no spelling of a path dodges a rule.  %2F stays as it is.  Returns its length (< size). */
size_t route_path(const char *target, size_t length, char *ret_path, size_t size);
/* A configured pattern in the same spelling; { } * ? keep their meaning. */
size_t route_pattern(const char *pattern, size_t length, char *ret_pattern, size_t size);

// Does a path match a pattern?  {name}: one segment or a part of it; *: anything but /; **: anything; a pattern that
// ends in /** matches its parent, too; ?: one character but /.
bool route_glob(const char *pattern, const char *path, size_t length);
bool route_prefix(const char *pattern, const char *path, size_t length);

/* For the image builder: the slots that a route or a name is found by.  `count` is a power of two, more than the
 * entries. */
void route_index_route(uint32_t *slots, uint32_t count, uint32_t number, uint8_t match, const char *pattern);
void route_index_name(uint32_t *slots, uint32_t count, uint32_t text, const char *name);

#endif
