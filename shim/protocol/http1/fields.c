#include "shim/protocol/http1/http1.h"

#include <string.h>
#include <strings.h>

bool http1_field(const struct message *head, size_t *at, struct slice *ret_name, struct slice *ret_value) {
    size_t from = *at ? *at : head->fields_at;
    while (from < head->size) {
        const char *line = head->bytes + from, *end = memchr(line, '\n', head->size - from);
        if (!end)
            return false;
        from = (size_t)(end + 1 - head->bytes);
        size_t size = (size_t)(end - line);
        if (size && line[size - 1] == '\r')
            size--;
        const char *colon = memchr(line, ':', size);
        if (!colon || colon == line || line[0] == ' ' || line[0] == '\t')
            continue;
        *at = from;
        *ret_name = (struct slice){line, (size_t)(colon - line)};
        *ret_value = http1_trim((struct slice){colon + 1, (size_t)(line + size - colon - 1)});
        return true;
    }
    return false;
}

static bool is(struct slice text, const char *word) {
    return text.size == strlen(word) && strncasecmp(text.at, word, text.size) == 0;
}

/* `*at`: where to look on; that may be within a field. */
bool http1_offer(const struct message *head, size_t *at, struct slice *ret_name) {
    static const char h2c[] = "h2c";
    struct slice name, value;
    for (size_t next = 0; http1_field(head, &next, &name, &value);) {
        if (!is(name, "upgrade"))
            continue;
        const char *end = value.at + value.size;
        while (value.at < end) {
            const char *comma = memchr(value.at, ',', (size_t)(end - value.at));
            struct slice item = http1_trim((struct slice){value.at, (size_t)((comma ? comma : end) - value.at)});
            value.at = comma ? comma + 1 : end;
            if (is(item, h2c) && (size_t)(item.at - head->bytes) >= *at) {
                *at = (size_t)(item.at + item.size - head->bytes);
                *ret_name = item;
                return true;
            }
        }
    }
    return false;
}
