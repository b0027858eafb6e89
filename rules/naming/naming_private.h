/* What the files of naming share. */
#ifndef WEIR_RULES_NAMING_PRIVATE_H
#define WEIR_RULES_NAMING_PRIVATE_H

#include "rules/layout.h"
#include "rules/naming/route.h"

enum {
    NAMING_SLOT_SEED = 0x726f757465 & 0x7fffffff,
    NAMING_METHOD_MAX = 24 /* of a longer one a client can make up as many as it likes: they are all {method} */
};

struct naming_ask { /* one message in one reading */
    const struct naming_rules *rules;
    const struct naming_message *message; /* NULL: groups */
    const char *method, *path, *host;
    size_t method_length, path_length, host_length;
    struct route_found *found;
};

/* Routes of one kind in whose slots the path is, in no order, some twice; not all of them match. */
struct naming_candidates {
    uint32_t first, kinds; /* routes of the kind */
    uint32_t at, tried;    /* slot, and how many of this beginning of the path were looked at */
    unsigned segment;
    size_t length; /* of the beginning */
    bool within;   /* at a beginning */
};
/* The next one, or UINT32_MAX; `candidates` begins with the kind's first and kinds, and zeros. */
uint32_t naming_next(const struct naming_ask *, struct naming_candidates *candidates);
bool naming_matches(const struct naming_ask *, uint32_t route);

/* index.c: the spelling of a rule's name that requests are brought to; returns its length. */
size_t naming_spelling(const char *name, char ret_spelling[static ROUTE_PATH_MAX]);
/* A regular expression. */
bool naming_regex_matches(const struct naming_ask *, uint32_t route);

/* A name that is being written. */
struct naming_name {
    char *text;
    size_t size, length;
    uint64_t hash; /* of everything, also what found no room */
    bool cut;
};
void naming_add(struct naming_name *, const char *text, size_t length);

struct naming { /* in the sink's room */
    const struct naming_rules *rules;
    const struct naming_message *message;
    const struct naming_sink *sink;
    bool undecided;
    char plain[LAYOUT_RESOURCE_NAME_MAX]; /* by the plain reading */
    size_t plain_length;
    /* by the reading under way: */
    char name[LAYOUT_RESOURCE_NAME_MAX], whole[ROUTE_PATH_MAX + NAMING_METHOD_MAX + 2];
    struct route_found found;
};

/* route.c, for what is out of the ordinary: a hash takes the place of the end of a name that found no room; a path is
 * kept that what was learned of it falls short of (returns the name's length); a message without a path. */
void naming_mark_cut(struct naming_name *);
size_t naming_keep_path(struct naming *, size_t length);
void naming_give_verb(struct naming *);

/* learn.c: the path itself, with ids and proliferating siblings collapsed. */
void naming_learn(const struct naming_ask *, struct naming_name *);

/* siblings.c: is there room for that segment beside those that are below `*node` already?  Moves on to its node.
 * `*ret_first`: this is the first for which there is none. */
bool naming_sibling(const struct naming_siblings *, uint64_t *node, const char *segment, size_t length,
                    bool *ret_first);
uint64_t naming_siblings_root(const struct naming_siblings *);

#endif
