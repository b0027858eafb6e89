#include "shim/http_params.h"

#include <string.h>

#include "rules/address.h"
#include "rules/image.h"

static const struct http_slice absent = {NULL, 0};

static struct http_slice find(const struct http_head *head, const char *name) {
    struct http_slice value;
    value.at = http_head_find(head, name, &value.size);
    return value.at ? value : absent;
}

/* An address as a header may write it, "192.0.2.1", "192.0.2.1:4711", "[2001:db8::1]:4711", in its one spelling. */
static size_t clean_address(struct http_slice value, char ret_text[static ADDRESS_TEXT_MAX]) {
    char text[ADDRESS_TEXT_MAX];
    struct address_range range;
    bool brackets = value.size && value.at[0] == '[';
    const char *from = value.at + brackets, *end = value.at + value.size;
    const char *stop = memchr(from, brackets ? ']' : '%', (size_t)(end - from));
    const char *colon = brackets ? NULL : memchr(from, ':', (size_t)(end - from));
    if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1)))
        stop = colon; /* one colon: a port */
    size_t size = (size_t)((stop ? stop : end) - from);
    if (size >= sizeof(text))
        return 0;
    memcpy(text, from, size);
    text[size] = 0;
    if (strchr(text, '/') || !address_range_parse(text, &range))
        return 0;
    return address_text(range.network, range.length, ret_text);
}

struct http_slice http_client_address(const struct http_head *head, bool trusted, const char *peer_text,
                                      size_t peer_length, char ret_text[static ADDRESS_TEXT_MAX]) {
    static const char *const names[] = {"x-forwarded-for", "proxy-client-ip", "wl-proxy-client-ip", "x-real-ip",
                                        "http_client_ip"};
    for (size_t i = 0; trusted && i < sizeof(names) / sizeof(names[0]); i++) {
        struct http_slice value = find(head, names[i]);
        size_t end = 0;
        while (end < value.size && value.at[end] != ',')
            end++;
        while (end && (value.at[end - 1] == ' ' || value.at[end - 1] == '\t'))
            end--;
        size_t length = end ? clean_address((struct http_slice){value.at, end}, ret_text) : 0;
        if (length)
            return (struct http_slice){ret_text, length};
    }
    return (struct http_slice){peer_text, peer_length};
}

bool http_trusted_peer(const void *image, const unsigned char *address, size_t length) {
    const struct image_options *options = &image_head(image)->options;
    if (!length)
        return true; /* a unix socket: somebody of this host, whom the socket's mode let in */
    if (!options->own_proxies)
        return address_is_private(address, length);
    return image_in_ranges(image, options->proxies_first, options->proxies_count, address, length);
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

struct http_slice http_trace_id(const struct http_head *head) {
    struct http_slice parent = find(head, "traceparent");
    if (parent.size >= 55 && parent.at[2] == '-' && parent.at[35] == '-')
        return (struct http_slice){parent.at + 3, 32};
    struct http_slice id = find(head, "x-request-id");
    if (id.size > 128)
        id.size = 128;
    return id.size ? id : absent;
}
