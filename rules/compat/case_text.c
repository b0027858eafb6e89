#include "case_text.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compat.h"
#include "rules/hash.h"
#include "rules/image.h"
#include "rules/text/reader.h"

enum { LIST_AUTHORITY, LIST_SYSTEM, LIST_PARAM, LIST_FLOW, LIST_DEFAULT_DEGRADE, LIST_DEGRADE, LISTS };
static const struct {
    const char *key;
    enum rule_kind kind;
    enum compat_family family;
} lists[LISTS] = {
    [LIST_AUTHORITY] = {"authority", RULE_AUTHORITY, FAMILY_AUTHORITY},
    [LIST_SYSTEM] = {"system", RULE_SYSTEM, FAMILY_SYSTEM},
    [LIST_PARAM] = {"param", RULE_PARAM, FAMILY_PARAM},
    [LIST_FLOW] = {"flow", RULE_FLOW, FAMILY_FLOW},
    [LIST_DEFAULT_DEGRADE] = {"defaultDegrade", RULE_DEGRADE, FAMILY_DEFAULT_DEGRADE},
    [LIST_DEGRADE] = {"degrade", RULE_DEGRADE, FAMILY_DEGRADE},
};
static const char *const other_keys[] = {"clusterFlow", "clusterParam", "config", "serverFlowConfig"};

struct list { /* of one kind */
    cJSON *array;
    bool inherited; /* from the document before: a copy, ours */
};
struct case_document {
    cJSON *root;
    struct list list[LISTS];
    double cold_factor, max_rt_ms;
    uint32_t absent; /* families that only the document before mentions, or none */
    char mode[16];
};

/* ---------------------------------------------------------------------------------------------------------- beans */

struct bean { /* the union of Sentinel's rule beans */
    const char *resource, *limit_app, *ref_resource;
    int32_t regex, cluster_mode;
    int32_t grade, strategy, behavior, warm_up_s, max_queue_ms;
    int32_t time_window_s, min_requests, stat_interval_ms;
    int32_t param_idx, has_param_idx, burst;
    int32_t sample_count, window_interval_ms, cluster_strategy, fallback, threshold_type, has_cluster;
    int64_t duration_s, flow_id, avg_rt, max_thread;
    double count, slow_ratio, load, cpu, qps;
    const cJSON *items;
};

enum type { TEXT, INT, LONG, NUMBER, BOOLEAN, LIST_OF };
struct property {
    const char *name;
    enum type type;
    size_t at;
};
#define PROPERTY(name, type, field)                                                                                    \
    { name, type, offsetof(struct bean, field) }
static const struct property properties[] = {
    PROPERTY("resource", TEXT, resource),
    PROPERTY("limitApp", TEXT, limit_app),
    PROPERTY("regex", BOOLEAN, regex),
    PROPERTY("refResource", TEXT, ref_resource),
    PROPERTY("clusterMode", BOOLEAN, cluster_mode),
    PROPERTY("grade", INT, grade),
    PROPERTY("count", NUMBER, count),
    PROPERTY("strategy", INT, strategy),
    PROPERTY("controlBehavior", INT, behavior),
    PROPERTY("warmUpPeriodSec", INT, warm_up_s),
    PROPERTY("maxQueueingTimeMs", INT, max_queue_ms),
    PROPERTY("timeWindow", INT, time_window_s),
    PROPERTY("minRequestAmount", INT, min_requests),
    PROPERTY("statIntervalMs", INT, stat_interval_ms),
    PROPERTY("slowRatioThreshold", NUMBER, slow_ratio),
    PROPERTY("paramIdx", INT, param_idx),
    PROPERTY("burstCount", INT, burst),
    PROPERTY("durationInSec", LONG, duration_s),
    PROPERTY("paramFlowItemList", LIST_OF, items),
    PROPERTY("highestSystemLoad", NUMBER, load),
    PROPERTY("highestCpuUsage", NUMBER, cpu),
    PROPERTY("qps", NUMBER, qps),
    PROPERTY("avgRt", LONG, avg_rt),
    PROPERTY("maxThread", LONG, max_thread),
};
static const struct property cluster_properties[] = {
    PROPERTY("flowId", LONG, flow_id),
    PROPERTY("thresholdType", INT, threshold_type),
    PROPERTY("fallbackToLocalWhenFail", BOOLEAN, fallback),
    PROPERTY("strategy", INT, cluster_strategy),
    PROPERTY("sampleCount", INT, sample_count),
    PROPERTY("windowIntervalMs", INT, window_interval_ms),
};
enum {
    PROPERTIES = sizeof properties / sizeof *properties,
    CLUSTER_PROPERTIES = sizeof cluster_properties / sizeof *cluster_properties
};

