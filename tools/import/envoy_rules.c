/* Descriptors and token buckets of Envoy as rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/envoy_private.h"

/* -------------------------------------------------------------------------------------------------- local limits */

/* "60s", "0.5s", { seconds: 1 } */
static double seconds_of(const struct yaml_node *node) {
    double seconds = 0, nanos = 0;
    char *end;
    if (node && node->kind == YAML_MAP) {
        yaml_number(yaml_get(node, "nanos"), &nanos);
        return yaml_number(yaml_get(node, "seconds"), &seconds) || nanos > 0 ? seconds + nanos / 1e9 : -1;
    }
    seconds = node ? strtod(node->text, &end) : -1;
    return node && strcmp(end, "s") == 0 ? seconds : -1;
}

/* In percent; negative: it is not said. */
static double percent(const struct yaml_node *fraction) {
    const struct yaml_node *value = yaml_get(fraction, "default_value");
    const char *of = yaml_text(value, "denominator");
    double numerator = 0;
    if (!value || (yaml_get(value, "numerator") && !yaml_number(yaml_get(value, "numerator"), &numerator)))
        return -1;
    return strcmp(of, "MILLION") == 0 ? numerator / 1e4 : strcmp(of, "TEN_THOUSAND") == 0 ? numerator / 100 : numerator;
}

static const char *mode_of(const struct yaml_node *config, struct phrase *text) {
    double enabled = percent(yaml_get(config, "filter_enabled")),
           enforced = percent(yaml_get(config, "filter_enforced"));
    if (strstr(yaml_text(config, "@type"), "network."))
        return NULL;
    if (enabled <= 0)
        phrase_add(text, " filter_enabled is 0 %%: Envoy does nothing.");
    else if (enforced <= 0)
        phrase_add(text, " filter_enforced is 0 %%: Envoy only counts.");
    else if (enabled < 100 || enforced < 100)
        phrase_add(
            text, " Envoy enforces it for a part of the requests: set \"mode\" to enforce when it is to hold for all.");
    return enabled <= 0 ? "off" : enabled < 100 || enforced < 100 ? "simulate" : NULL;
}

static void add_status(struct envoy *envoy, const char *file, const struct yaml_node *config, cJSON *rule) {
    double status;
    char name[40];
    if (!yaml_number(yaml_path(config, "status.code"), &status) || status < 400 || status > 599 || status == 429)
        return;
    snprintf(name, sizeof(name), "envoy-%d", (int)status);
    import_status(envoy->import, file, yaml_get(config, "status")->line, name, (int)status, false, 0);
    cJSON_AddStringToObject(rule, "blockAction", name);
}

void envoy_local(struct envoy *envoy, const char *file, const struct yaml_node *config, const char *resource) {
    const struct yaml_node *bucket = yaml_get(config, "token_bucket"), *descriptors = yaml_get(config, "descriptors");
    double most, fill = 1, seconds = seconds_of(yaml_get(bucket, "fill_interval"));
    struct phrase text = {0};
    bool tcp = phrase_begins(resource, "tcp:");
    if (!yaml_number(yaml_get(bucket, "max_tokens"), &most) || seconds < 0.001 || most < 1 ||
        (yaml_get(bucket, "tokens_per_fill") && !yaml_number(yaml_get(bucket, "tokens_per_fill"), &fill)) ||
        fill <= 0) {
        import_error(envoy->import, file, bucket->line, bucket->column,
                     "expected a token_bucket of max_tokens, tokens_per_fill and a fill_interval such as 1s");
        return;
    }
    phrase_add(&text, "token_bucket of %.9g, %.9g more in %.9g s; in Envoy for each of its processes.", most, fill,
               seconds);
    if (descriptors)
        import_left_out(envoy->import, file, descriptors->line, "descriptors",
                        "of local limits: give a rule about the value of each (param), with its own count");
    cJSON *rule = cJSON_CreateObject();
    const char *mode = mode_of(config, &text);
    import_id(envoy->import, "flow", rule, resource);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddNumberToObject(rule, "count", fill);
    if (seconds != 1)
        cJSON_AddNumberToObject(rule, "intervalSec", seconds);
    cJSON_AddStringToObject(rule, "controlBehavior", "queue");
    cJSON_AddNumberToObject(rule, "burst", most - 1);
    cJSON_AddNumberToObject(rule, "maxQueueingTimeMs", 0);
    if (mode)
        cJSON_AddStringToObject(rule, "mode", mode);
    if (!tcp)
        add_status(envoy, file, config, rule);
    import_rule(envoy->import, "flow", file, bucket->line, text.bytes, rule);
}

/* --------------------------------------------------------------------------------------------------- descriptors */

struct limit { /* what a leaf says */
    double count, seconds;
    const char *per; /* NULL: in seconds */
    bool unlimited;
};

