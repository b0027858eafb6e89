#include "rules/text/kinds.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "rules/layout.h"

#define AT(member) offsetof(struct rule_record, member), sizeof(((struct rule_record *)0)->member)
#define NUMBER(name, flags, member, min, max)                                                                          \
    { name, FIELD_NUMBER, flags, AT(member), min, max, 0, NULL, NULL }
#define INTEGER(name, flags, member, min, max)                                                                         \
    { name, FIELD_INTEGER, flags, AT(member), min, max, 0, NULL, NULL }
#define TIME(name, flags, member, min, max, unit)                                                                      \
    { name, FIELD_TIME, flags, AT(member), min, max, unit, NULL, NULL }
#define BOOLEAN(name, member)                                                                                          \
    { name, FIELD_BOOLEAN, 0, AT(member), 0, 0, 0, NULL, NULL }
#define CODE(name, member, words)                                                                                      \
    { name, FIELD_CODE, 0, AT(member), 0, 0, 0, words, NULL }
#define WORD(name, member, words)                                                                                      \
    { name, FIELD_WORD, 0, AT(member), 0, 0, 0, words, NULL }
#define TEXT(name, flags, member, min, max)                                                                            \
    { name, FIELD_TEXT, flags, AT(member), min, max, 0, NULL, NULL }
#define CUSTOM(name, flags, reader)                                                                                    \
    { name, FIELD_CUSTOM, flags, 0, 0, 0, 0, 0, NULL, reader }
#define CUSTOM_WORD(name, words, reader)                                                                               \
    { name, FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, words, reader }
#define CUSTOM_NUMBER(name, max, reader)                                                                               \
    { name, FIELD_CUSTOM, FIELD_NULLABLE, 0, 0, 0, max, 0, NULL, reader }
#define END                                                                                                            \
    { NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL }
#define MILLISECONDS 1e6
#define SECONDS 1e9
enum { YEAR_SECONDS = 366 * 86400, DAY_MS = 86400 * 1000 };
#define COUNT_MAX 1e15

/* ----------------------------------------------------------------------------------------------------- words */

static const struct word mode_words[] = {
    {"enforce", MODE_ENFORCE}, {"simulate", MODE_SIMULATE}, {"off", MODE_OFF}, {NULL, 0}};
static const struct word scope_words[] = {
    {"process", SCOPE_PROCESS}, {"app", SCOPE_APP}, {"cluster", SCOPE_CLUSTER}, {NULL, 0}};
const struct word match_words[] = {
    {"exact", MATCH_EXACT}, {"prefix", MATCH_PREFIX}, {"glob", MATCH_GLOB}, {"regex", MATCH_REGEX}, {NULL, 0}};
static const struct word side_words[] = {
    {"any", SIDE_ANY}, {"inbound", SIDE_INBOUND}, {"outbound", SIDE_OUTBOUND}, {NULL, 0}};
const struct word priority_words[] = {
    {"low", PRIORITY_LOW}, {"normal", PRIORITY_NORMAL}, {"critical", PRIORITY_CRITICAL}, {NULL, 0}};
static const struct word grade_words[] = {
    {"thread", GRADE_THREAD}, {"concurrency", GRADE_THREAD}, {"qps", GRADE_QPS}, {NULL, 0}};
static const struct word strategy_words[] = {
    {"direct", STRATEGY_DIRECT}, {"relate", STRATEGY_RELATE}, {"chain", STRATEGY_CHAIN}, {NULL, 0}};
static const struct word behavior_words[] = {{"reject", BEHAVIOR_REJECT},
                                             {"warmUp", BEHAVIOR_WARM_UP},
                                             {"queue", BEHAVIOR_QUEUE},
                                             {"warmUpQueue", BEHAVIOR_WARM_UP_QUEUE},
                                             {NULL, 0}};
static const struct word value_behavior_words[] = {{"reject", BEHAVIOR_REJECT}, {"queue", BEHAVIOR_QUEUE}, {NULL, 0}};
static const struct word degrade_words[] = {{"slow", DEGRADE_SLOW},
                                            {"slowRatio", DEGRADE_SLOW},
                                            {"exceptionRatio", DEGRADE_RATIO},
                                            {"errorRatio", DEGRADE_RATIO},
                                            {"exceptionCount", DEGRADE_COUNT},
                                            {"errorCount", DEGRADE_COUNT},
                                            {"avgRt", DEGRADE_AVG_RT},
                                            {NULL, 0}};
