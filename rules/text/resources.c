/* "resources": how requests, connections and callers get their names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/kinds.h"
#include "rules/text/lists.h"
#include "rules/layout.h"
#include "rules/naming/route.h"

enum { RANGES_MAX = 1000 /* of one list */ };

struct route_record {
    struct ruleset_route route;
    const cJSON *items;
};

const struct word route_kind_words[] = {{"route", ROUTE_PATTERN},     {"api", ROUTE_API},
                                        {"listener", ROUTE_LISTENER}, {"downstream", ROUTE_DOWNSTREAM},
                                        {"origin", ROUTE_ORIGIN},     {NULL, 0}};
enum { PROTOCOL_HTTP2 = PROTOCOL_HTTP + 1 /* recognised, and also HTTP/2 */ };
static const struct word protocol_words[] = {
    {"auto", PROTOCOL_RECOGNISE}, {"tcp", PROTOCOL_TCP}, {"http", PROTOCOL_HTTP}, {"h2", PROTOCOL_HTTP2}, {NULL, 0}};
static const struct word proxy_words[] = {
    {"auto", ROUTE_PROXY_AUTO}, {"on", ROUTE_PROXY_ON}, {"off", ROUTE_PROXY_OFF}, {NULL, 0}};
/* Sentinel's numbers (0 exact, 1 prefix, 2 regex), which are not those of resourceMatch. */
enum { PATTERN_EXACT, PATTERN_PREFIX, PATTERN_REGEX, PATTERN_GLOB };
static const struct word pattern_words[] = {
    {"exact", PATTERN_EXACT}, {"prefix", PATTERN_PREFIX}, {"regex", PATTERN_REGEX}, {"glob", PATTERN_GLOB}, {NULL, 0}};
static const uint8_t pattern_match[] = {[PATTERN_EXACT] = MATCH_EXACT,
                                        [PATTERN_PREFIX] = MATCH_PREFIX,
                                        [PATTERN_REGEX] = MATCH_REGEX,
                                        [PATTERN_GLOB] = MATCH_GLOB};

/* ---------------------------------------------------------------------------------------------------- single fields */

static void read_pattern_match(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int strategy = reader_word(reader, path, node, pattern_words, true);
    if (strategy >= 0)
        ((struct route_record *)record)->route.match = pattern_match[strategy];
}

static void read_protocol(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct ruleset_route *route = &((struct route_record *)record)->route;
    int protocol = reader_word(reader, path, node, protocol_words, false);
    route->http2 = protocol == PROTOCOL_HTTP2;
    if (protocol >= 0 && !route->http2)
        route->protocol = (uint8_t)protocol;
}

static void read_method(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *method = reader_text(reader, path, node, 1, 20);
    if (method && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(method))
        reader_expected(reader, path, node, "a method in capital letters (methods are case-sensitive)");
    else if (method)
        ((struct route_record *)record)->route.method = reader_add(reader, method);
}

static void read_host(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    char spelling[ROUTE_HOST_MAX];
    const char *host = reader_text(reader, path, node, 1, ROUTE_HOST_MAX - 1);
    if (!host)
        return;
    const char *name = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
    size_t length = route_host(name, strlen(name), spelling);
    if (!*name || strpbrk(name, "*/?#@ ") || length + (name[strlen(name) - 1] == '.') != strlen(name))
        reader_expected(reader, path, node, "a host such as shop.example.com or *.example.com, without a port");
    else if (name == host)
        ((struct route_record *)record)->route.host = reader_add(reader, spelling);
    else {
        char wildcard[ROUTE_HOST_MAX + 2];
        snprintf(wildcard, sizeof(wildcard), "*.%s", spelling);
        ((struct route_record *)record)->route.host = reader_add(reader, wildcard);
    }
}

static void read_header(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    char lower[201];
    const char *header = reader_text(reader, path, node, 1, sizeof(lower) - 1);
    if (!header)
        return;
    size_t length = strlen(header);
    for (size_t i = 0; i <= length; i++)
        lower[i] = header[i] >= 'A' && header[i] <= 'Z' ? (char)(header[i] | 32) : header[i];
    if (!is_token(header))
        reader_expected(reader, path, node, "the name of a header");
    else
        ((struct route_record *)record)->route.header = reader_add(reader, lower);
}