static bool read_limit(struct envoy *envoy, const struct envoy_leaf *leaf, struct limit *ret_limit) {
    static const struct {
        const char *unit, *per;
        double seconds;
    } units[] = {{"second", "second", 1}, {"minute", "minute", 60}, {"hour", "hour", 3600},  {"day", "day", 86400},
                 {"week", NULL, 604800},  {"month", NULL, 2592000}, {"year", NULL, 31536000}};
    const struct yaml_node *node = yaml_get(leaf->node, "rate_limit");
    *ret_limit = (struct limit){.unlimited = yaml_is_true(node, "unlimited", false)};
    if (ret_limit->unlimited)
        return true;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (strcasecmp(units[i].unit, yaml_text(node, "unit")) == 0) {
            ret_limit->seconds = units[i].seconds;
            ret_limit->per = units[i].per;
        }
    if (ret_limit->seconds > 0 && yaml_number(yaml_get(node, "requests_per_unit"), &ret_limit->count))
        return true;
    import_error(envoy->import, leaf->file, node->line, node->column,
                 "expected a unit (second, minute, hour, day) and requests_per_unit");
    return false;
}

/* Is it the same descriptor but for the last value, which `other` has? */
static bool is_value_of(const struct envoy_leaf *other, const struct envoy_leaf *leaf) {
    if (other == leaf || other->count != leaf->count || !other->entries[other->count - 1].value[0])
        return false;
    for (size_t i = 0; i < leaf->count; i++)
        if (strcmp(other->entries[i].key, leaf->entries[i].key) != 0 ||
            (i + 1 < leaf->count && strcmp(other->entries[i].value, leaf->entries[i].value) != 0))
            return false;
    return true;
}

/* Values with limits of their own, brought to this leaf's unit. */
static void add_values(struct envoy *envoy, const struct envoy_leaf *leaf, const struct limit *limit, cJSON *rule) {
    cJSON *items = cJSON_CreateArray();
    for (size_t i = 0; i < envoy->leaves_count; i++) {
        struct envoy_leaf *other = &envoy->leaves[i];
        struct limit their;
        if (!is_value_of(other, leaf) || !read_limit(envoy, other, &their))
            continue;
        cJSON *value = cJSON_CreateArray();
        cJSON_AddItemToArray(value, cJSON_CreateString(other->entries[other->count - 1].value));
        import_items(items, value, their.unlimited ? IMPORT_UNLIMITED : their.count * limit->seconds / their.seconds);
        cJSON_Delete(value);
        other->used = true;
    }
    if (cJSON_GetArraySize(items))
        cJSON_AddItemToObject(rule, "paramFlowItemList", items);
    else
        cJSON_Delete(items);
}

/* Has the last value a rule, of which this one is an item? */
static bool is_item(const struct envoy *envoy, const struct envoy_leaf *leaf) {
    for (size_t i = 0; i < envoy->leaves_count; i++)
        if (!envoy->leaves[i].entries[envoy->leaves[i].count - 1].value[0] && is_value_of(leaf, &envoy->leaves[i]))
            return true;
    return false;
}

struct match { /* of a leaf with actions */
    cJSON *params;
    bool last; /* the last entry is the only parameter */
    struct phrase why;
};

static bool matches(const struct envoy_leaf *leaf, const struct envoy_use *use, struct match *match) {
    const struct yaml_node *actions = yaml_get(use->node, "actions"), *action = actions ? actions->children : NULL;
    size_t at = 0;
    bool fits = action != NULL;
    for (; action && fits; action = action->next, at++) {
        const char *key, *value;
        cJSON *param;
        struct phrase why = {0};
        bool known = envoy_action(action, &key, &value, &param, &why);
        const struct envoy_entry *entry = at < leaf->count ? &leaf->entries[at] : NULL;
        fits = entry && strcmp(entry->key, key) == 0 &&
               (!value[0] || !entry->value[0] || strcmp(entry->value, value) == 0);
        if (fits && !known)
            phrase_add(&match->why, "%s", why.bytes);
        if (!fits || !param) {
            cJSON_Delete(param);
            continue;
        }
        if (!value[0] && entry->value[0] && !cJSON_GetObjectItemCaseSensitive(param, "pattern"))
            cJSON_AddStringToObject(param, "pattern", entry->value);
        match->last = cJSON_GetArraySize(match->params) == 0 && at + 1 == leaf->count && !value[0];
        cJSON_AddItemToArray(match->params, param);
    }
    return fits && at == leaf->count;
}

static void describe(const struct envoy_leaf *leaf, const struct limit *limit, struct phrase *text) {
    for (size_t i = 0; i < leaf->count; i++)
        phrase_add(text, "%s%.60s%s%.60s", i ? ", " : "descriptor ", leaf->entries[i].key,
                   leaf->entries[i].value[0] ? "=" : "", leaf->entries[i].value);
    phrase_add(text, ": %.9g in %.9g s. Envoy counts in fixed windows, for all hosts together.", limit->count,
               limit->seconds);
}

