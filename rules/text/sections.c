/* The parts of a rules file other than rules and resources: block actions, options, and which processes the app is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/kinds.h"
#include "rules/layout.h"

void read_each(struct reader *reader, const struct path *path, const cJSON *node,
               void (*read)(struct reader *, const struct path *, const cJSON *)) {
    const cJSON *element;
    int index = 0;
    if (!cJSON_IsArray(node)) {
        reader_expected(reader, path, node, "an array […]");
        return;
    }
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        read(reader, &here, element);
    }
}

void define_name(struct reader *reader, const struct path *path, const cJSON *node, const char *key, int space,
                 uint32_t number) {
    struct place_text first;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(node, key);
    struct path here = {path, key, 0};
    if (cJSON_IsString(name) && !join_define(reader, space, name->valuestring, name, number, &first))
        reader_error(reader, &here, name, "this name is already taken: %s:%u:%u", first.file, first.line, first.column);
}

/* ------------------------------------------------------------------------------------------------ block actions */

enum { ACTION_BODY_MAX = 1000, ACTION_HEADERS_MAX = 500 }; /* an injected response is at most 2 KiB */

bool is_token(const char *text) {
    return text[0] && strspn(text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
                          strlen(text);
}

/* Headers that an injected response has already; a second one could break its framing. */
static bool is_reserved_header(const char *name) {
    static const char *const reserved[] = {"content-length", "transfer-encoding", "connection",
                                           "date",           "content-type",      "location",
                                           "retry-after",    "content-encoding",  "x-weir-id"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static void read_headers(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct ruleset_block_action *action = record;
    char lines[ACTION_HEADERS_MAX + 1] = "";
    size_t length = 0;
    const cJSON *header;
    if (!cJSON_IsObject(node)) {
        reader_expected(reader, path, node, "an object of headers {\"Name\": \"value\"}");
        return;
    }
    cJSON_ArrayForEach(header, node) {
        struct path here = {path, header->string, 0};
        const char *value = reader_text(reader, &here, header, 0, ACTION_HEADERS_MAX);
        if (!is_token(header->string))
            reader_error_at_key(reader, &here, header, "expected the name of a header");
        else if (is_reserved_header(header->string))
            reader_error_at_key(reader, &here, header, "is set by weir itself (there are contentType and redirect)");
        else if (value && length + strlen(header->string) + strlen(value) + 4 > ACTION_HEADERS_MAX) {
            reader_error(reader, path, node, "expected headers of at most %d bytes in all", ACTION_HEADERS_MAX);
            return;
        } else if (value) {
            length += (size_t)sprintf(lines + length, "%s: %s\r\n", header->string, value);
        }
    }
    action->headers = reader_add(reader, lines);
}

/* A {word} that resembles a template is a typo; any other braces belong to the body. */
static void check_template(struct reader *reader, const struct path *path, const cJSON *node, const char *text) {
    static const char *const words[] = {"resource", "rule", "reason", "retryAfter", "origin", "traceId", "id"};
    enum { WORDS = sizeof(words) / sizeof(*words) };
    for (const char *at = strchr(text, '{'); at; at = strchr(at + 1, '{')) {
        size_t length = strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        char word[24];
        if (length == 0 || length >= sizeof(word) || at[length + 1] != '}')
            continue;
        snprintf(word, sizeof(word), "%.*s", (int)length, at + 1);
        const char *near = text_nearest(word, words, WORDS);
        if (near && strcmp(near, word) != 0)
            reader_error(reader, path, node, "unknown template {%s}; did you mean {%s}?", word, near);
    }
}

static void read_body(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsString(node) || strlen(node->valuestring) > ACTION_BODY_MAX) {
        reader_expected(reader, path, node, "a string of at most %d bytes", ACTION_BODY_MAX);
        return;
    }
    check_template(reader, path, node, node->valuestring);
    ((struct ruleset_block_action *)record)->body = reader_add(reader, node->valuestring);
}

static void read_redirect(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *text = reader_text(reader, path, node, 1, 300);
    if (!text)
        return;
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0 && text[0] != '/') {
        reader_expected(reader, path, node, "an address: http://…, https://… or /…");
        return;
    }
    if (strchr(text, ' '))
        reader_expected(reader, path, node, "an address without spaces");
    check_template(reader, path, node, text);
    ((struct ruleset_block_action *)record)->redirect = reader_add(reader, text);
}

static const struct word errno_words[] = {{"ECONNREFUSED", ECONNREFUSED},
                                          {"ECONNRESET", ECONNRESET},
                                          {"ECONNABORTED", ECONNABORTED},
                                          {"ETIMEDOUT", ETIMEDOUT},
                                          {"EHOSTUNREACH", EHOSTUNREACH},
                                          {"ENETUNREACH", ENETUNREACH},
                                          {"EACCES", EACCES},
                                          {"EPERM", EPERM},
                                          {NULL, 0}};

static void read_errno(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int number = reader_word(reader, path, node, errno_words, false);
    if (number >= 0)
        ((struct ruleset_block_action *)record)->error_number = (uint32_t)number;
}

#define ACTION(name, type, flags, member, min, max)                                                                    \
    FIELD(ruleset_block_action, name, type, flags, member, min, max, 0, NULL, NULL)
static const struct field action_fields[] = {
    ACTION("name", FIELD_TEXT, FIELD_REQUIRED, name, 1, 100),
    ACTION("status", FIELD_INTEGER, 0, status, 200, 599),
    {"headers", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_headers},
    {"body", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_body},
    ACTION("contentType", FIELD_TEXT, 0, content_type, 1, 100),
    ACTION("delayMs", FIELD_INTEGER, 0, delay_ms, 0, 600000),
    {"redirect", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_redirect},
    {"errno", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, errno_words, read_errno},
    ACTION("close", FIELD_BOOLEAN, 0, close, 0, 0),
    FIELD_END,
};

const struct field_table action_table = {"a block action", {action_fields, NULL}};

static void read_action(struct reader *reader, const struct path *path, const cJSON *node) {
    struct ruleset_block_action action = {0};
    struct path at_status = {path, "status", 0}, at_body = {path, "body", 0};
    if (!reader_object(reader, path, node, &action_table, &action))
        return;
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(node, "status");
    if (action.redirect && action.status && (action.status < 300 || action.status > 399))
        reader_error(reader, &at_status, status, "contradicts redirect: expected 301, 302, 303, 307 or 308");
    if (action.redirect && !action.status)
        action.status = 302;
    if (action.body && (action.status == 204 || action.status == 304))
        reader_error(reader, &at_body, cJSON_GetObjectItemCaseSensitive(node, "body"),
                     "a response with status %u has no body", action.status);
    uint32_t index = ruleset_add_action(reader->builder, &action);
    define_name(reader, path, node, "name", NAME_ACTION, index + 1);
    if (action.error_number)
        define_name(reader, path, node, "name", NAME_ERRNO, action.error_number);
}

void read_actions(struct reader *reader, const struct path *path, const cJSON *node) {
    read_each(reader, path, node, read_action);
}

/* ---------------------------------------------------------------------------------------------------- options */

static const struct word compat_words[] = {{"off", 0}, {"sentinel", 1}, {NULL, 0}};

static void read_compat(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int compat = reader_word(reader, path, node, compat_words, false);
    if (compat >= 0)
        ((struct ruleset_options *)record)->compat_sentinel = (uint8_t)compat;
    reader->compat |= compat == 1;
}

static void read_mark(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsBool(node))
        reader_expected(reader, path, node, "true or false");
    else if (cJSON_IsTrue(node) && reader_supported(reader, path, node, "options.mark"))
        ((struct ruleset_options *)record)->mark = 1;
}

