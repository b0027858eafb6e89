/* From Sentinel's beans to the ruleset that the engine reads. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/replay/case_private.h"
#include "tools/replay/case_text.h"
#include "rules/hash.h"

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
static bool read_item(const cJSON *node, struct ruleset_builder *builder, struct rule_item *ret_item) {
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
    if (!value || type == VALUE_NONE || !case_number(cJSON_GetObjectItemCaseSensitive(node, "count"), &count) ||
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
        .object = ruleset_add_text(builder, value, length), .type = (uint8_t)type, .count = (int32_t)count};
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- ruleset */

/* What a ruleset can hold (ruleset_check). */
enum { NS_PER_MS = 1000000, DURATION_MAX_S = 366 * 86400, INDEX_MAX = 1000 };
#define COUNT_MAX 1e15
#define NOWHERE "\x01nowhere" /* of a strategy that looks at no node: a chain from an entrance that cannot be */

/* Mode off keeps the place in the list; the mark in the id keeps it a rule of its own when lists are compared. */
static void set_identity(struct ruleset_builder *builder, const cJSON *node, struct rule *rule, const char *id,
                         bool plain) {
    char *print = plain ? NULL : cJSON_PrintUnformatted(node);
    char *text = NULL;
    if (print && asprintf(&text, "\x01%s", print) < 0)
        text = NULL;
    const char *use = text ? text : id;
    rule->id = ruleset_add_text(builder, use, strlen(use));
    rule->id_hash = hash_bytes(0, use, strlen(use));
    free(text);
    cJSON_free(print);
}

static void fill_items(struct ruleset_builder *builder, const struct case_bean *bean, struct rule *rule, bool *plain) {
    const cJSON *node;
    bool first = true;
    cJSON_ArrayForEach(node, bean->items) {
        struct rule_item item;
        if (!read_item(node, builder, &item)) {
            *plain = false;
            continue;
        }
        uint32_t index = ruleset_add_item(builder, &item);
        if (first)
            rule->items_first = index;
        first = false;
        rule->items_count++;
    }
}

/* The record of a valid bean; *plain becomes false where the record says less than the bean does. */
static void fill_rule(struct ruleset_builder *builder, const struct case_bean *bean, int list, struct rule *rule,
                      bool *plain) {
    bool nowhere = bean->strategy > STRATEGY_CHAIN ||
                   (bean->strategy != STRATEGY_DIRECT && case_blank(bean->ref_resource));
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
        if (bean->strategy > AUTHORITY_BLACK) { /* neither list: all callers pass */
            rule->origin = ruleset_add_text(builder, ",", 1);
            *plain = false;
        }
        break;
    case LIST_FLOW:
        rule->grade = (uint8_t)bean->grade;
        rule->strategy = nowhere ? STRATEGY_CHAIN : (uint8_t)bean->strategy;
        rule->behavior = bean->behavior > BEHAVIOR_WARM_UP_QUEUE ? BEHAVIOR_REJECT : (uint8_t)bean->behavior;
        rule->ref_resource = ruleset_add_text(builder, ref, strlen(ref));
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
            rule->resource = ruleset_add_text(builder, "\\*", 2);
            rule->match = MATCH_REGEX;
        }
    }
}

static void add_rule(struct ruleset_builder *builder, int list, uint32_t index, const cJSON *node) {
    struct case_fault fault = {0};
    struct case_bean bean = case_bean_read(node, case_lists[list].kind, &fault);
    struct rule rule;
    char id[64];
    const char *resource = case_blank(bean.resource) ? "-" : bean.resource;
    const char *origin = case_blank(bean.limit_app) ? "default" : bean.limit_app;
    bool valid = case_bean_valid(&bean, list), plain = valid;
    rule_defaults(&rule, case_lists[list].kind);
    rule.index = index;
    if (!valid && list == LIST_DEFAULT_DEGRADE)
        resource = "*";
    rule.resource = ruleset_add_text(builder, resource, strlen(resource));
    rule.origin = ruleset_add_text(builder, origin, strlen(origin));
    rule.origin_kind = !strcmp(origin, "default") ? ORIGIN_DEFAULT
                       : !strcmp(origin, "other") ? ORIGIN_OTHER
                                                  : ORIGIN_NAMED;
    if (valid)
        fill_rule(builder, &bean, list, &rule, &plain);
    else
        rule.mode = MODE_OFF;
    snprintf(id, sizeof id, "%s#%u", case_lists[list].key, index);
    set_identity(builder, node, &rule, id, plain);
    ruleset_add_rule(builder, &rule);
}

static void add_system_field(struct ruleset_builder *builder, enum rule_system field, uint32_t index, double limit) {
    struct rule rule;
    char id[64];
    rule_defaults(&rule, RULE_SYSTEM);
    rule.index = index;
    rule.grade = (uint8_t)field;
    rule.count = limit;
    int length = snprintf(id, sizeof id, "system#%u:%d", index, (int)field);
    rule.id = ruleset_add_text(builder, id, (size_t)length);
    rule.id_hash = hash_bytes(0, id, (size_t)length);
    ruleset_add_rule(builder, &rule);
}

/* Each field of each rule; nothing at all when the last rule of the list sets none (sic). */
static void add_system(struct ruleset_builder *builder, const cJSON *array) {
    const cJSON *node;
    bool on = false;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t index = 0;
        cJSON_ArrayForEach(node, array) {
            struct case_fault fault = {0};
            struct case_bean bean = case_bean_read(node, RULE_SYSTEM, &fault);
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

void *case_document_ruleset(const struct case_document *document, size_t *ret_size) {
    struct ruleset_builder *builder = ruleset_builder_new("");
    if (!builder)
        return NULL;
    struct ruleset_options *options = ruleset_builder_options(builder);
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
    return ruleset_builder_finish(builder, ret_size);
}
