/* What importers of proxies' configurations share. */
#ifndef WEIR_TOOLS_IMPORT_COMMON_H
#define WEIR_TOOLS_IMPORT_COMMON_H

#include "tools/import/import.h"

/* A "count" that no client reaches. */
enum { IMPORT_UNLIMITED = 1000000000 };
/* Values that a rule over more than IMPORT_SHORT_SECONDS remembers: by default it would be 4000 a second of its
 * interval, and a few such rules would need more memory than there is for limiters. */
enum { IMPORT_CAPACITY = 20000, IMPORT_SHORT_SECONDS = 5 };

struct import_names;                         /* resources that were made, by what is in them */
struct import_names *import_names_new(void); /* NULL: no memory */
void import_names_free(struct import_names *);
/* The name of a resource with these fields: the one that it has already, or `wanted` (up to 200 bytes), with a number
 * behind it if that is taken.  `value` stays the caller's.  NULL: there are too many. */
const char *import_name(struct import_names *, struct import *, const char *file, unsigned line, const char *wanted,
                        const cJSON *value);

/* Adds to `list` (of "paramFlowItemList") the addresses, ranges and {"file": …} of `addresses`, each once, with that
 * count. */
void import_items(cJSON *list, const cJSON *addresses, double count);
/* Gives the rule an id that no other rule of the section has: `wanted`, or that with a number. */
void import_id(struct import *, const char *section, cJSON *rule, const char *wanted);
/* A parameter for "param"; `field` may be NULL. */
cJSON *import_param(const char *strategy, const char *field);
/* A predicate item. */
cJSON *import_pattern(const char *pattern, const char *match);
/* The block action of that name, made if it is not there. */
void import_status(struct import *, const char *file, unsigned line, const char *name, int status, bool close,
                   double delay_ms);

#endif
