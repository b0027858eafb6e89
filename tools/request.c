#include "tools/request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rules/address.h"
#include "rules/image.h"
#include "rules/route.h"

bool request_parse(struct request *request, const char *line) {
    size_t word = strcspn(line, " ");
    request->method = "GET";
    request->method_length = 3;
    if (line[0] != '/' && line[word] == ' ') {
        request->method = line;
        request->method_length = word;
        line += word + 1;
    }
    request->target = line;
    request->target_length = strcspn(line, " \r\n");
    const char *rest = line + request->target_length;
    bool version = strncmp(rest, " HTTP/1.", 8) == 0 && rest[8] && strspn(rest + 9, "\r\n") == strlen(rest + 9);
    bool target = line[0] == '/' || line[0] == '*' || memmem(line, request->target_length, "://", 3) ||
                  (request->method_length == 7 && memcmp(request->method, "CONNECT", 7) == 0);
    return request->method_length && request->target_length && target && (*rest == '\0' || version);
}

bool request_set_peer(struct request *request, const char *peer) {
    if (inet_pton(AF_INET, peer, request->address) == 1)
        request->address_length = 4;
    else if (inet_pton(AF_INET6, peer, request->address) == 1)
        request->address_length = 16;
    else
        return false;
    address_text(request->address, request->address_length, request->peer);
    return true;
}

bool request_add_header(struct request *request, const char *header) {
    const char *colon = strchr(header, ':');
    if (!colon || colon == header || memchr(header, ' ', (size_t)(colon - header)) ||
        request->headers_count == REQUEST_HEADERS_MAX)
        return false;
    request->headers[request->headers_count++] = header;
    return true;
}

static bool header_value(const struct request *request, const char *name, const char **ret_value, size_t *ret_length) {
    size_t size = strlen(name);
    for (size_t i = 0; i < request->headers_count; i++) {
        const char *header = request->headers[i];
        if (strncasecmp(header, name, size) != 0 || header[size] != ':')
            continue;
        *ret_value = header + size + 1 + strspn(header + size + 1, " \t");
        *ret_length = strlen(*ret_value);
        while (*ret_length && ((*ret_value)[*ret_length - 1] == ' ' || (*ret_value)[*ret_length - 1] == '\t'))
            --*ret_length;
        return true;
    }
    return false;
}

/* The value of `name` among pairs "a=b" that `separator` divides. */
static bool pair_value(const char *text, size_t length, char separator, const char *name, const char **ret_value,
                       size_t *ret_length) {
    size_t size = strlen(name);
    const char *end = text + length;
    while (text < end) {
        const char *stop = memchr(text, separator, (size_t)(end - text));
        if (!stop)
            stop = end;
        while (text < stop && *text == ' ')
            text++;
        if ((size_t)(stop - text) >= size && memcmp(text, name, size) == 0 &&
            (text + size == stop || text[size] == '=')) {
            *ret_value = text + size + (text + size < stop);
            *ret_length = (size_t)(stop - *ret_value);
            return true;
        }
        text = stop + 1;
    }
    return false;
}

static bool is_trusted(const struct request *request, const void *image) {
    const struct image_options *options = &image_head(image)->options;
    if (!options->proxies_count)
        return address_is_private(request->address, request->address_length);
    for (uint32_t i = 0; i < options->proxies_count; i++) {
        struct address_range range;
        if (address_range_parse(image_text(image, image_list(image)[options->proxies_first + i]), &range) &&
            address_in_range(&range, request->address, request->address_length))
            return true;
    }
    return false;
}

static bool client_address(const struct request *request, const void *image, const char **ret_value,
                           size_t *ret_length) {
    static const char *const names[] = {"X-Forwarded-For", "Proxy-Client-IP", "WL-Proxy-Client-IP", "X-Real-IP",
                                        "HTTP_CLIENT_IP"};
    for (size_t i = 0; is_trusted(request, image) && i < sizeof(names) / sizeof(*names); i++) {
        if (!header_value(request, names[i], ret_value, ret_length))
            continue;
        const char *comma = memchr(*ret_value, ',', *ret_length);
        if (comma)
            *ret_length = (size_t)(comma - *ret_value);
        while (*ret_length && (*ret_value)[*ret_length - 1] == ' ')
            --*ret_length;
        if (*ret_length && !(*ret_length == 7 && memcmp(*ret_value, "unknown", 7) == 0))
            return true;
    }
    *ret_value = request->peer;
    *ret_length = strlen(request->peer);
    return true;
}

/* Of the path as routes see it: one spelling, dots resolved. */
static bool path_segment(const struct request *request, unsigned index, const char **ret_value, size_t *ret_length) {
    static char path[ROUTE_PATH_MAX];
    const char *at = path, *end = path + route_path(request->target, request->target_length, path, sizeof(path));
    for (unsigned i = 0; at < end && *at == '/'; i++) {
        const char *start = ++at;
        while (at < end && *at != '/')
            at++;
        if (i == index && at > start) {
            *ret_value = start;
            *ret_length = (size_t)(at - start);
            return true;
        }
    }
    return false;
}

bool request_param(const struct request *request, const void *image, const struct rule_param *param,
                   const char **ret_value, size_t *ret_length) {
    const char *field = image_text(image, param->field), *cookies, *query;
    size_t length;
    switch (param->source) {
    case PARAM_CLIENT_IP:
        return client_address(request, image, ret_value, ret_length);
    case PARAM_HOST:
        return header_value(request, "Host", ret_value, ret_length);
    case PARAM_HEADER:
        return header_value(request, field, ret_value, ret_length);
    case PARAM_URL:
        query = memchr(request->target, '?', request->target_length);
        if (!query++)
            return false;
        length = strcspn(query, "# ");
        return pair_value(query, length, '&', field, ret_value, ret_length);
    case PARAM_COOKIE:
        return header_value(request, "Cookie", &cookies, &length) &&
               pair_value(cookies, length, ';', field, ret_value, ret_length);
    default:
        return path_segment(request, param->segment, ret_value, ret_length);
    }
}
