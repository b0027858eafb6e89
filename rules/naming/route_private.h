/* What the files of route*.c share. */
#ifndef WEIR_RULES_ROUTE_PRIVATE_H
#define WEIR_RULES_ROUTE_PRIVATE_H

#include "rules/naming/route.h"

struct route_ask { /* one request in one reading */
    const struct route_rules *rules;
    const char *method, *path, *host;
    size_t method_length, path_length, host_length;
    struct route_found *found;
};

/* route_match.c: offers the routes of one kind that match, in no order, some twice. */
struct route_taker {
    uint8_t kind;                                                                 /* enum route_kind */
    bool (*wants)(const struct route_ask *, uint32_t route, const void *context); /* would it be of use? */
    void (*take)(const struct route_ask *, uint32_t route, void *context);
};
void route_each(const struct route_ask *, const struct route_taker *, void *context);
/* The text of an exact rule's resource that is this method and path, or 0. */
uint32_t route_rule_name(const struct route_ask *);

/* route_learn.c: a name that is being written. */
struct route_name {
    char *text;
    size_t size, length;
    uint64_t hash; /* of everything, also what found no room */
    bool cut;
};
void route_name_add(struct route_name *, const char *text, size_t length);
size_t route_name_end(struct route_name *);
void route_capture_add(struct route_found *, const char *name, size_t name_length, size_t start, size_t length);
/* The path itself, with ids and proliferating siblings collapsed. */
void route_learn(const struct route_ask *, struct route_name *);

/* route_siblings.c: is there room for that segment beside those that are below `*node` already?  Moves on to its node.
 * `*ret_first`: this is the first for which there is none. */
bool route_sibling(const struct route_siblings *, uint64_t *node, const char *segment, size_t length, bool *ret_first);
uint64_t route_siblings_root(const struct route_siblings *);

#endif
