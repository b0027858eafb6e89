#include "tools/import/yaml_tree.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

enum { BLOCK_BYTES = 64 << 10, ANCHORS_MAX = 256 };

struct memory {
    struct memory *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

struct anchor {
    const char *name;
    const struct yaml_node *node;
};

struct yaml_tree {
    struct memory *memory;
    struct yaml_node *root;
    size_t nodes;
    struct anchor anchors[ANCHORS_MAX];
    size_t anchors_count;
};

struct reading {
    struct yaml_tree *tree;
    yaml_parser_t parser;
    struct yaml_error *error;
    bool failed;
};

static void *take(struct yaml_tree *tree, size_t size) {
    size = (size + 15) / 16 * 16;
    if (!tree->memory || tree->memory->size - tree->memory->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct memory *memory = calloc(1, sizeof(*memory) + room);
        if (!memory)
            return NULL;
        *memory = (struct memory){.next = tree->memory, .size = room};
        tree->memory = memory;
    }
    void *bytes = tree->memory->bytes + tree->memory->used;
    tree->memory->used += size;
    return bytes;
}

static void fail(struct reading *reading, size_t line, size_t column, const char *message) {
    if (reading->failed)
        return;
    reading->failed = true;
    reading->error->line = (unsigned)line + 1;
    reading->error->column = (unsigned)column + 1;
    snprintf(reading->error->message, sizeof(reading->error->message), "%s", message);
}

static void fail_at(struct reading *reading, const yaml_event_t *event, const char *message) {
    fail(reading, event->start_mark.line, event->start_mark.column, message);
}

static bool next_event(struct reading *reading, yaml_event_t *ret_event) {
    if (yaml_parser_parse(&reading->parser, ret_event))
        return true;
    const yaml_parser_t *parser = &reading->parser;
    char message[160];
    snprintf(message, sizeof(message), "%s%s%s", parser->problem ? parser->problem : "not enough memory",
             parser->context ? ", " : "", parser->context ? parser->context : "");
    fail(reading, parser->problem_mark.line, parser->problem_mark.column, message);
    return false;
}

/* -------------------------------------------------------------------------------------------------------- nodes */

static const char *copy_text(struct yaml_tree *tree, const char *text, size_t length) {
    char *copy = take(tree, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

static struct yaml_node *new_node(struct reading *reading, const yaml_event_t *event, enum yaml_kind kind) {
    struct yaml_node *node = take(reading->tree, sizeof(*node));
    if (!node) {
        fail_at(reading, event, "not enough memory");
        return NULL;
    }
    if (++reading->tree->nodes > YAML_NODES_MAX)
        fail_at(reading, event, "more than 300000 values");
    *node = (struct yaml_node){.kind = kind,
                               .line = (unsigned)event->start_mark.line + 1,
                               .column = (unsigned)event->start_mark.column + 1,
                               .text = ""};
    return node;
}

static void set_anchor(struct reading *reading, const yaml_char_t *name, const struct yaml_node *node) {
    struct yaml_tree *tree = reading->tree;
    if (!name || tree->anchors_count == ANCHORS_MAX)
        return;
    const char *copy = copy_text(tree, (const char *)name, strlen((const char *)name));
    if (copy)
        tree->anchors[tree->anchors_count++] = (struct anchor){copy, node};
}

static struct yaml_node *copy_node(struct reading *reading, const yaml_event_t *event, const struct yaml_node *node,
                                   unsigned depth) {
    struct yaml_node *copy = reading->failed ? NULL : new_node(reading, event, node->kind);
    if (depth > YAML_DEPTH_MAX)
        fail_at(reading, event, "more than 64 levels");
    if (!copy || reading->failed)
        return NULL;
    *copy = *node;
    copy->next = NULL;
    struct yaml_node **tail = &copy->children;
    *tail = NULL;
    for (const struct yaml_node *child = node->children; child && !reading->failed; child = child->next) {
        *tail = copy_node(reading, event, child, depth + 1);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return copy;
}

static struct yaml_node *read_alias(struct reading *reading, const yaml_event_t *event, unsigned depth) {
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = reading->tree->anchors_count; i-- > 0;)
        if (strcmp(reading->tree->anchors[i].name, name) == 0)
            return copy_node(reading, event, reading->tree->anchors[i].node, depth);
    fail_at(reading, event, "an alias of a value that does not stand before it");
    return NULL;
}

static struct yaml_node *read_node(struct reading *reading, const yaml_event_t *event, unsigned depth);

/* The members of a list or map, up to its end. */
static void read_children(struct reading *reading, struct yaml_node *node, yaml_event_type_t end, unsigned depth) {
    struct yaml_node **tail = &node->children;
    while (!reading->failed) {
        yaml_event_t event;
        const char *key = NULL;
        if (!next_event(reading, &event))
            return;
        bool ends = event.type == end, is_key = node->kind == YAML_MAP && !ends;
        if (is_key && event.type != YAML_SCALAR_EVENT) {
            fail_at(reading, &event, "a key that is no text");
        } else if (is_key) {
            key = copy_text(reading->tree, (const char *)event.data.scalar.value, event.data.scalar.length);
            yaml_event_delete(&event);
            if (!key || !next_event(reading, &event)) {
                reading->failed = true;
                return;
            }
        }
        struct yaml_node *child = ends || reading->failed ? NULL : read_node(reading, &event, depth + 1);
        yaml_event_delete(&event);
        if (!child)
            return;
        child->key = key;
        *tail = child;
        tail = &child->next;
    }
}

static struct yaml_node *read_scalar(struct reading *reading, const yaml_event_t *event) {
    struct yaml_node *node = new_node(reading, event, YAML_SCALAR);
    const char *text = (const char *)event->data.scalar.value;
    if (!node)
        return NULL;
    if (strlen(text) != event->data.scalar.length)
        fail_at(reading, event, "a NUL in a text");
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = copy_text(reading->tree, text, event->data.scalar.length);
    if (!node->text)
        fail_at(reading, event, "not enough memory");
    set_anchor(reading, event->data.scalar.anchor, node);
    return node;
}

static struct yaml_node *read_node(struct reading *reading, const yaml_event_t *event, unsigned depth) {
    bool list = event->type == YAML_SEQUENCE_START_EVENT;
    if (depth > YAML_DEPTH_MAX)
        fail_at(reading, event, "more than 64 levels");
    if (reading->failed)
        return NULL;
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reading, event);
    if (event->type == YAML_ALIAS_EVENT)
        return read_alias(reading, event, depth);
    struct yaml_node *node = new_node(reading, event, list ? YAML_LIST : YAML_MAP);
    if (!node)
        return NULL;
    read_children(reading, node, list ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT, depth);
    set_anchor(reading, list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor, node);
    return node;
}

static void read_documents(struct reading *reading) {
    struct yaml_node **tail = &reading->tree->root;
    bool ended = false;
    while (!reading->failed && !ended) {
        yaml_event_t event;
        if (!next_event(reading, &event))
            return;
        ended = event.type == YAML_STREAM_END_EVENT;
        bool is_value = event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT ||
                        event.type == YAML_MAPPING_START_EVENT || event.type == YAML_ALIAS_EVENT;
        if (is_value && (*tail = read_node(reading, &event, 0)))
            tail = &(*tail)->next;
        yaml_event_delete(&event);
    }
}

struct yaml_tree *yaml_tree_parse(const char *text, size_t length, struct yaml_error *ret_error) {
    struct reading reading = {.tree = calloc(1, sizeof(struct yaml_tree)), .error = ret_error};
    *ret_error = (struct yaml_error){0};
    if (!reading.tree || !yaml_parser_initialize(&reading.parser)) {
        free(reading.tree);
        snprintf(ret_error->message, sizeof(ret_error->message), "not enough memory");
        return NULL;
    }
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, length);
    if (length > YAML_BYTES_MAX)
        fail(&reading, 0, 0, "more than 16 MiB");
    else
        read_documents(&reading);
    yaml_parser_delete(&reading.parser);
    if (!reading.failed)
        return reading.tree;
    yaml_tree_free(reading.tree);
    return NULL;
}

void yaml_tree_free(struct yaml_tree *tree) {
    for (struct memory *next, *memory = tree ? tree->memory : NULL; memory; memory = next) {
        next = memory->next;
        free(memory);
    }
    free(tree);
}

const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree) {
    return tree->root;
}

/* -------------------------------------------------------------------------------------------------------- looking */

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    const struct yaml_node *node = map && map->kind == YAML_MAP ? map->children : NULL;
    while (node && strcmp(node->key, key) != 0)
        node = node->next;
    return node;
}

const struct yaml_node *yaml_path(const struct yaml_node *map, const char *keys) {
    char key[100];
    while (map && *keys) {
        size_t length = strcspn(keys, ".");
        snprintf(key, sizeof(key), "%.*s", (int)length, keys);
        map = yaml_get(map, key);
        keys += length + (keys[length] == '.');
    }
    return map;
}

const char *yaml_text(const struct yaml_node *map, const char *key) {
    const struct yaml_node *node = yaml_get(map, key);
    return node ? node->text : "";
}

bool yaml_is_true(const struct yaml_node *map, const char *key, bool otherwise) {
    const char *text = yaml_text(map, key);
    if (!text[0])
        return otherwise;
    return strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0;
}

bool yaml_number(const struct yaml_node *node, double *ret_number) {
    char *end;
    if (!node || node->kind != YAML_SCALAR || !node->text[0])
        return false;
    *ret_number = strtod(node->text, &end);
    return !*end && isfinite(*ret_number) && *ret_number >= 0;
}
