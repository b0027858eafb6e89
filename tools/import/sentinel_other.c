/* Rules as Sentinel for Go and for Rust write them, and as the APIs of MSE and AHAS answer them (ListFlowRules,
 * ListIsolationRules, ListCircuitBreakerRules, ListWebFlowRules): brought to the form that Sentinel for Java has. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/sentinel_private.h"

struct other {
    const struct sentinel *here;
    const cJSON *from; /* keys in camelCase */
    cJSON *to, *own;   /* own: fields that only weir has */
    bool cloud;        /* of MSE or AHAS: numbers are those of Java */
    unsigned line;
    const char *name;
};

/* ------------------------------------------------------------------------------------------------------- reading */

/* "RetryTimeoutMs", "retry_timeout_ms" → "retryTimeoutMs" */
static void camel(const char *key, char *ret_key, size_t size) {
    size_t at = 0;
    bool up = false;
    for (; *key && at + 1 < size; key++) {
        up |= *key == '_' && at;
        if (*key == '_')
            continue;
        ret_key[at] = (char)(up ? toupper((unsigned char)*key) : at ? *key : tolower((unsigned char)*key));
        up = false;
        at++;
    }
    ret_key[at] = '\0';
}

static cJSON *with_camel_keys(const cJSON *element) {
    cJSON *object = cJSON_CreateObject();
    const cJSON *member;
    cJSON_ArrayForEach(member, element) {
        char key[64];
        camel(member->string, key, sizeof(key));
        if (!cJSON_IsNull(member) && !cJSON_GetObjectItemCaseSensitive(object, key))
            cJSON_AddItemToObject(object, key, cJSON_Duplicate(member, true));
    }
    return object;
}

static bool has(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key) != NULL;
}

static const char *text_of(const struct other *other, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(other->from, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

static double number_of(const struct other *other, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(other->from, key);
    return cJSON_IsNumber(node) ? node->valuedouble : 0;
}

/* A number, or the name that Go's and Rust's enumerations have for it; -1: neither. */
static int code_of(const struct other *other, const char *key, const char *const *names) {
    const char *text = text_of(other, key);
    for (int i = 0; names[i] && text[0]; i++)
        if (strcasecmp(names[i], text) == 0)
            return i;
    double number = number_of(other, key);
    return text[0] || number < 0 || number > 9 || floor(number) != number ? -1 : (int)number;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void copy_to(const struct other *other, const char *key, cJSON *to, const char *as) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(other->from, key);
    if (node && !has(to, as))
        cJSON_AddItemToObject(to, as, cJSON_Duplicate(node, true));
}

static void copy(const struct other *other, const char *key, const char *as) {
    copy_to(other, key, other->to, as);
}

static void __attribute__((format(printf, 3, 4)))
left_out(const struct other *other, const char *key, const char *format, ...) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(other->from, key);
    char *why = NULL;
    va_list arguments;
    if (!node || (cJSON_IsNumber(node) && node->valuedouble == 0) || (cJSON_IsString(node) && !node->valuestring[0]))
        return;
    va_start(arguments, format);
    if (vasprintf(&why, format, arguments) >= 0)
        import_left_out(other->here->import, other->here->path, other->line, other->name, "%s: %s", key, why);
    va_end(arguments);
    free(why);
}

/* Milliseconds as seconds, unless they are not given or one second. */
static void interval(const struct other *other, const char *key, const char *as) {
    double ms = number_of(other, key);
    if (ms > 0 && ms != 1000)
        cJSON_AddNumberToObject(other->own, as, ms / 1000);
}

static void common(const struct other *other) {
    copy(other, "id", "id");
    copy(other, "ruleId", "id");
    copy(other, "app", "app");
    copy(other, "appName", "app");
    copy(other, "resource", "resource");
    copy(other, "limitApp", "limitApp");
    copy(other, "limitOrigin", "limitApp");
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(other->from, "enable")))
        cJSON_AddStringToObject(other->own, "mode", "off");
    if (strlen(text_of(other, "fallbackObject")) > 2) /* "{}": none */
        left_out(other, "fallbackObject",
                 "what a rejected caller gets: say it with blockActions and the rule's blockAction");
}

