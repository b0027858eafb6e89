/* A text and the tree of its values: what is before any meaning. */
#include "rules/text/document.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void document_error(struct rule_errors *errors, const char *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(errors, file, 0, 0, "", format, arguments);
    va_end(arguments);
}

static void __attribute__((format(printf, 4, 5)))
text_error(struct rule_errors *errors, const struct rule_document *document, size_t at, const char *format, ...) {
    unsigned line, column;
    va_list arguments;
    json_line_column(document->text, document->length, at, &line, &column);
    va_start(arguments, format);
    rule_errors_add(errors, document->file, line, column, "", format, arguments);
    va_end(arguments);
}

static void syntax_error(struct rule_errors *errors, const struct rule_document *document,
                         const struct json_fault *fault) {
    size_t size = 0;
    const char *from = document->text + fault->at;
    while (size < 20 && fault->at + size < document->length && from[size] > ' ' && from[size] < 0x7f)
        size++;
    if (strncmp(fault->expected, "expected", 8) != 0)
        text_error(errors, document, fault->at, "%s", fault->expected);
    else if (fault->at >= document->length)
        text_error(errors, document, fault->at, "%s, got the end of the file", fault->expected);
    else if (size)
        text_error(errors, document, fault->at, "%s, got %.*s", fault->expected, (int)size, from);
    else
        text_error(errors, document, fault->at, "%s", fault->expected);
}

static bool is_blank(const struct rule_document *document) {
    for (size_t i = 0; i < document->length; i++)
        if (!strchr(" \t\r\n", document->text[i]))
            return false;
    return true;
}

static bool list_lines(struct rule_document *document) {
    size_t count = 1;
    for (size_t i = 0; i < document->length; i++)
        count += document->text[i] == '\n';
    document->lines = calloc(count, sizeof(*document->lines));
    if (!document->lines)
        return false;
    for (size_t i = 0, line = 1; i < document->length; i++)
        if (document->text[i] == '\n')
            document->lines[line++] = (uint32_t)i + 1;
    document->lines_count = count;
    return true;
}

/* Gives each node the index of its place: both are in document order. */
static void number_nodes(cJSON *node, int *next) {
    node->valueint = (*next)++;
    cJSON *child;
    if (cJSON_IsObject(node) || cJSON_IsArray(node))
        cJSON_ArrayForEach(child, node) number_nodes(child, next);
}

bool document_parse(struct rule_document *document, struct rule_errors *errors) {
    struct json_fault fault;
    size_t count;
    const char *nul = memchr(document->text, '\0', document->length);
    if (nul) {
        text_error(errors, document, (size_t)(nul - document->text), "a NUL byte: this is not a text file");
        return false;
    }
    if (!json_blank_comments(document->text, document->length, &fault)) {
        syntax_error(errors, document, &fault);
        return false;
    }
    if (is_blank(document)) {
        document_error(errors, document->file,
                       "the file is empty; expected an object such as {\"app\": \"shop\", \"flow\": []}");
        return false;
    }
    if (!json_scan(document->text, document->length, NULL, 0, &count, &fault)) {
        syntax_error(errors, document, &fault);
        return false;
    }
    document->places = calloc(count, sizeof(*document->places));
    if (!document->places || !list_lines(document) ||
        !json_scan(document->text, document->length, document->places, count, &document->places_count, &fault))
        return false;
    document->root = cJSON_ParseWithLength(document->text, document->length);
    if (!document->root)
        return false;
    int next = 0;
    number_nodes(document->root, &next);
    return true;
}

struct rule_document *document_new(const char *file, const char *text, size_t length, const char *kind) {
    struct rule_document *document = calloc(1, sizeof(*document));
    if (!document)
        return NULL;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, as some editors leave it */
        text += 3;
        length -= 3;
    }
    document->uid = -1;
    document->kind = kind;
    document->file = strdup(file);
    document->text = malloc(length + 1);
    document->length = length;
    if (!document->file || !document->text) {
        rule_document_free(document);
        return NULL;
    }
    memcpy(document->text, text, length);
    document->text[length] = '\0';
    return document;
}

struct rule_document *document_open(const char *file, const char *text, size_t length, struct rule_errors *errors) {
    size_t before = errors->count;
    struct rule_document *document = document_new(file, text, length, NULL);
    if (document && document_parse(document, errors))
        return document;
    if (errors->count == before)
        document_error(errors, file, "not enough memory");
    rule_document_free(document);
    return NULL;
}

void rule_document_free(struct rule_document *document) {
    if (!document)
        return;
    cJSON_Delete(document->root);
    char *const texts[] = {document->file, document->text,   document->app, document->exe,
                           document->unit, document->cgroup, document->comm};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        free(texts[i]);
    free(document->lines);
    free(document->places);
    free(document);
}

/* Rules are often written by root and read by the agent's user: then the message says how it gets to read them. */
static void cannot_open(struct rule_errors *errors, const char *file, int error) {
    const struct passwd *user = error == EACCES ? getpwuid(geteuid()) : NULL;
    const struct group *group = user ? getgrgid(getegid()) : NULL;
    struct stat status;
    bool there = stat(file, &status) == 0;
    if (!group)
        document_error(errors, file, "cannot be opened: %s", strerror(error));
    else if (!there)
        document_error(errors, file, "cannot be opened: %s: user %s may not enter a directory above it",
                       strerror(error), user->pw_name);
    else
        document_error(errors, file, "cannot be opened: %s: user %s must read it: chgrp %s %s && chmod %s %s",
                       strerror(error), user->pw_name, group->gr_name, file, S_ISDIR(status.st_mode) ? "750" : "640",
                       file);
}

char *rule_text_read(const char *file, size_t *ret_length, struct rule_errors *errors) {
    struct stat status;
    char *text = NULL;
    size_t length = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe must not hang us */
    if (fd < 0) {
        cannot_open(errors, file, errno);
        return NULL;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        document_error(errors, file,
                       S_ISDIR(status.st_mode) ? "is a directory; expected a file" : "is not a regular file");
    } else if (status.st_size > RULE_FILE_MAX) {
        document_error(errors, file, "the file is too large: %lld bytes, expected at most %d",
                       (long long)status.st_size, RULE_FILE_MAX);
    } else if (!(text = malloc((size_t)status.st_size + 1))) {
        document_error(errors, file, "not enough memory");
    } else {
        ssize_t got;
        while ((got = read(fd, text + length, (size_t)status.st_size - length)) > 0 || (got < 0 && errno == EINTR))
            length += got > 0 ? (size_t)got : 0;
        if (got < 0) {
            document_error(errors, file, "cannot be read: %s", strerror(errno));
            free(text);
            text = NULL;
        }
    }
    close(fd);
    *ret_length = length;
    return text;
}
