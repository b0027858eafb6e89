/* Hot parameters: where their values come from. */
#include <stdlib.h>
#include <string.h>

#include "rules/text/kinds.h"

enum { PARAMS_MAX = 8, FIELD_NAME_MAX = 100, PATTERN_MAX = 1000 };

static const struct word source_words[] = {{"clientIp", PARAM_CLIENT_IP},
                                           {"host", PARAM_HOST},
                                           {"header", PARAM_HEADER},
                                           {"urlParam", PARAM_URL},
                                           {"cookie", PARAM_COOKIE},
                                           {"path", PARAM_PATH},
                                           {NULL, 0}};
static const struct word param_match_words[] = {
    {"exact", PARAM_EXACT}, {"prefix", PARAM_PREFIX}, {"regex", PARAM_REGEX}, {"contains", PARAM_CONTAINS}, {NULL, 0}};

#define AT(member) offsetof(struct rule_param, member), sizeof(((struct rule_param *)0)->member)
static const struct field param_fields[] = {
    {"parseStrategy", FIELD_CODE, FIELD_REQUIRED, AT(source), 0, 0, 0, source_words, NULL},
    {"fieldName", FIELD_TEXT, FIELD_NULLABLE, AT(field), 0, FIELD_NAME_MAX, 0, NULL, NULL},
    {"pattern", FIELD_TEXT, FIELD_NULLABLE, AT(pattern), 0, PATTERN_MAX, 0, NULL, NULL},
    {"matchStrategy", FIELD_CODE, FIELD_NULLABLE, AT(match), 0, 0, 0, param_match_words, NULL},
    {"index", FIELD_INTEGER, FIELD_NULLABLE, 0, 0, 0, 1e6, 0, NULL,
     NULL}, /* Sentinel's own book-keeping, in its dumps */
    {NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL},
};

const struct field_table param_table = {"a parameter", {param_fields, NULL}};

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

/* "0" … "99" name a captured segment by position, anything else by the name in the route's {braces}. */
static bool segment_number(const char *field, uint16_t *ret_segment) {
    size_t digits = strspn(field, "0123456789");
    if (!digits || field[digits] || digits > 2)
        return false;
    *ret_segment = (uint16_t)atoi(field);
    return true;
}

static void check_param(struct reader *reader, const struct path *path, const cJSON *node, struct rule_param *param) {
    const char *field = text_of(node, "fieldName"), *pattern = text_of(node, "pattern");
    struct path at_field = {path, "fieldName", 0}, at_pattern = {path, "pattern", 0};
    static const char *const named[] = {[PARAM_HEADER] = "header",
                                        [PARAM_URL] = "URL parameter",
                                        [PARAM_COOKIE] = "cookie",
                                        [PARAM_PATH] = "segment of the path"};
    if (!reader_is_set(node, "parseStrategy"))
        return;
    if (named[param->source] && !field[0])
        reader_error(reader, &at_field, node, "required field missing: which %s?", named[param->source]);
    else if (!named[param->source] && field[0])
        reader_error(reader, &at_field, cJSON_GetObjectItemCaseSensitive(node, "fieldName"),
                     "is not used with clientIp and host; remove it, or use \"header\", \"urlParam\" or \"cookie\"");
    else if ((param->source == PARAM_HEADER && !is_token(field)) ||
             (param->source == PARAM_COOKIE && strpbrk(field, "=;, \t")))
        reader_expected(reader, &at_field, cJSON_GetObjectItemCaseSensitive(node, "fieldName"),
                        param->source == PARAM_HEADER ? "the name of a header" : "the name of a cookie");
    if (param->source == PARAM_HEADER)
        param->field = reader_add_lower(reader, field);
    if (param->source == PARAM_PATH && segment_number(field, &param->segment))
        param->field = 0;
    if (param->match == PARAM_REGEX && pattern[0])
        regex_check(reader, &at_pattern, cJSON_GetObjectItemCaseSensitive(node, "pattern"), pattern);
}

static void read_param(struct reader *reader, const struct path *path, const cJSON *node, struct rule *rule) {
    struct rule_param param = {0};
    if (!reader_object(reader, path, node, &param_table, &param))
        return;
    check_param(reader, path, node, &param);
    uint32_t at = ruleset_add_param(reader->builder, &param);
    if (!rule->params_count++)
        rule->params_first = at;
}

void read_params(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule *rule = &((struct rule_record *)record)->rule;
    if (!cJSON_IsArray(node)) {
        read_param(reader, path, node, rule);
        return;
    }
    int count = cJSON_GetArraySize(node), index = 0;
    if (count < 1 || count > PARAMS_MAX) {
        reader_expected(reader, path, node, "1 to %d parameters (they make one joint key)", PARAMS_MAX);
        return;
    }
    const cJSON *element;
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        read_param(reader, &here, element, rule);
    }
}

/* ------------------------------------------------------------------------------------------------------ lists */

void read_text_list(struct reader *reader, const struct path *path, const cJSON *node, uint32_t *ret_first,
                    uint32_t *ret_count) {
    const cJSON *element;
    int index = 0;
    if (!cJSON_IsArray(node)) {
        reader_expected(reader, path, node, "a list of strings");
        return;
    }
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        const char *text = reader_text(reader, &here, element, 1, 215);
        if (!text)
            continue;
        uint32_t at = ruleset_add_list(reader->builder, reader_add(reader, text));
        if (!(*ret_count)++)
            *ret_first = at;
    }
}