/* --------------------------------------------------------------------------------------------------------- kinds */

static const char *const behaviors[] = {"Reject", "Throttling", NULL};
static const char *const metrics[] = {"Concurrency", "QPS", NULL};

/* Java has one number for what Go has two of: how many there are (constant, warm-up), and what becomes of the others.
 */
static void control(const struct other *other, const char *calculation, const char *behavior) {
    static const char *const calculations[] = {"Direct", "WarmUp", "MemoryAdaptive", NULL};
    int warms_up = code_of(other, calculation, calculations), waits = code_of(other, behavior, behaviors);
    if (warms_up > 1)
        left_out(other, calculation,
                 "a threshold that follows the use of memory: see adaptive; the rule keeps its threshold");
    if (warms_up >= 0 && waits >= 0 && waits <= 1)
        cJSON_AddNumberToObject(other->to, "controlBehavior", (warms_up == 1 ? 1 : 0) + (waits ? 2 : 0));
    else
        copy(other, behavior, "controlBehavior");
}

static void flow(const struct other *other) {
    static const char *const relations[] = {"CurrentResource", "AssociatedResource", NULL};
    static const char *const relations_rust[] = {"Current", "Associated", NULL};
    int relation = code_of(other, "relationStrategy", relations);
    relation = relation < 0 ? code_of(other, "relationStrategy", relations_rust) : relation;
    copy(other, "threshold", "count");
    copy(other, "warmUpPeriodSec", "warmUpPeriodSec");
    copy(other, "maxQueueingTimeMs", "maxQueueingTimeMs");
    copy(other, "clusterMode", "clusterMode");
    if (relation > 0) {
        cJSON_AddNumberToObject(other->to, "strategy", relation);
        copy(other, "refResource", "refResource");
    }
    if (other->cloud)
        copy(other, "controlBehavior", "controlBehavior");
    else if (has(other->from, "controlStrategy") || has(other->from, "calculateStrategy"))
        control(other, "calculateStrategy", "controlStrategy");
    else
        control(other, "tokenCalculateStrategy", "controlBehavior");
    interval(other, has(other->from, "statIntervalInMs") ? "statIntervalInMs" : "statIntervalMs", "intervalSec");
    left_out(other, "adaptiveConfigName", "a threshold that follows a measure of its own: see adaptive");
    if (number_of(other, "warmUpColdFactor") != 3)
        left_out(other, "warmUpColdFactor", "one factor holds for all rules: options.coldFactor");
}

static void isolation(const struct other *other) {
    copy(other, "threshold", "count");
}

static void breaker(const struct other *other) {
    static const char *const strategies[] = {"SlowRequestRatio", "ErrorRatio", "ErrorCount", NULL};
    int strategy = code_of(other, "strategy", strategies);
    double open_ms = number_of(other, "retryTimeoutMs");
    cJSON_AddNumberToObject(other->to, "grade", strategy);
    copy(other, strategy == 0 ? "maxAllowedRtMs" : "threshold", "count");
    if (strategy == 0)
        copy(other, "threshold", "slowRatioThreshold");
    cJSON_AddNumberToObject(other->to, "timeWindow", open_ms / 1000);
    if (number_of(other, "minRequestAmount") > 0)
        copy(other, "minRequestAmount", "minRequestAmount");
    if (number_of(other, "statIntervalMs") > 0)
        copy(other, "statIntervalMs", "statIntervalMs");
    if (number_of(other, "halfOpenRecoveryStepNum") > 1) {
        cJSON_AddStringToObject(other->own, "recovery", "gradual");
        copy_to(other, "halfOpenRecoveryStepNum", other->own, "recoverySteps");
        if (number_of(other, "halfOpenBaseAmountPerStep") > 0)
            copy_to(other, "halfOpenBaseAmountPerStep", other->own, "stepMinPass");
    }
    left_out(other, "probeNum",
             "one request probes whether a circuit may close; \"recovery\": \"gradual\" lets more through");
}

static void hotspot(const struct other *other) {
    cJSON_AddNumberToObject(other->to, "grade", code_of(other, "metricType", metrics));
    copy(other, "threshold", "count");
    copy(other, "paramIndex", "paramIdx");
    copy(other, "paramKey", "paramKey");
}