static const struct word recovery_words[] = {{"single", RECOVERY_SINGLE}, {"gradual", RECOVERY_GRADUAL}, {NULL, 0}};
static const struct word authority_words[] = {{"white", AUTHORITY_WHITE}, {"black", AUTHORITY_BLACK}, {NULL, 0}};
static const struct word mode_of_resource_words[] = {{"route", 0}, {"api", 1}, {NULL, 0}};
static const struct word threshold_words[] = {{"avgLocal", 0}, {"global", 1}, {NULL, 0}};
static const struct word algorithm_words[] = {
    {"delay", ADAPTIVE_DELAY}, {"gradient", ADAPTIVE_DELAY}, {"bbr", ADAPTIVE_DELAY}, {"cpu", ADAPTIVE_CPU}, {NULL, 0}};
static const struct word per_words[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}, {NULL, 0}};

/* ---------------------------------------------------------------------------------------- fields of their own kind */

static void read_id(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule_record *to = record;
    if (reader_is_whole(node, -9.3e18, 9.3e18)) { /* as written: a double does not hold every 64-bit id */
        const struct json_place *place = &reader->document->places[node->valueint];
        size_t length = place->end - place->value;
        if (length < sizeof(to->id_number)) {
            memcpy(to->id_number, reader->document->text + place->value, length);
            to->id_number[length] = '\0';
            to->id = to->id_number;
            return;
        }
    }
    if (!cJSON_IsString(node))
        reader_expected(reader, path, node, "a string or a whole number");
    else
        to->id = reader_text(reader, path, node, 1, 100);
}

static void read_action_name(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    ((struct rule_record *)record)->action = reader_text(reader, path, node, 1, 100);
}

static void read_scope(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int scope = reader_word(reader, path, node, scope_words, false);
    if (scope >= 0 && (scope != SCOPE_CLUSTER || reader_supported(reader, path, node, "scope.cluster")))
        ((struct rule_record *)record)->rule.scope = (uint8_t)scope;
}

static void read_per(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int seconds = reader_word(reader, path, node, per_words, false);
    if (seconds > 0)
        ((struct rule_record *)record)->rule.interval_ns = (uint64_t)seconds * 1000000000u;
}

