/* The list of what is wrong, its text, and the guess at what was meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/reader.h"

static void error_free(struct rule_error *error) {
    free(error->file);
    free(error->path);
    free(error->message);
}

/* Appends it, or frees it where there is no memory. */
static void list_add(struct rule_error **list, size_t *count, struct rule_error *error) {
    struct rule_error *larger = *list;
    if ((*count & (*count + 1)) == 0) /* 0, 1, 3, 7, …: the list is full */
        larger = realloc(larger, (*count * 2 + 1) * sizeof(*larger));
    if (larger)
        *list = larger;
    if (larger && error->file && error->path && error->message)
        larger[(*count)++] = *error;
    else
        error_free(error);
}

static struct rule_error error_make(const char *file, unsigned line, unsigned column, const char *path,
                                    const char *format, va_list arguments) {
    struct rule_error error = {.file = strdup(file), .line = line, .column = column, .path = strdup(path)};
    if (vasprintf(&error.message, format, arguments) < 0)
        error.message = NULL;
    return error;
}

void rule_errors_add(struct rule_errors *errors, const char *file, unsigned line, unsigned column, const char *path,
                     const char *format, va_list arguments) {
    struct rule_error error = error_make(file, line, column, path, format, arguments);
    list_add(&errors->list, &errors->count, &error);
}

void rule_warnings_add(struct rule_errors *errors, const char *file, unsigned line, unsigned column, const char *path,
                       const char *format, va_list arguments) {
    struct rule_error error = error_make(file, line, column, path, format, arguments);
    list_add(&errors->warnings, &errors->warnings_count, &error);
}

void rule_errors_clear(struct rule_errors *errors) {
    for (size_t i = 0; i < errors->count; i++)
        error_free(&errors->list[i]);
    for (size_t i = 0; i < errors->warnings_count; i++)
        error_free(&errors->warnings[i]);
    free(errors->list);
    free(errors->warnings);
    *errors = (struct rule_errors){0};
}

static char *error_text(const struct rule_error *error, const char *kind) {
    char *text = NULL, place[32] = "";
    if (error->line && !error->column)
        snprintf(place, sizeof(place), ":%u", error->line);
    else if (error->line)
        snprintf(place, sizeof(place), ":%u:%u", error->line, error->column);
    int length = asprintf(&text, "%s%s: %s: %s%s%s", error->file, place, kind, error->path, error->path[0] ? ": " : "",
                          error->message);
    return length < 0 ? NULL : text;
}

char *rule_error_text(const struct rule_error *error) {
    return error_text(error, "error");
}

char *rule_warning_text(const struct rule_error *warning) {
    return error_text(warning, "warning");
}

static int compare_places(const void *a, const void *b) {
    const struct rule_error *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

void rule_errors_sort(struct rule_errors *errors, size_t first) {
    if (errors->count > first)
        qsort(errors->list + first, errors->count - first, sizeof(*errors->list), compare_places);
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

enum { NEAR_WORD_MAX = 64 };

/* Edits between two words, each of `cost`, or `replace` for another letter instead of one. */
static size_t distance(const char *a, const char *b, size_t cost, size_t replace) {
    size_t rows[3][NEAR_WORD_MAX + 1], a_length = strlen(a), b_length = strlen(b);
    if (a_length > NEAR_WORD_MAX || b_length > NEAR_WORD_MAX)
        return NEAR_WORD_MAX * cost;
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        before[j] = last[j] = j * cost;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = i * cost;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]) ? replace : 0);
            size_t best = (last[j] < now[j - 1] ? last[j] : now[j - 1]) + cost;
            now[j] = replaced < best ? replaced : best;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                before[j - 2] + cost < now[j])
                now[j] = before[j - 2] + cost;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_length];
}

size_t text_distance(const char *a, const char *b) {
    return distance(a, b, 1, 1);
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(word), most = length < 3 ? 0 : length < 6 ? 1 : length / 3, best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t edits = text_distance(word, candidates[i]), weight = distance(word, candidates[i], 2, 3);
        if (edits <= most && edits * 2 < strlen(candidates[i]) && weight < best) {
            best = weight;
            nearest = candidates[i];
        }
    }
    return nearest;
}
