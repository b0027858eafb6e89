/* One rule of Sentinel for Java, in each of its kinds, as weir writes it: words for numbers, nothing that is the
 * default. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/bare.h"
#include "tools/import/sentinel_private.h"

struct converter { /* one rule on its way */
    const struct sentinel *here;
    const cJSON *element, *rule; /* the rule within the dashboard's envelope, or the element itself */
    cJSON *to;
    unsigned line;
    const char *name; /* for messages */
    bool cancelled;   /* it cannot be carried over, and that was said */
};

/* ------------------------------------------------------------------------------------------------------- values */

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = sentinel_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

static double number_of(const cJSON *object, const char *key, double missing) {
    const cJSON *node = sentinel_get(object, key);
    return cJSON_IsNumber(node) ? node->valuedouble : missing;
}

static void copy_as(const cJSON *from, const char *key, cJSON *to, const char *as) {
    const cJSON *node = sentinel_get(from, key);
    if (node && !(cJSON_IsString(node) && !node->valuestring[0]))
        cJSON_AddItemToObject(to, as, cJSON_Duplicate(node, true));
}

static void copy(struct converter *c, const char *key) {
    copy_as(c->rule, key, c->to, key);
}

/* The number as its word; the first one is the default and left out, unless `always`.  What is no number of these is
 * taken as it is, for the check to judge. */
static void word(const cJSON *from, const char *key, cJSON *to, const char *const *words, bool always) {
    const cJSON *node = sentinel_get(from, key);
    int count = 0;
    while (words[count])
        count++;
    if (cJSON_IsNumber(node) && node->valuedouble >= 0 && node->valuedouble < count &&
        floor(node->valuedouble) == node->valuedouble) {
        int number = (int)node->valuedouble;
        if (number || always)
            cJSON_AddStringToObject(to, key, words[number]);
    } else if (node && !(cJSON_IsString(node) && !always && strcmp(node->valuestring, words[0]) == 0)) {
        cJSON_AddItemToObject(to, key, cJSON_Duplicate(node, true));
    }
}

static const char *const grades[] = {"thread", "qps", NULL};
static const char *const behaviors[] = {"reject", "warmUp", "queue", "warmUpQueue", NULL};

/* What is limited: requests per second unless it says otherwise. */
static void grade(struct converter *c) {
    if (number_of(c->rule, "grade", 1) != 1)
        word(c->rule, "grade", c->to, grades, true);
}

/* How, with the times that belong to that and not with those that do not. */
static bool behavior_is(const struct converter *c, int number, const char *name) {
    return number_of(c->rule, "controlBehavior", 0) == number || strcmp(text_of(c->rule, "controlBehavior"), name) == 0;
}

static void behavior(struct converter *c, const char *queueing_time) {
    word(c->rule, "controlBehavior", c->to, behaviors, false);
    if (behavior_is(c, 1, "warmUp") || behavior_is(c, 3, "warmUpQueue"))
        copy(c, "warmUpPeriodSec");
    if (behavior_is(c, 2, "queue") || behavior_is(c, 3, "warmUpQueue"))
        copy(c, queueing_time);
}

/* Sentinel's threshold is one machine's. */
static void scope(struct converter *c) {
    if (!import_compat(c->here->import) && !sentinel_get(c->to, "scope"))
        cJSON_AddStringToObject(c->to, "scope", "app");
}

/* Limits that hosts share.  Said, and the rule holds for each host. */
static void cluster(struct converter *c) {
    const cJSON *config = sentinel_get(c->rule, "clusterConfig");
    if (!cJSON_IsTrue(sentinel_get(c->rule, "clusterMode")))
        return;
    if (number_of(config, "thresholdType", 0) == 1)
        import_left_out(c->here->import, c->here->path, c->line, c->name,
                        "clusterMode: limits that hosts share are not in force yet; the rule holds for each host, and "
                        "its count is that of all hosts together: divide it by their number");
    else
        import_left_out(c->here->import, c->here->path, c->line, c->name,
                        "clusterMode: limits that hosts share are not in force yet; the rule holds for each host");
}

/* -------------------------------------------------------------------------------------------------------- kinds */

static void limit_app(struct converter *c) {
    const char *app = text_of(c->rule, "limitApp");
    if (app[0] && strcmp(app, "default") != 0)
        cJSON_AddStringToObject(c->to, "limitApp", app);
}