static void note_items(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    if (!cJSON_IsArray(node) || cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "a list of patterns");
    else
        ((struct route_record *)record)->items = node;
}

static void add_range(struct reader *reader, const struct address_range *range, uint32_t *first, uint32_t *count) {
    uint32_t at = ruleset_add_range(reader->builder, range);
    if (!(*count)++)
        *first = at;
}

void add_private_ranges(struct reader *reader, uint32_t *first, uint32_t *count) {
    for (size_t i = 0; i < ADDRESS_PRIVATE_RANGES; i++)
        add_range(reader, &address_private[i], first, count);
}

struct ranges {
    struct reader *reader;
    uint32_t *first, *count;
};

static void add_block(void *context, const struct address_range *block) {
    const struct ranges *ranges = context;
    add_range(ranges->reader, block, ranges->first, ranges->count);
}

static const char *add_line(void *context, const char *text) {
    return address_span(text, add_block, context)
               ? NULL
               : "expected an address, a range such as 10.0.0.0/8, or 10.0.0.1-10.0.0.99";
}

static void read_file_name(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const char *name = reader_text(reader, path, node, 1, 1000);
    if (name && strpbrk(name, "\\\""))
        reader_expected(reader, path, node, "the name of a file without backslashes and quotes");
    else
        *(const char **)record = name;
}

static const struct field range_file_fields[] = {CUSTOM_FIELD("file", FIELD_REQUIRED, read_file_name), FIELD_END};
const struct field_table range_file_table = {"a list of addresses in a file", {range_file_fields, NULL}};

/* {"file": "office.txt"} */
static void read_range_file(struct ranges *ranges, const struct path *path, const cJSON *node) {
    struct path here = {path, "file", 0};
    const char *name = NULL;
    if (reader_object(ranges->reader, path, node, &range_file_table, &name) && name)
        list_read(ranges->reader, &here, cJSON_GetObjectItemCaseSensitive(node, "file"), name, add_line, ranges);
}

void read_ranges(struct reader *reader, const struct path *path, const cJSON *node, bool proxies, uint32_t *ret_first,
                 uint32_t *ret_count) {
    struct ranges ranges = {reader, ret_first, ret_count};
    const cJSON *element;
    int index = 0;
    *ret_count = 0;
    if (!cJSON_IsArray(node) || cJSON_GetArraySize(node) > RANGES_MAX) {
        reader_expected(reader, path, node, "a list of addresses and address ranges, at most %d", RANGES_MAX);
        return;
    }
    cJSON_ArrayForEach(element, node) {
        struct path here = {path, NULL, index++};
        if (cJSON_IsObject(element))
            read_range_file(&ranges, &here, element);
        else if (proxies && cJSON_IsString(element) && strcmp(element->valuestring, "private") == 0)
            add_private_ranges(reader, ret_first, ret_count);
        else if (!cJSON_IsString(element) || !address_span(element->valuestring, add_block, &ranges))
            reader_expected(reader, &here, element, "an address or an address range such as 10.0.0.0/8");
    }
    if (*ret_count > RANGES_MAX)
        reader_error(reader, path, node, "expected at most %d ranges in all, those of files included; these are %u",
                     RANGES_MAX, *ret_count);
}

static void read_addresses(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct ruleset_route *route = &((struct route_record *)record)->route;
    if (cJSON_IsArray(node) && cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "at least one address or address range");
    else
        read_ranges(reader, path, node, false, &route->ranges_first, &route->ranges_count);
}

#define ROUTE(name, type, flags, member, min, max, words)                                                              \
    FIELD(route_record, name, type, flags, route.member, min, max, 0, words, NULL)
