#include "tools/import/envoy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/envoy_private.h"

enum { FILES_MAX = 64 };

static bool grow(void **list, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    void *larger = realloc(*list, (*capacity * 2 + 16) * size);
    if (larger) {
        *list = larger;
        *capacity = *capacity * 2 + 16;
    }
    return larger != NULL;
}

/* ----------------------------------------------------------------------------------------------- the service's files
 */

static void add_leaf(struct envoy *envoy, const struct envoy_leaf *leaf) {
    if (grow((void **)&envoy->leaves, envoy->leaves_count, &envoy->leaves_capacity, sizeof(*leaf)))
        envoy->leaves[envoy->leaves_count++] = *leaf;
}

static void read_descriptors(struct envoy *envoy, const struct yaml_node *list, const struct envoy_leaf *above) {
    for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
        struct envoy_leaf leaf = *above;
        leaf.node = node;
        if (!yaml_text(node, "key")[0]) {
            import_error(envoy->import, leaf.file, node->line, node->column, "a descriptor without a key");
            continue;
        }
        if (leaf.count == ENVOY_ENTRIES_MAX) {
            import_left_out(envoy->import, leaf.file, node->line, "descriptors", "rules count by 8 values at most");
            continue;
        }
        leaf.entries[leaf.count++] = (struct envoy_entry){yaml_text(node, "key"), yaml_text(node, "value")};
        if (yaml_get(node, "rate_limit"))
            add_leaf(envoy, &leaf);
        read_descriptors(envoy, yaml_get(node, "descriptors"), &leaf);
    }
}

static void read_document(struct envoy *envoy, const char *file, const struct yaml_node *root) {
    if (root->kind != YAML_MAP) {
        import_error(envoy->import, file, root->line, root->column, "expected the fields of a configuration");
    } else if (yaml_get(root, "domain")) {
        struct envoy_leaf above = {.file = file};
        read_descriptors(envoy, yaml_get(root, "descriptors"), &above);
    } else {
        envoy->has_routes = true;
        envoy_routes(envoy, file, root);
    }
}

/* ---------------------------------------------------------------------------------------------------------- all files
 */

struct trees {
    struct envoy *envoy;
    struct yaml_tree *list[FILES_MAX];
    size_t count;
};

static void read_text(void *context, const char *path, const char *text, size_t length) {
    struct trees *trees = context;
    struct yaml_error error;
    if (trees->count == FILES_MAX) {
        import_error(trees->envoy->import, path, 0, 0, "more than 64 files");
        return;
    }
    struct yaml_tree *tree = yaml_tree_parse(text, length, &error);
    if (!tree) {
        import_error(trees->envoy->import, path, error.line, error.column, "%s", error.message);
        return;
    }
    trees->list[trees->count++] = tree;
    if (!yaml_tree_root(tree))
        import_error(trees->envoy->import, path, 0, 0, "the file is empty");
    for (const struct yaml_node *root = yaml_tree_root(tree); root; root = root->next)
        read_document(trees->envoy, path, root);
}

void envoy_parse(struct import *import, const char *path, const char *text, size_t length) {
    import_keep(import, path, text, length);
}

void envoy_finish(struct import *import) {
    struct envoy envoy = {.import = import, .names = import_names_new()};
    struct trees trees = {.envoy = &envoy};
    if (!envoy.names) {
        import_error(import, "", 0, 0, "not enough memory");
        return;
    }
    import_app_hint(import, "envoy");
    import_each_kept(import, read_text, &trees);
    envoy_descriptors(&envoy);
    if (envoy.client)
        import_option(import, envoy.leaves[0].file, 0, "ipv6Prefix", cJSON_CreateNumber(128));
    for (size_t i = 0; i < trees.count; i++)
        yaml_tree_free(trees.list[i]);
    free(envoy.leaves);
    free(envoy.uses);
    import_names_free(envoy.names);
}

int envoy_looks_like(const char *text, size_t length, const char *path) {
    static const char *const words[] = {"descriptors",   "requests_per_unit", "static_resources",
                                        "virtual_hosts", "local_ratelimit",   "rate_limit",
                                        "envoy."};
    int found = 0;
    (void)path;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        found += memmem(text, length, words[i], strlen(words[i])) != NULL;
    return found > 1 ? IMPORT_SURELY : found ? IMPORT_MAYBE : IMPORT_NO;
}
