#include "shim/protocol/protocol.h"

#include <string.h>

static bool same_any_case(const char *a, const char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x != y && ((x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

struct slice message_field(const struct message *message, const char *name) {
    size_t at = 0, size = strlen(name);
    struct slice field, value;
    while (message->protocol->field(message, &at, &field, &value))
        if (field.size == size && same_any_case(field.at, name, size))
            return value;
    return (struct slice){NULL, 0};
}

struct slice message_trace_id(const struct message *message) {
    struct slice parent = message_field(message, "traceparent");
    if (parent.size >= 55 && parent.at[2] == '-' && parent.at[35] == '-')
        return (struct slice){parent.at + 3, 32};
    struct slice id = message_field(message, "x-request-id");
    if (id.size > 128)
        id.size = 128;
    return id.size ? id : (struct slice){NULL, 0};
}

void values_add(struct values *values, struct slice value) {
    if (values->count < VALUES_JOINED)
        values->count++;
    values->list[values->count - 1] = value;
}
