/* A configuration of nginx as a tree of its directives, with all that it includes: words as nginx itself takes them
 * apart.
 *
 * Nothing is known of what a directive means.  Memory and depth are bounded (the limits below), whatever is read. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_CONF_H
#define WEIR_TOOLS_IMPORT_NGINX_CONF_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NGINX_CONF_BYTES_MAX = 16 << 20, /* of all files together */
    NGINX_CONF_NODES_MAX = 200000,
    NGINX_CONF_DEPTH_MAX = 32,   /* blocks in blocks */
    NGINX_CONF_INCLUDES_MAX = 16 /* files in files */
};

struct nginx_node {
    const char *file;
    unsigned line, column; /* of the first word, from 1 */
    const char **words;    /* the directive's name and its arguments */
    size_t count;          /* at least 1 */
    bool block;            /* { … } follows, with these: */
    struct nginx_node *children;
    struct nginx_node *next;
};

struct nginx_error {
    char file[512];
    unsigned line, column;
    char message[256];
};

struct nginx_conf; /* owns all nodes and texts */

/* `file` names the text in errors; its folder is where files are looked for that it includes by a relative name.  NULL:
 * nothing is included, such directives stay as they are.  Returns NULL if it is not readable as nginx would read it;
 * `ret_error` says why. */
struct nginx_conf *nginx_conf_parse(const char *file, const char *text, size_t length, struct nginx_error *ret_error);
struct nginx_node *nginx_conf_root(const struct nginx_conf *); /* the first directive, NULL: there is none */
void *nginx_conf_memory(struct nginx_conf *, size_t size);     /* zeroed, freed with it; NULL: there is none */
void nginx_conf_free(struct nginx_conf *);

/* The first directive of that name from `node` on along the list, or NULL. */
struct nginx_node *nginx_node_find(struct nginx_node *node, const char *name);

#endif
