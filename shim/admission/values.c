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

static void find_client(struct values *values, const struct message *request, const void *ruleset,
                        const struct values_peer *peer) {
    struct address_range client;
    struct slice value = {peer->text, peer->text_length};
    if (client_trusted(ruleset, peer->address, peer->address_length) && client_address(request, ruleset, &client))
        value = (struct slice){values->room, address_text(client.network, client.length, values->room)};
    values_add(values, value);
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
    switch (param->source) {
    case PARAM_CLIENT_IP: find_client(ret_values, request, ruleset, peer); break;
    case PARAM_HEADER: find_fields(ret_values, request, field); break;
    default: request->protocol->value(request, param, field, ret_values); break;
    }
    if (ret_values->count > 1)
        remove_doubles(ret_values);
}