static struct bean bean_defaults(enum rule_kind kind) {
    return (struct bean){
        .grade = kind == RULE_DEGRADE ? 0 : 1,
        .warm_up_s = 10,
        .max_queue_ms = kind == RULE_PARAM ? 0 : 500,
        .min_requests = 5,
        .stat_interval_ms = 1000,
        .slow_ratio = 1.0,
        .duration_s = 1,
        .load = -1,
        .cpu = -1,
        .qps = -1,
        .avg_rt = -1,
        .max_thread = -1,
        .sample_count = 10,
        .window_interval_ms = 1000,
        .fallback = kind != RULE_PARAM,
    };
}

/* Numbers may stand in strings, as Sentinel's JSON reader takes them. */
static bool as_number(const cJSON *node, double *ret_number) {
    if (cJSON_IsNumber(node)) {
        *ret_number = node->valuedouble;
        return true;
    }
    if (!cJSON_IsString(node) || !*node->valuestring)
        return false;
    char *end;
    *ret_number = strtod(node->valuestring, &end);
    return !*end;
}

/* Why a property cannot be read, or NULL. */
static const char *read_property(const struct property *property, const cJSON *node, struct bean *bean) {
    char *at = (char *)bean + property->at;
    double number = 0;
    switch (property->type) {
    case TEXT:
        if (!cJSON_IsString(node))
            return "expected a string";
        *(const char **)at = node->valuestring;
        return NULL;
    case LIST_OF:
        if (!cJSON_IsArray(node))
            return "expected an array of items";
        *(const cJSON **)at = node;
        return NULL;
    case BOOLEAN:
        if (!cJSON_IsBool(node))
            return "expected true or false";
        *(int32_t *)at = cJSON_IsTrue(node);
        return NULL;
    default:
        if (!as_number(node, &number) || isnan(number))
            return "expected a number";
        if (property->type == NUMBER) {
            *(double *)at = number;
            return NULL;
        }
        if (property->type == INT && !(number >= INT32_MIN && number <= INT32_MAX))
            return "expected a number of 32 bits";
        if (!(number >= -9.2e18 && number <= 9.2e18))
            return "expected a number of 64 bits";
        if (property->type == INT)
            *(int32_t *)at = (int32_t)number;
        else
            *(int64_t *)at = (int64_t)number;
        return NULL;
    }
}

struct fault {
    const cJSON *node;
    const char *message;
}; /* the first thing wrong with a rule */

static struct bean read_bean(const cJSON *object, enum rule_kind kind, struct fault *fault) {
    struct bean bean = bean_defaults(kind);
    const cJSON *cluster = cJSON_GetObjectItemCaseSensitive(object, "clusterConfig");
    for (int i = 0; i < PROPERTIES; i++) {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, properties[i].name);
        if (!node || cJSON_IsNull(node))
            continue;
        const char *message = read_property(&properties[i], node, &bean);
        if (message && !fault->message)
            *fault = (struct fault){node, message};
        bean.has_param_idx |= !strcmp(properties[i].name, "paramIdx");
    }
    bean.has_cluster = cJSON_IsObject(cluster);
    for (int i = 0; bean.has_cluster && i < CLUSTER_PROPERTIES; i++) {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(cluster, cluster_properties[i].name);
        if (!node || cJSON_IsNull(node))
            continue;
        const char *message = read_property(&cluster_properties[i], node, &bean);
        if (message && !fault->message)
            *fault = (struct fault){node, message};
    }
    return bean;
}

static bool blank(const char *text) {
    return !text || text[strspn(text, " \t\n\v\f\r")] == 0;
}

static bool cluster_valid(const struct bean *bean) {
    return !bean->cluster_mode || (bean->has_cluster && bean->flow_id > 0 && bean->sample_count > 0 &&
                                   bean->window_interval_ms > 0 && bean->window_interval_ms % bean->sample_count == 0);
}

