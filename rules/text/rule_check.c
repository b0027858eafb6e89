/* What the single fields of a rule do not show: contradictions, and combinations that could not be enforced.  A rule
 * that would quietly do something else than it says is refused. */
#include <arpa/inet.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/kinds.h"
#include "rules/address.h"

struct check {
    struct reader *reader;
    const struct path *path;
    const cJSON *node;
    struct rule_record *record;
    struct rule *rule;
};

static bool is_set(const struct check *check, const char *key) {
    return reader_is_set(check->node, key);
}

/* An error about one field of the rule. */
static void refuse(struct check *check, const char *key, const char *message) {
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(check->node, key);
    struct path here = {check->path, key, 0};
    if (at)
        reader_error_at_key(check->reader, &here, at, "%s", message);
    else
        reader_error(check->reader, &here, check->node, "%s", message);
}

static const char *text_of(const struct check *check, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(check->node, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

bool regex_check(struct reader *reader, const struct path *path, const cJSON *node, const char *pattern) {
    int number;
    PCRE2_SIZE at;
    PCRE2_UCHAR message[160];
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_DOTALL | PCRE2_NEVER_UTF,
                                     &number, &at, NULL);
    if (code) {
        pcre2_code_free(code);
        return true;
    }
    pcre2_get_error_message(number, message, sizeof(message));
    reader_expected(reader, path, node, "a regular expression (%s at character %zu of it)", (const char *)message,
                    (size_t)at + 1);
    return false;
}

/* ---------------------------------------------------------------------------------------------------- resource */

static void check_resource(struct check *check) {
    struct rule *rule = check->rule;
    const cJSON *regex = cJSON_GetObjectItemCaseSensitive(check->node, "regex");
    if (cJSON_IsBool(regex)) {
        if (is_set(check, "resourceMatch") && cJSON_IsTrue(regex) != (rule->match == MATCH_REGEX))
            refuse(check, "regex", "contradicts resourceMatch; one of the two is enough");
        if (cJSON_IsTrue(regex))
            rule->match = MATCH_REGEX;
    }
    const cJSON *resource = cJSON_GetObjectItemCaseSensitive(check->node, "resource");
    struct path here = {check->path, "resource", 0};
    if (rule->match == MATCH_REGEX && cJSON_IsString(resource))
        regex_check(check->reader, &here, resource, resource->valuestring);
    if (rule->match == MATCH_EXACT && rule->kind != RULE_DEGRADE && strcmp(text_of(check, "resource"), "*") == 0)
        refuse(check, "resource",
               "\"*\" alone is for degrade rules; for every resource add \"resourceMatch\": \"glob\"");
}

/* ------------------------------------------------------------------------------------------------------ origin */

/* An address with a prefix length that fits it: 1, a slash and anything else: -1, no address: 0. */
static int address_range(const char *text) {
    unsigned char address[16];
    char host[64];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (length == 0 || length >= sizeof(host))
        return 0;
    memcpy(host, text, length);
    host[length] = '\0';
    int bits = inet_pton(AF_INET, host, address) == 1 ? 32 : inet_pton(AF_INET6, host, address) == 1 ? 128 : 0;
    if (!bits || !slash)
        return 0;
    char *end;
    long prefix = strtol(slash + 1, &end, 10);
    return end == slash + 1 || *end || slash[1] < '0' || slash[1] > '9' || prefix > bits ? -1 : 1;
}

/* What is wrong with a name of a caller of this host, or NULL. */
static const char *caller_mistake(const char *name) {
    if (strncmp(name, "uid:", 4) == 0) {
        size_t digits = strspn(name + 4, "0123456789");
        bool number = digits > 0 && digits <= 10 && name[4 + digits] == '\0' && (name[4] != '0' || digits == 1);
        return number ? NULL : "expected a user's number, such as uid:1000";
    }
    if (strncmp(name, "comm:", 5) == 0)
        return name[5] && strlen(name + 5) < 16 ? NULL
                                                : "expected the name of a process, 1 to 15 bytes, such as comm:curl";
    if (strncmp(name, "unit:", 5) != 0)
        return NULL;
    const char *dot = strrchr(name, '.');
    bool whole = dot && dot > name + 5 && (strcmp(dot, ".service") == 0 || strcmp(dot, ".scope") == 0);
    return whole && strlen(name + 5) < 108 ? NULL : "expected a unit's whole name, such as unit:cron.service";
}

static void check_origin_name(struct check *check, const char *name, bool alone) {
    int range = address_range(name);
    const char *mistake = caller_mistake(name);
    if (!name[0])
        refuse(check, "limitApp", "empty name between commas");
    else if (mistake)
        refuse(check, "limitApp", mistake);
    else if (!alone && (strcmp(name, "default") == 0 || strcmp(name, "other") == 0))
        refuse(check, "limitApp", "\"default\" and \"other\" cannot be part of a list of names");
    else if (range < 0)
        refuse(check, "limitApp", "prefix length must be 0–32 for IPv4, 0–128 for IPv6, as in 10.0.0.0/8");
    else if (range > 0 && check->rule->kind != RULE_AUTHORITY)
        refuse(check, "limitApp", "address ranges are for authority rules; here callers are distinguished by name");
}

/* An address in the one spelling that callers have; returns its length.  There is room for twice the name: "::" in
 * place of a single 0 is shorter than the 0. */
static size_t spell_address(char *name) {
    char text[ADDRESS_TEXT_MAX];
    struct address_range range;
    if (strchr(name, '/') || !address_range_parse(name, &range))
        return strlen(name);
    size_t length = address_text(range.network, range.length, text);
    memcpy(name, text, length + 1);
    return length;
}

/* The list without blanks around its names (Sentinel does not trim them, so neither do its rules). */
static void check_origin_list(struct check *check, const char *list) {
    size_t length = strlen(list), kept = 0;
    char *names = calloc(2, length + 1);
    if (!names)
        return;
    for (const char *at = list;;) {
        size_t size = strcspn(at, ",");
        const char *from = at, *to = at + size;
        while (!check->reader->compat && from < to && *from == ' ')
            from++;
        while (!check->reader->compat && to > from && to[-1] == ' ')
            to--;
        char *name = names + kept;
        memcpy(name, from, (size_t)(to - from));
        name[to - from] = '\0';
        check_origin_name(check, name, !strchr(list, ','));
        kept += spell_address(name);
        if (at[size] == '\0')
            break;
        names[kept++] = ',';
        at += size + 1;
    }
    check->rule->origin = reader_add(check->reader, names);
    free(names);
}

static void check_origin(struct check *check) {
    const char *origin = text_of(check, "limitApp");
    struct rule *rule = check->rule;
    if (rule->kind == RULE_AUTHORITY) {
        if (!is_set(check, "limitApp") || !origin[0])
            refuse(check, "limitApp",
                   "required field missing: the names, addresses or address ranges that the rule applies to");
        else
            check_origin_list(check, origin);
        rule->origin_kind = ORIGIN_NAMED;
    } else if (!origin[0] || strcmp(origin, "default") == 0) {
        rule->origin = reader_add(check->reader, "default");
        rule->origin_kind = ORIGIN_DEFAULT;
    } else {
        check_origin_list(check, origin);
        rule->origin_kind = strcmp(origin, "other") == 0 ? ORIGIN_OTHER : ORIGIN_NAMED;
    }
}

/* ---------------------------------------------------------------------------------------- limits on requests */

static void check_threshold(struct check *check) {
    struct rule *rule = check->rule;
    bool concurrency = rule->grade == GRADE_THREAD,
         queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    const char *interval = rule->kind == RULE_PARAM ? "durationInSec" : "intervalSec";
    const char *burst = rule->kind == RULE_PARAM ? "burstCount" : "burst";
    if (is_set(check, "per") && is_set(check, interval))
        refuse(check, "per",
               rule->kind == RULE_PARAM ? "contradicts durationInSec; give one of the two"
                                        : "contradicts intervalSec; give one of the two");
    if (concurrency && (is_set(check, "per") || (rule->kind != RULE_PARAM && rule->interval_ns != 1000000000u)))
        refuse(check, is_set(check, "per") ? "per" : interval,
               "is not used with grade 0 (concurrency): requests in flight have no interval");
    if (concurrency && rule->burst > 0)
        refuse(check, burst, "is not used with grade 0 (concurrency)");
    if (concurrency && rule->behavior != BEHAVIOR_REJECT && !check->reader->compat)
        refuse(check, "controlBehavior", "only \"reject\" is possible with grade 0 (concurrency)");
    if (rule->penalty && (concurrency || queue))
        refuse(check, "penalty",
               concurrency ? "is not used with grade 0 (concurrency)" : "cannot be combined with queueing");
    else if (rule->penalty && (rule->burst > 0 || rule->params_count || rule->kind == RULE_PARAM))
        refuse(check, "penalty",
               rule->burst > 0 ? "cannot be combined with a burst" : "is not possible for hot parameters");
    if (rule->behavior == BEHAVIOR_WARM_UP || rule->behavior == BEHAVIOR_WARM_UP_QUEUE) {
        if (rule->burst > 0)
            refuse(check, burst, "cannot be combined with a warm-up, whose purpose is to prevent bursts");
        if (rule->interval_ns != 1000000000u)
            refuse(check, is_set(check, "per") ? "per" : interval, "a warm-up needs a threshold per second");
    }
}

/* The requests that count are another resource's: nothing of them can be queued, saved up or held against a client. */
static void check_relate(struct check *check) {
    struct rule *rule = check->rule;
    if (!check->reader->compat && (rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE))
        refuse(check, "controlBehavior", "queueing cannot be combined with strategy \"relate\"");
    if (rule->burst > 0)
        refuse(check, "burst", "cannot be combined with strategy \"relate\"");
    if (rule->penalty)
        refuse(check, "penalty", "cannot be combined with strategy \"relate\"");
}

static void check_flow(struct check *check) {
    check_threshold(check);
    bool related = check->rule->strategy != STRATEGY_DIRECT, named = text_of(check, "refResource")[0] != '\0';
    if (related && !named)
        refuse(check, "refResource",
               check->rule->strategy == STRATEGY_RELATE
                   ? "required field missing: with strategy \"relate\" it names the resource that is measured"
                   : "required field missing: with strategy \"chain\" it names the entrance");
    if (check->rule->strategy == STRATEGY_RELATE)
        check_relate(check);
    if (!related && named)
        refuse(check, "refResource", "is not used with strategy \"direct\"; set \"relate\" or \"chain\", or remove it");
}

static void check_param(struct check *check) {
    struct rule *rule = check->rule;
    check_threshold(check);
    if (rule->kind == RULE_PARAM && is_set(check, "param") == is_set(check, "paramIdx"))
        refuse(check, "paramIdx",
               is_set(check, "param")
                   ? "contradicts param; give one of the two"
                   : "required field missing: paramIdx (an argument's position) or param (part of a request)");
    if (!is_set(check, "capacity")) {
        double values = 4000 * (double)rule->interval_ns / 1e9;
        rule->capacity = values > 200000 ? 200000 : values < 4000 ? 4000 : (uint32_t)values;
    }
}

/* ---------------------------------------------------------------------------------------------------- degrade */

static void check_degrade(struct check *check) {
    struct rule *rule = check->rule;
    if (rule->grade == DEGRADE_RATIO && rule->count > 1)
        refuse(check, "count", "expected a ratio from 0 to 1 (grade 1 is the share of failed calls)");
    if (rule->stat_interval_ns < 1000000000u && !check->reader->compat)
        refuse(check, "statIntervalMs", "expected a window from 1000 to 7200000 (1 s to 120 min)");
    if (rule->recovery != RECOVERY_GRADUAL && (is_set(check, "recoverySteps") || is_set(check, "stepMinPass")))
        refuse(check, is_set(check, "recoverySteps") ? "recoverySteps" : "stepMinPass",
               "is only used with \"recovery\": \"gradual\"");
    if (rule->penalty)
        refuse(check, "penalty", "is not used by circuit breakers");
    if (is_set(check, "exceptions") && !(rule->match == MATCH_EXACT && strcmp(text_of(check, "resource"), "*") == 0) &&
        rule->match == MATCH_EXACT)
        refuse(check, "exceptions", "is only used with \"resource\": \"*\" or a pattern");
}

static void check_system(struct check *check) {
    if (check->rule->kind == RULE_SYSTEM && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(check->node, "regex")))
        refuse(check, "regex", "is not used here: a system rule applies to all inbound traffic");
}

