/* What a request says of a parameter, in one spelling. */
#include "shim/protocol/http1/http1.h"

#include <string.h>
#include <strings.h>

#include "rules/naming/route.h"

_Static_assert((int)VALUES_ROOM >= (int)ROUTE_PATH_MAX && (int)VALUES_ROOM >= (int)ROUTE_HOST_MAX,
               "room for a path, or a host");

/* ------------------------------------------------------------------------------------------------------- spelling */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

enum spelling { AS_SENT, PERCENT, PERCENT_PLUS };

/* The next byte that is meant; a '%' that no two digits follow is one itself. */
static char next_byte(const char **at, const char *end, enum spelling spelling) {
    char c = *(*at)++;
    if (c == '+' && spelling == PERCENT_PLUS)
        return ' ';
    if (c != '%' || spelling == AS_SENT || end - *at < 2 || hex_digit((*at)[0]) < 0 || hex_digit((*at)[1]) < 0)
        return c;
    c = (char)(hex_digit((*at)[0]) << 4 | hex_digit((*at)[1]));
    *at += 2;
    return c;
}

static bool means(struct slice text, const char *name, size_t name_length, enum spelling spelling) {
    const char *at = text.at, *end = text.at + text.size;
    for (size_t i = 0; i < name_length; i++)
        if (at == end || next_byte(&at, end, spelling) != name[i])
            return false;
    return at == end;
}

static bool is_plain(struct slice text, enum spelling spelling) {
    return spelling == AS_SENT || !text.size ||
           (!memchr(text.at, '%', text.size) && (spelling == PERCENT || !memchr(text.at, '+', text.size)));
}

/* --------------------------------------------------------------------------------------------------- several values */

/* Each in the spelling that is meant; the room is shared fairly, so that none is crowded out by others. */
static void decode(struct values *values, enum spelling spelling) {
    size_t share = values->count ? sizeof(values->room) / values->count : 0;
    for (size_t i = 0; i < values->count; i++) {
        struct slice *value = &values->list[i];
        if (is_plain(*value, spelling))
            continue;
        char *text = values->room + i * share;
        const char *at = value->at, *end = value->at + value->size;
        size_t size = 0;
        while (at < end && size < share)
            text[size++] = next_byte(&at, end, spelling);
        *value = (struct slice){text, size};
    }
}

/* ---------------------------------------------------------------------------------------------------- where they are
 */

static const char *skip_to(const char *at, const char *end, char stop) {
    const char *found = at < end ? memchr(at, stop, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static void find_url_parameters(struct values *values, struct slice target, const char *name) {
    const char *end = skip_to(target.at, target.at + target.size, '#');
    for (const char *at = skip_to(target.at, end, '?'); at < end;) {
        const char *key = at + 1, *stop = skip_to(key, end, '&'), *sign = skip_to(key, stop, '=');
        const char *value = sign < stop ? sign + 1 : stop;
        if (means((struct slice){key, (size_t)(sign - key)}, name, strlen(name), PERCENT_PLUS))
            values_add(values, (struct slice){value, (size_t)(stop - value)});
        at = stop;
    }
    decode(values, PERCENT_PLUS);
}

/* Blanks around names and values do not count: most servers overlook them, and each would be a value of its own. */
static void find_cookies_in(struct values *values, struct slice header, const char *name) {
    const char *end = header.at + header.size;
    size_t length = strlen(name);
    for (const char *p = header.at, *stop; p < end; p = stop + 1) {
        stop = memchr(p, ';', (size_t)(end - p));
        stop = stop ? stop : end;
        const char *equals = memchr(p, '=', (size_t)(stop - p));
        struct slice key = http1_trim((struct slice){p, equals ? (size_t)(equals - p) : 0});
        if (!equals || key.size != length || memcmp(key.at, name, length) != 0)
            continue;
        struct slice value = http1_trim((struct slice){equals + 1, (size_t)(stop - equals - 1)});
        if (value.size >= 2 && value.at[0] == '"' && value.at[value.size - 1] == '"')
            value = (struct slice){value.at + 1, value.size - 2};
        values_add(values, value);
    }
}

static void find_cookies(struct values *values, const struct message *head, const char *name) {
    struct slice field, value;
    for (size_t at = 0; http1_field(head, &at, &field, &value);)
        if (field.size == 6 && strncasecmp(field.at, "cookie", 6) == 0)
            find_cookies_in(values, value, name);
    decode(values, PERCENT);
}

/* The authority of a target in absolute form, else the Host header; what is too long to be a host counts as none. */
static void find_host(struct values *values, const struct message *head) {
    size_t length;
    const char *host = route_authority(head->target.at, head->target.size, &length);
    if (!length) {
        host = head->host.at;
        length = head->host.size;
    }
    if (host)
        values_add(values, (struct slice){values->room, route_host(host, length, values->room)});
}

struct slice http1_path_segment(struct slice target, unsigned index) {
    const char *at = target.at, *end = target.at + target.size;
    if (target.size && *at != '/') { /* absolute form: scheme://authority/path */
        for (int slashes = 0; at < end && slashes < 3; at++)
            slashes += *at == '/';
    } else if (target.size) {
        at++;
    }
    for (unsigned i = 0; at <= end; i++) {
        const char *stop = at;
        while (stop < end && *stop != '/' && *stop != '?' && *stop != '#')
            stop++;
        if (i == index)
            return stop > at ? (struct slice){at, (size_t)(stop - at)} : (struct slice){NULL, 0};
        if (stop == end || *stop != '/')
            break;
        at = stop + 1;
    }
    return (struct slice){NULL, 0};
}

static void find_segment(struct values *values, struct slice target, unsigned segment) {
    size_t size = route_path(target.at, target.size, values->room, ROUTE_PATH_MAX);
    struct slice value = http1_path_segment((struct slice){values->room, size}, segment);
    if (value.at)
        values_add(values, value);
}

void http1_value(const struct message *head, const struct rule_param *param, const char *field,
                 struct values *ret_values) {
    switch (param->source) {
    case PARAM_HOST: find_host(ret_values, head); break;
    case PARAM_URL: find_url_parameters(ret_values, head->target, field); break;
    case PARAM_COOKIE: find_cookies(ret_values, head, field); break;
    case PARAM_PATH: find_segment(ret_values, head->target, param->segment); break;
    default: break;
    }
}