static bool is_header_name(const char *name) {
    return name[0] && strspn(name, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
                          strlen(name);
}

static void cost_by_header(struct reader *reader, const struct path *path, const cJSON *node, const char *name,
                           struct rule *rule) {
    char lower[100];
    size_t length = strlen(name);
    if (!is_header_name(name) || length >= sizeof(lower)) {
        reader_expected(reader, path, node, "the name of a header");
        return;
    }
    for (size_t i = 0; i <= length; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 32) : name[i];
    rule->cost_kind = COST_HEADER;
    rule->cost_header = reader_add(reader, lower);
}

/* 5, "bytes", {"header": "X-Cost"} or, shorter, "header:X-Cost" */
static void read_cost(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = &((struct rule_record *)record)->rule;
    const cJSON *header = cJSON_GetObjectItemCaseSensitive(node, "header");
    if (reader_is_whole(node, 1, 1 << 30)) {
        rule->cost_kind = COST_NUMBER;
        rule->cost_number = (uint32_t)node->valuedouble;
    } else if (cJSON_IsString(node) && strcmp(node->valuestring, "bytes") == 0) {
        rule->cost_kind = COST_BYTES;
    } else if (cJSON_IsString(node) && strncmp(node->valuestring, "header:", 7) == 0) {
        cost_by_header(reader, path, node, node->valuestring + 7, rule);
    } else if (cJSON_IsString(header) && cJSON_GetArraySize(node) == 1) {
        struct path here = {path, "header", 0};
        cost_by_header(reader, &here, header, header->valuestring, rule);
    } else {
        reader_expected(reader, path, node,
                        "a whole number from 1 to 1073741824, \"bytes\", or {\"header\": \"NAME\"}");
    }
}

static void read_pids(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = record;
    const cJSON *pid;
    int index = 0;
    rule->canary = CANARY_PIDS;
    if (!cJSON_IsArray(node) || cJSON_GetArraySize(node) == 0) {
        reader_expected(reader, path, node, "a list of process ids");
        return;
    }
    cJSON_ArrayForEach(pid, node) {
        struct path here = {path, NULL, index++};
        if (!reader_is_whole(pid, 1, 4194304)) {
            reader_expected(reader, &here, pid, "a process id (1 to 4194304)");
            continue;
        }
        uint32_t at = ruleset_add_list(reader->builder, (uint32_t)pid->valuedouble);
        if (!rule->list_count++)
            rule->list_first = at;
    }
}

static void read_hosts(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = record;
    if (!reader_supported(reader, path, node, "canary.hosts"))
        return;
    rule->canary = CANARY_HOSTS;
    read_text_list(reader, path, node, &rule->list_first, &rule->list_count);
}

static const struct field canary_fields[] = {
    {"percent", FIELD_INTEGER, 0, offsetof(struct rule, canary_percent), 4, 0, 100, 0, NULL, NULL},
    CUSTOM("pids", 0, read_pids),
    CUSTOM("hosts", 0, read_hosts),
    END,
};

const struct field_table canary_table = {"canary", {canary_fields, NULL}};

static void read_canary(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = &((struct rule_record *)record)->rule;
    if (!reader_object(reader, path, node, &canary_table, rule))
        return;
    if (cJSON_GetArraySize(node) != 1)
        reader_expected(reader, path, node, "one of \"percent\", \"pids\" and \"hosts\"");
    else if (cJSON_GetObjectItemCaseSensitive(node, "percent"))
        rule->canary = CANARY_PERCENT;
}

static void read_cluster_mode(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsBool(node))
        reader_expected(reader, path, node, "true or false");
    else if (cJSON_IsTrue(node) && reader_supported(reader, path, node, "clusterMode"))
        ((struct rule_record *)record)->rule.cluster_mode = 1;
}

/* The fields that only Sentinel's own token server looks at are checked and left alone. */
#define IGNORED(name, max)                                                                                             \
    { name, FIELD_INTEGER, FIELD_NULLABLE, 0, 0, 0, max, 0, NULL, NULL }
static const struct field cluster_fields[] = {
    INTEGER("flowId", FIELD_NULLABLE, rule.flow_id, 0, 4294967295.0),
    CODE("thresholdType", rule.threshold_type, threshold_words),
    BOOLEAN("fallbackToLocalWhenFail", rule.fallback_local),
    INTEGER("sampleCount", 0, rule.sample_count, 1, 10000),
    TIME("windowIntervalMs", 0, rule.window_interval_ns, 1, DAY_MS, MILLISECONDS),
    IGNORED("strategy", 100),
    IGNORED("resourceTimeout", DAY_MS),
    IGNORED("resourceTimeoutStrategy", 2),
    IGNORED("acquireRefuseStrategy", 2),
    IGNORED("clientOfflineTime", DAY_MS),
    END,
};

const struct field_table cluster_table = {"clusterConfig", {cluster_fields, NULL}};

static void read_cluster_config(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    reader_object(reader, path, node, &cluster_table, record);
}

static void read_exceptions(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = &((struct rule_record *)record)->rule;
    read_text_list(reader, path, node, &rule->list_first, &rule->list_count);
}

/* -1 and absent mean "not in force", as in Sentinel. */
static void read_limit(struct reader *reader, const struct path *path, const cJSON *node, double max,
                       double *ret_limit) {
    if (cJSON_IsNumber(node) && (node->valuedouble == -1 || (node->valuedouble >= 0 && node->valuedouble <= max)))
        *ret_limit = node->valuedouble;
    else if (max < COUNT_MAX)
        reader_expected(reader, path, node, "a number from 0 to %g (or -1: not in force)", max);
    else
        reader_expected(reader, path, node, "a number ≥ 0 (or -1: not in force)");
}

#define LIMIT(function, index, max)                                                                                    \
    static void function(struct reader *reader, const struct path *path, const cJSON *node, void *record) {            \
        read_limit(reader, path, node, max, &((struct rule_record *)record)->limits[index]);                           \
    }