static void convert_flow(struct converter *c) {
    static const char *const strategies[] = {"direct", "relate", "chain", NULL};
    limit_app(c);
    grade(c);
    copy(c, "count");
    word(c->rule, "strategy", c->to, strategies, false);
    if (sentinel_get(c->to, "strategy"))
        copy(c, "refResource");
    if (!sentinel_get(c->to, "grade"))
        behavior(c, "maxQueueingTimeMs");
    scope(c);
    cluster(c);
}

static void convert_isolation(struct converter *c) {
    limit_app(c);
    copy(c, "count");
    scope(c);
}

/* weir's circuits look at a second or more; Sentinel's own behaviour knows shorter windows. */
static void settle_interval(struct converter *c) {
    double ms = number_of(c->rule, "statIntervalMs", 1000);
    if (ms >= 1000 || ms < 1 || import_compat(c->here->import))
        return;
    import_warning(c->here->import, c->here->path, c->line, c->name,
                   "statIntervalMs %.15g becomes 1000: circuits look at one second or more", ms);
    cJSON_ReplaceItemInObjectCaseSensitive(c->to, "statIntervalMs", cJSON_CreateNumber(1000));
}

static void convert_degrade(struct converter *c) {
    static const char *const conditions[] = {"slow", "errorRatio", "errorCount", NULL};
    limit_app(c);
    word(c->rule, "grade", c->to, conditions, true);
    copy(c, "count");
    copy(c, "timeWindow");
    if (number_of(c->rule, "grade", 0) == 0)
        copy(c, "slowRatioThreshold");
    copy(c, "minRequestAmount");
    copy(c, "statIntervalMs");
    settle_interval(c);
}

static void convert_authority(struct converter *c) {
    static const char *const lists[] = {"white", "black", NULL};
    copy(c, "limitApp");
    word(c->rule, "strategy", c->to, lists, true);
}

static void convert_system(struct converter *c) {
    static const char *const limits[] = {"highestSystemLoad", "highestCpuUsage", "qps", "avgRt", "maxThread"};
    bool any = false;
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        if (number_of(c->rule, limits[i], -1) < 0)
            continue;
        copy(c, limits[i]);
        any = true;
    }
    c->cancelled = !any; /* nothing is limited */
}

/* In a request everything is text: Java's types would keep values from being met. */
static void copy_items(struct converter *c) {
    const cJSON *list = sentinel_get(c->rule, "paramFlowItemList"), *item;
    if (!cJSON_GetArraySize(list))
        return;
    cJSON *items = cJSON_AddArrayToObject(c->to, "paramFlowItemList");
    cJSON_ArrayForEach(item, list) {
        cJSON *one = cJSON_Duplicate(item, true);
        cJSON_DeleteItemFromObjectCaseSensitive(one, "classType");
        cJSON_AddItemToArray(items, one);
    }
}

/* Which part of a request counts, as gateway rules say it. */
static void copy_param_item(struct converter *c, const char *as) {
    static const char *const sources[] = {"clientIp", "host", "header", "urlParam", "cookie", NULL};
    static const char *const matches[] = {"exact", "prefix", "regex", "contains", NULL};
    const cJSON *from = sentinel_get(c->rule, "paramItem");
    cJSON *item = cJSON_IsObject(from) ? cJSON_AddObjectToObject(c->to, as) : NULL;
    if (!item)
        return;
    word(from, "parseStrategy", item, sources, true);
    if (number_of(from, "parseStrategy", 2) >= 2)
        copy_as(from, "fieldName", item, "fieldName");
    copy_as(from, "pattern", item, "pattern");
    if (sentinel_get(item, "pattern"))
        word(from, "matchStrategy", item, matches, false);
}

