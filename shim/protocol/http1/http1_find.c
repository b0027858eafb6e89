#include "shim/protocol/http1/http1_parts.h"

bool http_head_next(const struct http_head *head, size_t *at, struct http_slice *ret_name,
                    struct http_slice *ret_value) {
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
        *ret_name = (struct http_slice){line, (size_t)(colon - line)};
        *ret_value = http_trim((struct http_slice){colon + 1, (size_t)(line + size - colon - 1)});
        return true;
    }
    return false;
}

static bool same_any_case(const char *a, const char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x != y && ((x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

const char *http_head_find(const struct http_head *head, const char *name, size_t *ret_size) {
    size_t at = 0, size = strlen(name);
    struct http_slice field, value;
    while (http_head_next(head, &at, &field, &value)) {
        if (field.size != size || !same_any_case(field.at, name, size))
            continue;
        *ret_size = value.size;
        return value.at;
    }
    *ret_size = 0;
    return NULL;
}
