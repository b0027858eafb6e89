/* The numbers of nginx's limits: zones, and what a limit_req or limit_conn says of one.  Pure; never prints. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_LIMIT_H
#define WEIR_TOOLS_IMPORT_NGINX_LIMIT_H

#include <stdbool.h>

#include "tools/import/nginx_conf.h"
#include "tools/import/nginx_site.h"

enum { NGINX_WORD_MAX = 200 };

struct nginx_zone {
    const struct nginx_node *node;
    char name[NGINX_WORD_MAX];
    const char *key;
    double rate;     /* of limit_req_zone: requests … */
    bool per_minute; /* … a minute, else a second */
    bool sync;
};

struct nginx_limit {
    char zone[NGINX_WORD_MAX];
    double burst, delay; /* requests beyond the rate, and as many of them as do not wait */
    double connections;
};

/* False: nginx would not take the directive, `ret_error` says why. */
bool nginx_zone_read(const struct nginx_node *, enum nginx_limit_kind, struct nginx_zone *ret_zone,
                     struct nginx_error *ret_error);
bool nginx_limit_read(const struct nginx_node *, enum nginx_limit_kind, struct nginx_limit *ret_limit,
                      struct nginx_error *ret_error);

#endif