static void read_proxies(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct ruleset_options *options = record;
    options->own_proxies = 1;
    if (cJSON_IsString(node) && strcmp(node->valuestring, "private") == 0)
        add_private_ranges(reader, &options->proxies_first, &options->proxies_count);
    else
        read_ranges(reader, path, node, true, &options->proxies_first, &options->proxies_count);
}

static void read_client_header(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *name = reader_text(reader, path, node, 1, 100);
    if (name && !is_token(name))
        reader_expected(reader, path, node, "the name of a header");
    else if (name)
        ((struct ruleset_options *)record)->client_header = reader_add_lower(reader, name);
}

static bool is_plain_path(const char *text) {
    return text[0] == '/' && !text[strcspn(text, "?#*{} ")];
}

static void add_health_check(struct reader *reader, struct ruleset_options *options, const char *text) {
    uint32_t at = ruleset_add_list(reader->builder, reader_add(reader, text));
    if (!options->health_count++)
        options->health_first = at;
}

static void read_health_checks(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    enum { PATHS_MAX = 64, PATH_BYTES = 200 };
    const cJSON *element;
    int index = 0;
    if (!cJSON_IsArray(node) || cJSON_GetArraySize(node) > PATHS_MAX) {
        reader_expected(reader, path, node, "a list of at most %d paths", PATHS_MAX);
        return;
    }
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        const char *text = reader_text(reader, &here, element, 1, PATH_BYTES);
        if (text && is_plain_path(text))
            add_health_check(reader, record, text);
        else if (text)
            reader_expected(reader, &here, element, "a whole path such as /healthz, without query and wildcards");
    }
}

