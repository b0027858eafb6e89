#include "shim/admission/values.h"

#include <string.h>
#include <strings.h>

#include "rules/ruleset.h"
#include "shim/admission/client.h"

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

static void find_fields(struct values *values, const struct message *request, const char *name) {
    struct slice field, value;
    size_t length = strlen(name);
    for (size_t at = 0; request->protocol->field(request, &at, &field, &value);)
        if (field.size == length && strncasecmp(field.at, name, length) == 0)
            values_add(values, value);
}

void values_of(const struct message *request, const void *ruleset, const struct values_peer *peer,
               const struct rule_param *param, struct values *ret_values) {
    const char *field = ruleset_text(ruleset, param->field);
    ret_values->count = 0;
    ret_values->client.length = 0;
    switch (param->source) {
    case PARAM_CLIENT_IP: find_client(ret_values, request, ruleset, peer); break;
    case PARAM_HEADER: find_fields(ret_values, request, field); break;
    default: request->protocol->value(request, param, field, ret_values); break;
    }
    if (ret_values->count > 1)
        remove_doubles(ret_values);
}
