#include "agent/core/json_reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/errors.h"
#include "rules/text/json_position.h"
#include "rules/text/reader.h"

enum { PLACES_MAX = 1024, FIELDS_MAX = 64, GOT_MAX = 60, PATH_MAX_BYTES = 128, EXPECTED_MAX = 256 };

static const double WHOLE_MAX = 9007199254740992.0; /* 2^53: up to here every whole number is a double of its own */

struct reading {
    const struct json_input *input;
    const struct json_field *fields;
    void *record;
    struct rule_errors *errors;
    struct json_place places[PLACES_MAX]; /* in document order: a value before its members */
    size_t count;
    bool seen[FIELDS_MAX];
};

/* ----------------------------------------------------------------------------------------------------------- errors */

static void add_error(struct reading *r, size_t offset, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add_error(struct reading *r, size_t offset, const char *path, const char *format, ...) {
    unsigned line, column;
    va_list arguments;
    json_line_column(r->input->text, r->input->length, offset, &line, &column);
    va_start(arguments, format);
    rule_errors_add(r->errors, r->input->name, line, column, path, format, arguments);
    va_end(arguments);
}

static void expected(struct reading *r, const char *path, size_t value, const char *what) {
    const struct json_place *place = &r->places[value];
    int length = (int)(place->end - place->value);
    add_error(r, place->value, path, "expected %s, got %.*s", what, length < GOT_MAX ? length : GOT_MAX,
              r->input->text + place->value);
}

static void put_words(const struct json_word *words, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; words[i].word && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s\"%s\"",
                              i == 0              ? ""
                              : words[i + 1].word ? ", "
                                                  : " or ",
                              words[i].word);
}

static void describe(const struct json_field *f, char *text, size_t size) {
    if (f->expected)
        snprintf(text, size, "%s", f->expected);
    else if (f->kind == JSON_WORD)
        put_words(f->words, text, size);
    else if (f->kind == JSON_BOOLEAN)
        snprintf(text, size, "true or false");
    else if (f->kind == JSON_TEXT)
        snprintf(text, size, "a string of 1 to %zu bytes", f->size - 1);
    else if (f->kind == JSON_COPY || f->kind == JSON_LIST)
        snprintf(text, size, "a %s", f->kind == JSON_COPY ? "text" : "list of texts");
    else
        snprintf(text, size, "a%s number from %.15g to %.15g", f->kind == JSON_INTEGER ? " whole" : "", f->min, f->max);
}

/* ----------------------------------------------------------------------------------------------------------- values */

static char first_of(const struct reading *r, size_t value) {
    return r->input->text[r->places[value].value];
}

static bool is_literal(const struct reading *r, size_t value, const char *literal) {
    const struct json_place *place = &r->places[value];
    return place->end - place->value == strlen(literal) &&
           memcmp(r->input->text + place->value, literal, place->end - place->value) == 0;
}

static unsigned hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (unsigned)strtoul(digits, NULL, 16);
}

