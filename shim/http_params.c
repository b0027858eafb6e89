#include "shim/http_params.h"

#include <string.h>
#include <strings.h>

#include "rules/address.h"
#include "rules/image.h"

static const struct http_slice absent = {NULL, 0};

static struct http_slice find(const struct http_head *head, const char *name) {
    struct http_slice value;
    value.at = http_head_find(head, name, &value.size);
    return value.at ? value : absent;
}

struct http_slice http_client_address(const struct http_head *head, bool trusted, const char *peer_text,
                                      size_t peer_length) {
    static const char *const names[] = {"x-forwarded-for", "proxy-client-ip", "wl-proxy-client-ip", "x-real-ip",
                                        "http_client_ip"};
    for (size_t i = 0; trusted && i < sizeof(names) / sizeof(names[0]); i++) {
        struct http_slice value = find(head, names[i]);
        size_t end = 0;
        while (end < value.size && value.at[end] != ',')
            end++;
        while (end && (value.at[end - 1] == ' ' || value.at[end - 1] == '\t'))
            end--;
        if (end && !(end == 7 && !memcmp(value.at, "unknown", 7)))
            return (struct http_slice){value.at, end};
    }
    return (struct http_slice){peer_text, peer_length};
}

bool http_trusted_peer(const void *image, const unsigned char *address, size_t length) {
    const struct image_options *options = &image_head(image)->options;
    if (!length)
        return true; /* a unix socket: somebody of this host, whom the socket's mode let in */
    if (!options->proxies_count)
        return address_is_private(address, length);
    for (uint32_t i = 0; i < options->proxies_count; i++) {
        struct address_range range;
        if (address_range_parse(image_text(image, image_list(image)[options->proxies_first + i]), &range) &&
            address_in_range(&range, address, length))
            return true;
    }
    return false;
}

struct http_slice http_url_parameter(struct http_slice target, const char *name, size_t name_length) {
    const char *end = target.at + target.size;
    const char *at = target.size ? memchr(target.at, '?', target.size) : NULL;
    while (at && at < end && *at != '#') {
        const char *pair = at + 1, *stop = pair;
        while (stop < end && *stop != '&' && *stop != '#')
            stop++;
        size_t size = (size_t)(stop - pair);
        if (size >= name_length && !memcmp(pair, name, name_length) &&
            (size == name_length || pair[name_length] == '=')) {
            size_t skip = name_length + (size > name_length);
            return (struct http_slice){pair + skip, size - skip};
        }
        at = stop;
    }
    return absent;
}

static struct http_slice cookie_of(struct http_slice header, const char *name, size_t name_length) {
    const char *end = header.at + header.size;
    for (const char *p = header.at; p < end;) {
        while (p < end && (*p == ' ' || *p == ';'))
            p++;
        const char *stop = p;
        while (stop < end && *stop != ';')
            stop++;
        if ((size_t)(stop - p) > name_length && p[name_length] == '=' && !memcmp(p, name, name_length))
            return (struct http_slice){p + name_length + 1, (size_t)(stop - p) - name_length - 1};
        p = stop;
    }
    return absent;
}

struct http_slice http_cookie(const struct http_head *head, const char *name, size_t name_length) {
    struct http_slice field, value, cookie = absent;
    for (size_t at = 0; !cookie.at && http_head_next(head, &at, &field, &value);)
        if (field.size == 6 && !strncasecmp(field.at, "cookie", 6))
            cookie = cookie_of(value, name, name_length);
    return cookie;
}

struct http_slice http_path_segment(struct http_slice target, unsigned index) {
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
            return stop > at ? (struct http_slice){at, (size_t)(stop - at)} : absent;
        if (stop == end || *stop != '/')
            break;
        at = stop + 1;
    }
    return absent;
}

struct http_slice http_param(const struct http_head *head, const void *image, const struct http_peer *peer,
                             const struct rule_param *param, char path[static ROUTE_PATH_MAX]) {
    const char *field = image_text(image, param->field);
    switch (param->source) {
    case PARAM_CLIENT_IP:
        return http_client_address(head, http_trusted_peer(image, peer->address, peer->address_length), peer->text,
                                   peer->text_length);
    case PARAM_HOST: return head->host;
    case PARAM_HEADER: return find(head, field);
    case PARAM_URL: return http_url_parameter(head->target, field, strlen(field));
    case PARAM_COOKIE: return http_cookie(head, field, strlen(field));
    case PARAM_PATH: {
        size_t size = route_path(head->target.at, head->target.size, path, ROUTE_PATH_MAX);
        return http_path_segment((struct http_slice){path, size}, param->segment);
    }
    default: return absent;
    }
}

struct http_slice http_trace_id(const struct http_head *head) {
    struct http_slice parent = find(head, "traceparent");
    if (parent.size >= 55 && parent.at[2] == '-' && parent.at[35] == '-')
        return (struct http_slice){parent.at + 3, 32};
    struct http_slice id = find(head, "x-request-id");
    if (id.size > 128)
        id.size = 128;
    return id.size ? id : absent;
}