static void convert_param(struct converter *c) {
    if (!sentinel_get(c->rule, "param") && !sentinel_get(c->rule, "paramItem")) {
        import_left_out(c->here->import, c->here->path, c->line, c->name,
                        "paramIdx %.0f is an argument of a method, which a request does not show; say which part "
                        "of the request it is, as in \"param\": {\"parseStrategy\": \"urlParam\", \"fieldName\": "
                        "\"NAME\"} (or clientIp, header, cookie, path), with count %.15g",
                        number_of(c->rule, "paramIdx", 0), number_of(c->rule, "count", 0));
        c->cancelled = true;
        return;
    }
    limit_app(c);
    grade(c);
    copy(c, "count");
    copy(c, "param");
    copy_param_item(c, "param");
    copy(c, "durationInSec");
    if (number_of(c->rule, "burstCount", 0) > 0)
        copy(c, "burstCount");
    behavior(c, "maxQueueingTimeMs");
    copy_items(c);
    scope(c);
    cluster(c);
}

/* The dashboard has an interval and its unit: seconds, minutes, hours, days. */
static void copy_interval(struct converter *c) {
    static const int seconds[] = {1, 60, 3600, 86400};
    double unit = number_of(c->rule, "intervalUnit", 0), count = number_of(c->rule, "interval", 0);
    if (count > 0 && unit >= 0 && unit < 4)
        cJSON_AddNumberToObject(c->to, "intervalSec", count * seconds[(int)unit]);
    else
        copy(c, "intervalSec");
}

static void convert_gateway(struct converter *c) {
    static const char *const modes[] = {"route", "api", NULL};
    word(c->rule, "resourceMode", c->to, modes, false);
    grade(c);
    copy(c, "count");
    copy_interval(c);
    if (number_of(c->rule, "burst", 0) > 0)
        copy(c, "burst");
    behavior(c, "maxQueueingTimeoutMs");
    copy_param_item(c, "paramItem");
    scope(c);
}

/* {apiName, predicateItems}: a group of routes. */
static void convert_api(struct converter *c) {
    static const char *const matches[] = {"exact", "prefix", "regex", NULL};
    const cJSON *item;
    cJSON_AddStringToObject(c->to, "kind", "api");
    copy_as(c->rule, "apiName", c->to, "name");
    cJSON *items = cJSON_AddArrayToObject(c->to, "predicateItems");
    cJSON_ArrayForEach(item, sentinel_get(c->rule, "predicateItems")) {
        cJSON *one = cJSON_CreateObject();
        copy_as(item, "pattern", one, "pattern");
        word(item, "matchStrategy", one, matches, false);
        cJSON_AddItemToArray(items, one);
    }
}

/* ------------------------------------------------------------------------------------------------------- tables */

#define ALWAYS SENTINEL_OWN, "resource", "limitApp", "regex", "rule", "clusterMode", "clusterConfig"
static const struct kind_row {
    const char *kind, *section;
    void (*convert)(struct converter *);
    const char *known[32]; /* fields that are looked at, or that say nothing */
} rows[] = {
    {"flow",
     "flow",
     convert_flow,
     {ALWAYS, "grade", "count", "strategy", "refResource", "controlBehavior", "warmUpPeriodSec", "maxQueueingTimeMs"}},
    {"isolation", "isolation", convert_isolation, {ALWAYS, "count", "grade"}},
    {"degrade",
     "degrade",
     convert_degrade,
     {ALWAYS, "grade", "count", "timeWindow", "minRequestAmount", "slowRatioThreshold", "statIntervalMs",
      "rtSlowRequestAmount", "passCount", "cut"}},
    {"authority", "authority", convert_authority, {ALWAYS, "strategy"}},
    {"system", "system", convert_system, {ALWAYS, "highestSystemLoad", "highestCpuUsage", "qps", "avgRt", "maxThread"}},
    {"paramFlow",
     "paramFlow",
     convert_param,
     {ALWAYS, "grade", "count", "paramIdx", "paramKey", "param", "paramItem", "durationInSec", "burstCount",
      "controlBehavior", "maxQueueingTimeMs", "paramFlowItemList"}},
    {"gateway",
     "gateway",
     convert_gateway,
     {ALWAYS, "resourceMode", "grade", "count", "intervalSec", "interval", "intervalUnit", "controlBehavior", "burst",
      "maxQueueingTimeoutMs", "paramItem"}},
    {"api", "resources", convert_api, {"apiName", "predicateItems"}},
};
enum { ROWS = sizeof(rows) / sizeof(*rows) };