static void check_overload(struct check *check) {
    check_system(check);
    check_adaptive(check->reader, check->path, check->node, check->rule);
}

static void check_isolation(struct check *check) {
    if (check->rule->penalty)
        refuse(check, "penalty", "is not used by concurrency limits");
}

/* -------------------------------------------------------------------------------------- what compat leaves out */

static void check_compat(struct check *check) {
    static const char *const own_fields[] = {"cost",  "penalty", "canary",   "per",     "intervalSec",
                                             "burst", "ttlMs",   "recovery", "capacity"};
    if (check->rule->scope != SCOPE_PROCESS && check->rule->kind != RULE_ADAPTIVE) /* which Sentinel does not have */
        refuse(check, "scope",
               "Sentinel counts per process: with \"compat\": \"sentinel\" only \"process\" is possible");
    for (size_t i = 0; i < sizeof(own_fields) / sizeof(*own_fields); i++) {
        const cJSON *field = cJSON_GetObjectItemCaseSensitive(check->node, own_fields[i]);
        if (field && !cJSON_IsFalse(field) && check->rule->kind != RULE_GATEWAY)
            refuse(check, own_fields[i], "is not a field of Sentinel: not possible with \"compat\": \"sentinel\"");
    }
    if (is_set(check, "when"))
        refuse(check, "when", "is not Sentinel's: not possible with \"compat\": \"sentinel\"");
    if (check->rule->match == MATCH_PREFIX || check->rule->match == MATCH_GLOB)
        refuse(check, "resourceMatch",
               "Sentinel knows \"exact\" and \"regex\": nothing else is possible with \"compat\": \"sentinel\"");
    if (check->rule->match == MATCH_REGEX && check->rule->kind == RULE_FLOW && check->rule->behavior != BEHAVIOR_REJECT)
        refuse(check, "controlBehavior",
               "Sentinel cannot combine it with a regular expression: not possible with \"compat\": \"sentinel\"");
}

