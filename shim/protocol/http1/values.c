/* What a request says of a parameter, in each reading that servers may have of it. */
#include "shim/protocol/http1/http1.h"
#include "shim/protocol/http1/readings.h"

#include <string.h>
#include <strings.h>

#include "rules/naming/route.h"

_Static_assert((int)VALUES_ROOM >= 2 * ROUTE_PATH_MAX && (int)VALUES_ROOM >= 2 * ROUTE_HOST_MAX,
               "room for a path and a segment of it, or for hosts");

static const char *skip_to(const char *at, const char *end, char stop) {
    const char *found = at < end ? memchr(at, stop, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static void add_value(struct readings *readings, const char *at, const char *end) {
    struct slice value = {at, (size_t)(end - at)};
    readings_add(readings, value, SPELT_PLUS);
    if (memchr(at, '+', value.size))
        readings_add(readings, value, SPELT_PERCENT);
}

/* The query begins at the first '?'.  Servers differ: it ends at a '#', or has it like any byte (and then even one
 * before the '?' is part of the path); parameters are separated by '&', or by ';', too; '+' is a blank, or itself. */
static void find_url_parameters(struct readings *readings, struct slice target, const char *name) {
    const char *end = target.at + target.size, *ampersand = NULL, *hash = NULL;
    for (const char *at = skip_to(target.at, end, '?'); at < end;) {
        const char *key = at + 1, *stop = key;
        while (stop < end && *stop != '&' && *stop != ';')
            stop++;
        const char *sign = skip_to(key, stop, '='), *value = sign < stop ? sign + 1 : stop;
        at = stop;
        if (!readings_name((struct slice){key, (size_t)(sign - key)}, name))
            continue;
        if (!ampersand || ampersand < value)
            ampersand = skip_to(value, end, '&');
        if (!hash || hash < value)
            hash = skip_to(value, end, '#');
        readings_begin(readings);
        add_value(readings, value, hash < ampersand ? hash : ampersand);
        add_value(readings, value, ampersand);
        add_value(readings, value, hash < stop ? hash : stop);
        add_value(readings, value, stop);
    }
}

/* The one of a target in absolute form, and those of the Host fields: some servers go by the one (RFC 9112, 3.2.2),
 * some by the other.  What is too long to be a host counts as none. */
static void find_host(struct values *values, const struct message *head) {
    size_t length;
    const char *host = route_authority(head->target.at, head->target.size, &length);
    struct slice field, value;
    char *room = values->room;
    if (length) {
        values_add(values, (struct slice){room, route_host(host, length, room)});
        room += ROUTE_HOST_MAX;
    }
    for (size_t at = 0; http1_field(head, &at, &field, &value);) {
        if (field.size != 4 || strncasecmp(field.at, "host", 4) != 0)
            continue;
        values_add(values, (struct slice){room, route_host(value.at, value.size, room)});
        room += room + 2 * ROUTE_HOST_MAX <= values->room + VALUES_ROOM ? ROUTE_HOST_MAX : 0;
    }
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

/* Of the path in each of its readings (route.h), decoded.  Paths are read into the end of the room, values stay at its
 * beginning. */
static void find_segment(struct values *values, struct slice target, unsigned segment) {
    char *path = values->room + VALUES_ROOM - ROUTE_PATH_MAX, *to = values->room;
    unsigned others = 0, none;
    for (unsigned reading = ROUTE_READ_PLAIN; reading < ROUTE_READINGS; reading++) {
        if (reading & ~others)
            continue;
        size_t size = route_read(target.at, target.size, reading, path, ROUTE_PATH_MAX, reading ? &none : &others);
        struct slice value = http1_path_segment((struct slice){path, size}, segment);
        if (!value.at)
            continue;
        size = readings_spell(value, SPELT_PERCENT, to, (size_t)(path - to));
        values_add(values, (struct slice){to, size});
        to += size;
    }
}

void http1_value(const struct message *head, const struct rule_param *param, const char *field,
                 struct values *ret_values) {
    struct readings readings;
    readings.values = ret_values;
    readings.firsts = 0;
    switch (param->source) {
    case PARAM_HOST: find_host(ret_values, head); break;
    case PARAM_URL:
        find_url_parameters(&readings, head->target, field);
        readings_write(&readings, true);
        break;
    case PARAM_COOKIE:
        http1_cookies(&readings, head, field);
        readings_write(&readings, false);
        break;
    case PARAM_PATH: find_segment(ret_values, head->target, param->segment); break;
    default: break;
    }
}
