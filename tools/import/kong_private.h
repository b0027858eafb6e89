/* Between the parts of the importer of Kong. */
#ifndef WEIR_TOOLS_IMPORT_KONG_PRIVATE_H
#define WEIR_TOOLS_IMPORT_KONG_PRIVATE_H

#include "tools/import/common.h"
#include "tools/import/phrase.h"
#include "tools/import/yaml_tree.h"

struct kong_entity { /* a service, route or consumer */
    const char *file;
    const struct yaml_node *node;
    const struct yaml_node *service; /* of a route: the one that it stands in, or NULL */
};

struct kong_plugin {
    const char *file;
    const struct yaml_node *node;
    const struct yaml_node *service, *route, *consumer; /* what it stands in; NULL: what its own fields say */
};

struct kong_list {
    void *list;
    size_t count, capacity;
};

struct kong {
    struct import *import;
    struct import_names *names;
    struct kong_list services, routes, consumers, plugins;
    bool client;
};

/* Calls for each resource that stands for the requests of the plugin's scope; `note`: what differs. */
void kong_places(struct kong *, const struct kong_plugin *,
                 void (*call)(void *context, const char *resource, const char *note), void *context);
/* The consumer that the plugin is about, as the parameter that names it; NULL: it is about all.  False: it cannot be
 * said, which is listed. */
bool kong_consumer(struct kong *, const struct kong_plugin *, cJSON **ret_param);
/* What one consumer, or credential, is known by, whichever authentication is there; NULL: none is, or rules do not know
 * it. */
cJSON *kong_identity(const struct kong *, const struct kong_plugin *);
void kong_plugin_rules(struct kong *, const struct kong_plugin *);
void kong_left_out(struct kong *, const struct kong_plugin *, const char *why);
extern const char kong_of_group[]; /* why: it is about a group of consumers */

#endif
