/* YAML, and so JSON, as a tree with lines.  Bounded, whatever is read: a repeated node (an alias) is a copy that
 * counts. Never prints. */
#ifndef WEIR_TOOLS_IMPORT_YAML_TREE_H
#define WEIR_TOOLS_IMPORT_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

enum { YAML_BYTES_MAX = 16 << 20, YAML_NODES_MAX = 300000, YAML_DEPTH_MAX = 64 };

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };
struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    const char *key;       /* of a map's member, else NULL */
    const char *text;      /* of a scalar; "" otherwise */
    bool quoted;           /* a scalar that is a text, whatever it looks like */
    struct yaml_node *children, *next;
};

struct yaml_error {
    unsigned line, column;
    char message[200];
};

struct yaml_tree;
/* NULL: it is no YAML, or too large; `ret_error` says why. */
struct yaml_tree *yaml_tree_parse(const char *text, size_t length, struct yaml_error *ret_error);
/* The first document; the others follow it as `next`.  NULL: there is none. */
const struct yaml_node *yaml_tree_root(const struct yaml_tree *);
void yaml_tree_free(struct yaml_tree *);

/* All of these take NULL, and then find nothing. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
const struct yaml_node *yaml_path(const struct yaml_node *map, const char *keys); /* "a.b.c" */
const char *yaml_text(const struct yaml_node *map, const char *key);              /* "" if it is not there */
bool yaml_is_true(const struct yaml_node *map, const char *key, bool otherwise);
/* False: it is not there, or no number ≥ 0. */
bool yaml_number(const struct yaml_node *node, double *ret_number);

#endif
