#include "route.h"

#include <string.h>

#include "engine/pattern.h"
#include "hash.h"
#include "image.h"
#include "layout.h"

/* ------------------------------------------------------------------------------------------------------- slots
 *
 * A route stands in the slots under its literal beginning: all of an exact path, else everything before the segment
 * with the first wildcard.  A path is looked up under each of its own beginnings that end in a slash, and as a whole:
 * the number of look-ups is the path's depth, whatever the number of routes. */

enum { SLOT_SEED = 0x726f757465 & 0x7fffffff, SEGMENTS_MAX = 64 };

static uint32_t slot_of(uint32_t count, const char *key, size_t length) {
    return (uint32_t)hash_bytes(SLOT_SEED, key, length) & (count - 1);
}

static void slot_put(uint32_t *slots, uint32_t count, uint32_t at, uint32_t value) {
    for (uint32_t i = 0; i < count; i++, at = (at + 1) & (count - 1)) {
        if (slots[at] == value)
            return;
        if (!slots[at]) {
            slots[at] = value;
            return;
        }
    }
}

/* Bytes of the pattern's literal beginning. */
static size_t literal_length(uint8_t match, const char *pattern) {
    size_t length = strlen(pattern);
    if (match == MATCH_REGEX)
        return 0;
    if (match == MATCH_EXACT)
        return length;
    size_t plain = strcspn(pattern, "{*?");
    if (match == MATCH_GLOB && plain == length)
        return length;
    if (plain > 0 && strcmp(pattern + plain, "**") == 0 && pattern[plain - 1] == '/')
        plain--; /* the parent matches, too */
    while (plain > 0 && pattern[plain - 1] != '/')
        plain--;
    return plain;
}

void route_index_route(uint32_t *slots, uint32_t count, uint32_t number, uint8_t match, const char *pattern) {
    slot_put(slots, count, slot_of(count, pattern, literal_length(match, pattern)), number);
}

/* Names are indexed in the spelling that requests are brought to; returns its length. */
static size_t name_spelling(const char *name, char ret_spelling[static ROUTE_PATH_MAX]) {
    const char *path = strchr(name, ':');
    size_t method = path ? (size_t)(path - name) + 1 : 0;
    if (!path || method >= ROUTE_PATH_MAX / 2)
        return 0;
    memcpy(ret_spelling, name, method);
    return method + route_pattern(path + 1, strlen(path + 1), ret_spelling + method, ROUTE_PATH_MAX - method);
}

void route_index_name(uint32_t *slots, uint32_t count, uint32_t text, const char *name) {
    char spelling[ROUTE_PATH_MAX];
    size_t length = name_spelling(name, spelling);
    slot_put(slots, count, slot_of(count, spelling, length), text);
}

/* ------------------------------------------------------------------------------------------------------ request */

struct request {
    const void *image;
    const struct route_regexes *regexes;
    const char *method;
    size_t method_length;
    const char *path;
    size_t path_length;
};

struct route_regexes {
    struct pattern_arena arena;
    uint32_t count;
    const struct pattern *patterns[]; /* by route */
};

enum { REGEX_BYTES = 16384 /* of one compiled expression of 1000 bytes, generously */ };

static uint32_t count_regexes(const void *image) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < image_head(image)->routes_count; i++)
        count += image_routes(image)[i].match == MATCH_REGEX;
    return count;
}

size_t route_regexes_size(const void *image) {
    uint32_t count = count_regexes(image), routes = image_head(image)->routes_count;
    return count ? sizeof(struct route_regexes) + routes * sizeof(struct pattern *) + (size_t)count * REGEX_BYTES + 64
                 : 0;
}

const struct route_regexes *route_regexes_compile(void *memory, size_t size, const void *image) {
    struct route_regexes *regexes = memory;
    uint32_t routes = image_head(image)->routes_count;
    size_t head = (sizeof(*regexes) + routes * sizeof(struct pattern *) + 15) & ~(size_t)15;
    if (size < head || !count_regexes(image))
        return NULL;
    regexes->count = routes;
    regexes->arena = (struct pattern_arena){(char *)memory + head, size - head, 0};
    for (uint32_t i = 0; i < routes; i++) {
        const struct image_route *route = &image_routes(image)[i];
        regexes->patterns[i] = route->match == MATCH_REGEX
                                   ? pattern_compile(&regexes->arena, image_text(image, route->pattern))
                                   : NULL;
    }
    return regexes;
}

