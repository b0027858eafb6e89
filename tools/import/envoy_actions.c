/* The actions that make descriptors of Envoy. */
#include <string.h>

#include "tools/import/envoy_private.h"

/* The part of a value that a matcher asks for, as a pattern. */
static bool add_match(cJSON *param, const struct yaml_node *header) {
    static const struct {
        const char *path, *strategy;
    } matches[] = {{"exact_match", "exact"},
                   {"string_match.exact", "exact"},
                   {"prefix_match", "prefix"},
                   {"string_match.prefix", "prefix"},
                   {"contains_match", "contains"},
                   {"string_match.contains", "contains"},
                   {"safe_regex_match.regex", "regex"},
                   {"string_match.safe_regex.regex", "regex"}};
    if (yaml_is_true(header, "invert_match", false) || yaml_get(yaml_get(header, "string_match"), "ignore_case"))
        return false;
    for (size_t i = 0; i < sizeof(matches) / sizeof(*matches); i++) {
        const struct yaml_node *node = yaml_path(header, matches[i].path);
        if (!node || node->kind != YAML_SCALAR)
            continue;
        cJSON_AddStringToObject(param, "pattern", node->text);
        cJSON_AddStringToObject(param, "matchStrategy", matches[i].strategy);
        return true;
    }
    return yaml_is_true(header, "present_match", !yaml_get(header, "range_match") && !yaml_get(header, "suffix_match"));
}

static cJSON *header_param(const char *name, struct phrase *why) {
    if (strcmp(name, ":authority") == 0)
        return import_param("host", NULL);
    if (name[0] != ':' && name[0])
        return import_param("header", name);
    phrase_add(why, "rules cannot count by \"%.60s\"", name);
    return NULL;
}

static cJSON *match_param(const struct yaml_node *match, struct phrase *why) {
    const struct yaml_node *headers = yaml_get(match, "headers"), *header = headers ? headers->children : NULL;
    if (!header || header->next || !yaml_is_true(match, "expect_match", true)) {
        phrase_add(why, "rules know a match of one header, neither of several nor that one does not match");
        return NULL;
    }
    cJSON *param = header_param(yaml_text(header, "name"), why);
    if (param && add_match(param, header))
        return param;
    if (param)
        phrase_add(why, "rules know exact, prefix, contains and regular expressions, not this match of \"%.60s\"",
                   yaml_text(header, "name"));
    cJSON_Delete(param);
    return NULL;
}

static const char *or_else(const char *text, const char *otherwise) {
    return text[0] ? text : otherwise;
}

bool envoy_action(const struct yaml_node *action, const char **ret_key, const char **ret_value, cJSON **ret_param,
                  struct phrase *ret_why) {
    const struct yaml_node *kind = action->kind == YAML_MAP ? action->children : NULL;
    const char *name = kind ? kind->key : "";
    *ret_value = "";
    *ret_param = NULL;
    *ret_key = name;
    if (strcmp(name, "remote_address") == 0 || strcmp(name, "masked_remote_address") == 0) {
        *ret_param = import_param("clientIp", NULL);
    } else if (strcmp(name, "request_headers") == 0) {
        *ret_key = yaml_text(kind, "descriptor_key");
        *ret_param = header_param(yaml_text(kind, "header_name"), ret_why);
    } else if (strcmp(name, "query_parameters") == 0) {
        *ret_key = or_else(yaml_text(kind, "descriptor_key"), "query_parameters");
        *ret_param = import_param("urlParam", yaml_text(kind, "query_parameter_name"));
    } else if (strcmp(name, "generic_key") == 0) {
        *ret_key = or_else(yaml_text(kind, "descriptor_key"), "generic_key");
        *ret_value = yaml_text(kind, "descriptor_value");
    } else if (strcmp(name, "header_value_match") == 0) {
        *ret_key = or_else(yaml_text(kind, "descriptor_key"), "header_match");
        *ret_value = yaml_text(kind, "descriptor_value");
        *ret_param = match_param(kind, ret_why);
    } else if (strcmp(name, "destination_cluster") != 0 && strcmp(name, "source_cluster") != 0) {
        phrase_add(ret_why, "rules do not know the action \"%.60s\"", name);
    }
    return !ret_why->length;
}
