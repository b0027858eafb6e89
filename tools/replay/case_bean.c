/* Sentinel's rule beans: their properties as its JSON reader takes them, their defaults, and which are valid. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/case_private.h"

const struct case_list case_lists[LISTS] = {
    [LIST_AUTHORITY] = {"authority", RULE_AUTHORITY, FAMILY_AUTHORITY},
    [LIST_SYSTEM] = {"system", RULE_SYSTEM, FAMILY_SYSTEM},
    [LIST_PARAM] = {"param", RULE_PARAM, FAMILY_PARAM},
    [LIST_FLOW] = {"flow", RULE_FLOW, FAMILY_FLOW},
    [LIST_DEFAULT_DEGRADE] = {"defaultDegrade", RULE_DEGRADE, FAMILY_DEFAULT_DEGRADE},
    [LIST_DEGRADE] = {"degrade", RULE_DEGRADE, FAMILY_DEGRADE},
};

enum type { TEXT, INT, LONG, NUMBER, BOOLEAN, LIST_OF };
struct property {
    const char *name;
    enum type type;
    size_t at;
};
#define PROPERTY(name, type, field)                                                                                    \
    { name, type, offsetof(struct case_bean, field) }
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

static struct case_bean bean_defaults(enum rule_kind kind) {
    return (struct case_bean){
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

bool case_number(const cJSON *node, double *ret_number) {
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
static const char *read_property(const struct property *property, const cJSON *node, struct case_bean *bean) {
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
        if (!case_number(node, &number) || isnan(number))
            return "expected a number";
        if (property->type == NUMBER) {
            memcpy(at, &number, sizeof number);
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

struct case_bean case_bean_read(const cJSON *object, enum rule_kind kind, struct case_fault *fault) {
    struct case_bean bean = bean_defaults(kind);
    const cJSON *cluster = cJSON_GetObjectItemCaseSensitive(object, "clusterConfig");
    for (int i = 0; i < PROPERTIES; i++) {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, properties[i].name);
        if (!node || cJSON_IsNull(node))
            continue;
        const char *message = read_property(&properties[i], node, &bean);
        if (message && !fault->message)
            *fault = (struct case_fault){node, message};
        bean.has_param_idx |= !strcmp(properties[i].name, "paramIdx");
    }
    bean.has_cluster = cJSON_IsObject(cluster);
    for (int i = 0; bean.has_cluster && i < CLUSTER_PROPERTIES; i++) {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(cluster, cluster_properties[i].name);
        if (!node || cJSON_IsNull(node))
            continue;
        const char *message = read_property(&cluster_properties[i], node, &bean);
        if (message && !fault->message)
            *fault = (struct case_fault){node, message};
    }
    return bean;
}

bool case_blank(const char *text) {
    return !text || text[strspn(text, " \t\n\v\f\r")] == 0;
}

static bool cluster_valid(const struct case_bean *bean) {
    return !bean->cluster_mode || (bean->has_cluster && bean->flow_id > 0 && bean->sample_count > 0 &&
                                   bean->window_interval_ms > 0 && bean->window_interval_ms % bean->sample_count == 0);
}

static bool flow_valid(const struct case_bean *bean) {
    if (!(bean->count >= 0) || bean->grade < 0 || bean->grade > 1 || bean->strategy < 0 || bean->behavior < 0)
        return false;
    if (bean->regex && (bean->cluster_mode || bean->behavior != 0))
        return false;
    if (!cluster_valid(bean) || bean->grade == GRADE_THREAD)
        return cluster_valid(bean);
    if ((bean->cluster_mode && bean->cluster_strategy != 0) ||
        ((bean->strategy == STRATEGY_RELATE || bean->strategy == STRATEGY_CHAIN) && case_blank(bean->ref_resource)))
        return false;
    bool warm = bean->behavior == BEHAVIOR_WARM_UP || bean->behavior == BEHAVIOR_WARM_UP_QUEUE;
    bool queue = bean->behavior == BEHAVIOR_QUEUE || bean->behavior == BEHAVIOR_WARM_UP_QUEUE;
    return (!warm || bean->warm_up_s > 0) && (!queue || bean->max_queue_ms > 0);
}

static bool param_valid(const struct case_bean *bean) {
    if (bean->regex && (bean->cluster_mode || bean->behavior != 0))
        return false;
    return bean->count >= 0 && bean->grade >= 0 && bean->has_param_idx && bean->burst >= 0 && bean->behavior >= 0 &&
           bean->duration_s > 0 && bean->max_queue_ms >= 0 && cluster_valid(bean);
}

static bool degrade_valid(const struct case_bean *bean) {
    if (!(bean->count >= 0) || bean->time_window_s <= 0 || bean->min_requests <= 0 || bean->stat_interval_ms <= 0)
        return false;
    return bean->grade == DEGRADE_SLOW    ? bean->slow_ratio >= 0 && bean->slow_ratio <= 1
           : bean->grade == DEGRADE_RATIO ? bean->count <= 1
                                          : bean->grade == DEGRADE_COUNT;
}

bool case_bean_valid(const struct case_bean *bean, int list) {
    if (case_blank(bean->resource))
        return false;
    switch (list) {
    case LIST_AUTHORITY: return bean->strategy >= 0 && !case_blank(bean->limit_app);
    case LIST_PARAM: return param_valid(bean);
    case LIST_FLOW: return flow_valid(bean);
    case LIST_DEFAULT_DEGRADE: return degrade_valid(bean) && !strcmp(bean->resource, "*");
    default: return degrade_valid(bean);
    }
}
