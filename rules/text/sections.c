/* What a rules file says besides rules: resources, block actions, options, and which processes the app is. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "rules/layout.h"
#include "rules/route.h"

#define END {NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL}
#define FIELD(struct_name, name, type, flags, member, min, max, unit, words, custom)                                   \
    {                                                                                                                  \
        name, type, flags, offsetof(struct struct_name, member), sizeof(((struct struct_name *)0)->member), min, max,  \
            unit, words, custom                                                                                        \
    }

/* The elements of an array of objects, each read by `read`. */
static void read_each(struct reader *reader, const struct path *path, const cJSON *node,
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

static void define(struct reader *reader, const struct path *path, const cJSON *node, const char *key, int space,
                   uint32_t number) {
    struct place_text first;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(node, key);
    struct path here = {path, key, 0};
    if (cJSON_IsString(name) && !join_define(reader, space, name->valuestring, name, number, &first))
        reader_error(reader, &here, name, "this name is taken already: %s:%u:%u", first.file, first.line, first.column);
}

/* --------------------------------------------------------------------------------------------------- resources */

struct route_record {
    struct image_route route;
    const cJSON *items;
};

static const struct word route_kind_words[] = {{"route", ROUTE_PATTERN},
                                               {"api", ROUTE_API},
                                               {"listener", ROUTE_LISTENER},
                                               {"downstream", ROUTE_DOWNSTREAM},
                                               {NULL, 0}};
static const struct word protocol_words[] = {
    {"auto", PROTOCOL_RECOGNISE}, {"tcp", PROTOCOL_TCP}, {"http", PROTOCOL_HTTP}, {NULL, 0}};
/* Sentinel's numbers (0 exact, 1 prefix, 2 regex), which are not those of resourceMatch. */
enum { PATTERN_EXACT, PATTERN_PREFIX, PATTERN_REGEX, PATTERN_GLOB };
static const struct word pattern_words[] = {
    {"exact", PATTERN_EXACT}, {"prefix", PATTERN_PREFIX}, {"regex", PATTERN_REGEX}, {"glob", PATTERN_GLOB}, {NULL, 0}};
static const uint8_t pattern_match[] = {[PATTERN_EXACT] = MATCH_EXACT,
                                        [PATTERN_PREFIX] = MATCH_PREFIX,
                                        [PATTERN_REGEX] = MATCH_REGEX,
                                        [PATTERN_GLOB] = MATCH_GLOB};

static void read_pattern_match(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int strategy = reader_word(reader, path, node, pattern_words, true);
    if (strategy >= 0)
        ((struct route_record *)record)->route.match = pattern_match[strategy];
}

static void read_method(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *method = reader_text(reader, path, node, 1, 20);
    if (method && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(method))
        reader_expected(reader, path, node, "a method in capitals (methods are case-sensitive)");
    else if (method)
        ((struct route_record *)record)->route.method = reader_add(reader, method);
}

static void note_items(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsArray(node) || cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "a list of patterns");
    else
        ((struct route_record *)record)->items = node;
}

#define ROUTE(name, type, flags, member, min, max, words)                                                              \
    FIELD(route_record, name, type, flags, route.member, min, max, 0, words, NULL)
#define ROUTE_CUSTOM(name, flags, custom) {name, FIELD_CUSTOM, flags, 0, 0, 0, 0, 0, NULL, custom}
static const struct field route_fields[] = {
    ROUTE("name", FIELD_TEXT, 0, name, 1, LAYOUT_RESOURCE_NAME_MAX - 1, NULL),
    ROUTE("apiName", FIELD_TEXT, 0, name, 1, LAYOUT_RESOURCE_NAME_MAX - 1, NULL), /* Sentinel's spelling for groups */
    ROUTE("kind", FIELD_WORD, FIELD_REQUIRED, kind, 0, 0, route_kind_words),
    ROUTE("pattern", FIELD_TEXT, 0, pattern, 1, 1000, NULL),
    ROUTE_CUSTOM("matchStrategy", 0, read_pattern_match),
    ROUTE_CUSTOM("method", FIELD_NULLABLE, read_method),
    ROUTE("priority", FIELD_WORD, 0, priority, 0, 0, priority_words),
    ROUTE("port", FIELD_INTEGER, 0, port, 1, 65535, NULL),
    ROUTE("protocol", FIELD_WORD, 0, protocol, 0, 0, protocol_words),
    ROUTE_CUSTOM("predicateItems", 0, note_items),
    END,
};