static void system_rule(const struct other *other) {
    static const char *const fields[] = {"highestSystemLoad", "avgRt", "maxThread", "qps", "highestCpuUsage"};
    static const char *const names[] = {"load", "avgRT", "concurrency", "inboundQPS", "cpuUsage", NULL};
    static const char *const names_rust[] = {"Load", "AvgRT", "Concurrency", "InboundQPS", "CpuUsage", NULL};
    int metric = code_of(other, "metricType", names);
    metric = metric < 0 ? code_of(other, "metricType", names_rust) : metric;
    copy(other, has(other->from, "triggerCount") ? "triggerCount" : "threshold",
         metric >= 0 && metric < 5 ? fields[metric] : "metricType");
}

/* Hot parameters of HTTP requests: what they are of the request stands in paramItem, an object or its text. */
static void web_param(const struct other *other) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(other->from, "paramItem");
    cJSON *parsed = cJSON_IsString(item) ? cJSON_Parse(item->valuestring) : cJSON_Duplicate(item, true);
    if (cJSON_IsObject(parsed))
        cJSON_AddItemToObject(other->to, "paramItem", parsed);
    else
        cJSON_Delete(parsed);
    if (has(other->from, "metricType"))
        copy(other, "metricType", "grade");
    copy(other, "threshold", "count");
    copy(other, "controlBehavior", "controlBehavior");
    copy(other, "maxQueueingTimeMs", "maxQueueingTimeMs");
    copy(other, "burst", "burstCount");
    interval(other, "statIntervalMs", "durationInSec");
}

/* A field that tells the kind; the first that is there. */
static const struct {
    const char *field, *kind;
    void (*convert)(const struct other *);
} telling[] = {
    {"triggerCount", "system", system_rule},     {"paramItem", "paramFlow", web_param},
    {"paramIndex", "paramFlow", hotspot},        {"specificItems", "paramFlow", hotspot},
    {"paramsMaxCapacity", "paramFlow", hotspot}, {"retryTimeoutMs", "degrade", breaker},
    {"maxAllowedRtMs", "degrade", breaker},      {"tokenCalculateStrategy", "flow", flow},
    {"calculateStrategy", "flow", flow},         {"controlStrategy", "flow", flow},
    {"controlBehavior", "flow", flow},           {"relationStrategy", "flow", flow},
    {"statIntervalInMs", "flow", flow},          {"metricType", "isolation", isolation},
    {"ruleId", "isolation", isolation}, /* of MSE, whose rules of other kinds have more fields */
};
enum { TELLING = sizeof(telling) / sizeof(*telling) };

static size_t find(const cJSON *object, const char *kind) {
    for (size_t i = 0; i < TELLING; i++)
        if (kind ? strcmp(telling[i].kind, kind) == 0 : has(object, telling[i].field))
            return i;
    return TELLING;
}

bool sentinel_is_other(const cJSON *element) {
    static const char *const thresholds[] = {"threshold", "Threshold", "triggerCount", "trigger_count"};
    for (size_t i = 0; i < sizeof(thresholds) / sizeof(*thresholds); i++)
        if (has(element, thresholds[i]) && !has(element, "count"))
            return true;
    return false;
}

bool sentinel_other(const struct sentinel *here, const cJSON *element) {
    cJSON *from = with_camel_keys(element);
    const char *given = import_kind(here->import);
    size_t at = find(from, given);
    at = at == TELLING && here->kind ? find(from, here->kind) : at;
    struct other other = {.here = here, .from = from, .cloud = has(from, "ruleId") || has(from, "appName")};
    other.line = sentinel_line(here, element);
    other.name = text_of(&other, "resource");
    if (at < TELLING) {
        other.to = cJSON_CreateObject();
        other.own = cJSON_AddObjectToObject(other.to, SENTINEL_OWN);
        other.to->valueint = element->valueint;
        common(&other);
        telling[at].convert(&other);
        sentinel_rule(here, telling[at].kind, other.to);
        sentinel_note_app(here, other.to);
        cJSON_Delete(other.to);
    }
    cJSON_Delete(from);
    return at < TELLING;
}
