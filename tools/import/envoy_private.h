/* Between the parts of the importer of Envoy. */
#ifndef WEIR_TOOLS_IMPORT_ENVOY_PRIVATE_H
#define WEIR_TOOLS_IMPORT_ENVOY_PRIVATE_H

#include "tools/import/common.h"
#include "tools/import/phrase.h"
#include "tools/import/yaml_tree.h"

enum { ENVOY_ENTRIES_MAX = 8, ENVOY_NAME_MAX = 200 };

struct envoy_entry {         /* of a descriptor */
    const char *key, *value; /* value: "" = any */
};

/* A descriptor of the service with its limit. */
struct envoy_leaf {
    const char *file;
    const struct yaml_node *node;
    struct envoy_entry entries[ENVOY_ENTRIES_MAX];
    size_t count;
    bool used; /* it has become a rule, or an item of one */
};

/* A list of actions that make a descriptor, and the requests that it is made of. */
struct envoy_use {
    const char *file;
    const struct yaml_node *node; /* with "actions" */
    const char *resource;
    bool apart; /* other hosts or routes have the same, and count on their own */
};

struct envoy {
    struct import *import;
    struct import_names *names;
    struct envoy_leaf *leaves;
    struct envoy_use *uses;
    size_t leaves_count, leaves_capacity, uses_count, uses_capacity;
    bool has_routes; /* some file is Envoy's own */
    bool client;     /* some rule goes by the client's address */
};

/* All routes of a configuration; notes the uses and makes the rules of local limits. */
void envoy_routes(struct envoy *, const char *file, const struct yaml_node *config);
/* Rules for all descriptors. */
void envoy_descriptors(struct envoy *);
/* What an action says: a key, and a parameter (NULL: the same for all these requests, `ret_value`).  False: rules do
 * not know it, and `ret_why` says so. */
bool envoy_action(const struct yaml_node *action, const char **ret_key, const char **ret_value, cJSON **ret_param,
                  struct phrase *ret_why);
/* A local limit as a rule about that resource. */
void envoy_local(struct envoy *, const char *file, const struct yaml_node *config, const char *resource);

#endif
