#include "shim/admission/values.h"

#include <string.h>

#include "rules/ruleset.h"
#include "shim/admission/client.h"

/* ------------------------------------------------------------------------------------------------ what does not count
 *
 * Servers and their frameworks strip more than blanks from what they are sent: control bytes, what is a blank in
 * Latin-1 or in Unicode, all from a NUL on.  What only differs by these is one value. */

/* Bytes of a blank of Unicode (White_Space, and the byte order mark) at `at`, in UTF-8; 0: there is none. */
static size_t unicode_blank(const char *at, size_t size) {
    static const char *const blanks[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                         "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++)
        if (size >= strlen(blanks[i]) && memcmp(at, blanks[i], strlen(blanks[i])) == 0)
            return strlen(blanks[i]);
    bool spaces = size >= 3 && memcmp(at, "\xe2\x80", 2) == 0 && (unsigned char)at[2] <= 0x8b; /* U+2000 … 200B */
    return spaces ? 3 : 0;
}

static bool is_latin1_blank(char c) {
    return (unsigned char)c == 0x85 || (unsigned char)c == 0xa0;
}

/* Is the last byte the end of a character in UTF-8, and so no blank of Latin-1? */
static bool ends_character(const char *at, size_t size) {
    size_t tail = 0;
    while (tail < size && tail < 3 && ((unsigned char)at[size - 1 - tail] & 0xc0) == 0x80)
        tail++;
    unsigned char lead = tail && tail < size ? (unsigned char)at[size - 1 - tail] : 0;
    return (tail == 1 && lead >= 0xc2 && lead < 0xe0) || (tail == 2 && lead >= 0xe0 && lead < 0xf0) ||
           (tail == 3 && lead >= 0xf0 && lead < 0xf5);
}

static size_t blank_at_start(const char *at, size_t size) {
    if (size && ((unsigned char)*at <= ' ' || *at == 0x7f || is_latin1_blank(*at)))
        return 1;
    return unicode_blank(at, size);
}

static size_t blank_at_end(const char *at, size_t size) {
    if (size && ((unsigned char)at[size - 1] <= ' ' || at[size - 1] == 0x7f))
        return 1;
    for (size_t n = 2; n <= 3 && n <= size; n++)
        if (unicode_blank(at + size - n, n) == n)
            return n;
    return size && is_latin1_blank(at[size - 1]) && !ends_character(at, size);
}

static void strip(struct slice *value) {
    const char *nul = value->size ? memchr(value->at, 0, value->size) : NULL;
    if (nul)
        value->size = (size_t)(nul - value->at);
    for (size_t n; (n = blank_at_end(value->at, value->size));)
        value->size -= n;
    for (size_t n; (n = blank_at_start(value->at, value->size));)
        value->at += n, value->size -= n;
}

/* Said twice is said once. */
static void remove_doubles(struct values *values) {
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

/* The peer's address as what ranges are made of: IPv4 where it is mapped. */
static struct address_range peer_address(const struct values_peer *peer) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = peer->address_length == 16 && memcmp(peer->address, mapped, sizeof(mapped)) == 0;
    size_t length = v4 ? 4 : peer->address_length;
    struct address_range address = {.length = (unsigned char)length, .bits = (unsigned char)(8 * length)};
    memcpy(address.network, peer->address + (v4 ? 12 : 0), length);
    return address;
}

/* One customer has a network of IPv6 addresses: they count together (options.ipv6Prefix). */
static unsigned prefix_of(const struct ruleset_options *options, const struct address_range *address) {
    unsigned bits = address->length == 4 ? options->ipv4_prefix : options->ipv6_prefix;
    return bits ? bits : 128;
}

static void find_client(struct values *values, const struct message *request, const void *ruleset,
                        const struct values_peer *peer) {
    struct address_range *client = &values->client;
    if (!client_trusted(ruleset, peer->address, peer->address_length) || !client_address(request, ruleset, client)) {
        *client = peer_address(peer);
        if (!client->length) {
            values_add(values, (struct slice){peer->text, peer->text_length});
            return;
        }
    }
    struct address_range counted = address_prefix(client, prefix_of(&ruleset_head(ruleset)->options, client));
    values_add(values, (struct slice){values->room, address_range_text(&counted, values->room)});
}

size_t values_client(const void *ruleset, const struct values_peer *peer, struct address_range *ret_client,
                     char ret_text[static VALUES_CLIENT_TEXT]) {
    *ret_client = peer_address(peer);
    if (ret_client->length) {
        struct address_range counted = address_prefix(ret_client,
                                                      prefix_of(&ruleset_head(ruleset)->options, ret_client));
        return address_range_text(&counted, ret_text);
    }
    size_t length = peer->text_length < VALUES_CLIENT_TEXT ? peer->text_length : VALUES_CLIENT_TEXT;
    memcpy(ret_text, peer->text, length);
    return length;
}

/* CGI and its heirs (WSGI, FastCGI, PHP) have '_' for '-'. */
static bool is_field(struct slice field, const char *name, size_t length) {
    if (field.size != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = field.at[i] == '_' ? '-' : field.at[i], expected = name[i] == '_' ? '-' : name[i];
        if (c != expected && (c < 'A' || c > 'Z' || (c | 32) != expected))
            return false;
    }
    return true;
}

static struct slice join(const struct values *values, const char *comma, char *room, size_t size) {
    size_t length = 0;
    for (size_t i = 0; i < values->count; i++) {
        const struct slice parts[] = {{comma, i ? strlen(comma) : 0}, values->list[i]};
        for (size_t p = 0; p < 2; p++) {
            size_t n = parts[p].size < size - length ? parts[p].size : size - length;
            memcpy(room + length, parts[p].at, n);
            length += n;
        }
    }
    return (struct slice){room, length};
}

/* Each field of the name; and where there are several what servers make of them, one list.  That stands before the last
 * of them, which more servers go by. */
static void find_fields(struct values *values, const struct message *request, const char *name) {
    struct slice field, value;
    size_t length = strlen(name);
    for (size_t at = 0; request->protocol->field(request, &at, &field, &value);)
        if (is_field(field, name, length))
            values_add(values, value);
    if (values->count < 2)
        return;
    struct slice *last = &values->list[values->count - 1], one = join(values, ",", values->room, VALUES_ROOM / 2),
                 other = join(values, ", ", values->room + VALUES_ROOM / 2, VALUES_ROOM / 2);
    last[2] = last[0];
    last[0] = one;
    last[1] = other;
    values->count += 2;
}

void values_of(const struct message *request, const void *ruleset, const struct values_peer *peer,
               const struct rule_param *param, struct values *ret_values) {
    const char *field = ruleset_text(ruleset, param->field);
    ret_values->count = 0;
    ret_values->client = (struct address_range){.length = 0};
    switch (param->source) {
    case PARAM_CLIENT_IP: find_client(ret_values, request, ruleset, peer); return;
    case PARAM_HEADER: find_fields(ret_values, request, field); break;
    default: request->protocol->value(request, param, field, ret_values); break;
    }
    for (size_t i = 0; i < ret_values->count; i++)
        strip(&ret_values->list[i]);
    if (ret_values->count > 1)
        remove_doubles(ret_values);
}