static bool regex_matches(const struct request *request, uint32_t route) {
    if (!request->regexes || route >= request->regexes->count)
        return false;
    _Alignas(16) char scratch[PATTERN_SCRATCH];
    const struct pattern *pattern = request->regexes->patterns[route];
    return pattern && pattern_match(pattern, scratch, request->path, request->path_length);
}

static bool route_matches(const struct request *request, uint32_t index) {
    const struct image_route *route = &image_routes(request->image)[index];
    const char *pattern = image_text(request->image, route->pattern),
               *method = image_text(request->image, route->method);
    if (*method &&
        (strlen(method) != request->method_length || memcmp(method, request->method, request->method_length) != 0))
        return false;
    switch (route->match) {
    case MATCH_EXACT:
        return strlen(pattern) == request->path_length && memcmp(pattern, request->path, request->path_length) == 0;
    case MATCH_PREFIX: return route_prefix(pattern, request->path, request->path_length);
    case MATCH_GLOB: return route_glob(pattern, request->path, request->path_length);
    default: return regex_matches(request, index);
    }
}

/* Calls `each` for the routes that match, some twice, in no order. */
static void for_matching(const struct request *request, void (*each)(const struct request *, uint32_t route, void *),
                         void *context) {
    uint32_t count = image_head(request->image)->route_slots_count, routes = image_head(request->image)->routes_count;
    const uint32_t *slots = image_route_slots(request->image);
    size_t length = 0;
    for (unsigned segment = 0; count && segment < SEGMENTS_MAX; segment++) {
        uint32_t at = slot_of(count, request->path, length);
        for (uint32_t i = 0; i < count && slots[at]; i++, at = (at + 1) & (count - 1))
            if (slots[at] <= routes && route_matches(request, slots[at] - 1))
                each(request, slots[at] - 1, context);
        if (length == request->path_length)
            return;
        do
            length++;
        while (length < request->path_length && request->path[length - 1] != '/');
        if (segment + 2 == SEGMENTS_MAX)
            length = request->path_length;
    }
}

/* ------------------------------------------------------------------------------------------------------- routes */

static bool is_better(const struct image_route *routes, uint32_t a, uint32_t b) {
    bool a_exact = routes[a].match == MATCH_EXACT, b_exact = routes[b].match == MATCH_EXACT;
    if (routes[a].implicit != routes[b].implicit)
        return routes[a].implicit < routes[b].implicit;
    return a_exact != b_exact ? a_exact : a < b;
}

static void pick_route(const struct request *request, uint32_t route, void *context) {
    const struct image_route *routes = image_routes(request->image);
    uint32_t *best = context;
    if (routes[route].kind == ROUTE_PATTERN && (*best == UINT32_MAX || is_better(routes, route, *best)))
        *best = route;
}

