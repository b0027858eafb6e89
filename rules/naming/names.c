/* From a message to the names that it counts for. */
#include "rules/naming/names.h"

#include <string.h>

#include "rules/hash.h"
#include "rules/layout.h"
#include "rules/naming/naming_private.h"
#include "rules/rule.h"

enum { SEGMENTS_MAX = 64, GROUPS_MAX = 8 };

/* --------------------------------------------------------------------------------------------------- writing a name */

void naming_add(struct naming_name *name, const char *text, size_t length) {
    size_t room = name->size - 1 - name->length;
    name->hash = hash_bytes(name->hash, text, length);
    if (length > room) {
        length = room;
        name->cut = true;
    }
    memcpy(name->text + name->length, text, length);
    name->length += length;
    name->text[name->length] = '\0';
}

static void add_route(const struct naming_ask *ask, uint32_t index, struct naming_name *name) {
    const struct ruleset_route *route = &ask->rules->routes[index];
    const char *strings = ask->rules->strings, *text = strings + route->name, *host = strings + route->host;
    ask->found->route = index;
    if (!*text) {
        naming_add(name, ask->method, ask->method_length);
        naming_add(name, *host ? ":http://" : ":", *host ? 8 : 1);
        if (*host)
            naming_add(name, host, strlen(host));
        text = strings + route->pattern;
    }
    naming_add(name, text, strlen(text));
}

/* --------------------------------------------------------------------------------------------------------- matching */

/* A path is looked up under each of its own beginnings that end in a slash, and as a whole: the number of look-ups is
 * its depth, whatever the number of routes (index.c puts them there). */
uint32_t naming_next(const struct naming_ask *ask, struct naming_candidates *c) {
    const struct ruleset_header *head = ask->rules->ruleset;
    const uint32_t *slots = ask->rules->route_slots, count = head->route_slots_count;
    while (count && c->kinds && c->segment < SEGMENTS_MAX) {
        if (!c->within) {
            c->at = (uint32_t)hash_bytes(NAMING_SLOT_SEED, ask->path, c->length) & (count - 1);
            c->tried = 0;
            c->within = true;
        }
        while (c->tried < count && slots[c->at]) {
            uint32_t route = slots[c->at] - 1;
            c->tried++;
            c->at = (c->at + 1) & (count - 1);
            if (route - c->first < c->kinds)
                return route;
        }
        c->within = false;
        if (c->length == ask->path_length)
            break;
        do
            c->length++;
        while (c->length < ask->path_length && ask->path[c->length - 1] != '/');
        if (++c->segment == SEGMENTS_MAX - 1)
            c->length = ask->path_length;
    }
    c->kinds = 0;
    return UINT32_MAX;
}

struct retry { /* where a wildcard can take one character more */
    const char *pattern;
    size_t at;
};

/* Where ** tries next.  When a * behind it had its chances, another start in the same segment would come to the same
 * end: skipping those keeps the time in proportion to the path. */
static size_t later_start(const char *path, size_t length, size_t at, bool star) {
    size_t slash = at;
    while (star && slash < length && path[slash] != '/')
        slash++;
    return slash > at ? slash : at + 1;
}

bool route_glob(const char *pattern, const char *path, size_t length) {
    struct retry star = {NULL, 0}, stars = {NULL, 0};
    size_t at = 0;
    for (;;) {
        if (pattern[0] == '/' && strcmp(pattern, "/**") == 0 && at == length)
            return true;
        if (pattern[0] == '*' && pattern[1] == '*') {
            pattern += 2;
            stars = (struct retry){pattern, at};
            star.pattern = NULL;
            continue;
        }
        if (pattern[0] == '*') {
            star = (struct retry){++pattern, at};
            continue;
        }
        /* A {name}; without its end '{' is a character like others. */
        size_t template = pattern[0] == '{' ? strcspn(pattern + 1, "{}/") : 0;
        if (template && pattern[template + 1] == '}' && at < length && path[at] != '/') {
            pattern += template + 2;
            star = (struct retry){pattern, ++at};
            continue;
        }
        if (at == length && *pattern == '\0')
            return true;
        if (at < length && (*pattern == path[at] || (*pattern == '?' && path[at] != '/')) && *pattern) {
            pattern++;
            at++;
        } else if (star.pattern && star.at < length && path[star.at] != '/') {
            pattern = star.pattern;
            at = ++star.at;
        } else if (stars.pattern && stars.at < length) {
            stars.at = later_start(path, length, stars.at, star.pattern != NULL);
            pattern = stars.pattern;
            at = stars.at;
            star.pattern = NULL;
        } else {
            return false;
        }
    }
}