static const struct field item_fields[] = {
    ROUTE("pattern", FIELD_TEXT, FIELD_REQUIRED, pattern, 1, 1000, NULL),
    ROUTE_CUSTOM("matchStrategy", FIELD_NULLABLE, read_pattern_match),
    END,
};

/* Checks the pattern, and brings it to the spelling of normalised paths. */
static void check_pattern(struct reader *reader, const struct path *path, const cJSON *node,
                          struct image_route *route) {
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(node, "pattern");
    const cJSON *strategy = cJSON_GetObjectItemCaseSensitive(node, "matchStrategy");
    struct path here = {path, "pattern", 0}, at_strategy = {path, "matchStrategy", 0};
    char spelling[3001];
    if (!cJSON_IsString(pattern))
        return;
    const char *text = pattern->valuestring;
    if (route->match == MATCH_REGEX) {
        if (regex_check(reader, &here, pattern, text))
            reader_supported(reader, &at_strategy, strategy ? strategy : pattern, "resources.regex");
        return;
    }
    if (text[0] != '/' && text[0] != '*')
        reader_expected(reader, &here, pattern, "a path that begins with '/'");
    else if (strchr(text, '#') || (strchr(text, '?') && route->match != MATCH_GLOB))
        reader_expected(reader, &here, pattern, "a path without '?' and '#' (queries are not part of a route)");
    else if (route->match == MATCH_EXACT && (strpbrk(text, "{}") || strstr(text, "**")))
        reader_error(reader, &here, pattern, "has wildcards, but is to match exactly; set \"matchStrategy\": \"%s\"",
                     strpbrk(text, "{}") ? "glob" : "prefix");
    if (route->match == MATCH_GLOB && !strpbrk(text, "{*?"))
        route->match = MATCH_EXACT;
    route_pattern(text, strlen(text), spelling, sizeof(spelling));
    route->pattern = reader_add(reader, spelling);
}

static void read_group(struct reader *reader, const struct path *path, const struct route_record *group) {
    static const struct field_table table = {"a pattern of the group", {item_fields, NULL}};
    struct path items = {path, "predicateItems", 0};
    const cJSON *element;
    int index = 0;
    cJSON_ArrayForEach(element, group->items) {
        struct path here = {&items, NULL, index++};
        struct route_record item = *group;
        item.route.match = MATCH_EXACT;
        if (!reader_object(reader, &here, element, &table, &item))
            continue;
        check_pattern(reader, &here, element, &item.route);
        image_add_route(reader->builder, &item.route);
    }
}