static void note_unknown(const struct converter *c, const struct kind_row *row, const cJSON *object) {
    const cJSON *member;
    cJSON_ArrayForEach(member, object) {
        bool known = bare_is_dashboard_field(member->string) || cJSON_IsNull(member);
        for (size_t i = 0; row->known[i] && !known; i++)
            known = strcmp(row->known[i], member->string) == 0;
        if (!known)
            import_left_out(c->here->import, c->here->path, sentinel_line(c->here, member), c->name,
                            "%s: no field of a %s rule of Sentinel", member->string, row->kind);
    }
}

/* A number as written, since a double does not hold every 64-bit id; not one that another rule has. */
static void copy_id(struct converter *c, const char *section) {
    const cJSON *id = sentinel_get(c->rule, "id");
    char text[32];
    id = id ? id : sentinel_get(c->element, "id");
    if (cJSON_IsString(id) && id->valuestring[0] && !import_has_id(c->here->import, section, id->valuestring))
        cJSON_AddStringToObject(c->to, "id", id->valuestring);
    if (!cJSON_IsNumber(id) || id->valuedouble <= 0 || floor(id->valuedouble) != id->valuedouble)
        return;
    const struct json_place *place = &c->here->document->places[id->valueint];
    snprintf(text, sizeof(text), "%.*s", (int)(place->end - place->value), c->here->document->text + place->value);
    if (strspn(text, "0123456789") == strlen(text) && !import_has_id(c->here->import, section, text))
        cJSON_AddRawToObject(c->to, "id", text);
}

static void add(struct converter *c, const struct kind_row *row) {
    struct import *import = c->here->import;
    if (strcmp(row->section, "resources") == 0) {
        import_resource(import, c->here->path, c->line, NULL, c->to);
        return;
    }
    if (import_has_same(import, row->section, c->to)) { /* as another machine of the app has it, too */
        cJSON_Delete(c->to);
        return;
    }
    copy_id(c, row->section);
    import_rule(import, row->section, c->here->path, c->line, NULL, c->to);
}

static void copy_own(struct converter *c) {
    const cJSON *member;
    cJSON_ArrayForEach(member, sentinel_get(c->rule, SENTINEL_OWN)) {
        cJSON_DeleteItemFromObjectCaseSensitive(c->to, member->string);
        cJSON_AddItemToObject(c->to, member->string, cJSON_Duplicate(member, true));
    }
}

/* A path with a query, or a fragment: neither is part of a request's path. */
static bool is_no_path(const struct converter *c) {
    const char *name = text_of(c->rule, "resource"), *question = strchr(name, '?');
    enum sentinel_name kind = sentinel_name_kind(name);
    return (kind == SENTINEL_PATH || kind == SENTINEL_METHOD_PATH) && !cJSON_IsTrue(sentinel_get(c->rule, "regex")) &&
           (strchr(name, '#') || (question && strchr(question, '=')));
}

static void leave_out_no_path(struct converter *c) {
    if (c->cancelled || !is_no_path(c))
        return;
    import_left_out(c->here->import, c->here->path, c->line, c->name,
                    "no request has this name: a path ends before '?' and '#'; make a rule about the path alone, and "
                    "of what follows '?' a paramFlow rule (urlParam)");
    c->cancelled = true;
}

static void convert(struct converter *c, const struct kind_row *row) {
    c->to = cJSON_CreateObject();
    copy(c, "resource");
    if (cJSON_IsTrue(sentinel_get(c->rule, "regex")))
        cJSON_AddStringToObject(c->to, "resourceMatch", "regex");
    row->convert(c);
    copy_own(c);
    note_unknown(c, row, c->rule);
    if (c->rule != c->element)
        note_unknown(c, row, c->element);
    leave_out_no_path(c);
    if (c->cancelled)
        cJSON_Delete(c->to);
    else
        add(c, row);
}

void sentinel_rule(const struct sentinel *here, const char *kind, const cJSON *element) {
    const cJSON *inner = sentinel_get(element, "rule");
    struct converter c = {.here = here, .element = element, .rule = cJSON_IsObject(inner) ? inner : element};
    c.line = sentinel_line(here, element);
    c.name = text_of(c.rule, "resource");
    c.name = c.name[0] ? c.name : text_of(c.rule, "apiName");
    c.name = c.name[0] ? c.name : kind;
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].kind, kind) == 0)
            convert(&c, &rows[i]);
}