static size_t put_utf8(uint32_t c, char *to) {
    unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(first[more] | c >> 6 * more);
    for (unsigned i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* One escape at `p`, behind its backslash: bytes read of the text; what it stands for goes to `to`.  The grammar has
 * been checked: what is half of a pair has its other half behind it. */
static size_t unescape(const char *p, char *to, size_t *ret_written) {
    static const char short_forms[] = "b\bf\fn\nr\rt\t";
    *ret_written = 1;
    to[0] = *p;
    for (size_t i = 0; i < sizeof short_forms - 1; i += 2)
        if (*p == short_forms[i])
            to[0] = short_forms[i + 1];
    if (*p != 'u')
        return 1;
    uint32_t c = hex4(p + 1);
    bool pair = c >= 0xd800 && c < 0xdc00;
    if (pair)
        c = 0x10000 + ((c - 0xd800) << 10 | (hex4(p + 7) - 0xdc00));
    *ret_written = put_utf8(c, to);
    return pair ? 11 : 5;
}

/* The text that a string stands for, malloc'ed: never longer than it is written. */
static char *decode(const char *p, const char *end) {
    char *text = malloc((size_t)(end - p) + 1);
    size_t length = 0, written;
    if (!text)
        return NULL;
    while (p < end) {
        if (*p != '\\') {
            text[length++] = *p++;
            continue;
        }
        p++;
        p += unescape(p, text + length, &written);
        length += written;
    }
    text[length] = 0;
    return text;
}

static char *text_of(const struct reading *r, size_t value) {
    const struct json_place *place = &r->places[value];
    return first_of(r, value) == '"' ? decode(r->input->text + place->value + 1, r->input->text + place->end - 1)
                                     : NULL;
}

static bool fits(const struct json_field *f, const char *text) {
    return f->is_valid ? f->is_valid(text) : text[0] != 0;
}

static bool take_text(const struct json_field *f, char *text, char *place) {
    size_t length = strlen(text);
    bool good = fits(f, text) && (f->kind == JSON_COPY || length < f->size);
    if (good && f->kind == JSON_COPY) {
        free(*(char **)(void *)place);
        *(char **)(void *)place = text;
        return true;
    }
    if (good)
        memcpy(place, text, length + 1);
    free(text);
    return good;
}

static bool take_word(const struct json_field *f, char *text, char *place) {
    bool known = false;
    for (size_t i = 0; f->words[i].word && !known; i++)
        if (strcmp(f->words[i].word, text) == 0) {
            memcpy(place, &f->words[i].number, sizeof f->words[i].number);
            known = true;
        }
    free(text);
    return known;
}

static bool take_number(const struct reading *r, const struct json_field *f, size_t value, char *place) {
    char digits[64];
    size_t length = r->places[value].end - r->places[value].value;
    if (length >= sizeof digits || !strchr("-0123456789", first_of(r, value)))
        return false;
    memcpy(digits, r->input->text + r->places[value].value, length);
    digits[length] = 0;
    double number = strtod(digits, NULL);
    if ((f->min < f->max && (number < f->min || number > f->max)))
        return false;
    if (f->kind == JSON_NUMBER) {
        memcpy(place, &number, sizeof number);
        return true;
    }
    int64_t whole = fabs(number) <= WHOLE_MAX ? (int64_t)number : 0;
    if ((double)whole != number)
        return false;
    memcpy(place, &whole, sizeof whole);
    return true;
}

static bool take_boolean(const struct reading *r, size_t value, char *place) {
    bool is_true = is_literal(r, value, "true");
    if (!is_true && !is_literal(r, value, "false"))
        return false;
    memcpy(place, &is_true, sizeof is_true);
    return true;
}

static bool take_value(const struct reading *r, const struct json_field *f, size_t value) {
    char *place = (char *)r->record + f->at;
    if (f->flags & JSON_NULLABLE && is_literal(r, value, "null")) {
        if (f->kind == JSON_COPY) {
            free(*(char **)(void *)place);
            *(char **)(void *)place = NULL;
        }
        return true;
    }
    if (f->kind == JSON_INTEGER || f->kind == JSON_NUMBER)
        return take_number(r, f, value, place);
    if (f->kind == JSON_BOOLEAN)
        return take_boolean(r, value, place);
    char *text = text_of(r, value);
    if (!text)
        return false;
    return f->kind == JSON_WORD ? take_word(f, text, place) : take_text(f, text, place);
}

/* ------------------------------------------------------------------------------------------------- lists and objects
 */

/* The value after this one, at its depth or above. */
static size_t next_of(const struct reading *r, size_t value) {
    uint32_t end = r->places[value].end;
    do
        value++;
    while (value < r->count && r->places[value].value < end);
    return value;
}

static void take_list(struct reading *r, const struct json_field *f, const char *path, size_t list) {
    size_t member = list + 1, end = next_of(r, list);
    if (first_of(r, list) != '[' || member == end) {
        char what[EXPECTED_MAX];
        describe(f, what, sizeof what);
        expected(r, path, list, what);
        return;
    }
    f->list->clear(r->record);
    for (unsigned index = 0; member < end; index++, member = next_of(r, member)) {
        char member_path[PATH_MAX_BYTES + 16];
        char *text = text_of(r, member);
        snprintf(member_path, sizeof member_path, "%s[%u]", path, index);
        if (!text || !fits(f, text))
            expected(r, member_path, member, f->list->expected);
        else if (!f->list->add(r->record, text))
            errors_add(r->errors, r->input->name, "out of memory");
        free(text);
    }
}

static void unknown_key(struct reading *r, const char *path, const char *key, size_t member) {
    const char *names[FIELDS_MAX];
    size_t count = 0;
    for (; r->fields[count].name; count++)
        names[count] = r->fields[count].name;
    const char *near = text_nearest(key, names, count);
    add_error(r, r->places[member].key, path, "unknown key%s%s%s", near ? "; did you mean \"" : "", near ? near : "",
              near ? "\"?" : "");
}

static void take_member(struct reading *r, const char *key, size_t member) {
    char path[PATH_MAX_BYTES], what[EXPECTED_MAX];
    size_t i = 0;
    snprintf(path, sizeof path, "$.%.70s", key);
    while (r->fields[i].name && strcmp(r->fields[i].name, key) != 0)
        i++;
    const struct json_field *f = &r->fields[i];
    if (!f->name) {
        if (!r->input->lenient)
            unknown_key(r, path, key, member);
        return;
    }
    if (r->seen[i])
        add_error(r, r->places[member].key, "$", "the key \"%.60s\" is there twice", key);
    r->seen[i] = true;
    if (f->kind == JSON_LIST) {
        take_list(r, f, path, member);
    } else if (!take_value(r, f, member)) {
        describe(f, what, sizeof what);
        expected(r, path, member, what);
    }
}

static char *key_of(const struct reading *r, size_t member) {
    const char *first = r->input->text + r->places[member].key + 1, *end = first;
    while (*end != '"') /* which the grammar has made sure of */
        end += *end == '\\' ? 2 : 1;
    return decode(first, end);
}

static void take_object(struct reading *r) {
    char path[PATH_MAX_BYTES], what[EXPECTED_MAX];
    if (first_of(r, 0) != '{') {
        expected(r, "$", 0, "an object");
        return;
    }
    for (size_t member = 1; member < r->count; member = next_of(r, member)) {
        char *key = key_of(r, member);
        if (key)
            take_member(r, key, member);
        else
            errors_add(r->errors, r->input->name, "out of memory");
        free(key);
    }
    for (size_t i = 0; r->fields[i].name; i++) {
        if (!(r->fields[i].flags & JSON_REQUIRED) || r->seen[i])
            continue;
        describe(&r->fields[i], what, sizeof what);
        snprintf(path, sizeof path, "$.%s", r->fields[i].name);
        add_error(r, r->places[0].value, path, "required field missing: %s", what);
    }
}

bool json_read(const struct json_input *input, const struct json_field *fields, void *record,
               struct rule_errors *errors) {
    struct reading *r = calloc(1, sizeof *r);
    struct json_fault fault;
    size_t before = errors->count;
    if (!r) {
        errors_add(errors, input->name, "out of memory");
        return false;
    }
    r->input = input;
    r->fields = fields;
    r->record = record;
    r->errors = errors;
    if ((input->comments && !json_blank_comments(input->text, input->length, &fault)) ||
        !json_scan(input->text, input->length, r->places, PLACES_MAX, &r->count, &fault))
        add_error(r, fault.at, "", "%s", fault.expected);
    else if (r->count > PLACES_MAX)
        errors_add(errors, input->name, "more than %d values", PLACES_MAX);
    else
        take_object(r);
    free(r);
    return errors->count == before;
}
