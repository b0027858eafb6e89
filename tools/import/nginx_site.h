/* The servers and locations of an nginx configuration, which limits are in force where, and which paths a location
 * gets. Pure but for memory of the configuration; never prints. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_SITE_H
#define WEIR_TOOLS_IMPORT_NGINX_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/import/nginx_conf.h"
#include "tools/import/phrase.h"

enum {
    NGINX_LIMITS_MAX = 16, /* of a kind, in force in one place */
    NGINX_PORTS_MAX = 256, /* of a server */
    NGINX_SERVERS_MAX = 2000,
    NGINX_LOCATIONS_MAX = 1000 /* of a server */
};

enum nginx_limit_kind { NGINX_LIMIT_REQ, NGINX_LIMIT_CONN, NGINX_LIMIT_KINDS };

/* What is in force at one level of the configuration. */
struct nginx_level {
    const struct nginx_node *limits[NGINX_LIMIT_KINDS][NGINX_LIMITS_MAX];
    size_t count[NGINX_LIMIT_KINDS];
    const struct nginx_node *status[NGINX_LIMIT_KINDS]; /* the directive, or NULL: 503 */
    bool dry_run[NGINX_LIMIT_KINDS];
};

enum nginx_location_kind {
    LOCATION_REST,
    LOCATION_PREFIX,
    LOCATION_STOP,
    LOCATION_EXACT,
    LOCATION_REGEX,
    LOCATION_CASELESS
};

struct nginx_location {
    enum nginx_location_kind kind; /* LOCATION_REST: what no other one gets */
    const char *path;
    const struct nginx_node *node;
    const struct nginx_location *within; /* NULL: the server itself */
    struct nginx_level level;
};

struct nginx_server {
    const struct nginx_node *node;
    const char **names;
    size_t names_count;
    unsigned ports[NGINX_PORTS_MAX], tls_ports[NGINX_PORTS_MAX]; /* 0: a unix socket's */
    size_t ports_count, tls_count;
    bool is_default;                        /* it says so of a port without TLS */
    const struct nginx_location *locations; /* what a client can reach */
    size_t locations_count;
    struct nginx_server *next;
};

struct nginx_wrong {
    const char *message; /* NULL: nothing is */
    const struct nginx_node *node;
};

/* NULL: there is none.  `ret_wrong`: of what there is too much to be read as a whole, or that there is no memory. */
struct nginx_server *nginx_site_servers(struct nginx_conf *, struct nginx_node *http, struct nginx_wrong *ret_wrong);

/* Some of a server's locations, as an expression for the paths that nginx gives to them and to no others; `chosen` has
 * an entry for each location.  Adds the part of one of them.  False: it cannot be said. */
bool nginx_site_paths(const struct nginx_server *, const bool *chosen, size_t location, struct phrase *);
/* Is this location, with those, all that begins with its path, or that path alone?  Then no expression is needed. */
bool nginx_site_is_plain(const struct nginx_server *, const bool *chosen, size_t location);

#endif