LIMIT(read_limit_qps, SYSTEM_QPS, COUNT_MAX)
LIMIT(read_limit_thread, SYSTEM_THREAD, COUNT_MAX)
LIMIT(read_limit_rt, SYSTEM_RT, COUNT_MAX)
LIMIT(read_limit_cpu, SYSTEM_CPU, 1)
LIMIT(read_limit_load, SYSTEM_LOAD, COUNT_MAX)

/* ---------------------------------------------------------------------------------------------------- tables */

#define GENERAL_FIELDS                                                                                                 \
    CUSTOM("id", FIELD_NULLABLE, read_id), WORD("mode", rule.mode, mode_words),                                        \
        CUSTOM_WORD("scope", scope_words, read_scope), CUSTOM("blockAction", 0, read_action_name),                     \
        CUSTOM("canary", 0, read_canary), CUSTOM("when", 0, read_when), {                                              \
        "regex", FIELD_BOOLEAN, 0, 0, 0, 0, 0, 0, NULL, NULL                                                           \
    } /* judged together with resourceMatch */

static const struct field general_fields[] = {GENERAL_FIELDS, END};
static const struct field common_fields[] = {
    GENERAL_FIELDS,
    TEXT("resource", FIELD_REQUIRED, rule.resource, 1, LAYOUT_RESOURCE_NAME_MAX - 1),
    WORD("resourceMatch", rule.match, match_words),
    TEXT("limitApp", FIELD_NULLABLE, rule.origin, 0, 4000),
    WORD("side", rule.side, side_words),
    WORD("priority", rule.priority, priority_words),
    CUSTOM("cost", 0, read_cost),
    BOOLEAN("penalty", rule.penalty),
    END,
};
#define COUNT_FIELD NUMBER("count", FIELD_REQUIRED, rule.count, 0, COUNT_MAX)
#define CLUSTER_FIELDS                                                                                                 \
    CUSTOM("clusterMode", 0, read_cluster_mode), CUSTOM("clusterConfig", FIELD_NULLABLE, read_cluster_config)