enum { STRICT_OPAQUE, STRICT_REJECT, STRICT_DEFEND };
static const struct word strict_words[] = {
    {"opaque", STRICT_OPAQUE}, {"reject", STRICT_REJECT}, {"defend", STRICT_DEFEND}, {NULL, 0}};

static void read_strict_http(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct ruleset_options *options = record;
    int strict = reader_word(reader, path, node, strict_words, false);
    options->defend_http = strict == STRICT_DEFEND;
    options->strict_http = strict == STRICT_REJECT;
}

static const struct word tcp_words[] = {
    {"reset", TCP_REJECT_RESET}, {"close", TCP_REJECT_CLOSE}, {"defer", TCP_REJECT_DEFER}, {NULL, 0}};
static const struct word rt_words[] = {{"head", RT_HEAD}, {"complete", RT_COMPLETE}, {NULL, 0}};
static const struct word upgraded_words[] = {{"hold", UPGRADED_HOLD}, {"release", UPGRADED_RELEASE}, {NULL, 0}};
static const struct word header_words[] = {{"off", 0}, {"draft", 1}, {"legacy", 2}, {"envoy", 3}, {NULL, 0}};

#define OPTION(name, type, member, min, max, unit, words)                                                              \
    FIELD(ruleset_options, name, type, 0, member, min, max, unit, words, NULL)
static const struct field option_fields[] = {
    CUSTOM_WORD_FIELD("compat", 0, compat_words, read_compat),
    CUSTOM_WORD_FIELD("strictHttp", 0, strict_words, read_strict_http),
    CUSTOM_FIELD("mark", 0, read_mark),
    OPTION("reject", FIELD_WORD, tcp_reject, 0, 0, 0, tcp_words),
    OPTION("maxResources", FIELD_INTEGER, max_resources, 1, LAYOUT_RESOURCES - 1, 0, NULL),
    OPTION("maxSiblings", FIELD_INTEGER, max_siblings, 1, 10000, 0, NULL),
    OPTION("coldFactor", FIELD_INTEGER, cold_factor, 2, 1000, 0, NULL),
    OPTION("maxRt", FIELD_TIME, max_rt_ns, 1, 86400000, 1e6, NULL),
    OPTION("rt", FIELD_WORD, rt, 0, 0, 0, rt_words),
    OPTION("upgraded", FIELD_WORD, upgraded, 0, 0, 0, upgraded_words),
    CUSTOM_FIELD("trustedProxies", 0, read_proxies),
    CUSTOM_FIELD("clientIpHeader", 0, read_client_header),
    OPTION("ipv6Prefix", FIELD_INTEGER, ipv6_prefix, 1, 128, 0, NULL),
    OPTION("ipv4Prefix", FIELD_INTEGER, ipv4_prefix, 1, 32, 0, NULL),
    CUSTOM_FIELD("healthChecks", 0, read_health_checks),
    OPTION("rateLimitHeaders", FIELD_WORD, rate_limit_headers, 0, 0, 0, header_words),
    FIELD_END,
};

