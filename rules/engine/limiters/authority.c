#include "rules/engine/limiters/authority.h"

#include <string.h>

#include "rules/engine/decision.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/address.h"

enum { ENTRY_TEXT_MAX = 64 };

struct entry {
    const char *text;
    size_t length;
    bool is_range;
    struct address_range range;
};
struct authority {
    size_t count;
    struct entry entries[];
};

static size_t count_of(const char *list) {
    size_t count = 1;
    for (; *list; list++)
        count += *list == ',';
    return count;
}

size_t authority_bytes(const char *list) {
    return sizeof(struct authority) + count_of(list) * sizeof(struct entry);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

const struct authority *authority_make(void *room, const char *list) {
    struct authority *authority = room;
    authority->count = 0;
    while (*list) {
        size_t length = strcspn(list, ","), from = 0, to = length;
        while (from < to && is_space(list[from]))
            from++;
        while (to > from && is_space(list[to - 1]))
            to--;
        if (to > from) {
            struct entry *entry = &authority->entries[authority->count++];
            char text[ENTRY_TEXT_MAX] = "";
            *entry = (struct entry){.text = list + from, .length = to - from};
            if (entry->length < sizeof(text)) {
                memcpy(text, entry->text, entry->length);
                entry->is_range = address_range_parse(text, &entry->range);
            }
        }
        list += length + (list[length] == ',');
    }
    return authority;
}

/* An origin that is an address in text form counts as that address. */
static bool origin_address(const struct engine_request *request, struct address_range *ret_address) {
    char text[ADDRESS_TEXT_MAX] = "";
    if (!request->origin_length || request->origin_length >= sizeof(text) ||
        memchr(request->origin, '/', request->origin_length))
        return false;
    memcpy(text, request->origin, request->origin_length);
    return address_range_parse(text, ret_address);
}

static bool is_entry(const struct entry *entry, const char *name, size_t length) {
    return entry->length == length && memcmp(entry->text, name, length) == 0;
}

static const struct entry *find(const struct authority *authority, const struct engine_request *request) {
    struct address_range origin;
    bool has_address = origin_address(request, &origin);
    for (size_t i = 0; i < authority->count; i++) {
        const struct entry *entry = &authority->entries[i];
        if (is_entry(entry, request->origin, request->origin_length))
            return entry;
        for (uint32_t k = 0; k < request->origins_count; k++)
            if (is_entry(entry, request->origins[k].text, request->origins[k].length))
                return entry;
        if (entry->is_range &&
            ((request->address_length && address_in_range(&entry->range, request->address, request->address_length)) ||
             (has_address && address_in_range(&entry->range, origin.network, origin.length))))
            return entry;
    }
    return NULL;
}

bool authority_lists(const struct authority *authority, const struct engine_request *request) {
    return find(authority, request) != NULL;
}

static bool authority_check(struct decision *decision, struct binding *binding, uint32_t resource, uint32_t n) {
    const struct engine_request *request = decision->request;
    (void)resource, (void)n;
    if (!request->origin_length && !request->address_length)
        return true; /* no caller known: as in Sentinel */
    const struct entry *entry = find(binding->limiter->authority, request);
    bool pass = (entry != NULL) == (binding->rule->authority == AUTHORITY_WHITE);
    if (!pass && entry)
        result_value_add(decision->result, entry->text, entry->length, SIZE_MAX);
    return pass;
}

static bool serves(const struct rule *rule) {
    return rule->kind == RULE_AUTHORITY;
}

const struct limiter_ops limiter_authority = {.serves = serves, .check = authority_check};
