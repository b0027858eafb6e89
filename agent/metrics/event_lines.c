#include "agent/metrics/event_lines.h"

#include <stdlib.h>
#include <string.h>

#include "rules/text/json_position.h"

enum { PLACES_MAX = 32, NUMBER_MAX = 40 };

/* The value of a member as it stands in the line; NULL: it has none. */
static const char *member(const char *line, const struct json_place *places, size_t count, const char *name,
                          size_t *ret_length) {
    size_t length = strlen(name);
    for (size_t i = 1; i < count; i++) {
        const char *key = line + places[i].key;
        if (places[i].value - places[i].key < length + 3 || key[0] != '"' || memcmp(key + 1, name, length) != 0 ||
            key[length + 1] != '"')
            continue;
        *ret_length = places[i].end - places[i].value;
        return line + places[i].value;
    }
    return NULL;
}

static size_t scan(const char *line, size_t length, struct json_place *places) {
    struct json_fault fault;
    size_t count = 0;
    if (length == 0 || length > EVENT_LINE_MAX || line[0] != '{' ||
        !json_scan(line, length, places, PLACES_MAX, &count, &fault))
        return 0;
    return count < PLACES_MAX ? count : PLACES_MAX;
}

/* Of a number that the scan has checked. */
static bool number_of(const char *line, const struct json_place *places, size_t count, const char *name,
                      double *ret_number) {
    char digits[NUMBER_MAX] = "";
    size_t length;
    const char *value = member(line, places, count, name, &length);
    if (!value || length >= sizeof digits || value[0] < '0' || value[0] > '9')
        return false;
    memcpy(digits, value, length);
    *ret_number = strtod(digits, NULL);
    return *ret_number >= 0 && *ret_number < 9007199254740992.0; /* 2^53 */
}

static bool read_line(const char *line, size_t length, struct event_line *ret_line) {
    struct json_place places[PLACES_MAX];
    size_t count = scan(line, length, places);
    double number, time;
    if (!count || !number_of(line, places, count, "seq", &number) || !number_of(line, places, count, "time", &time))
        return false;
    *ret_line = (struct event_line){line, length, (uint64_t)number, time};
    return true;
}

bool event_lines_next(const char *text, size_t length, size_t *at, struct event_line *ret_line) {
    while (*at < length) {
        const char *line = text + *at, *end = memchr(line, '\n', length - *at);
        if (!end)
            break; /* it is being written, or its writer was killed */
        *at = (size_t)(end + 1 - text);
        if (read_line(line, (size_t)(end - line), ret_line))
            return true;
    }
    *at = length;
    return false;
}

/* Texts of kinds and apps need no escapes. */
static bool is_text(const char *value, size_t length, const char *text, size_t text_length) {
    return value && length == text_length + 2 && value[0] == '"' && memcmp(value + 1, text, text_length) == 0;
}

static bool is_group(const char *value, size_t length, const char *text, size_t text_length) {
    return value && length > text_length + 2 && value[0] == '"' && value[text_length + 1] == '.' &&
           memcmp(value + 1, text, text_length) == 0;
}

static bool is_of_kinds(const char *value, size_t length, const char *kinds) {
    for (const char *kind = kinds; *kind;) {
        size_t n = strcspn(kind, ",");
        if (n && (is_text(value, length, kind, n) || is_group(value, length, kind, n)))
            return true;
        kind += n + (kind[n] == ',');
    }
    return false;
}

bool event_lines_match(const struct event_line *line, const struct event_filter *filter) {
    struct json_place places[PLACES_MAX];
    size_t length = 0;
    if (line->number <= filter->after || line->time < filter->since)
        return false;
    if (!filter->app[0] && !filter->kinds[0])
        return true;
    size_t count = scan(line->at, line->length, places);
    const char *app = member(line->at, places, count, "app", &length);
    if (filter->app[0] && !is_text(app, app ? length : 0, filter->app, strlen(filter->app)))
        return false;
    const char *kind = member(line->at, places, count, "kind", &length);
    return !filter->kinds[0] || is_of_kinds(kind, kind ? length : 0, filter->kinds);
}