const struct field_table options_table = {"options", {option_fields, NULL}};

void read_options(struct reader *reader, const struct path *path, const cJSON *node) {
    const cJSON *option;
    if (!reader_object(reader, path, node, &options_table, ruleset_builder_options(reader->builder)))
        return;
    cJSON_ArrayForEach(option, node) {
        struct path here = {path, option->string, 0};
        struct place_text first;
        if (!join_define(reader, NAME_OPTION, option->string, option, 0, &first) &&
            strcmp(first.file, reader->document->file) != 0)
            reader_error(reader, &here, option, "this option is already set: %s:%u:%u", first.file, first.line,
                         first.column);
    }
}

/* Defaults are written into the ruleset: an older library would use others. */
void finish_options(struct reader *reader) {
    static const struct address_range loopback[] = {{4, 8, {127}}, {16, 128, {[15] = 1}}};
    static const char *const health[] = {"/healthz",
                                         "/livez",
                                         "/readyz",
                                         "/health",
                                         "/health/live",
                                         "/health/ready",
                                         "/actuator/health",
                                         "/actuator/health/liveness",
                                         "/-/healthy",
                                         "/actuator/health/readiness",
                                         "/-/ready",
                                         "/ping",
                                         "/up"};
    struct ruleset_options *options = ruleset_builder_options(reader->builder);
    bool usual = join_find(reader, NAME_OPTION, "healthChecks") < 0;
    for (size_t i = 0; usual && i < sizeof(health) / sizeof(*health); i++)
        add_health_check(reader, options, health[i]);
    if (!options->own_proxies) {
        options->proxies_first = ruleset_add_range(reader->builder, &loopback[0]);
        ruleset_add_range(reader->builder, &loopback[1]);
        options->proxies_count = 2;
        options->own_proxies = 1;
    }
    if (!options->ipv6_prefix)
        options->ipv6_prefix = reader->compat ? 128 : 64;
    if (!options->ipv4_prefix)
        options->ipv4_prefix = 32;
}

/* ------------------------------------------------------------------------------------------------------ match */

struct match_record {
    struct rule_document *document; /* may be NULL */
};

static void read_match_text(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule_document *document = ((struct match_record *)record)->document;
    const char *text = reader_text(reader, path, node, 1, 1000);
    if (!text)
        return;
    if (strcmp(path->key, "exe") == 0 && text[0] != '/')
        reader_expected(reader, path, node, "the full path of a program");
    if (strcmp(path->key, "comm") == 0 && strlen(text) > 15)
        reader_expected(reader, path, node, "a process name of at most 15 bytes (that is all the kernel keeps)");
    if (!document)
        return;
    char **to = strcmp(path->key, "exe") == 0    ? &document->exe
                : strcmp(path->key, "unit") == 0 ? &document->unit
                : strcmp(path->key, "comm") == 0 ? &document->comm
                                                 : &document->cgroup;
    free(*to);
    *to = strdup(text);
}

static void read_match_uid(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct rule_document *document = ((struct match_record *)record)->document;
    if (!reader_is_whole(node, 0, 4294967294.0))
        reader_expected(reader, path, node, "a user's number (0 to 4294967294)");
    else if (document)
        document->uid = (int64_t)node->valuedouble;
}

static const struct field match_fields[] = {
    CUSTOM_FIELD("exe", 0, read_match_text),    CUSTOM_FIELD("unit", 0, read_match_text),
    CUSTOM_FIELD("cgroup", 0, read_match_text), CUSTOM_FIELD("comm", 0, read_match_text),
    CUSTOM_FIELD("uid", 0, read_match_uid),     FIELD_END,
};
const struct field_table match_table = {"match", {match_fields, NULL}};

void read_match(struct reader *reader, const struct path *path, const cJSON *node, struct rule_document *document) {
    struct match_record record = {document};
    if (reader_object(reader, path, node, &match_table, &record) && cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "at least one of \"exe\", \"unit\", \"cgroup\", \"comm\" and \"uid\"");
}
