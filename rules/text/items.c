/* Values of hot parameters with thresholds of their own: single ones, ranges of addresses, and lists in files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/engine/engine.h"
#include "rules/text/kinds.h"
#include "rules/text/lists.h"

enum { ITEMS_MAX = 100000, TEXT_MAX = 256 };

struct item_record {
    struct rule_item item;
    char text[TEXT_MAX];
    const char *file; /* a list's name in the rules, or NULL */
};

struct item { /* in the place that it has among the others */
    struct rule_item item;
    const char *text; /* the builder's */
};

struct items { /* all of a rule */
    struct reader *reader;
    struct rule *rule;
    struct rule_item like; /* what the next ones have in common */
    struct item *list;
    size_t count, capacity;
    bool clients;   /* they are clients' addresses … */
    bool addresses; /* … and ranges of them mean something */
};

/* Java's names as Sentinel writes them; what weir has no type of its own for is the nearest one it has. */
static const struct word class_words[] = {{"java.lang.String", VALUE_STRING},
                                          {"String", VALUE_STRING},
                                          {"char", VALUE_STRING},
                                          {"java.lang.Character", VALUE_STRING},
                                          {"int", VALUE_INT},
                                          {"java.lang.Integer", VALUE_INT},
                                          {"short", VALUE_INT},
                                          {"java.lang.Short", VALUE_INT},
                                          {"byte", VALUE_INT},
                                          {"java.lang.Byte", VALUE_INT},
                                          {"long", VALUE_LONG},
                                          {"java.lang.Long", VALUE_LONG},
                                          {"double", VALUE_DOUBLE},
                                          {"java.lang.Double", VALUE_DOUBLE},
                                          {"float", VALUE_DOUBLE},
                                          {"java.lang.Float", VALUE_DOUBLE},
                                          {"boolean", VALUE_BOOLEAN},
                                          {"java.lang.Boolean", VALUE_BOOLEAN},
                                          {NULL, 0}};

static void read_object_value(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct item_record *to = record;
    const struct json_place *place = &reader->document->places[node->valueint];
    if (cJSON_IsString(node) && strlen(node->valuestring) < sizeof(to->text))
        snprintf(to->text, sizeof(to->text), "%s", node->valuestring);
    else if ((cJSON_IsNumber(node) || cJSON_IsBool(node)) && place->end - place->value < sizeof(to->text))
        snprintf(to->text, sizeof(to->text), "%.*s", (int)(place->end - place->value),
                 reader->document->text + place->value);
    else
        reader_expected(reader, path, node, "the value: a string of at most 255 bytes, a number, true or false");
}

static void read_file(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *name = reader_text(reader, path, node, 1, 1000);
    if (name && strpbrk(name, "\\\""))
        reader_expected(reader, path, node, "the name of a file without backslashes and quotes");
    else
        ((struct item_record *)record)->file = name;
}

static const struct field item_fields[] = {
    {"object", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_object_value},
    {"file", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_file},
    {"classType", FIELD_WORD, FIELD_NULLABLE, offsetof(struct item_record, item.type), 1, 0, 0, 0, class_words, NULL},
    {"count", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct item_record, item.count), sizeof(double), 0, 1e15, 0, NULL,
     NULL},
    {NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL},
};

const struct field_table item_table = {"an item of paramFlowItemList", {item_fields, NULL}};