static bool flow_valid(const struct bean *bean) {
    if (!(bean->count >= 0) || bean->grade < 0 || bean->grade > 1 || bean->strategy < 0 || bean->behavior < 0)
        return false;
    if (bean->regex && (bean->cluster_mode || bean->behavior != 0))
        return false;
    if (!cluster_valid(bean) || bean->grade == GRADE_THREAD)
        return cluster_valid(bean);
    if ((bean->cluster_mode && bean->cluster_strategy != 0) ||
        ((bean->strategy == STRATEGY_RELATE || bean->strategy == STRATEGY_CHAIN) && blank(bean->ref_resource)))
        return false;
    bool warm = bean->behavior == BEHAVIOR_WARM_UP || bean->behavior == BEHAVIOR_WARM_UP_QUEUE;
    bool queue = bean->behavior == BEHAVIOR_QUEUE || bean->behavior == BEHAVIOR_WARM_UP_QUEUE;
    return (!warm || bean->warm_up_s > 0) && (!queue || bean->max_queue_ms > 0);
}

static bool param_valid(const struct bean *bean) {
    if (bean->regex && (bean->cluster_mode || bean->behavior != 0))
        return false;
    return bean->count >= 0 && bean->grade >= 0 && bean->has_param_idx && bean->burst >= 0 && bean->behavior >= 0 &&
           bean->duration_s > 0 && bean->max_queue_ms >= 0 && cluster_valid(bean);
}

static bool degrade_valid(const struct bean *bean) {
    if (!(bean->count >= 0) || bean->time_window_s <= 0 || bean->min_requests <= 0 || bean->stat_interval_ms <= 0)
        return false;
    return bean->grade == DEGRADE_SLOW    ? bean->slow_ratio >= 0 && bean->slow_ratio <= 1
           : bean->grade == DEGRADE_RATIO ? bean->count <= 1
                                          : bean->grade == DEGRADE_COUNT;
}

static bool bean_valid(const struct bean *bean, int list) {
    if (blank(bean->resource))
        return false;
    switch (list) {
    case LIST_AUTHORITY: return bean->strategy >= 0 && !blank(bean->limit_app);
    case LIST_PARAM: return param_valid(bean);
    case LIST_FLOW: return flow_valid(bean);
    case LIST_DEFAULT_DEGRADE: return degrade_valid(bean) && !strcmp(bean->resource, "*");
    default: return degrade_valid(bean);
    }
}

/* ---------------------------------------------------------------------------------------------------------- values */

static size_t copy_out(const char *text, size_t length, char *ret_text, size_t size) {
    if (length > size)
        return 0;
    memcpy(ret_text, text, length);
    return length;
}

static size_t whole_text(const char *text, bool small, char *ret_text, size_t size) {
    char *end, digits[24];
    if (!isdigit((unsigned char)text[*text == '-' || *text == '+']))
        return 0;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*end || errno || (small && (number < INT32_MIN || number > INT32_MAX)))
        return 0;
    return copy_out(digits, (size_t)snprintf(digits, sizeof digits, "%lld", number), ret_text, size);
}

size_t case_value_text(int type, const char *text, size_t length, char *ret_text, size_t size) {
    char copy[128], number[64], *end;
    if (type == VALUE_STRING)
        return copy_out(text, length, ret_text, size);
    if (!length || length >= sizeof copy || memchr(text, 0, length))
        return 0;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (type == VALUE_INT || type == VALUE_LONG)
        return whole_text(copy, type == VALUE_INT, ret_text, size);
    if (type == VALUE_BOOLEAN)
        return strcasecmp(copy, "true") ? copy_out("false", 5, ret_text, size) : copy_out("true", 4, ret_text, size);
    if (type != VALUE_DOUBLE || isspace((unsigned char)copy[0]))
        return 0;
    double value = strtod(copy, &end);
    if (end == copy || *end)
        return 0;
    if (isnan(value))
        return copy_out("nan", 3, ret_text, size);
    return copy_out(number, (size_t)snprintf(number, sizeof number, "%.17g", value), ret_text, size);
}

static int class_type(const char *class) { /* of an item; VALUE_NONE: a class no argument of a trace can have */
    static const struct {
        const char *name;
        int type;
    } classes[] = {
        {"int", VALUE_INT},         {"java.lang.Integer", VALUE_INT},
        {"long", VALUE_LONG},       {"java.lang.Long", VALUE_LONG},
        {"double", VALUE_DOUBLE},   {"java.lang.Double", VALUE_DOUBLE},
        {"boolean", VALUE_BOOLEAN}, {"java.lang.Boolean", VALUE_BOOLEAN},
        {"float", VALUE_NONE},      {"java.lang.Float", VALUE_NONE},
        {"byte", VALUE_NONE},       {"java.lang.Byte", VALUE_NONE},
        {"short", VALUE_NONE},      {"java.lang.Short", VALUE_NONE},
        {"char", VALUE_NONE},
    };
    for (size_t i = 0; class && i < sizeof classes / sizeof *classes; i++)
        if (!strcmp(class, classes[i].name))
            return classes[i].type;
    return VALUE_STRING;
}

