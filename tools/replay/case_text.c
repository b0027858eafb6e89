#include "tools/replay/case_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/case_private.h"
#include "rules/text/reader.h"

static const char *const other_keys[] = {"clusterFlow", "clusterParam", "config", "serverFlowConfig"};

static bool is_case_key(const char *key) {
    bool known = key[0] == '_';
    for (int i = 0; i < LISTS; i++)
        known |= !strcmp(key, case_lists[i].key);
    for (size_t i = 0; i < sizeof other_keys / sizeof *other_keys; i++)
        known |= !strcmp(key, other_keys[i]);
    return known;
}

bool case_text_is(const char *text, size_t length) {
    struct json_fault fault;
    size_t count;
    char *copy = malloc(length + 1);
    bool is = false;
    if (!copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (json_blank_comments(copy, length, &fault) && json_scan(copy, length, NULL, 0, &count, &fault)) {
        cJSON *root = cJSON_ParseWithLength(copy, length), *node;
        is = cJSON_IsObject(root) && root->child;
        node = is ? root->child : NULL; /* the members of an array have no names */
        for (; node; node = node->next)
            is &= is_case_key(node->string) && (strcmp(node->string, "system") || cJSON_IsArray(node));
        cJSON_Delete(root);
    }
    free(copy);
    return is;
}

struct source { /* for messages: where a node stands */
    const char *file, *text;
    size_t length;
    const cJSON *root;
    struct rule_errors *errors;
};

static bool ordinal_of(const cJSON *tree, const cJSON *node, size_t *ordinal) { /* in document order */
    for (const cJSON *at = tree; at; at = at->next) {
        if (at == node)
            return true;
        ++*ordinal;
        if (at->child && ordinal_of(at->child, node, ordinal))
            return true;
    }
    return false;
}

static void add_error(const struct source *source, size_t offset, const char *path, const char *format, ...) {
    unsigned line, column;
    va_list arguments;
    json_line_column(source->text, source->length, offset, &line, &column);
    va_start(arguments, format);
    rule_errors_add(source->errors, source->file, line, column, path, format, arguments);
    va_end(arguments);
}

static void node_error(const struct source *source, const cJSON *node, const char *path, const char *message) {
    struct json_fault fault;
    size_t count = 0, ordinal = 0, offset = 0;
    json_scan(source->text, source->length, NULL, 0, &count, &fault);
    struct json_place *places = malloc((count + 1) * sizeof *places);
    if (places && ordinal_of(source->root, node, &ordinal) && ordinal < count) {
        json_scan(source->text, source->length, places, count, &count, &fault);
        offset = places[ordinal].value;
    }
    free(places);
    add_error(source, offset, path, "%s", message);
}

static bool check_list(const struct source *source, int list, const cJSON *array) {
    const cJSON *node;
    char path[128];
    int index = 0;
    snprintf(path, sizeof path, "$.%s", case_lists[list].key);
    if (!cJSON_IsArray(array)) {
        node_error(source, array, path, "expected an array of Sentinel's rules");
        return false;
    }
    cJSON_ArrayForEach(node, array) {
        struct case_fault fault = {0};
        snprintf(path, sizeof path, "$.%s[%d]", case_lists[list].key, index++);
        if (!cJSON_IsObject(node)) {
            node_error(source, node, path, "expected a rule, an object");
            return false;
        }
        case_bean_read(node, case_lists[list].kind, &fault);
        if (fault.message) {
            size_t used = strlen(path);
            snprintf(path + used, sizeof path - used, ".%s", fault.node->string);
            node_error(source, fault.node, path, fault.message);
            return false;
        }
    }
    return true;
}

static void read_config(struct case_document *document, const cJSON *config) {
    double number;
    document->cold_factor = 3;
    document->max_rt_ms = 5000;
    if (case_number(cJSON_GetObjectItemCaseSensitive(config, "csp.sentinel.flow.cold.factor"), &number) &&
        number >= 2 && number <= 1000)
        document->cold_factor = (int)number;
    if (case_number(cJSON_GetObjectItemCaseSensitive(config, "csp.sentinel.statistic.max.rt"), &number) &&
        number >= 1 && number <= INT32_MAX)
        document->max_rt_ms = (int)number;
}

static struct case_document *document_new(const struct source *source, cJSON *root) {
    struct case_document *document = calloc(1, sizeof *document);
    const cJSON *mode = cJSON_GetObjectItemCaseSensitive(root, "_mode");
    if (!document) {
        cJSON_Delete(root);
        return NULL;
    }
    document->root = root;
    if (cJSON_IsString(mode))
        snprintf(document->mode, sizeof document->mode, "%s", mode->valuestring);
    read_config(document, cJSON_GetObjectItemCaseSensitive(root, "config"));
    for (int i = 0; i < LISTS; i++) {
        cJSON *array = cJSON_GetObjectItemCaseSensitive(root, case_lists[i].key);
        if (!array)
            continue;
        if (!check_list(source, i, array)) {
            case_document_free(document);
            return NULL;
        }
        document->list[i].array = array;
    }
    return document;
}

struct case_document *case_text_parse(const char *file, const char *text, size_t length, struct rule_errors *errors) {
    struct json_fault fault = {0};
    size_t count;
    char *copy = malloc(length + 1);
    struct source source = {.file = file, .text = copy, .length = length, .errors = errors};
    struct case_document *document = NULL;
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (!json_blank_comments(copy, length, &fault) || !json_scan(copy, length, NULL, 0, &count, &fault)) {
        add_error(&source, fault.at, "", "%s", fault.expected);
    } else {
        cJSON *root = cJSON_ParseWithLength(copy, length);
        source.root = root;
        if (!cJSON_IsObject(root)) {
            add_error(&source, 0, "", "expected an object such as {\"flow\": [ … ]}");
            cJSON_Delete(root);
        } else
            document = document_new(&source, root);
    }
    free(copy);
    return document;
}

void case_document_inherit(struct case_document *document, struct case_document *before) {
    for (int i = 0; i < LISTS; i++) {
        if (document->list[i].array)
            continue;
        document->absent |= 1u << case_lists[i].family;
        if (!before->list[i].array)
            continue;
        document->list[i].array = cJSON_Duplicate(before->list[i].array, true);
        document->list[i].inherited = document->list[i].array != NULL;
    }
    if (!cJSON_GetObjectItemCaseSensitive(document->root, "config")) {
        document->cold_factor = before->cold_factor;
        document->max_rt_ms = before->max_rt_ms;
    }
}

uint32_t case_document_inherited(const struct case_document *document) {
    return document->absent;
}

const char *case_document_mode(const struct case_document *document) {
    return document->mode;
}

void case_document_free(struct case_document *document) {
    if (!document)
        return;
    for (int i = 0; i < LISTS; i++)
        if (document->list[i].inherited)
            cJSON_Delete(document->list[i].array);
    cJSON_Delete(document->root);
    free(document);
}
