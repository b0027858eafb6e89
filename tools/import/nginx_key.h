/* What the key of an nginx zone is in a rule: variables, and `geo` and `map` as far as they say which clients are
 * limited. Pure but for memory; never prints. */
#ifndef WEIR_TOOLS_IMPORT_NGINX_KEY_H
#define WEIR_TOOLS_IMPORT_NGINX_KEY_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "tools/import/nginx_conf.h"
#include "tools/import/phrase.h"

struct nginx_key {
    cJSON *params;       /* an array for "param" (docs/rules.md); empty: all requests have the same key */
    cJSON *free;         /* an array of addresses and ranges whose key is empty: they are not limited */
    cJSON *limited;      /* … and of those that are, within others that are not */
    bool only_listed;    /* all but those in `limited` are free */
    bool client;         /* it looks at the client's address */
    bool server;         /* $server_name: each server counts on its own */
    bool proxy;          /* the address comes from the PROXY protocol */
    bool each_path;      /* each path counts on its own, besides */
    struct phrase notes; /* what is not quite as nginx has it */
    struct phrase why;   /* not empty: it cannot be carried over, since … */
};

/* `http`: the directives of the http block, where maps are looked for. */
void nginx_key_read(struct nginx_key *ret_key, struct nginx_node *http, const char *key);
void nginx_key_clear(struct nginx_key *);

#endif
