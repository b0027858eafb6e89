#include "rules/text/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOWER_MAX = 100 }; /* bytes of a header's name */

/* -------------------------------------------------------------------------------------------------- places */

unsigned document_line(const struct rule_document *document, size_t offset) {
    size_t low = 0, high = document->lines_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (document->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return (unsigned)low + 1;
}

static const struct json_place *node_place(const struct rule_document *document, const cJSON *node) {
    static const struct json_place start = {0, 0, 0};
    size_t index = (size_t)node->valueint;
    return index < document->places_count ? &document->places[index] : &start;
}

static struct place_text place_of_offset(const struct rule_document *document, size_t offset) {
    struct place_text place = {.file = document->file, .line = document_line(document, offset)};
    size_t start = document->lines[place.line - 1];
    unsigned line;
    json_line_column(document->text + start, document->length - start, offset - start, &line, &place.column);
    return place;
}

struct place_text document_place(const struct rule_document *document, const cJSON *node) {
    return place_of_offset(document, node_place(document, node)->value);
}

/* ---------------------------------------------------------------------------------------------------- errors */

static bool plain_key(const char *key) {
    for (const char *c = key; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_'))
            return false;
    return key[0] != '\0';
}

static void path_write(const struct path *path, FILE *to) {
    if (!path) {
        fputc('$', to);
        return;
    }
    path_write(path->up, to);
    if (!path->key) {
        fprintf(to, "[%d]", path->index);
    } else if (plain_key(path->key)) {
        fprintf(to, ".%s", path->key);
    } else { /* bytes that a terminal would obey do not reach it */
        fputs("[\"", to);
        for (const char *c = path->key; *c && c < path->key + 60; c++)
            fputc((unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c, to);
        fputs("\"]", to);
    }
}

typedef void add_to_list(struct rule_errors *, const char *file, unsigned line, unsigned column, const char *path,
                         const char *format, va_list arguments);

static void add_to(struct reader *reader, add_to_list *add, const struct path *path, size_t offset, const char *format,
                   va_list arguments) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return;
    path_write(path, stream);
    fclose(stream);
    struct place_text place = place_of_offset(reader->document, offset);
    if (text)
        add(reader->errors, place.file, place.line, place.column, text, format, arguments);
    free(text);
}

static void add_error(struct reader *reader, const struct path *path, size_t offset, const char *format,
                      va_list arguments) {
    if (reader->errors_of_document >= RULE_ERRORS_MAX)
        return;
    add_to(reader, rule_errors_add, path, offset, format, arguments);
    reader->errors_of_document++;
}

void reader_warn(struct reader *reader, const struct path *path, const cJSON *node, const char *format, ...) {
    va_list arguments;
    if (!reader->whole || reader->errors->warnings_count >= RULE_ERRORS_MAX)
        return;
    va_start(arguments, format);
    add_to(reader, rule_warnings_add, path, node_place(reader->document, node)->value, format, arguments);
    va_end(arguments);
}

void reader_error(struct reader *reader, const struct path *path, const cJSON *node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_error(reader, path, node_place(reader->document, node)->value, format, arguments);
    va_end(arguments);
}

void reader_error_at_key(struct reader *reader, const struct path *path, const cJSON *node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_error(reader, path, node_place(reader->document, node)->key, format, arguments);
    va_end(arguments);
}

/* A value as a message shows it: as it stands in the file, cut. */
static void value_text(const struct reader *reader, const cJSON *node, char *ret_text, size_t size) {
    enum { SHOWN = 40 };
    const struct json_place *place = node_place(reader->document, node);
    size_t length = place->end - place->value, cut = length < SHOWN ? length : SHOWN;
    const char *from = reader->document->text + place->value;
    if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
        snprintf(ret_text, size, cJSON_IsObject(node) ? "an object {…}" : "an array […]");
        return;
    }
    while (cut < length && cut > 0 && ((unsigned char)from[cut] & 0xc0) == 0x80)
        cut--;
    snprintf(ret_text, size, "%.*s%s", (int)cut, from, cut < length ? "…" : "");
}

void reader_expected(struct reader *reader, const struct path *path, const cJSON *node, const char *format, ...) {
    char what[400], got[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    value_text(reader, node, got, sizeof(got));
    reader_error(reader, path, node, "expected %s, got %s", what, got);
}

bool reader_supported(struct reader *reader, const struct path *path, const cJSON *node, const char *feature) {
    const char *message = not_yet_message(feature);
    if (message)
        reader_error(reader, path, node, "%s", message);
    return !message;
}

/* ---------------------------------------------------------------------------------------------------- values */

bool reader_is_set(const cJSON *object, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);
    return node && !cJSON_IsNull(node);
}

bool reader_is_whole(const cJSON *node, double min, double max) {
    return cJSON_IsNumber(node) && node->valuedouble >= min && node->valuedouble <= max &&
           floor(node->valuedouble) == node->valuedouble;
}

ruleset_string reader_add(struct reader *reader, const char *text) {
    return ruleset_add_text(reader->builder, text, strlen(text));
}

ruleset_string reader_add_lower(struct reader *reader, const char *text) {
    char lower[LOWER_MAX + 1];
    size_t i = 0;
    for (; i < LOWER_MAX && text[i]; i++)
        lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 32) : text[i];
    lower[i] = '\0';
    return reader_add(reader, lower);
}

