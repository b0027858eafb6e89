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

static struct slice trim(struct slice text) {
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.size--;
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* From the right, the first address that is not a proxy's of ours: what is left of it its owner may have made up, and
 * so is everything left of what is no address.  If all of them are proxies', the last one seen.  False: go on. */
static bool walk(const void *ruleset, struct slice list, size_t *entries, struct address_range *client) {
    const char *end = list.at + list.size, *start = end;
    for (; *entries < FORWARDED_ENTRIES; end = --start) {
        while (start > list.at && start[-1] != ',')
            start--;
        struct slice entry = trim((struct slice){start, (size_t)(end - start)});
        struct address_range address;
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

static void forwarded_for(const void *ruleset, const struct message *request, struct address_range *client) {
    struct slice lines[FORWARDED_LINES], name, value;
    size_t count = 0, at = 0, entries = 0;
    while (request->protocol->field(request, &at, &name, &value))
        if (name.size == 15 && !strncasecmp(name.at, "x-forwarded-for", 15))
            lines[count++ % FORWARDED_LINES] = value;
    for (size_t i = count; i > 0 && count - i < FORWARDED_LINES; i--)
        if (walk(ruleset, lines[(i - 1) % FORWARDED_LINES], &entries, client))
            break;
}

bool client_address(const struct message *request, const void *ruleset, struct address_range *ret_client) {
    static const char *const names[] = {"proxy-client-ip", "wl-proxy-client-ip", "x-real-ip", "http_client_ip"};
    struct address_range address;
    ret_client->length = 0;
    forwarded_for(ruleset, request, ret_client);
    for (size_t i = 0; !ret_client->length && i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice value = message_field(request, names[i]);
        if (value.at && client_parse(value, &address))
            *ret_client = address;
    }
    return ret_client->length;
}