/* Fields that only some kinds of resources have. */
static void check_route_fields(struct reader *reader, const struct path *path, const cJSON *node, uint8_t kind) {
    static const struct {
        const char *key;
        unsigned kinds, required; /* bits by enum route_kind */
    } rows[] = {
        {"name", 0xf, 1 << ROUTE_LISTENER | 1 << ROUTE_DOWNSTREAM}, {"apiName", 1 << ROUTE_API, 0},
        {"pattern", 1 << ROUTE_PATTERN | 1 << ROUTE_DOWNSTREAM, 1 << ROUTE_PATTERN | 1 << ROUTE_DOWNSTREAM},
        {"matchStrategy", 1 << ROUTE_PATTERN, 0}, {"method", 1 << ROUTE_PATTERN, 0},
        {"port", 1 << ROUTE_LISTENER | 1 << ROUTE_DOWNSTREAM, 1 << ROUTE_LISTENER},
        {"protocol", 1 << ROUTE_LISTENER | 1 << ROUTE_DOWNSTREAM, 0},
        {"predicateItems", 1 << ROUTE_API, 1 << ROUTE_API},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const cJSON *field = cJSON_GetObjectItemCaseSensitive(node, rows[i].key);
        struct path here = {path, rows[i].key, 0};
        if (field && !(rows[i].kinds >> kind & 1))
            reader_error_at_key(reader, &here, field, "has no meaning for \"kind\": \"%s\"",
                                route_kind_words[kind].word);
        if (!field && rows[i].required >> kind & 1)
            reader_error(reader, &here, node, "is missing: \"kind\": \"%s\" needs it", route_kind_words[kind].word);
    }
    struct path here = {path, "name", 0};
    bool name = reader_is_set(node, "name"), api_name = reader_is_set(node, "apiName");
    if (kind == ROUTE_API && name == api_name)
        reader_error(reader, &here, node,
                     name ? "contradicts apiName; give one of the two" : "is missing: \"kind\": \"api\" needs it");
}

static void read_route(struct reader *reader, const struct path *path, const cJSON *node) {
    static const struct field_table table = {"a resource", {route_fields, NULL}};
    static const char *const features[] = {"resources.route", "resources.api", "resources.listener",
                                           "resources.downstream"};
    struct route_record record = {.route = {.priority = PRIORITY_NORMAL, .match = MATCH_GLOB}};
    size_t before = reader->errors->count;
    if (!reader_object(reader, path, node, &table, &record) || reader->errors->count != before)
        return;
    struct image_route *route = &record.route;
    struct path at_kind = {path, "kind", 0};
    struct path at_priority = {path, "priority", 0};
    if (route->priority != PRIORITY_NORMAL)
        reader_supported(reader, &at_priority, cJSON_GetObjectItemCaseSensitive(node, "priority"), "resources.priority");
    if (!reader_supported(reader, &at_kind, cJSON_GetObjectItemCaseSensitive(node, "kind"), features[route->kind]))
        return;
    check_route_fields(reader, path, node, route->kind);
    if (reader->errors->count != before)
        return;
    const char *key = reader_is_set(node, "name") ? "name" : "apiName";
    if (route->kind == ROUTE_API) {
        define(reader, path, node, key, NAME_API, 0);
        read_group(reader, path, &record);
        return;
    }
    if (route->kind == ROUTE_PATTERN)
        check_pattern(reader, path, node, route);
    define(reader, path, node, key, NAME_ROUTE, route->pattern);
    image_add_route(reader->builder, route);
}

void read_routes(struct reader *reader, const struct path *path, const cJSON *node) {
    read_each(reader, path, node, read_route);
}

/* ------------------------------------------------------------------------------------------------ block actions */

enum { ACTION_BODY_MAX = 1000, ACTION_HEADERS_MAX = 500 }; /* an answer of ours, all of it, has 2 KiB */

static bool is_token(const char *text) {
    return text[0] && strspn(text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
                          strlen(text);
}

/* Names that our answer sets itself, and that would break its framing if set again. */
static bool is_our_header(const char *name) {
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection",
                                       "date",           "content-type",      "location",
                                       "retry-after",    "content-encoding",  "x-weir-id"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

static void read_headers(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct image_block_action *action = record;
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
        else if (is_our_header(header->string))
            reader_error_at_key(reader, &here, header,
                                "is set by weir itself (there are contentType and redirect)");
        else if (value && length + strlen(header->string) + strlen(value) + 4 > ACTION_HEADERS_MAX) {
            reader_error(reader, path, node, "expected headers of at most %d bytes in all", ACTION_HEADERS_MAX);
            return;
        } else if (value) {
            length += (size_t)sprintf(lines + length, "%s: %s\r\n", header->string, value);
        }
    }
    action->headers = reader_add(reader, lines);
}

/* A {word} that is nearly one of ours is a slip; any other braces are the body's own. */
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
        reader_expected(reader, path, node, "a text of at most %d bytes", ACTION_BODY_MAX);
        return;
    }
    check_template(reader, path, node, node->valuestring);
    ((struct image_block_action *)record)->body = reader_add(reader, node->valuestring);
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
    ((struct image_block_action *)record)->redirect = reader_add(reader, text);
}

