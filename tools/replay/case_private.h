/* What the parts of case_text.h share. */
#ifndef WEIR_RULES_COMPAT_CASE_PRIVATE_H
#define WEIR_RULES_COMPAT_CASE_PRIVATE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "rules/engine/sentinel/compat.h"
#include "rules/ruleset.h"

enum { LIST_AUTHORITY, LIST_SYSTEM, LIST_PARAM, LIST_FLOW, LIST_DEFAULT_DEGRADE, LIST_DEGRADE, LISTS };
struct case_list {
    const char *key;
    enum rule_kind kind;
    enum compat_family family;
};
extern const struct case_list case_lists[LISTS];

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

struct case_bean { /* the union of Sentinel's rule beans */
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

/* case_bean.c */
struct case_fault { /* the first thing wrong with a rule */
    const cJSON *node;
    const char *message;
};
struct case_bean case_bean_read(const cJSON *object, enum rule_kind kind, struct case_fault *fault);
/* Would Sentinel take it into the list? */
bool case_bean_valid(const struct case_bean *, int list);
/* Numbers may stand in strings, as Sentinel's JSON reader takes them. */
bool case_number(const cJSON *, double *ret_number);
bool case_blank(const char *text);

#endif