const char *reader_text(struct reader *reader, const struct path *path, const cJSON *node, size_t min, size_t max) {
    if (!cJSON_IsString(node)) {
        reader_expected(reader, path, node, "a string");
        return NULL;
    }
    size_t length = strlen(node->valuestring);
    if (length < min || length > max) {
        if (length < min)
            reader_expected(reader, path, node, "a string that is not empty");
        else
            reader_error(reader, path, node, "expected a string of at most %zu bytes, got %zu bytes", max, length);
        return NULL;
    }
    for (const char *c = node->valuestring; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            reader_expected(reader, path, node, "a string without control characters");
            return NULL;
        }
    }
    return node->valuestring;
}

/* "\"direct\" (0), \"relate\" (1) or \"chain\" (2)" */
static void words_text(const struct word *words, bool code, char *ret_text, size_t size) {
    FILE *to = fmemopen(ret_text, size, "w");
    if (!to)
        return;
    size_t count = 0, shown = 0;
    for (const struct word *w = words; w->word; w++)
        count += w == words || w->number != w[-1].number;
    for (const struct word *w = words; w->word; w++) {
        if (w != words && w->number == w[-1].number)
            continue;
        fprintf(to, "%s\"%s\"", shown == 0 ? "" : shown + 1 == count ? " or " : ", ", w->word);
        if (code)
            fprintf(to, " (%d)", w->number);
        shown++;
    }
    fclose(to);
}

static const char *nearest_word(const char *text, const struct word *words) {
    const char *names[32];
    size_t count = 0;
    for (; words->word && count < 32; words++)
        names[count++] = words->word;
    return text_nearest(text, names, count);
}

int reader_word(struct reader *reader, const struct path *path, const cJSON *node, const struct word *words,
                bool code) {
    for (const struct word *w = words; w->word; w++) {
        if (cJSON_IsString(node) && strcmp(node->valuestring, w->word) == 0)
            return w->number;
        if (code && cJSON_IsNumber(node) && node->valuedouble == w->number)
            return w->number;
    }
    char expected[320] = "", got[64];
    words_text(words, code, expected, sizeof(expected));
    value_text(reader, node, got, sizeof(got));
    const char *near = cJSON_IsString(node) ? nearest_word(node->valuestring, words) : NULL;
    if (near)
        reader_error(reader, path, node, "expected %s, got %s; did you mean \"%s\"?", expected, got, near);
    else
        reader_error(reader, path, node, "expected %s, got %s", expected, got);
    return -1;
}

/* ---------------------------------------------------------------------------------------------------- fields */

static void store_integer(void *record, const struct field *field, int64_t value) {
    char *to = (char *)record + field->at;
    if (field->size == 1)
        *(uint8_t *)to = (uint8_t)value;
    else if (field->size == 2)
        *(uint16_t *)to = (uint16_t)value;
    else if (field->size == 4)
        *(uint32_t *)to = (uint32_t)value;
    else if (field->size == 8)
        *(uint64_t *)to = (uint64_t)value;
}

static void range_text(const struct field *field, char *ret_text, size_t size) {
    const char *what = field->type == FIELD_INTEGER ? "a whole number" : "a number";
    if (field->max >= 1e15)
        snprintf(ret_text, size, "%s ≥ %.15g", what, field->min);
    else
        snprintf(ret_text, size, "%s from %.15g to %.15g", what, field->min, field->max);
}