bool route_prefix(const char *pattern, const char *path, size_t length) {
    size_t size = strlen(pattern);
    if (size >= 3 && strcmp(pattern + size - 3, "/**") == 0) {
        size -= 3;
        return length >= size && memcmp(pattern, path, size) == 0 && (length == size || path[size] == '/');
    }
    while (size > 0 && pattern[size - 1] == '*')
        size--;
    return length >= size && memcmp(pattern, path, size) == 0;
}

/* "*.example.com": any name below it. */
static bool host_matches(const char *pattern, const char *host, size_t length) {
    size_t size = strlen(pattern);
    if (pattern[0] != '*')
        return size == length && memcmp(pattern, host, size) == 0;
    return length >= size && memcmp(pattern + 1, host + length - (size - 1), size - 1) == 0;
}

bool naming_matches(const struct naming_ask *ask, uint32_t index) {
    const struct ruleset_route *route = &ask->rules->routes[index];
    const char *strings = ask->rules->strings, *pattern = strings + route->pattern, *method = strings + route->method;
    if (*method && (strlen(method) != ask->method_length || memcmp(method, ask->method, ask->method_length) != 0))
        return false;
    if (route->host && !host_matches(strings + route->host, ask->host, ask->host_length))
        return false;
    switch (route->match) {
    case MATCH_EXACT: return strlen(pattern) == ask->path_length && memcmp(pattern, ask->path, ask->path_length) == 0;
    case MATCH_PREFIX: return route_prefix(pattern, ask->path, ask->path_length);
    case MATCH_GLOB: return route_glob(pattern, ask->path, ask->path_length);
    default: return naming_regex_matches(ask, index);
    }
}

/* How much a route says of the host: nothing, a family of hosts (the longer the more), or one host. */
static size_t host_rank(const struct naming_rules *rules, const struct ruleset_route *route) {
    const char *host = rules->strings + route->host;
    return host[0] == '*' ? strlen(host) : host[0] ? SIZE_MAX : 0;
}

static bool is_better(const struct naming_rules *rules, uint32_t a, uint32_t b) {
    const struct ruleset_route *one = &rules->routes[a], *other = &rules->routes[b];
    if (one->implicit != other->implicit)
        return one->implicit < other->implicit;
    size_t rank = host_rank(rules, one), other_rank = host_rank(rules, other);
    if (rank != other_rank)
        return rank > other_rank;
    bool exact = one->match == MATCH_EXACT, other_exact = other->match == MATCH_EXACT;
    return exact != other_exact ? exact : a < b;
}