/* False: Sentinel leaves the item out (no value, no count, a value that is none of its class). */
static bool read_item(const cJSON *node, struct image_builder *builder, struct rule_item *ret_item) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(node, "object");
    const cJSON *class = cJSON_GetObjectItemCaseSensitive(node, "classType");
    double count;
    char text[1024], digits[32];
    const char *value = cJSON_IsString(object) ? object->valuestring : NULL;
    if (cJSON_IsNumber(object)) {
        snprintf(digits, sizeof digits, "%.17g", object->valuedouble);
        value = digits;
    } else if (cJSON_IsBool(object))
        value = cJSON_IsTrue(object) ? "true" : "false";
    int type = class_type(cJSON_IsString(class) ? class->valuestring : NULL);
    if (!value || type == VALUE_NONE || !as_number(cJSON_GetObjectItemCaseSensitive(node, "count"), &count) ||
        !(count >= 0 && count <= INT32_MAX))
        return false;
    size_t length = strlen(value);
    if (type != VALUE_STRING) {
        if (type == VALUE_BOOLEAN && !length) {
            value = "false";
            length = 5;
        }
        length = case_value_text(type, value, length, text, sizeof text);
        if (!length)
            return false;
        value = text;
    }
    *ret_item = (struct rule_item){
        .object = image_add_text(builder, value, length), .type = (uint8_t)type, .count = (int32_t)count};
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- image */

/* What an image can hold (image_check). */
enum { NS_PER_MS = 1000000, DURATION_MAX_S = 366 * 86400, INDEX_MAX = 1000 };
#define COUNT_MAX 1e15
#define NOWHERE "\x01nowhere" /* of a strategy that looks at no node: a chain from an entrance that cannot be */

/* Mode off keeps the place in the list; the mark in the id keeps it a rule of its own when lists are compared. */
static void set_identity(struct image_builder *builder, const cJSON *node, struct rule *rule, const char *id,
                         bool plain) {
    char *print = plain ? NULL : cJSON_PrintUnformatted(node);
    char *text = NULL;
    if (print && asprintf(&text, "\x01%s", print) < 0)
        text = NULL;
    const char *use = text ? text : id;
    rule->id = image_add_text(builder, use, strlen(use));
    rule->id_hash = hash_bytes(0, use, strlen(use));
    free(text);
    cJSON_free(print);
}

static void fill_items(struct image_builder *builder, const struct bean *bean, struct rule *rule, bool *plain) {
    const cJSON *node;
    bool first = true;
    cJSON_ArrayForEach(node, bean->items) {
        struct rule_item item;
        if (!read_item(node, builder, &item)) {
            *plain = false;
            continue;
        }
        uint32_t index = image_add_item(builder, &item);
        if (first)
            rule->items_first = index;
        first = false;
        rule->items_count++;
    }
}