static void make_rule(struct envoy *envoy, struct envoy_leaf *leaf, const struct limit *limit,
                      const struct match *match, const char *resource, bool apart) {
    int params = cJSON_GetArraySize(match->params);
    const char *section = params ? "paramFlow" : "flow";
    cJSON *rule = cJSON_CreateObject();
    struct phrase id = {0}, text = {0};
    phrase_add(&id, "%.40s %.45s", leaf->entries[leaf->count - 1].key, resource);
    import_id(envoy->import, section, rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddNumberToObject(rule, "count", limit->count);
    if (limit->per)
        cJSON_AddStringToObject(rule, "per", limit->per);
    else
        cJSON_AddNumberToObject(rule, params ? "durationInSec" : "intervalSec", limit->seconds);
    cJSON_AddStringToObject(rule, "scope", "app");
    if (params)
        cJSON_AddItemToObject(rule, "param", cJSON_Duplicate(params == 1 ? match->params->child : match->params, true));
    if (params && limit->seconds > IMPORT_SHORT_SECONDS)
        cJSON_AddNumberToObject(rule, "capacity", IMPORT_CAPACITY);
    if (match->last && !leaf->entries[leaf->count - 1].value[0])
        add_values(envoy, leaf, limit, rule);
    if (yaml_is_true(leaf->node, "shadow_mode", false))
        cJSON_AddStringToObject(rule, "mode", "simulate");
    const cJSON *param;
    cJSON_ArrayForEach(param, match->params)
        envoy->client |= strcmp(cJSON_GetObjectItemCaseSensitive(param, "parseStrategy")->valuestring, "clientIp") == 0;
    describe(leaf, limit, &text);
    phrase_add(&text, "%s", apart ? " Each route and host counts on its own." : "");
    import_rule(envoy->import, section, leaf->file, yaml_get(leaf->node, "rate_limit")->line, text.bytes, rule);
    leaf->used = true;
}

static void left_out(struct envoy *envoy, struct envoy_leaf *leaf, const char *why) {
    import_left_out(envoy->import, leaf->file, leaf->node->line, leaf->entries[leaf->count - 1].key, "%s", why);
    leaf->used = true;
}

/* Without Envoy's own configuration only the address is known for what it is. */
static void make_alone(struct envoy *envoy, struct envoy_leaf *leaf, const struct limit *limit) {
    struct match match = {.params = cJSON_CreateArray(), .last = true};
    if (leaf->count != 1 || strcmp(leaf->entries[0].key, "remote_address") != 0) {
        left_out(
            envoy, leaf,
            "which requests have this descriptor, Envoy's own configuration says: import it together with this file");
    } else {
        cJSON *param = import_param("clientIp", NULL), *value = cJSON_CreateObject(), *items = cJSON_CreateArray();
        if (leaf->entries[0].value[0])
            cJSON_AddStringToObject(param, "pattern", leaf->entries[0].value);
        cJSON_AddItemToArray(match.params, param);
        cJSON_AddItemToArray(items, import_pattern("/**", "glob"));
        cJSON_AddStringToObject(value, "kind", "api");
        cJSON_AddItemToObject(value, "predicateItems", items);
        const char *name = import_name(envoy->names, envoy->import, leaf->file, leaf->node->line, "all requests",
                                       value);
        if (name)
            make_rule(envoy, leaf, limit, &match, name, false);
        cJSON_Delete(value);
    }
    cJSON_Delete(match.params);
}

static void make_leaf(struct envoy *envoy, struct envoy_leaf *leaf) {
    struct limit limit;
    bool found = false;
    if (is_item(envoy, leaf) || !read_limit(envoy, leaf, &limit))
        return;
    if (limit.unlimited) {
        leaf->used = true; /* nothing to limit, and nothing that would */
        return;
    }
    if (!envoy->has_routes) {
        make_alone(envoy, leaf, &limit);
        return;
    }
    for (size_t i = 0; i < envoy->uses_count; i++) {
        struct match match = {.params = cJSON_CreateArray()};
        bool fits = matches(leaf, &envoy->uses[i], &match);
        if (fits && match.why.length)
            left_out(envoy, leaf, match.why.bytes);
        else if (fits)
            make_rule(envoy, leaf, &limit, &match, envoy->uses[i].resource, envoy->uses[i].apart);
        found |= fits;
        cJSON_Delete(match.params);
    }
    if (!found)
        left_out(envoy, leaf, "no route has actions that make this descriptor");
}

void envoy_descriptors(struct envoy *envoy) {
    for (size_t i = 0; i < envoy->leaves_count; i++)
        make_leaf(envoy, &envoy->leaves[i]);
    for (size_t i = 0; i < envoy->leaves_count; i++)
        if (!envoy->leaves[i].used && is_item(envoy, &envoy->leaves[i]))
            left_out(envoy, &envoy->leaves[i],
                     "a value among others of a joint key: give a rule of its own, with a pattern");
}
