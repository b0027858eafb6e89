#include "tools/import/kong.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/kong_private.h"

enum { TREES_MAX = 64 };

static void add(struct kong_list *list, const void *element, size_t size) {
    if (list->count == list->capacity) {
        void *larger = realloc(list->list, (list->capacity * 2 + 16) * size);
        if (!larger)
            return;
        list->list = larger;
        list->capacity = list->capacity * 2 + 16;
    }
    memcpy((char *)list->list + list->count++ * size, element, size);
}

/* ------------------------------------------------------------------------------------------------------- entities */

static void read_plugins(struct kong *kong, const struct kong_plugin *of, const struct yaml_node *list) {
    for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
        struct kong_plugin plugin = *of;
        plugin.node = node;
        if (yaml_text(node, "name")[0])
            add(&kong->plugins, &plugin, sizeof(plugin));
        else
            import_error(kong->import, of->file, node->line, node->column, "a plugin without a name");
    }
}

static void read_routes(struct kong *kong, const char *file, const struct yaml_node *list,
                        const struct yaml_node *service) {
    for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
        struct kong_entity route = {file, node, service};
        add(&kong->routes, &route, sizeof(route));
        read_plugins(kong, &(struct kong_plugin){.file = file, .route = node}, yaml_get(node, "plugins"));
    }
}

static void read_services(struct kong *kong, const char *file, const struct yaml_node *list) {
    for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
        struct kong_entity service = {file, node, NULL};
        add(&kong->services, &service, sizeof(service));
        read_routes(kong, file, yaml_get(node, "routes"), node);
        read_plugins(kong, &(struct kong_plugin){.file = file, .service = node}, yaml_get(node, "plugins"));
    }
}

static void read_consumers(struct kong *kong, const char *file, const struct yaml_node *list) {
    for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
        struct kong_entity consumer = {file, node, NULL};
        add(&kong->consumers, &consumer, sizeof(consumer));
        read_plugins(kong, &(struct kong_plugin){.file = file, .consumer = node}, yaml_get(node, "plugins"));
    }
}

/* Rules know clients by what requests say, and no request says its consumer's group. */
static void list_group_plugins(struct kong *kong, const char *file, const struct yaml_node *groups) {
    for (const struct yaml_node *group = groups ? groups->children : NULL; group; group = group->next) {
        const struct yaml_node *plugins = yaml_get(group, "plugins");
        for (const struct yaml_node *node = plugins ? plugins->children : NULL; node; node = node->next)
            kong_left_out(kong, &(struct kong_plugin){.file = file, .node = node}, kong_of_group);
    }
}

/* {"data": […]} of the admin API: of plugins, routes, services or consumers, distinguished by what is in them. */
static void read_data(struct kong *kong, const char *file, const struct yaml_node *data) {
    const struct yaml_node *first = data->children;
    if (!first)
        return;
    if (yaml_get(first, "config"))
        read_plugins(kong, &(struct kong_plugin){.file = file}, data);
    else if (yaml_get(first, "paths") || yaml_get(first, "strip_path"))
        read_routes(kong, file, data, NULL);
    else if (yaml_get(first, "username") || yaml_get(first, "custom_id"))
        read_consumers(kong, file, data);
    else if (yaml_get(first, "host"))
        read_services(kong, file, data);
    else
        import_error(kong->import, file, data->line, data->column, "expected plugins, routes, services or consumers");
}

static void read_document(struct kong *kong, const char *file, const struct yaml_node *root) {
    const struct yaml_node *data = yaml_get(root, "data");
    if (root->kind != YAML_MAP) {
        import_error(kong->import, file, root->line, root->column,
                     "expected the fields of a declarative configuration");
        return;
    }
    if (data)
        read_data(kong, file, data);
    read_services(kong, file, yaml_get(root, "services"));
    read_routes(kong, file, yaml_get(root, "routes"), NULL);
    read_consumers(kong, file, yaml_get(root, "consumers"));
    read_plugins(kong, &(struct kong_plugin){.file = file}, yaml_get(root, "plugins"));
    list_group_plugins(kong, file, yaml_get(root, "consumer_groups"));
}

/* -------------------------------------------------------------------------------------------------------- all files */

struct trees {
    struct kong *kong;
    struct yaml_tree *list[TREES_MAX];
    size_t count;
};

static void read_text(void *context, const char *path, const char *text, size_t length) {
    struct trees *trees = context;
    struct yaml_error error = {.message = "more than 64 files"};
    struct yaml_tree *tree = trees->count < TREES_MAX ? yaml_tree_parse(text, length, &error) : NULL;
    if (!tree) {
        import_error(trees->kong->import, path, error.line, error.column, "%s", error.message);
        return;
    }
    trees->list[trees->count++] = tree;
    if (!yaml_tree_root(tree))
        import_error(trees->kong->import, path, 0, 0, "the file is empty");
    for (const struct yaml_node *root = yaml_tree_root(tree); root; root = root->next)
        read_document(trees->kong, path, root);
}

void kong_parse(struct import *import, const char *path, const char *text, size_t length) {
    import_keep(import, path, text, length);
}

void kong_finish(struct import *import) {
    struct kong kong = {.import = import, .names = import_names_new()};
    struct trees trees = {.kong = &kong};
    if (!kong.names) {
        import_error(import, "", 0, 0, "not enough memory");
        return;
    }
    import_app_hint(import, "kong");
    import_each_kept(import, read_text, &trees);
    const struct kong_plugin *plugins = kong.plugins.list;
    for (size_t i = 0; i < kong.plugins.count; i++)
        kong_plugin_rules(&kong, &plugins[i]);
    if (kong.client)
        import_option(import, plugins[0].file, 0, "ipv6Prefix", cJSON_CreateNumber(128));
    for (size_t i = 0; i < trees.count; i++)
        yaml_tree_free(trees.list[i]);
    free(kong.services.list);
    free(kong.routes.list);
    free(kong.consumers.list);
    free(kong.plugins.list);
    import_names_free(kong.names);
}

int kong_looks_like(const char *text, size_t length, const char *path) {
    static const char *const words[] = {"_format_version", "rate-limiting", "strip_path", "keyauth_credentials",
                                        "plugins"};
    int found = 0;
    (void)path;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        found += memmem(text, length, words[i], strlen(words[i])) != NULL;
    return found > 1 ? IMPORT_SURELY : found ? IMPORT_MAYBE : IMPORT_NO;
}
