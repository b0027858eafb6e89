/* Values with thresholds of their own.  Texts are found by their hash; ranges of addresses by that of the network,
 * tried from the longest prefix that an item has to the shortest, so that the most particular one counts. */
#include "rules/engine/limiters/items.h"

#include <string.h>

#include "rules/hash.h"

enum { ITEM_SEED = 0x6974656d };

struct items {
    uint64_t prefixes[2][3]; /* of IPv4, of IPv6: bit n: there is an item of n bits */
    uint32_t mask, slots[];  /* item + 1, open-addressed */
};

_Static_assert((int)RULESET_VALUE_TYPE_MAX == (int)VALUE_ARRAY, "the largest type of a value");

static uint32_t slots_for(uint32_t items) {
    uint32_t slots = 4;
    while (slots < 2 * items)
        slots *= 2;
    return slots;
}

size_t param_items_bytes(const struct rule *rule) {
    return sizeof(struct items) + slots_for(rule->items_count) * sizeof(uint32_t);
}

/* Networks in one form: nothing behind their bits. */
static bool network_of(const char *text, struct address_range *ret_network) {
    struct address_range range;
    if (!address_range_parse(text, &range))
        return false;
    *ret_network = address_prefix(&range, range.bits);
    return true;
}

static uint32_t hash_network(const struct address_range *network) {
    return (uint32_t)hash_bytes(ITEM_SEED + network->bits, (const char *)network->network, network->length);
}

const struct items *param_items_make(void *room, const void *ruleset, const struct rule *rule) {
    struct items *items = memset(room, 0, param_items_bytes(rule));
    bool addresses = rule->params_count == 1 && ruleset_params(ruleset)[rule->params_first].source == PARAM_CLIENT_IP;
    items->mask = slots_for(rule->items_count) - 1;
    for (uint32_t i = 0; i < rule->items_count; i++) {
        const char *text = ruleset_text(ruleset, ruleset_items(ruleset)[rule->items_first + i].object);
        struct address_range network;
        uint32_t at = (uint32_t)hash_bytes(ITEM_SEED, text, strlen(text));
        if (addresses && network_of(text, &network)) {
            items->prefixes[network.length == 16][network.bits / 64] |= (uint64_t)1 << network.bits % 64;
            at = hash_network(&network);
        }
        for (at &= items->mask; items->slots[at];)
            at = (at + 1) & items->mask;
        items->slots[at] = i + 1;
    }
    return items;
}

static const struct rule_item *find_network(const struct items *items, const void *ruleset, const struct rule *rule,
                                            const struct address_range *network) {
    struct address_range other;
    for (uint32_t at = hash_network(network) & items->mask; items->slots[at]; at = (at + 1) & items->mask) {
        const struct rule_item *item = &ruleset_items(ruleset)[rule->items_first + items->slots[at] - 1];
        if (network_of(ruleset_text(ruleset, item->object), &other) && !memcmp(&other, network, sizeof(other)))
            return item;
    }
    return NULL;
}

const struct rule_item *param_item_of_address(const struct items *items, const void *ruleset, const struct rule *rule,
                                              const struct address_range *address, unsigned *ret_bits) {
    const uint64_t *prefixes = items->prefixes[address->length == 16];
    for (unsigned bits = address->bits + 1u; bits-- > 0;) {
        struct address_range network;
        const struct rule_item *item = NULL;
        if (!(prefixes[bits / 64] >> bits % 64 & 1))
            continue;
        network = address_prefix(address, bits);
        item = find_network(items, ruleset, rule, &network);
        *ret_bits = bits;
        if (item)
            return item;
    }
    return NULL;
}

const struct rule_item *param_item_of(const struct items *items, const void *ruleset, const struct rule *rule,
                                      const struct engine_value *value) {
    unsigned bits;
    if (value->address)
        return param_item_of_address(items, ruleset, rule, value->address, &bits);
    for (uint32_t at = (uint32_t)hash_bytes(ITEM_SEED, value->text, value->length) & items->mask; items->slots[at];
         at = (at + 1) & items->mask) {
        const struct rule_item *item = &ruleset_items(ruleset)[rule->items_first + items->slots[at] - 1];
        const char *text = ruleset_text(ruleset, item->object);
        if ((item->type == VALUE_NONE || item->type == value->type) && strlen(text) == value->length &&
            memcmp(text, value->text, value->length) == 0)
            return item;
    }
    return NULL;
}