static const struct field route_fields[] = {
    ROUTE("name", FIELD_TEXT, 0, name, 1, LAYOUT_RESOURCE_NAME_MAX - 1, NULL),
    ROUTE("apiName", FIELD_TEXT, 0, name, 1, LAYOUT_RESOURCE_NAME_MAX - 1, NULL), /* Sentinel's spelling for groups */
    ROUTE("kind", FIELD_WORD, FIELD_REQUIRED, kind, 0, 0, route_kind_words),
    ROUTE("pattern", FIELD_TEXT, 0, pattern, 1, 1000, NULL),
    CUSTOM_WORD_FIELD("matchStrategy", 0, pattern_words, read_pattern_match),
    CUSTOM_FIELD("method", FIELD_NULLABLE, read_method),
    CUSTOM_FIELD("host", FIELD_NULLABLE, read_host),
    ROUTE("priority", FIELD_WORD, 0, priority, 0, 0, priority_words),
    ROUTE("port", FIELD_INTEGER, 0, port, 1, 65535, NULL),
    CUSTOM_WORD_FIELD("protocol", 0, protocol_words, read_protocol),
    ROUTE("proxyProtocol", FIELD_WORD, 0, proxy, 0, 0, proxy_words),
    CUSTOM_FIELD("predicateItems", 0, note_items),
    CUSTOM_FIELD("header", 0, read_header),
    CUSTOM_FIELD("addresses", 0, read_addresses),
    ROUTE("anyPeer", FIELD_BOOLEAN, 0, any_peer, 0, 0, NULL),
    FIELD_END,
};

const struct field_table route_table = {"a resource", {route_fields, NULL}};

static const struct field predicate_fields[] = {
    ROUTE("pattern", FIELD_TEXT, FIELD_REQUIRED, pattern, 1, 1000, NULL),
    CUSTOM_WORD_FIELD("matchStrategy", FIELD_NULLABLE, pattern_words, read_pattern_match),
    FIELD_END,
};
const struct field_table predicate_table = {"a pattern of the group", {predicate_fields, NULL}};

/* --------------------------------------------------------------------------------------------------- routes, groups */

/* Checks the pattern, and brings it to the spelling of normalised paths. */
static void check_pattern(struct reader *reader, const struct path *path, const cJSON *node,
                          struct ruleset_route *route) {
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(node, "pattern");
    struct path here = {path, "pattern", 0};
    char spelling[3001];
    if (!cJSON_IsString(pattern))
        return;
    const char *text = pattern->valuestring;
    if (route->match == MATCH_REGEX) {
        regex_check(reader, &here, pattern, text);
        return;
    }
    if (text[0] != '/' && text[0] != '*')
        reader_expected(reader, &here, pattern, "a path that begins with '/'");
    else if (strchr(text, '#') || (strchr(text, '?') && route->match != MATCH_GLOB))
        reader_expected(reader, &here, pattern, "a path without '?' and '#' (queries are not part of a route)");
    else if (route->match == MATCH_EXACT && (strpbrk(text, "{}") || strstr(text, "**")))
        reader_error(reader, &here, pattern, "has wildcards, but is compared exactly; set \"matchStrategy\": \"%s\"",
                     strpbrk(text, "{}") ? "glob" : "prefix");
    if (route->match == MATCH_GLOB && !strpbrk(text, "{*?"))
        route->match = MATCH_EXACT;
    route_pattern(text, strlen(text), spelling, sizeof(spelling));
    route->pattern = reader_add(reader, spelling);
}

static void read_group(struct reader *reader, const struct path *path, const struct route_record *group) {
    struct path items = {path, "predicateItems", 0};
    const cJSON *element;
    int index = 0;
    cJSON_ArrayForEach(element, group->items) {
        struct path here = {&items, NULL, index++};
        struct route_record item = *group;
        item.route.match = MATCH_EXACT;
        if (!reader_object(reader, &here, element, &predicate_table, &item))
            continue;
        check_pattern(reader, &here, element, &item.route);
        ruleset_add_route(reader->builder, &item.route);
    }
}

static void check_route(struct reader *reader, const struct path *path, const cJSON *node,
                        struct ruleset_route *route) {
    struct path here = {path, "name", 0};
    if (route->match == MATCH_REGEX && !reader_is_set(node, "name"))
        reader_error(reader, &here, node, "required field missing (a route by regular expression needs it)");
    check_pattern(reader, path, node, route);
}

/* ----------------------------------------------------------------------------------------------- listeners,
 * downstreams */