static void read_number(struct reader *reader, const struct path *path, const cJSON *node, const struct field *field,
                        void *record) {
    char range[80];
    bool good = field->type == FIELD_INTEGER
                    ? reader_is_whole(node, field->min, field->max)
                    : cJSON_IsNumber(node) && node->valuedouble >= field->min && node->valuedouble <= field->max;
    if (!good) {
        range_text(field, range, sizeof(range));
        reader_expected(reader, path, node, "%s", range);
    } else if (field->type == FIELD_INTEGER) {
        store_integer(record, field, (int64_t)node->valuedouble);
    } else if (field->type == FIELD_TIME) {
        store_integer(record, field, (int64_t)llround(node->valuedouble * field->unit));
    } else if (field->size) {
        memcpy((char *)record + field->at, &node->valuedouble, sizeof(double));
    }
}

void reader_field(struct reader *reader, const struct path *path, const cJSON *node, const struct field *field,
                  void *record) {
    const char *text;
    int number;
    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_INTEGER:
    case FIELD_TIME: read_number(reader, path, node, field, record); break;
    case FIELD_BOOLEAN:
        if (cJSON_IsBool(node))
            store_integer(record, field, cJSON_IsTrue(node));
        else
            reader_expected(reader, path, node, "true or false");
        break;
    case FIELD_CODE:
    case FIELD_WORD:
        number = reader_word(reader, path, node, field->words, field->type == FIELD_CODE);
        if (number >= 0)
            store_integer(record, field, number);
        break;
    case FIELD_TEXT:
        text = reader_text(reader, path, node, (size_t)field->min, (size_t)field->max);
        if (text && field->size)
            store_integer(record, field, reader_add(reader, text));
        break;
    case FIELD_CUSTOM: field->custom(reader, path, node, record); break;
    }
}

static const struct field *find_field(const struct field_table *table, const char *name) {
    for (size_t t = 0; t < 2; t++)
        for (const struct field *f = table->fields[t]; f && f->name; f++)
            if (strcmp(f->name, name) == 0)
                return f;
    return NULL;
}

static void unknown_key(struct reader *reader, const struct path *path, const cJSON *node,
                        const struct field_table *table) {
    const char *names[64], *near;
    size_t count = 0;
    for (size_t t = 0; t < 2; t++)
        for (const struct field *f = table->fields[t]; f && f->name && count < 64; f++)
            names[count++] = f->name;
    near = text_nearest(node->string, names, count);
    const char *foreign = foreign_key_message(node->string, !path->up);
    if (foreign)
        reader_error_at_key(reader, path, node, "unknown key in %s: %s", table->what, foreign);
    else if (near)
        reader_error_at_key(reader, path, node, "unknown key in %s; did you mean \"%s\"?", table->what, near);
    else
        reader_error_at_key(reader, path, node, "unknown key in %s", table->what);
}

static bool is_duplicate(const cJSON *object, const cJSON *node) {
    return cJSON_GetObjectItemCaseSensitive(object, node->string) != node;
}

bool reader_object(struct reader *reader, const struct path *path, const cJSON *object, const struct field_table *table,
                   void *record) {
    if (!cJSON_IsObject(object)) {
        reader_expected(reader, path, object, "%s {…}", table->what);
        return false;
    }
    const cJSON *node;
    cJSON_ArrayForEach(node, object) {
        if (reader->errors_of_document >= RULE_ERRORS_MAX)
            break; /* such a list is not read to its end, and looking up duplicates in a huge object is slow */
        struct path here = {path, node->string, 0};
        const struct field *field = find_field(table, node->string);
        if (!field)
            unknown_key(reader, &here, node, table);
        else if (is_duplicate(object, node))
            reader_error_at_key(
                reader, &here, node, "this key is given twice; the first one is in line %u",
                document_place(reader->document, cJSON_GetObjectItemCaseSensitive(object, node->string)).line);
        else if (!(cJSON_IsNull(node) && (field->flags & FIELD_NULLABLE)))
            reader_field(reader, &here, node, field, record);
    }
    for (size_t t = 0; t < 2; t++)
        for (const struct field *f = table->fields[t]; f && f->name; f++)
            if ((f->flags & FIELD_REQUIRED) && !cJSON_GetObjectItemCaseSensitive(object, f->name)) {
                struct path here = {path, f->name, 0};
                reader_error(reader, &here, object, "required field missing (%s needs it)", table->what);
            }
    return true;
}