static const struct field flow_fields[] = {
    CODE("grade", rule.grade, grade_words),
    COUNT_FIELD,
    CODE("strategy", rule.strategy, strategy_words),
    TEXT("refResource", FIELD_NULLABLE, rule.ref_resource, 0, LAYOUT_RESOURCE_NAME_MAX - 1),
    CODE("controlBehavior", rule.behavior, behavior_words),
    TIME("warmUpPeriodSec", FIELD_NULLABLE, rule.warm_up_ns, 0.001, YEAR_SECONDS, SECONDS),
    TIME("maxQueueingTimeMs", FIELD_NULLABLE, rule.max_queue_ns, 0, DAY_MS, MILLISECONDS),
    TIME("intervalSec", 0, rule.interval_ns, 0.001, YEAR_SECONDS, SECONDS),
    CUSTOM_WORD("per", per_words, read_per),
    NUMBER("burst", 0, rule.burst, 0, COUNT_MAX),
    CLUSTER_FIELDS,
    END,
};
static const struct field isolation_fields[] = {
    COUNT_FIELD,
    TIME("ttlMs", 0, rule.ttl_ns, 1, (double)YEAR_SECONDS * 1000, MILLISECONDS),
    CLUSTER_FIELDS,
    END,
};
static const struct field degrade_fields[] = {
    CODE("grade", rule.grade, degrade_words),
    COUNT_FIELD,
    NUMBER("slowRatioThreshold", FIELD_NULLABLE, rule.slow_ratio, 0, 1),
    INTEGER("minRequestAmount", 0, rule.min_requests, 1, 1e9),
    TIME("statIntervalMs", FIELD_NULLABLE, rule.stat_interval_ns, 1, 7200000, MILLISECONDS),
    TIME("timeWindow", FIELD_REQUIRED, rule.open_ns, 0, YEAR_SECONDS, SECONDS),
    WORD("recovery", rule.recovery, recovery_words),
    INTEGER("recoverySteps", 0, rule.recovery_steps, 1, 100),
    INTEGER("stepMinPass", 0, rule.step_min_pass, 1, 1e6),
    INTEGER("rtSlowRequestAmount", 0, rule.rt_slow_requests, 1, 1e6),
    CUSTOM("exceptions", 0, read_exceptions),
    END,
};
static const struct field param_fields[] = {
    CODE("grade", rule.grade, grade_words),
    COUNT_FIELD,
    INTEGER("paramIdx", FIELD_NULLABLE, rule.param_idx, -100, 100),
    CUSTOM("param", 0, read_params),
    TIME("durationInSec", 0, rule.interval_ns, 0.001, YEAR_SECONDS, SECONDS),
    CUSTOM_WORD("per", per_words, read_per),
    NUMBER("burstCount", 0, rule.burst, 0, COUNT_MAX),
    CODE("controlBehavior", rule.behavior, value_behavior_words),
    TIME("maxQueueingTimeMs", 0, rule.max_queue_ns, 0, DAY_MS, MILLISECONDS),
    CUSTOM("paramFlowItemList", FIELD_NULLABLE, read_items),
    INTEGER("capacity", 0, rule.capacity, 1, 1 << 20),
    CLUSTER_FIELDS,
    END,
};
static const struct field gateway_fields[] = {
    CODE("resourceMode", rule.resource_mode, mode_of_resource_words),
    CODE("grade", rule.grade, grade_words),
    COUNT_FIELD,
    TIME("intervalSec", 0, rule.interval_ns, 0.001, YEAR_SECONDS, SECONDS),
    CUSTOM_WORD("per", per_words, read_per),
    CODE("controlBehavior", rule.behavior, value_behavior_words),
    NUMBER("burst", 0, rule.burst, 0, COUNT_MAX),
    TIME("maxQueueingTimeoutMs", 0, rule.max_queue_ns, 0, DAY_MS, MILLISECONDS),
    CUSTOM("paramItem", FIELD_NULLABLE, read_params),
    INTEGER("capacity", 0, rule.capacity, 1, 1 << 20),
    CLUSTER_FIELDS,
    END,
};
static const struct field authority_fields[] = {CODE("strategy", rule.authority, authority_words), END};
static const struct field system_fields[] = {
    CUSTOM_NUMBER("qps", COUNT_MAX, read_limit_qps),
    CUSTOM_NUMBER("maxThread", COUNT_MAX, read_limit_thread),
    CUSTOM_NUMBER("avgRt", COUNT_MAX, read_limit_rt),
    CUSTOM_NUMBER("highestCpuUsage", 1, read_limit_cpu),
    CUSTOM_NUMBER("highestSystemLoad", COUNT_MAX, read_limit_load),
    CUSTOM("exceptions", 0, read_exceptions),
    END,
};
static const struct field adaptive_fields[] = {
    NUMBER("cpu", 0, rule.count, 0.01, 1),
    WORD("algorithm", rule.grade, algorithm_words),
    TIME("targetMs", 0, rule.max_queue_ns, 1, 10000, MILLISECONDS),
    TIME("intervalMs", 0, rule.stat_interval_ns, 10, 60000, MILLISECONDS),
    INTEGER("minPass", 0, rule.min_requests, 0, 1e6),
    CUSTOM("exceptions", 0, read_exceptions),
    END,
};

const struct kind rule_kinds[RULE_KINDS] = {
    {"flow", RULE_FLOW, false, false, {"a flow rule", {common_fields, flow_fields}}},
    {"isolation", RULE_ISOLATION, false, false, {"an isolation rule", {common_fields, isolation_fields}}},
    {"degrade", RULE_DEGRADE, false, false, {"a degrade rule", {common_fields, degrade_fields}}},
    {"paramFlow", RULE_PARAM, false, false, {"a paramFlow rule", {common_fields, param_fields}}},
    {"gateway", RULE_GATEWAY, false, false, {"a gateway rule", {common_fields, gateway_fields}}},
    {"authority", RULE_AUTHORITY, false, false, {"an authority rule", {common_fields, authority_fields}}},
    {"system", RULE_SYSTEM, true, false, {"a system rule", {general_fields, system_fields}}},
    {"adaptive", RULE_ADAPTIVE, true, true, {"adaptive", {general_fields, adaptive_fields}}},
};

const struct kind *kind_find(const char *key) {
    for (size_t i = 0; i < RULE_KINDS; i++)
        if (strcmp(rule_kinds[i].key, key) == 0)
            return &rule_kinds[i];
    return NULL;
}