/* The text of an exact rule's resource that is this method and path (and host), or 0. */
static uint32_t rule_name(const struct naming_ask *ask, const char *host, size_t host_length) {
    const struct ruleset_header *head = ask->rules->ruleset;
    char *name = ask->found->scratch[0], *other = ask->found->scratch[1];
    const uint32_t *slots = ask->rules->name_slots, count = head->name_slots_count;
    size_t before = ask->method_length + 1 + (host_length ? 7 + host_length : 0), length = before + ask->path_length;
    if (length >= LAYOUT_RESOURCE_NAME_MAX * 3) /* a name's spelling may be three times as long as the name */
        return 0;
    memcpy(name, ask->method, ask->method_length);
    name[ask->method_length] = ':';
    if (host_length) {
        memcpy(name + ask->method_length + 1, "http://", 7);
        memcpy(name + ask->method_length + 8, host, host_length);
    }
    memcpy(name + before, ask->path, ask->path_length);
    uint32_t at = (uint32_t)hash_bytes(NAMING_SLOT_SEED, name, length) & (count - 1);
    for (uint32_t i = 0; i < count && slots[at]; i++, at = (at + 1) & (count - 1))
        if (naming_spelling(ask->rules->strings + slots[at], other) == length && memcmp(name, other, length) == 0)
            return slots[at];
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- finding */

/* A target in absolute form names the host, whatever the Host header says (RFC 9112, 3.2.2). */
static const char *host_of(const struct naming_message *message, size_t *ret_length) {
    *ret_length = 0;
    if (message->path_length && message->path[0] != '/') {
        const char *authority = route_authority(message->path, message->path_length, ret_length);
        if (*ret_length)
            return authority;
    }
    *ret_length = message->host ? message->host_length : 0;
    return message->host ? message->host : "";
}

/* ":http://payments:8080"; port 80 goes without saying. */
static void add_host(const struct naming_ask *ask, struct naming_name *name) {
    size_t length, port = 0;
    const char *host = host_of(ask->message, &length);
    while (port < length && host[length - port - 1] >= '0' && host[length - port - 1] <= '9')
        port++;
    bool has_port = port && port < length && host[length - port - 1] == ':';
    naming_add(name, ":http://", 8);
    naming_add(name, ask->host, ask->host_length);
    if (has_port && (port != 2 || memcmp(host + length - 2, "80", 2) != 0))
        naming_add(name, host + length - port - 1, port + 1);
}

static void find_name(const struct naming_ask *ask, struct naming_name *name) {
    const struct naming_rules *rules = ask->rules;
    const struct ruleset_header *head = rules->ruleset;
    struct naming_candidates candidates = {.first = head->route_kind_first[ROUTE_PATTERN],
                                           .kinds = head->route_kind_count[ROUTE_PATTERN]};
    uint32_t best = UINT32_MAX, text = 0;
    for (uint32_t route; (route = naming_next(ask, &candidates)) != UINT32_MAX;)
        if ((best == UINT32_MAX || is_better(rules, route, best)) && naming_matches(ask, route))
            best = route;
    bool configured = best != UINT32_MAX && !rules->routes[best].implicit;
    if (!configured && head->name_slots_count && head->hosts && ask->host_length)
        text = rule_name(ask, ask->host, ask->host_length);
    if (!configured && head->name_slots_count && !text)
        text = rule_name(ask, NULL, 0);
    if (text) {
        ask->found->how = ROUTE_HOW_RULE;
        naming_add(name, rules->strings + text, strlen(rules->strings + text));
    } else if (best != UINT32_MAX) {
        ask->found->how = configured ? ROUTE_HOW_CONFIGURED : ROUTE_HOW_TEMPLATE;
        add_route(ask, best, name);
    } else {
        naming_add(name, ask->method, ask->method_length);
        if (ask->message->with_host && ask->host_length)
            add_host(ask, name);
        else
            naming_add(name, ":", 1);
        naming_learn(ask, name);
    }
}

/* Bytes that stand for themselves in every reading, and end no segment. */
static const uint8_t ordinary[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['_'] = 1, ['~'] = 1,  ['!'] = 1,
    ['$'] = 1,         ['&'] = 1,         ['('] = 1,         [')'] = 1, ['*'] = 1, ['+'] = 1,  [','] = 1,
    ['='] = 1,         [':'] = 1,         ['@'] = 1,         ['.'] = 1, ['/'] = 1, ['\''] = 1,
};

/* Most paths are in the one spelling already: no segment is empty or begins with a dot. */
static size_t read_path(const struct naming_message *message, unsigned reading, struct route_found *found) {
    const char *path = message->path;
    size_t length = message->path_length, plain = length && path[0] == '/';
    while (plain && plain < length && ordinary[(unsigned char)path[plain]] &&
           (path[plain - 1] != '/' || (path[plain] != '/' && path[plain] != '.')))
        plain++;
    bool whole = plain && (plain == length || path[plain] == '?' || path[plain] == '#');
    if (!whole || plain + 16 >= sizeof(found->path)) /* route_read() knows how a long one ends */
        return route_read(path, length, reading, found->path, sizeof(found->path), &found->others);
    memcpy(found->path, path, plain);
    found->path[plain] = '\0';
    found->others = 0;
    return plain;
}

size_t route_find(const struct naming_rules *rules, const struct naming_message *message, unsigned reading,
                  char *ret_name, size_t size, struct route_found *ret_found) {
    struct naming_name name = {.text = ret_name, .size = size};
    ret_found->how = ROUTE_HOW_LEARNED;
    ret_found->route = UINT32_MAX;
    ret_found->collapsed = 0;
    ret_found->undecided = ret_found->proliferated = false;
    ret_found->path_length = read_path(message, reading, ret_found);
    ret_found->host_length = 0;
    ret_found->host[0] = '\0';
    if (((const struct ruleset_header *)rules->ruleset)->hosts || message->with_host) { /* else nothing is about it */
        size_t length;
        const char *host = host_of(message, &length);
        ret_found->host_length = route_host(host, length, ret_found->host);
    }
    if (!size)
        return 0;
    struct naming_ask ask = {
        .rules = rules,
        .message = message,
        .method = message->method_length > NAMING_METHOD_MAX ? "{method}" : message->method,
        .method_length = message->method_length > NAMING_METHOD_MAX ? 8 : message->method_length,
        .path = ret_found->path,
        .path_length = ret_found->path_length,
        .host = ret_found->host,
        .host_length = ret_found->host_length,
        .found = ret_found,
    };
    if (ask.method_length == 7 && memcmp(ask.method, "CONNECT", 7) == 0 && message->path_length &&
        message->path[0] != '/')
        naming_add(&name, "CONNECT:{authority}", 19);
    else
        find_name(&ask, &name);
    if (name.cut)
        naming_mark_cut(&name);
    return name.length;
}

/* -------------------------------------------------------------------------------------------------------- all names */

_Static_assert(sizeof(struct naming) <= NAMES_ROOM, "the room is large enough");

static void give_groups(struct naming *naming, unsigned reading) {
    uint32_t groups[GROUPS_MAX];
    size_t count = route_groups(naming->rules, &naming->found, groups, GROUPS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *group = naming->rules->strings + groups[i];
        naming->sink->take(naming->sink->context, group, strlen(group), NULL, reading);
    }
    naming->undecided |= naming->found.undecided;
}

/* A reading but the plain one counts if rules speak of what it comes to.  Returns the readings that there are. */
static unsigned give_name(struct naming *naming, unsigned reading) {
    const struct naming_rules *rules = naming->rules;
    const struct route_found *found = &naming->found;
    char *name = naming->name;
    size_t length = route_find(rules, naming->message, reading, name, sizeof(naming->name), &naming->found);
    bool plain = reading == ROUTE_READ_PLAIN, learned = found->how == ROUTE_HOW_LEARNED;
    if (learned && rules->misses)
        length = naming_keep_path(naming, length);
    if (plain && found->others) { /* it will be compared with */
        memcpy(naming->plain, name, length + 1);
        naming->plain_length = length;
    }
    if (plain || !learned ||
        (rules->misses && rules->misses(rules->context, name, length, naming->plain, naming->plain_length)))
        naming->sink->take(naming->sink->context, name, length, found, reading);
    naming->undecided |= found->undecided;
    return found->others;
}

/* The names of all readings come before any group: room is limited, and groups must not push out what another reading
 * of the path comes to. */
static void give_others(struct naming *naming, unsigned others) {
    for (unsigned reading = 1; reading < ROUTE_READINGS; reading++)
        if ((reading & others) == reading)
            give_name(naming, reading);
    for (unsigned reading = 0; reading < ROUTE_READINGS; reading++)
        if ((reading & others) == reading) {
            route_find(naming->rules, naming->message, reading, naming->name, sizeof(naming->name), &naming->found);
            give_groups(naming, reading);
        }
}

static void give_all(struct naming *naming) {
    unsigned others = give_name(naming, ROUTE_READ_PLAIN);
    if (others)
        give_others(naming, others);
    else if (((const struct ruleset_header *)naming->rules->ruleset)->route_kind_count[ROUTE_API])
        give_groups(naming, ROUTE_READ_PLAIN);
}

/* Many servers go by the Host field even where a target in absolute form names another host.  To these it is the
 * request that `ret_message` says; false: there is no such difference, or nothing depends on it. */
static bool by_host_field(const struct naming_rules *rules, const struct naming_message *message,
                          struct naming_message *ret_message) {
    char named[ROUTE_HOST_MAX], field[ROUTE_HOST_MAX];
    size_t length;
    if (!message->host_length || message->with_host || !((const struct ruleset_header *)rules->ruleset)->hosts)
        return false;
    const char *authority = route_authority(message->path, message->path_length, &length), *rest = authority + length;
    if (!length || (route_host(authority, length, named) == route_host(message->host, message->host_length, field) &&
                    strcmp(named, field) == 0))
        return false;
    *ret_message = *message;
    ret_message->path_length -= (size_t)(rest - message->path);
    ret_message->path = ret_message->path_length ? rest : "/";
    ret_message->path_length += !ret_message->path_length;
    return true;
}

bool names_of(const struct naming_rules *rules, const struct naming_message *message, const struct naming_sink *sink) {
    struct naming *naming = sink->room;
    struct naming_message other;
    naming->rules = rules;
    naming->message = message;
    naming->sink = sink;
    naming->undecided = false;
    if (!message->path) {
        naming_give_verb(naming);
        return true;
    }
    give_all(naming);
    if (message->path_length && message->path[0] != '/' && by_host_field(rules, message, &other)) {
        naming->message = &other;
        give_all(naming);
    }
    return !naming->undecided;
}