/* The record of a valid bean; *plain becomes false where the record says less than the bean does. */
static void fill_rule(struct image_builder *builder, const struct bean *bean, int list, struct rule *rule,
                      bool *plain) {
    bool nowhere = bean->strategy > STRATEGY_CHAIN || (bean->strategy != STRATEGY_DIRECT && blank(bean->ref_resource));
    const char *ref = nowhere ? NOWHERE : bean->ref_resource ? bean->ref_resource : "";
    int32_t open_ms = (int32_t)((uint32_t)bean->time_window_s * 1000u); /* an int in Sentinel, which may wrap */
    rule->match = bean->regex ? MATCH_REGEX : MATCH_EXACT;
    rule->count = bean->count < COUNT_MAX ? bean->count : COUNT_MAX;
    *plain &= bean->count <= COUNT_MAX;
    rule->cluster_mode = bean->cluster_mode != 0;
    rule->fallback_local = bean->fallback != 0;
    rule->threshold_type = bean->threshold_type == 1;
    if (bean->cluster_mode) {
        rule->flow_id = bean->flow_id <= UINT32_MAX ? (uint32_t)bean->flow_id : UINT32_MAX;
        rule->sample_count = bean->sample_count <= 10000 ? (uint32_t)bean->sample_count : 10000;
        rule->window_interval_ns = (uint64_t)bean->window_interval_ms * NS_PER_MS;
        *plain = false;
    }
    switch (list) {
    case LIST_AUTHORITY:
        rule->count = 0;
        rule->authority = bean->strategy == AUTHORITY_WHITE ? AUTHORITY_WHITE : AUTHORITY_BLACK;
        if (bean->strategy > AUTHORITY_BLACK) { /* neither list: everybody passes */
            rule->origin = image_add_text(builder, ",", 1);
            *plain = false;
        }
        break;
    case LIST_FLOW:
        rule->grade = (uint8_t)bean->grade;
        rule->strategy = nowhere ? STRATEGY_CHAIN : (uint8_t)bean->strategy;
        rule->behavior = bean->behavior > BEHAVIOR_WARM_UP_QUEUE ? BEHAVIOR_REJECT : (uint8_t)bean->behavior;
        rule->ref_resource = image_add_text(builder, ref, strlen(ref));
        rule->warm_up_ns = bean->warm_up_s > 0
                               ? (uint64_t)(bean->warm_up_s < DURATION_MAX_S ? bean->warm_up_s : DURATION_MAX_S) *
                                     1000000000
                               : 1;
        rule->max_queue_ns = bean->max_queue_ms > 0 ? (uint64_t)bean->max_queue_ms * NS_PER_MS : 0;
        *plain &= !nowhere && bean->behavior <= BEHAVIOR_WARM_UP_QUEUE && bean->warm_up_s > 0 &&
                  bean->warm_up_s <= DURATION_MAX_S && bean->max_queue_ms >= 0;
        break;
    case LIST_PARAM:
        rule->grade = bean->grade > GRADE_QPS ? GRADE_QPS : (uint8_t)bean->grade;
        if (bean->grade > GRADE_QPS || bean->param_idx >= INDEX_MAX ||
            bean->param_idx <= -INDEX_MAX) { /* never blocks */
            rule->mode = MODE_OFF;
            *plain = false;
        }
        rule->behavior = bean->behavior == BEHAVIOR_QUEUE ? BEHAVIOR_QUEUE : BEHAVIOR_REJECT;
        rule->param_idx = rule->mode == MODE_OFF ? 0 : bean->param_idx;
        rule->burst = bean->burst;
        rule->interval_ns = (uint64_t)(bean->duration_s < DURATION_MAX_S ? bean->duration_s : DURATION_MAX_S) *
                            1000000000;
        rule->max_queue_ns = (uint64_t)bean->max_queue_ms * NS_PER_MS;
        *plain &= (bean->behavior == 0 || bean->behavior == BEHAVIOR_QUEUE) && bean->duration_s <= DURATION_MAX_S;
        fill_items(builder, bean, rule, plain);
        break;
    default:
        rule->grade = (uint8_t)bean->grade;
        rule->slow_ratio = bean->grade == DEGRADE_SLOW ? bean->slow_ratio : 1.0;
        rule->min_requests = (uint32_t)bean->min_requests;
        rule->stat_interval_ns = (uint64_t)bean->stat_interval_ms * NS_PER_MS;
        rule->open_ns = open_ms > 0 ? (uint64_t)open_ms * NS_PER_MS : 1; /* wrapped below 0: over at once */
        *plain &= bean->time_window_s <= INT32_MAX / 1000;
        *plain &= bean->grade == DEGRADE_SLOW || bean->slow_ratio == 1.0;
        if (list == LIST_DEGRADE && !strcmp(bean->resource, "*") && !bean->regex) { /* just a name here */
            rule->resource = image_add_text(builder, "\\*", 2);
            rule->match = MATCH_REGEX;
        }
    }
}

static void add_rule(struct image_builder *builder, int list, uint32_t index, const cJSON *node) {
    struct fault fault = {0};
    struct bean bean = read_bean(node, lists[list].kind, &fault);
    struct rule rule;
    char id[64];
    const char *resource = blank(bean.resource) ? "-" : bean.resource;
    const char *origin = blank(bean.limit_app) ? "default" : bean.limit_app;
    bool valid = bean_valid(&bean, list), plain = valid;
    rule_defaults(&rule, lists[list].kind);
    rule.index = index;
    if (!valid && list == LIST_DEFAULT_DEGRADE)
        resource = "*";
    rule.resource = image_add_text(builder, resource, strlen(resource));
    rule.origin = image_add_text(builder, origin, strlen(origin));
    rule.origin_kind = !strcmp(origin, "default") ? ORIGIN_DEFAULT
                       : !strcmp(origin, "other") ? ORIGIN_OTHER
                                                  : ORIGIN_NAMED;
    if (valid)
        fill_rule(builder, &bean, list, &rule, &plain);
    else
        rule.mode = MODE_OFF;
    snprintf(id, sizeof id, "%s#%u", lists[list].key, index);
    set_identity(builder, node, &rule, id, plain);
    image_add_rule(builder, &rule);
}

