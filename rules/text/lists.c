#include "rules/text/lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"

enum { ERRORS_MAX = 20 /* of one list */ };

/* A list's name is relative to the rules file's folder. */
static char *path_of(const char *rules_file, const char *name, size_t length) {
    const char *slash = strrchr(rules_file, '/');
    int folder = name[0] == '/' || !slash ? 0 : (int)(slash + 1 - rules_file);
    char *path;
    return asprintf(&path, "%.*s%.*s", folder, rules_file, (int)length, name) < 0 ? NULL : path;
}

static char *trim_line(char *line, char *end) {
    while (line < end && strchr(" \t\r", *line))
        line++;
    while (end > line && strchr(" \t\r", end[-1]))
        end--;
    *end = 0;
    return line;
}

/* The list's whole text, NUL-terminated, or NULL and an error. */
static char *read_text(struct reader *reader, const struct path *path, const cJSON *node, const char *file,
                       size_t *ret_length) {
    struct rule_errors errors = {0};
    char *text = rule_text_read(file, ret_length, &errors);
    bool binary = text && memchr(text, 0, *ret_length);
    if (!text || binary)
        reader_error(reader, path, node, "%s: %s", file,
                     binary         ? "a NUL byte: this is not a text file"
                     : errors.count ? errors.list[0].message
                                    : "not enough memory");
    rule_errors_clear(&errors);
    if (!binary)
        return text;
    free(text);
    return NULL;
}

void list_read(struct reader *reader, const struct path *path, const cJSON *node, const char *name,
               const char *(*each)(void *context, const char *text), void *context) {
    size_t length = 0, line = 0, wrong = 0;
    char *file = path_of(reader->document->file, name, strlen(name)),
         *text = file ? read_text(reader, path, node, file, &length) : NULL;
    if (text)
        reader->lists_hash = hash_bytes(reader->lists_hash + 1, text, length);
    for (char *at = text; text && at < text + length && wrong < ERRORS_MAX;) {
        char *end = memchr(at, '\n', (size_t)(text + length - at)), *stop = end ? end : text + length;
        const char *value = trim_line(at, stop);
        const char *problem = value[0] && value[0] != '#' ? each(context, value) : NULL;
        line++;
        wrong += problem != NULL;
        if (problem)
            reader_error(reader, path, node, "%s:%zu: %s", file, line, problem);
        at = stop + 1;
    }
    free(text);
    free(file);
}

void rule_text_lists(const char *file, const char *text, size_t length, void (*each)(void *context, char *path),
                     void *context) {
    const char *at = text, *end = text + length;
    while ((at = memmem(at, (size_t)(end - at), "\"file\"", 6)) != NULL) {
        at += 6;
        while (at < end && strchr(" \t\r\n:", *at) && *at)
            at++;
        const char *close = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
        if (!close || memchr(at, '\n', (size_t)(close - at)) || close == at + 1)
            continue;
        char *path = path_of(file, at + 1, (size_t)(close - at - 1));
        if (path)
            each(context, path);
    }
}
