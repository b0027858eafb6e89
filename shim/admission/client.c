#include "shim/admission/client.h"

#include <string.h>
#include <strings.h>

#include "rules/address.h"
#include "rules/ruleset.h"

bool client_trusted(const void *ruleset, const unsigned char *address, size_t length) {
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    if (!length)
        return true; /* a unix socket: a process of this host, which the socket's mode let in */
    if (!options->own_proxies)
        return address_is_private(address, length);
    return ruleset_in_ranges(ruleset, options->proxies_first, options->proxies_count, address, length);
}

/* ------------------------------------------------------------------------------------------ the client's address */

enum { FORWARDED_LINES = 8, FORWARDED_ENTRIES = 64 /* of X-Forwarded-For that are looked at, the last ones */ };

bool client_parse(struct slice value, struct address_range *ret_address) {
    char text[ADDRESS_TEXT_MAX + 1];
    const char *end = value.at + value.size;
    bool brackets = value.size && value.at[0] == '[';
    const char *from = value.at + brackets;
    const char *stop = memchr(from, brackets ? ']' : ':', (size_t)(end - from));
    if (brackets && !stop)
        return false;
    if (!brackets && stop && memchr(stop + 1, ':', (size_t)(end - stop - 1)))
        stop = NULL; /* more than one colon: not a port */
    end = stop ? stop : end;
    stop = memchr(from, '%', (size_t)(end - from)); /* a zone */
    size_t size = (size_t)((stop ? stop : end) - from);
    if (size >= sizeof(text) || memchr(from, '/', size))
        return false;
    memcpy(text, from, size);
    text[size] = '\0';
    return address_range_parse(text, ret_address);
}

/* An element of Forwarded (RFC 7239): "for=192.0.2.60;proto=http", "For=\"[2001:db8::1]:4711\"".  Empty: it says none.
 */
static struct slice forwarded_node(struct slice element) {
    const char *at = element.at, *end = element.at + element.size;
    while (at < end) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        stop = stop ? stop : end;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        if (stop - at >= 4 && !strncasecmp(at, "for=", 4)) {
            struct slice node = {at + 4, (size_t)(stop - at - 4)};
            if (node.size >= 2 && node.at[0] == '"' && node.at[node.size - 1] == '"')
                node = (struct slice){node.at + 1, node.size - 2};
            return node;
        }
        at = stop + (stop < end);
    }
    return (struct slice){"unknown", 7};
}

static struct slice trim(struct slice text) {
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.size--;
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* From the right, the first address that is not a trusted proxy: what is left of it may be made up, and
 * so is everything left of what is no address.  If all of them are proxies', the last one seen.  False: go on. */
static bool walk(const void *ruleset, struct slice list, bool forwarded, size_t *entries,
                 struct address_range *client) {
    const char *end = list.at + list.size, *start = end;
    for (; *entries < FORWARDED_ENTRIES; end = --start) {
        while (start > list.at && start[-1] != ',')
            start--;
        struct slice entry = trim((struct slice){start, (size_t)(end - start)});
        struct address_range address;
        if (forwarded && entry.size)
            entry = forwarded_node(entry);
        *entries += 1;
        if (entry.size && !client_parse(entry, &address))
            return true;
        if (entry.size)
            *client = address;
        if (entry.size && !client_trusted(ruleset, address.network, address.length))
            return true;
        if (start == list.at)
            return false;
    }
    return true;
}

/* The last address that the lists of that name say; the header of RFC 7239 has a form of its own. */
static void last_address(const void *ruleset, const struct message *request, const char *header,
                         struct address_range *client) {
    struct slice lines[FORWARDED_LINES], name, value;
    size_t count = 0, at = 0, entries = 0, length = strlen(header);
    bool forwarded = strcmp(header, "forwarded") == 0;
    while (request->protocol->field(request, &at, &name, &value))
        if (name.size == length && !strncasecmp(name.at, header, length))
            lines[count++ % FORWARDED_LINES] = value;
    for (size_t i = count; i > 0 && count - i < FORWARDED_LINES; i--)
        if (walk(ruleset, lines[(i - 1) % FORWARDED_LINES], forwarded, &entries, client))
            break;
}

bool client_address(const struct message *request, const void *ruleset, struct address_range *ret_client) {
    static const char *const names[] = {"proxy-client-ip", "wl-proxy-client-ip", "x-real-ip", "http_client_ip"};
    ruleset_string chosen = ruleset_head(ruleset)->options.client_header;
    struct address_range address;
    ret_client->length = 0;
    last_address(ruleset, request, chosen ? ruleset_text(ruleset, chosen) : "x-forwarded-for", ret_client);
    for (size_t i = 0; !chosen && !ret_client->length && i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice value = message_field(request, names[i]);
        if (value.at && client_parse(value, &address))
            *ret_client = address;
    }
    return ret_client->length;
}