static void check_listener(struct reader *reader, const struct path *path, const cJSON *node,
                           struct ruleset_route *route) {
    struct place_text first;
    struct path here = {path, "port", 0};
    const cJSON *port = cJSON_GetObjectItemCaseSensitive(node, "port");
    char text[16];
    snprintf(text, sizeof(text), "%u", route->port);
    if (!join_define(reader, NAME_LISTENER_PORT, text, port, 0, &first))
        reader_error(reader, &here, port, "this port has a name already: %s:%u:%u", first.file, first.line,
                     first.column);
    struct path at_proxy = {path, "proxyProtocol", 0};
    if (route->protocol == PROTOCOL_TCP && route->proxy != ROUTE_PROXY_AUTO)
        reader_error_at_key(reader, &at_proxy, cJSON_GetObjectItemCaseSensitive(node, "proxyProtocol"),
                            "is not used with \"protocol\": \"tcp\": no bytes are read there");
}

/* "tcp:10.0.0.0/8:3306", "[fd00::/8]:5432", "10.0.0.5", "*:443": what outbound connections go to. */
static bool parse_downstream(const char *text, struct address_range *ret_range, bool *ret_any, unsigned *ret_port) {
    char address[64];
    if (strncmp(text, "tcp:", 4) == 0)
        text += 4;
    bool brackets = *text == '[';
    size_t length = brackets ? strcspn(++text, "]") : strcspn(text, ":");
    const char *rest = text + length + (brackets && text[length]);
    if (!length || length >= sizeof(address) || (brackets && !text[length]))
        return false;
    snprintf(address, sizeof(address), "%.*s", (int)length, text);
    *ret_any = strcmp(address, "*") == 0;
    *ret_port = 0;
    if (*rest) {
        char *end;
        long port = strtol(rest + 1, &end, 10);
        if (*rest != ':' || rest[1] < '0' || rest[1] > '9' || *end || port < 1 || port > 65535)
            return false;
        *ret_port = (unsigned)port;
    }
    return *ret_any || (address_range_parse(address, ret_range) && brackets == (ret_range->length == 16));
}

static void check_downstream(struct reader *reader, const struct path *path, const cJSON *node,
                             struct ruleset_route *route) {
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(node, "pattern");
    struct path here = {path, "pattern", 0};
    struct address_range range;
    unsigned port;
    bool any;
    if (!parse_downstream(pattern->valuestring, &range, &any, &port)) {
        reader_expected(reader, &here, pattern,
                        "an address and a port such as \"tcp:10.0.0.0/8:3306\", \"[fd00::1]:5432\" or \"*:443\"");
        return;
    }
    if (port && route->port)
        reader_error(reader, &here, pattern, "contains a port, and \"port\" is set, too; give it once");
    route->port = port ? port : route->port;
    route->pattern = 0;
    if (!any) {
        route->ranges_first = ruleset_add_range(reader->builder, &range);
        route->ranges_count = 1;
    }
}

/* ---------------------------------------------------------------------------------------------------------- origins */

static void check_origin(struct reader *reader, const struct path *path, const cJSON *node,
                         struct ruleset_route *route) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(node, "name");
    struct path at_name = {path, "name", 0}, at_any = {path, "anyPeer", 0};
    struct address_range range;
    if (!route->header == !route->ranges_count)
        reader_error(reader, path, node,
                     "expected either \"header\" (its value is the origin's name) or \"name\" and \"addresses\"");
    else if (route->header && name)
        reader_error_at_key(reader, &at_name, name, "is not used together with \"header\", whose value is the name");
    else if (!route->header && !name)
        reader_error(reader, &at_name, node, "required field missing (\"addresses\" needs it)");
    else if (!route->header && route->any_peer)
        reader_error_at_key(reader, &at_any, cJSON_GetObjectItemCaseSensitive(node, "anyPeer"),
                            "is not used without \"header\"");
    else if (name && (strchr(name->valuestring, ',') || strcmp(name->valuestring, "default") == 0 ||
                      strcmp(name->valuestring, "other") == 0 ||
                      route_origin_reserved(name->valuestring, strlen(name->valuestring)) ||
                      address_range_parse(name->valuestring, &range)))
        reader_expected(
            reader, &at_name, name,
            "a name of its own: no comma, no address, not \"default\" or \"other\", not unit:, uid: or comm:");
}