static void add_system_field(struct image_builder *builder, enum rule_system field, uint32_t index, double limit) {
    struct rule rule;
    char id[64];
    rule_defaults(&rule, RULE_SYSTEM);
    rule.index = index;
    rule.grade = (uint8_t)field;
    rule.count = limit;
    int length = snprintf(id, sizeof id, "system#%u:%d", index, (int)field);
    rule.id = image_add_text(builder, id, (size_t)length);
    rule.id_hash = hash_bytes(0, id, (size_t)length);
    image_add_rule(builder, &rule);
}

/* Each field of each rule; nothing at all when the last rule of the list sets none (sic). */
static void add_system(struct image_builder *builder, const cJSON *array) {
    const cJSON *node;
    bool on = false;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t index = 0;
        cJSON_ArrayForEach(node, array) {
            struct fault fault = {0};
            struct bean bean = read_bean(node, RULE_SYSTEM, &fault);
            const struct {
                enum rule_system field;
                double limit;
                bool set;
            } fields[] = {
                {SYSTEM_QPS, bean.qps, bean.qps >= 0},
                {SYSTEM_THREAD, (double)bean.max_thread, bean.max_thread >= 0},
                {SYSTEM_RT, (double)bean.avg_rt, bean.avg_rt >= 0},
                {SYSTEM_LOAD, bean.load, bean.load >= 0},
                {SYSTEM_CPU, bean.cpu, bean.cpu >= 0 && bean.cpu <= 1},
            };
            bool any = false;
            for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
                any |= fields[i].set;
                if (pass && on && fields[i].set)
                    add_system_field(builder, fields[i].field, index, fields[i].limit);
            }
            if (!pass)
                on = any;
            index++;
        }
    }
}

void *case_document_image(const struct case_document *document, size_t *ret_size) {
    struct image_builder *builder = image_builder_new("");
    if (!builder)
        return NULL;
    struct image_options *options = image_builder_options(builder);
    options->compat_sentinel = 1;
    options->max_resources = 6000;
    options->cold_factor = (uint32_t)document->cold_factor;
    options->max_rt_ns = (uint64_t)document->max_rt_ms * NS_PER_MS;
    for (int list = 0; list < LISTS; list++) {
        const cJSON *node;
        uint32_t index = 0;
        if (list == LIST_SYSTEM)
            add_system(builder, document->list[list].array);
        else
            cJSON_ArrayForEach(node, document->list[list].array) add_rule(builder, list, index++, node);
    }
    return image_builder_finish(builder, ret_size);
}

/* ------------------------------------------------------------------------------------------------------- document */

static bool is_case_key(const char *key) {
    bool known = key[0] == '_';
    for (int i = 0; i < LISTS; i++)
        known |= !strcmp(key, lists[i].key);
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
    snprintf(path, sizeof path, "$.%s", lists[list].key);
    if (!cJSON_IsArray(array)) {
        node_error(source, array, path, "expected an array of Sentinel's rules");
        return false;
    }
    cJSON_ArrayForEach(node, array) {
        struct fault fault = {0};
        snprintf(path, sizeof path, "$.%s[%d]", lists[list].key, index++);
        if (!cJSON_IsObject(node)) {
            node_error(source, node, path, "expected a rule, an object");
            return false;
        }
        read_bean(node, lists[list].kind, &fault);
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
    if (as_number(cJSON_GetObjectItemCaseSensitive(config, "csp.sentinel.flow.cold.factor"), &number) && number >= 2 &&
        number <= 1000)
        document->cold_factor = (int)number;
    if (as_number(cJSON_GetObjectItemCaseSensitive(config, "csp.sentinel.statistic.max.rt"), &number) && number >= 1 &&
        number <= INT32_MAX)
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
        cJSON *array = cJSON_GetObjectItemCaseSensitive(root, lists[i].key);
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
        document->absent |= 1u << lists[i].family;
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