static void read_errno(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    static const struct word words[] = {{"ECONNREFUSED", ECONNREFUSED},
                                        {"ECONNRESET", ECONNRESET},
                                        {"ECONNABORTED", ECONNABORTED},
                                        {"ETIMEDOUT", ETIMEDOUT},
                                        {"EHOSTUNREACH", EHOSTUNREACH},
                                        {"ENETUNREACH", ENETUNREACH},
                                        {"EACCES", EACCES},
                                        {"EPERM", EPERM},
                                        {NULL, 0}};
    int number = reader_word(reader, path, node, words, false);
    if (number >= 0)
        ((struct image_block_action *)record)->error_number = (uint32_t)number;
}

#define ACTION(name, type, flags, member, min, max)                                                                    \
    FIELD(image_block_action, name, type, flags, member, min, max, 0, NULL, NULL)
static const struct field action_fields[] = {
    ACTION("name", FIELD_TEXT, FIELD_REQUIRED, name, 1, 100),
    ACTION("status", FIELD_INTEGER, 0, status, 200, 599),
    {"headers", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_headers},
    {"body", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_body},
    ACTION("contentType", FIELD_TEXT, 0, content_type, 1, 100),
    ACTION("delayMs", FIELD_INTEGER, 0, delay_ms, 0, 600000),
    {"redirect", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_redirect},
    {"errno", FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, read_errno},
    ACTION("close", FIELD_BOOLEAN, 0, close, 0, 0),
    END,
};

static void refuse_later(struct reader *reader, const struct path *path, const cJSON *node) {
    static const char *const later[][2] = {
        {"delayMs", "blockActions.delayMs"}};
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
        struct path here = {path, later[i][0], 0};
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(node, later[i][0]);
        if (value && !cJSON_IsFalse(value) && !(cJSON_IsNumber(value) && value->valuedouble == 0))
            reader_supported(reader, &here, value, later[i][1]);
    }
}

static void read_action(struct reader *reader, const struct path *path, const cJSON *node) {
    static const struct field_table table = {"a block action", {action_fields, NULL}};
    struct image_block_action action = {0};
    struct path at_status = {path, "status", 0}, at_body = {path, "body", 0};
    if (!reader_object(reader, path, node, &table, &action))
        return;
    refuse_later(reader, path, node);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(node, "status");
    if (action.redirect && action.status && (action.status < 300 || action.status > 399))
        reader_error(reader, &at_status, status, "contradicts redirect: expected 301, 302, 303, 307 or 308");
    if (action.redirect && !action.status)
        action.status = 302;
    if (action.body && (action.status == 204 || action.status == 304))
        reader_error(reader, &at_body, cJSON_GetObjectItemCaseSensitive(node, "body"),
                     "an answer with status %u has no body", action.status);
    uint32_t index = image_add_action(reader->builder, &action);
    define(reader, path, node, "name", NAME_ACTION, index + 1);
    if (action.error_number)
        define(reader, path, node, "name", NAME_ERRNO, action.error_number);
}

void read_actions(struct reader *reader, const struct path *path, const cJSON *node) {
    read_each(reader, path, node, read_action);
}

/* ---------------------------------------------------------------------------------------------------- options */

static void read_compat(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    static const struct word words[] = {{"off", 0}, {"sentinel", 1}, {NULL, 0}};
    int compat = reader_word(reader, path, node, words, false);
    if (compat >= 0)
        ((struct image_options *)record)->compat_sentinel = (uint8_t)compat;
    reader->compat |= compat == 1;
}

static void read_mark(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsBool(node))
        reader_expected(reader, path, node, "true or false");
    else if (cJSON_IsTrue(node) && reader_supported(reader, path, node, "options.mark"))
        ((struct image_options *)record)->mark = 1;
}