void rule_check(struct reader *reader, const struct path *path, const cJSON *node, struct rule_record *record) {
    static void (*const checks[RULE_KINDS])(struct check *) = {
        [RULE_FLOW] = check_flow,           [RULE_GATEWAY] = check_param, [RULE_PARAM] = check_param,
        [RULE_DEGRADE] = check_degrade,     [RULE_SYSTEM] = check_system, [RULE_ADAPTIVE] = check_overload,
        [RULE_ISOLATION] = check_isolation,
    };
    struct check check = {reader, path, node, record, &record->rule};
    struct rule *rule = &record->rule;
    if (rule->kind < RULE_SYSTEM) {
        check_resource(&check);
        check_origin(&check);
    }
    if (checks[rule->kind])
        checks[rule->kind](&check);
    bool counts = rule->kind == RULE_FLOW || rule->kind == RULE_PARAM || rule->kind == RULE_GATEWAY ||
                  rule->kind == RULE_ISOLATION;
    if (!counts && rule->cost_kind != COST_ONE)
        refuse(&check, "cost", "is only used by limits on requests (flow, isolation, paramFlow, gateway)");
    if (rule->kind == RULE_AUTHORITY && rule->penalty)
        refuse(&check, "penalty", "is not used by authority rules");
    if (rule->canary != CANARY_NONE && is_set(&check, "exceptions"))
        refuse(&check, "canary", "cannot be combined with exceptions");
    if (reader->compat)
        check_compat(&check);
}
