#include "shim/admission/http_values.h"

#include <string.h>
#include <strings.h>

#include "rules/ruleset.h"
#include "rules/naming/route.h"

_Static_assert((int)HTTP_VALUES_ROOM >= (int)ROUTE_PATH_MAX && (int)HTTP_VALUES_ROOM >= (int)ROUTE_HOST_MAX,
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

static void add(struct http_values *values, struct slice value) {
    if (values->count < HTTP_VALUES_MAX)
        values->count++;
    values->list[values->count - 1] = value; /* the last one always counts: some applications go by it */
}

/* Each in the spelling that is meant; the room is shared fairly, so that none is crowded out by others. */
static void decode(struct http_values *values, enum spelling spelling) {
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

/* Said twice is said once. */
static void remove_doubles(struct http_values *values) {
    size_t count = 0;
    for (size_t i = 0; i < values->count; i++) {
        struct slice value = values->list[i];
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known |= values->list[k].size == value.size && !memcmp(values->list[k].at, value.at, value.size);
        if (!known)
            values->list[count++] = value;
    }
    values->count = count;
}

/* ---------------------------------------------------------------------------------------------------- where they are
 */

static const char *skip_to(const char *at, const char *end, char stop) {
    const char *found = at < end ? memchr(at, stop, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static void find_url_parameters(struct http_values *values, struct slice target, const char *name) {
    const char *end = skip_to(target.at, target.at + target.size, '#');
    for (const char *at = skip_to(target.at, end, '?'); at < end;) {
        const char *key = at + 1, *stop = skip_to(key, end, '&'), *sign = skip_to(key, stop, '=');
        const char *value = sign < stop ? sign + 1 : stop;
        if (means((struct slice){key, (size_t)(sign - key)}, name, strlen(name), PERCENT_PLUS))
            add(values, (struct slice){value, (size_t)(stop - value)});
        at = stop;
    }
    decode(values, PERCENT_PLUS);
}

/* Blanks around names and values do not count: most servers overlook them, and each would be a value of its own. */
static void find_cookies_in(struct http_values *values, struct slice header, const char *name) {
    const char *end = header.at + header.size;
    size_t length = strlen(name);
    for (const char *p = header.at, *stop; p < end; p = stop + 1) {
        stop = memchr(p, ';', (size_t)(end - p));
        stop = stop ? stop : end;
        const char *equals = memchr(p, '=', (size_t)(stop - p));
        struct slice key = http_trim((struct slice){p, equals ? (size_t)(equals - p) : 0});
        if (!equals || key.size != length || memcmp(key.at, name, length) != 0)
            continue;
        struct slice value = http_trim((struct slice){equals + 1, (size_t)(stop - equals - 1)});
        if (value.size >= 2 && value.at[0] == '"' && value.at[value.size - 1] == '"')
            value = (struct slice){value.at + 1, value.size - 2};
        add(values, value);
    }
}

static void find_headers(struct http_values *values, const struct message *head, const char *name, const char *cookie) {
    struct slice field, value;
    size_t length = strlen(name);
    for (size_t at = 0; http1_field(head, &at, &field, &value);) {
        if (field.size != length || strncasecmp(field.at, name, length) != 0)
            continue;
        if (cookie)
            find_cookies_in(values, value, cookie);
        else
            add(values, value);
    }
}

/* The authority of a target in absolute form, else the Host header; what is too long to be a host counts as none. */
static void find_host(struct http_values *values, const struct message *head) {
    size_t length;
    const char *host = route_authority(head->target.at, head->target.size, &length);
    if (!length) {
        host = head->host.at;
        length = head->host.size;
    }
    if (host)
        add(values, (struct slice){values->room, route_host(host, length, values->room)});
}

static void find_client(struct http_values *values, const struct message *head, const void *ruleset,
                        const struct http_peer *peer) {
    struct address_range client;
    struct slice value = {peer->text, peer->text_length};
    if (http_trusted_peer(ruleset, peer->address, peer->address_length) && http_client_address(head, ruleset, &client))
        value = (struct slice){values->room, address_text(client.network, client.length, values->room)};
    add(values, value);
}

static void find_segment(struct http_values *values, struct slice target, unsigned segment) {
    size_t size = route_path(target.at, target.size, values->room, ROUTE_PATH_MAX);
    struct slice value = http_path_segment((struct slice){values->room, size}, segment);
    if (value.at)
        add(values, value);
}

void http_values(const struct message *head, const void *ruleset, const struct http_peer *peer,
                 const struct rule_param *param, struct http_values *ret_values) {
    const char *field = ruleset_text(ruleset, param->field);
    ret_values->count = 0;
    switch (param->source) {
    case PARAM_CLIENT_IP: find_client(ret_values, head, ruleset, peer); break;
    case PARAM_HOST: find_host(ret_values, head); break;
    case PARAM_HEADER: find_headers(ret_values, head, field, NULL); break;
    case PARAM_URL: find_url_parameters(ret_values, head->target, field); break;
    case PARAM_COOKIE:
        find_headers(ret_values, head, "cookie", field);
        decode(ret_values, PERCENT);
        break;
    case PARAM_PATH: find_segment(ret_values, head->target, param->segment); break;
    default: break;
    }
    if (ret_values->count > 1)
        remove_doubles(ret_values);
}
