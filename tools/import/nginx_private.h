/* Between the parts of the importer of nginx. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_PRIVATE_H
#define WEIR_TOOLS_IMPORT_NGINX_PRIVATE_H

#include "tools/import/common.h"
#include "tools/import/nginx_key.h"
#include "tools/import/nginx_limit.h"
#include "tools/import/nginx_site.h"

/* The same limit, wherever it is in force. */
struct nginx_use {
    enum nginx_limit_kind kind;
    const struct nginx_node *node, *status;
    bool dry_run;
};

struct nginx_import {
    struct import *import;
    struct nginx_conf *conf;
    struct nginx_node *http; /* the directives of the http block */
    bool is_part;            /* there is no http block: they stand alone */
    struct nginx_server *servers;
    struct import_names *names;
    bool client, proxy; /* some rule goes by the client's address; … which the PROXY protocol says */
};

/* Where a limit is in force in one server: an entry for each of its locations. */
struct nginx_reach {
    const struct nginx_server *server;
    bool *chosen;
    size_t count;
    bool whole;
};

/* What a rule is about. */
typedef void nginx_resource(void *context, const char *resource, const char *note);
/* Calls for each resource that stands for those locations (of all servers, if `everywhere`); makes the groups of paths.
 */
void nginx_places(struct nginx_import *, const struct nginx_use *, struct nginx_reach *, size_t count, bool apart,
                  nginx_resource *call, void *context);

/* Makes the rules of one limit. */
void nginx_rules(struct nginx_import *, const struct nginx_use *, struct nginx_reach *, size_t count);
/* … and those of a stream server. */
void nginx_stream_rules(struct nginx_import *, const struct nginx_use *, struct nginx_node *stream,
                        const struct nginx_server *);

#endif
