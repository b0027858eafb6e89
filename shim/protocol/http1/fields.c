#include "shim/protocol/http1/http1.h"

#include <string.h>

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