static bool is_address_range(const char *text) {
    unsigned char address[16];
    char host[64];
    size_t length = strcspn(text, "/");
    if (length >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)length, text);
    long bits = inet_pton(AF_INET, host, address) == 1 ? 32 : inet_pton(AF_INET6, host, address) == 1 ? 128 : -1;
    if (text[length] == '\0' || bits < 0)
        return bits > 0;
    char *end;
    const char *prefix = text + length + 1;
    return *prefix >= '0' && *prefix <= '9' && strtol(prefix, &end, 10) <= bits && !*end;
}

static void read_proxies(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct image_options *options = record;
    const cJSON *element;
    int index = 0;
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        if (cJSON_IsArray(node) && cJSON_IsString(element) && !is_address_range(element->valuestring))
            reader_expected(reader, &here, element, "an address or an address range such as 10.0.0.0/8");
    }
    read_text_list(reader, path, node, &options->proxies_first, &options->proxies_count);
}

static const struct word strict_words[] = {{"opaque", 0}, {"reject", 1}, {NULL, 0}};
static const struct word tcp_words[] = {
    {"reset", TCP_REJECT_RESET}, {"close", TCP_REJECT_CLOSE}, {"defer", TCP_REJECT_DEFER}, {NULL, 0}};
static const struct word header_words[] = {{"off", 0}, {"draft", 1}, {"legacy", 2}, {"envoy", 3}, {NULL, 0}};

#define OPTION(name, type, member, min, max, unit, words)                                                              \
    FIELD(image_options, name, type, 0, member, min, max, unit, words, NULL)
#define OPTION_CUSTOM(name, custom) {name, FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, custom}
static const struct field option_fields[] = {
    OPTION_CUSTOM("compat", read_compat),
    OPTION("strictHttp", FIELD_WORD, strict_http, 0, 0, 0, strict_words),
    OPTION_CUSTOM("mark", read_mark),
    OPTION("reject", FIELD_WORD, tcp_reject, 0, 0, 0, tcp_words),
    OPTION("maxResources", FIELD_INTEGER, max_resources, 1, LAYOUT_RESOURCES - 1, 0, NULL),
    OPTION("coldFactor", FIELD_INTEGER, cold_factor, 2, 1000, 0, NULL),
    OPTION("maxRt", FIELD_TIME, max_rt_ns, 1, 86400000, 1e6, NULL),
    OPTION_CUSTOM("trustedProxies", read_proxies),
    OPTION("rateLimitHeaders", FIELD_WORD, rate_limit_headers, 0, 0, 0, header_words),
    END,
};

void read_options(struct reader *reader, const struct path *path, const cJSON *node) {
    static const struct field_table table = {"options", {option_fields, NULL}};
    const cJSON *option;
    if (!reader_object(reader, path, node, &table, image_builder_options(reader->builder)))
        return;
    cJSON_ArrayForEach(option, node) {
        struct path here = {path, option->string, 0};
        struct place_text first;
        if (!join_define(reader, NAME_OPTION, option->string, option, 0, &first) &&
            strcmp(first.file, reader->document->file) != 0)
            reader_error(reader, &here, option, "this option is set already: %s:%u:%u", first.file, first.line,
                         first.column);
    }
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

void read_match(struct reader *reader, const struct path *path, const cJSON *node, struct rule_document *document) {
    static const struct field fields[] = {
        ROUTE_CUSTOM("exe", 0, read_match_text),    ROUTE_CUSTOM("unit", 0, read_match_text),
        ROUTE_CUSTOM("cgroup", 0, read_match_text), ROUTE_CUSTOM("comm", 0, read_match_text),
        ROUTE_CUSTOM("uid", 0, read_match_uid),     END,
    };
    static const struct field_table table = {"match", {fields, NULL}};
    struct match_record record = {document};
    if (reader_object(reader, path, node, &table, &record) && cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "at least one of \"exe\", \"unit\", \"cgroup\", \"comm\" and \"uid\"");
}