/* The text of an exact rule's resource that is this method and path, or 0. */
static image_string find_name(const struct request *request) {
    char name[ROUTE_PATH_MAX], other[ROUTE_PATH_MAX];
    uint32_t count = image_head(request->image)->name_slots_count;
    const uint32_t *slots = image_name_slots(request->image);
    size_t length = request->method_length + 1 + request->path_length;
    if (!count || length >= LAYOUT_RESOURCE_NAME_MAX * 3) /* a name's spelling may be three times as long as the name */
        return 0;
    memcpy(name, request->method, request->method_length);
    name[request->method_length] = ':';
    memcpy(name + request->method_length + 1, request->path, request->path_length);
    uint32_t at = slot_of(count, name, length);
    for (uint32_t i = 0; i < count && slots[at]; i++, at = (at + 1) & (count - 1)) {
        const char *text = image_text(request->image, slots[at]);
        if (name_spelling(text, other) == length && memcmp(name, other, length) == 0)
            return slots[at];
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ learning */

struct name {
    char *text;
    size_t size, length;
    uint64_t hash; /* of everything, also what found no room */
    bool cut;
};

static void name_add(struct name *name, const char *text, size_t length) {
    size_t room = name->size - 1 - name->length;
    name->hash = hash_bytes(name->hash, text, length);
    if (length > room) {
        length = room;
        name->cut = true;
    }
    memcpy(name->text + name->length, text, length);
    name->length += length;
}

static size_t name_end(struct name *name) {
    static const char digits[] = "0123456789abcdef";
    if (name->cut && name->size > 10) {
        name->length = name->size - 10;
        while (name->length > 0 && ((unsigned char)name->text[name->length] & 0xc0) == 0x80)
            name->length--; /* not within a character */
        name->text[name->length++] = '~';
        for (unsigned i = 0; i < 8; i++)
            name->text[name->length++] = digits[name->hash >> (60 - 4 * i) & 15];
    }
    name->text[name->length] = '\0';
    return name->length;
}

struct letters { /* what a segment is made of */
    size_t digits, hexadecimal, upper, lower, dashes, base64, others;
};

static struct letters count_letters(const char *text, size_t length) {
    struct letters n = {0};
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        n.digits += c >= '0' && c <= '9';
        n.hexadecimal += (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
        n.upper += c >= 'A' && c <= 'Z';
        n.lower += c >= 'a' && c <= 'z';
        n.dashes += c == '-';
        n.base64 += c == '_' || c == '-' || c == '=' || c == '+' || c == '.' || c == '~';
    }
    n.others = length - n.digits - n.upper - n.lower - n.base64;
    return n;
}

static bool is_uuid(const char *text, size_t length, const struct letters *n) {
    return length == 36 && n->dashes == 4 && n->hexadecimal == 32 && text[8] == '-' && text[13] == '-' &&
           text[18] == '-' && text[23] == '-';
}

static bool is_id(const char *text, size_t length) {
    struct letters n = count_letters(text, length);
    if (length > 48 || (n.digits && n.digits + n.dashes == length) || is_uuid(text, length, &n))
        return true;
    if (length >= 16 && n.hexadecimal == length && n.digits)
        return true;
    /* Base64 and base32 rather than words: cases and digits mixed, or capitals full of digits. */
    return length >= 20 && !n.others &&
           ((n.upper && n.lower && n.digits) || (n.upper && !n.lower && n.digits >= 4 && !n.base64));
}

/* Bytes of the segment that stand for an id: all of it, or what is before an extension ("42" of "42.json"), or 0. */
static size_t id_length(const char *text, size_t length) {
    if (is_id(text, length))
        return length;
    const char *dot = memchr(text, '.', length);
    size_t stem = dot ? (size_t)(dot - text) : 0, extension = length - stem;
    if (!stem || extension < 2 || extension > 9 || !is_id(text, stem))
        return 0;
    struct letters n = count_letters(dot + 1, extension - 1);
    bool letter_first = (dot[1] | 32) >= 'a' && (dot[1] | 32) <= 'z';
    return letter_first && n.digits + n.upper + n.lower == extension - 1 ? stem : 0;
}

static void capture(struct route_found *found, const char *name, size_t name_length, size_t start, size_t length) {
    if (found->captures_count < ROUTE_CAPTURES_MAX)
        found->captures[found->captures_count++] = (struct route_capture){name, name_length, start, length};
}

static void learn_name(const struct request *request, struct name *name, struct route_found *found) {
    const char *path = request->path;
    size_t at = 0;
    while (at < request->path_length) {
        size_t end = at;
        while (end < request->path_length && path[end] != '/')
            end++;
        size_t id = end > at ? id_length(path + at, end - at) : 0;
        if (id) {
            capture(found, "id", 2, at, id);
            name_add(name, "{id}", 4);
        }
        if (end < request->path_length)
            end++;
        name_add(name, path + at + id, end - at - id);
        at = end;
    }
}

/* Path segments that stand where the pattern has a {name}. */
static void capture_templates(const char *pattern, const struct request *request, struct route_found *found) {
    size_t at = 0;
    while (*pattern && at < request->path_length && strncmp(pattern, "**", 2) != 0) {
        size_t size = strcspn(pattern, "/"), length = 0;
        while (at + length < request->path_length && request->path[at + length] != '/')
            length++;
        if (size > 2 && pattern[0] == '{' && pattern[size - 1] == '}')
            capture(found, pattern + 1, size - 2, at, length);
        pattern += size + (pattern[size] == '/');
        at += length + 1;
    }
}

/* ------------------------------------------------------------------------------------------------------ finding */

static void name_of_route(const struct request *request, uint32_t index, struct name *name, struct route_found *found) {
    const struct image_route *route = &image_routes(request->image)[index];
    const char *text = image_text(request->image, route->name), *pattern = image_text(request->image, route->pattern);
    found->route = index;
    if (route->match == MATCH_GLOB)
        capture_templates(pattern, request, found);
    if (!*text) {
        name_add(name, request->method, request->method_length);
        name_add(name, ":", 1);
        text = pattern;
    }
    name_add(name, text, strlen(text));
}

size_t route_find(const void *image, const struct route_regexes *regexes, const char *method, size_t method_length,
                  const char *target, size_t target_length, char *ret_name, size_t size,
                  struct route_found *ret_found) {
    struct name name = {.text = ret_name, .size = size};
    uint32_t route = UINT32_MAX;
    image_string text;
    ret_found->captures_count = 0;
    ret_found->route = UINT32_MAX;
    ret_found->path_length = route_path(target, target_length, ret_found->path, sizeof(ret_found->path));
    if (!size)
        return 0;
    if (method_length > 24) { /* nobody's method: what a client can make up does not become many names */
        method = "{method}";
        method_length = strlen(method);
    }
    if (method_length == 7 && memcmp(method, "CONNECT", 7) == 0 && target_length && target[0] != '/') {
        name_add(&name, "CONNECT:{authority}", 19);
        ret_found->how = ROUTE_HOW_LEARNED;
        return name_end(&name);
    }
    struct request request = {image, regexes, method, method_length, ret_found->path, ret_found->path_length};
    for_matching(&request, pick_route, &route);
    bool configured = route != UINT32_MAX && !image_routes(image)[route].implicit;
    if (configured) {
        ret_found->how = ROUTE_HOW_CONFIGURED;
        name_of_route(&request, route, &name, ret_found);
    } else if ((text = find_name(&request))) {
        ret_found->how = ROUTE_HOW_RULE;
        name_add(&name, image_text(image, text), strlen(image_text(image, text)));
    } else if (route != UINT32_MAX) {
        ret_found->how = ROUTE_HOW_TEMPLATE;
        name_of_route(&request, route, &name, ret_found);
    } else {
        ret_found->how = ROUTE_HOW_LEARNED;
        name_add(&name, method, method_length);
        name_add(&name, ":", 1);
        learn_name(&request, &name, ret_found);
    }
    return name_end(&name);
}

size_t route_name(const void *image, const char *method, size_t method_length, const char *target, size_t target_length,
                  char *ret_name, size_t size) {
    struct route_found found;
    return route_find(image, NULL, method, method_length, target, target_length, ret_name, size, &found);
}

/* ------------------------------------------------------------------------------------------------------- groups */

struct groups {
    uint32_t *routes; /* indices, ascending; one for each name */
    size_t count, max;
};

static void add_group(const struct request *request, uint32_t route, void *context) {
    const struct image_route *routes = image_routes(request->image);
    struct groups *groups = context;
    size_t at = 0;
    if (routes[route].kind != ROUTE_API)
        return;
    for (size_t i = 0; i < groups->count; i++)
        if (routes[groups->routes[i]].name == routes[route].name) {
            if (groups->routes[i] > route)
                groups->routes[i] = route;
            return;
        }
    if (groups->count == groups->max)
        return;
    for (at = groups->count++; at > 0 && groups->routes[at - 1] > route; at--)
        groups->routes[at] = groups->routes[at - 1];
    groups->routes[at] = route;
}

size_t route_groups(const void *image, const struct route_regexes *regexes, const char *target, size_t target_length,
                    uint32_t *ret_names, size_t max) {
    char path[ROUTE_PATH_MAX];
    size_t length = route_path(target, target_length, path, sizeof(path));
    struct request request = {image, regexes, "", 0, path, length};
    struct groups groups = {ret_names, 0, max};
    for_matching(&request, add_group, &groups);
    for (size_t i = 0; i < groups.count; i++)
        ret_names[i] = image_routes(image)[ret_names[i]].name;
    return groups.count;
}