static bool value_fits(const char *text, uint8_t type) {
    char *end;
    if (type == VALUE_BOOLEAN)
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    if (type == VALUE_DOUBLE) {
        (void)strtod(text, &end);
        return text[0] && !*end;
    }
    if (type == VALUE_INT || type == VALUE_LONG) {
        (void)strtoll(text, &end, 10);
        return text[0] && !*end;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------- all of a rule
 */

static void add_item(struct items *items, const char *text) {
    if (items->count > ITEMS_MAX)
        return;
    if (items->count == items->capacity) {
        size_t capacity = items->capacity * 2 + 16;
        struct item *list = realloc(items->list, capacity * sizeof(*list));
        if (!list)
            return;
        items->list = list;
        items->capacity = capacity;
    }
    struct item *item = &items->list[items->count++];
    item->item = items->like;
    item->item.object = reader_add(items->reader, text);
    uint32_t at = ruleset_add_item(items->reader->builder, &item->item);
    if (!items->rule->items_count++)
        items->rule->items_first = at;
}

static void add_range(void *context, const struct address_range *range) {
    struct items *items = context;
    char text[ADDRESS_RANGE_TEXT_MAX];
    address_range_text(range, text);
    if (range->bits < 8 * range->length)
    items->rule->requires |= RULE_FEATURE_ADDRESS_ITEMS;
    add_item(items, text);
}

/* A value as a rule counts it.  Where values are addresses, false: it is none. */
static bool add_text(struct items *items, const char *text) {
    if (!items->addresses) {
        add_item(items, text);
        return true;
    }
    return address_span(text, add_range, items);
}

static const char *add_line(void *context, const char *text) {
    struct items *items = context;
    if (strlen(text) >= TEXT_MAX)
        return "expected a value of at most 255 bytes";
    return add_text(items, text) ? NULL : "expected an address, a range such as 10.0.0.0/8, or 10.0.0.1-10.0.0.99";
}

static void read_item(struct items *items, const struct path *path, const cJSON *node) {
    struct reader *reader = items->reader;
    struct item_record item = {0};
    struct path here = {path, "object", 0}, at_file = {path, "file", 0};
    if (!reader_object(reader, path, node, &item_table, &item))
        return;
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(node, "object"),
                *file = cJSON_GetObjectItemCaseSensitive(node, "file");
    items->like = item.item;
    if (!object == !file)
        reader_error(reader, &here, node,
                     object ? "contradicts file; give one of the two" : "required field missing: object or file");
    else if (object && !value_fits(item.text, item.item.type))
        reader_expected(reader, &here, object, "a value of its classType");
    else if (item.file)
        list_read(reader, &at_file, file, item.file, add_line, items);
    else if (object && reader->compat && items->clients && strpbrk(item.text, "/-"))
        reader_warn(reader, &here, object, "Sentinel has no ranges of addresses: no client matches it");
    else if (object && !add_text(items, item.text)) {
        reader_warn(reader, &here, object, "is neither an address nor a range of addresses: no client matches it");
        add_item(items, item.text);
    }
}

static int compare_items(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (int)x->item.type - (int)y->item.type;
}

static void find_doubles(struct items *items, const struct path *path, const cJSON *node) {
    for (size_t i = 0; i < items->count; i++)
        items->list[i].text = ruleset_builder_text(items->reader->builder, items->list[i].item.object);
    if (items->count)
        qsort(items->list, items->count, sizeof(*items->list), compare_items);
    for (size_t i = 1; i < items->count; i++)
        if (items->list[i].text[0] && compare_items(&items->list[i - 1], &items->list[i]) == 0)
            reader_error(items->reader, path, node, "the value \"%.60s\" is listed twice", items->list[i].text);
}

void read_items(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)reader, (void)path, (void)node, (void)record; /* when all of the rule is known: rule_items() */
}

void rule_items(struct reader *reader, const struct path *path, const cJSON *node, struct rule *rule) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(node, "paramFlowItemList"), *element;
    struct path here = {path, "paramFlowItemList", 0};
    if (!list || cJSON_IsNull(list))
        return;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > ITEMS_MAX) {
        reader_expected(reader, &here, list, "a list of at most %d values with thresholds", ITEMS_MAX);
        return;
    }
    const struct rule_param *param = rule->params_count == 1
                                         ? ruleset_builder_param(reader->builder, rule->params_first)
                                         : NULL;
    struct items items = {.reader = reader, .rule = rule, .clients = param && param->source == PARAM_CLIENT_IP};
    items.addresses = items.clients && !reader->compat;
    int index = 0;
    cJSON_ArrayForEach(element, list) {
        struct path at = {&here, NULL, index++};
        read_item(&items, &at, element);
    }
    if (items.count > ITEMS_MAX)
        reader_error(reader, &here, list, "expected at most %d values in all, those of files and ranges included",
                     ITEMS_MAX);
    else
        find_doubles(&items, &here, list);
    free(items.list);
}