/* ------------------------------------------------------------------------------------------------------ all of them */

static const struct {
    enum name_space space;
    void (*check)(struct reader *, const struct path *, const cJSON *, struct ruleset_route *);
} route_kinds[ROUTE_KINDS] = {
    [ROUTE_PATTERN] = {NAME_ROUTE, check_route},     [ROUTE_API] = {NAME_API, NULL},
    [ROUTE_LISTENER] = {NAME_ROUTE, check_listener}, [ROUTE_DOWNSTREAM] = {NAME_ROUTE, check_downstream},
    [ROUTE_ORIGIN] = {NAME_ORIGIN, check_origin},
};

enum {
    ROUTE_BIT = 1 << ROUTE_PATTERN,
    API = 1 << ROUTE_API,
    LISTENER = 1 << ROUTE_LISTENER,
    DOWNSTREAM = 1 << ROUTE_DOWNSTREAM,
    ORIGIN = 1 << ROUTE_ORIGIN
};
const struct route_field route_field_kinds[ROUTE_FIELDS] = {
    {"name", ROUTE_BIT | API | LISTENER | DOWNSTREAM | ORIGIN, LISTENER | DOWNSTREAM},
    {"apiName", API, 0},
    {"pattern", ROUTE_BIT | DOWNSTREAM, ROUTE_BIT | DOWNSTREAM},
    {"matchStrategy", ROUTE_BIT, 0},
    {"method", ROUTE_BIT, 0},
    {"host", ROUTE_BIT | API, 0},
    {"priority", ROUTE_BIT | API | LISTENER, 0},
    {"port", LISTENER | DOWNSTREAM, LISTENER},
    {"protocol", LISTENER, 0},
    {"proxyProtocol", LISTENER, 0},
    {"predicateItems", API, API},
    {"header", ORIGIN, 0},
    {"addresses", ORIGIN, 0},
    {"anyPeer", ORIGIN, 0},
};

static void check_route_fields(struct reader *reader, const struct path *path, const cJSON *node, uint8_t kind) {
    for (size_t i = 0; i < ROUTE_FIELDS; i++) {
        const struct route_field *row = &route_field_kinds[i];
        const cJSON *field = cJSON_GetObjectItemCaseSensitive(node, row->key);
        struct path here = {path, row->key, 0};
        if (field && !(row->kinds >> kind & 1))
            reader_error_at_key(reader, &here, field, "is not used with \"kind\": \"%s\"", route_kind_words[kind].word);
        if (!field && row->required >> kind & 1)
            reader_error(reader, &here, node, "required field missing (\"kind\": \"%s\" needs it)",
                         route_kind_words[kind].word);
    }
    struct path here = {path, "name", 0};
    bool name = reader_is_set(node, "name"), api_name = reader_is_set(node, "apiName");
    if (kind == ROUTE_API && name == api_name)
        reader_error(reader, &here, node,
                     name ? "contradicts apiName; give one of the two"
                          : "required field missing (\"kind\": \"api\" needs it)");
}

static void read_route(struct reader *reader, const struct path *path, const cJSON *node) {
    struct route_record record = {.route = {.priority = PRIORITY_NORMAL, .match = MATCH_GLOB}};
    size_t before = reader->errors->count;
    if (!reader_object(reader, path, node, &route_table, &record) || reader->errors->count != before)
        return;
    struct ruleset_route *route = &record.route;
    check_route_fields(reader, path, node, route->kind);
    if (reader->errors->count != before)
        return;
    if (route_kinds[route->kind].check)
        route_kinds[route->kind].check(reader, path, node, route);
    define_name(reader, path, node, reader_is_set(node, "name") ? "name" : "apiName", route_kinds[route->kind].space,
                route->kind == ROUTE_PATTERN && route->match != MATCH_REGEX ? route->pattern : 0);
    if (route->kind == ROUTE_API)
        read_group(reader, path, &record);
    else
        ruleset_add_route(reader->builder, route);
}

void read_routes(struct reader *reader, const struct path *path, const cJSON *node) {
    read_each(reader, path, node, read_route);
}
