#include "agent/core/json_writer.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 4096 };

struct json_writer json_writer_growing(size_t limit) {
    return (struct json_writer){.limit = limit, .own = true};
}

struct json_writer json_writer_in(char *buffer, size_t size) {
    return (struct json_writer){.text = buffer, .room = size, .limit = size, .failed = size == 0};
}

void json_writer_clear(struct json_writer *w) {
    if (w->own)
        free(w->text);
    *w = (struct json_writer){.failed = true};
}

/* Room for so many bytes and a NUL. */
static bool reserve(struct json_writer *w, size_t bytes) {
    if (w->failed || bytes >= w->limit - w->length) {
        w->failed = true;
        return false;
    }
    if (bytes < w->room - w->length)
        return true;
    size_t room = w->room * 2 > w->length + bytes + FIRST_ROOM ? w->room * 2 : w->length + bytes + FIRST_ROOM;
    char *text = realloc(w->text, room < w->limit ? room : w->limit);
    w->failed = !text;
    if (!text)
        return false;
    w->text = text;
    w->room = room < w->limit ? room : w->limit;
    return true;
}

static void put(struct json_writer *w, const char *bytes, size_t length) {
    if (!reserve(w, length))
        return;
    memcpy(w->text + w->length, bytes, length);
    w->length += length;
}

/* ------------------------------------------------------------------------------------------------------------ texts */

/* Bytes of the character of UTF-8 at `p`, 0 if there is none. */
static size_t character(const unsigned char *p, size_t left) {
    size_t length = p[0] < 0x80                   ? 1
                    : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                    : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                    : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                  : 0;
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || beyond ? 0 : length;
}

/* What one byte below 0x80 becomes. */
static size_t escape(unsigned char c, char ret_text[static 8]) {
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i < sizeof short_forms - 1; i += 2)
        if (short_forms[i] == (char)c) {
            ret_text[0] = '\\';
            ret_text[1] = short_forms[i + 1];
            return 2;
        }
    if (c >= 0x20) {
        ret_text[0] = (char)c;
        return 1;
    }
    return (size_t)snprintf(ret_text, 8, "\\u%04x", c);
}

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_text(struct json_writer *w, const unsigned char *p, size_t length) {
    char escaped[8];
    put(w, "\"", 1);
    for (size_t i = 0, n; i < length && !w->failed; i += n) {
        for (n = 0; i + n < length && is_plain(p[i + n]); n++)
            continue;
        if (n > 0) {
            put(w, (const char *)p + i, n);
            continue;
        }
        n = character(p + i, length - i);
        if (n > 1)
            put(w, (const char *)p + i, n);
        else
            put(w, escaped, escape(n ? p[i] : '?', escaped));
        n = n ? n : 1;
    }
    put(w, "\"", 1);
}

/* ----------------------------------------------------------------------------------------------------------- values */

static void begin(struct json_writer *w, const char *name) {
    if (w->some & 1u << w->depth)
        put(w, ",", 1);
    w->some |= 1u << w->depth;
    if (!name)
        return;
    put_text(w, (const unsigned char *)name, strlen(name));
    put(w, ":", 1);
}

static void open_bracket(struct json_writer *w, const char *name, const char *bracket) {
    begin(w, name);
    put(w, bracket, 1);
    if (w->depth + 1 == JSON_WRITER_DEPTH)
        w->failed = true;
    else
        w->some &= ~(1u << ++w->depth);
}

static void close_bracket(struct json_writer *w, const char *bracket) {
    if (w->depth == 0)
        w->failed = true;
    else
        w->depth--;
    put(w, bracket, 1);
}

void json_open(struct json_writer *w, const char *name) {
    open_bracket(w, name, "{");
}

void json_close(struct json_writer *w) {
    close_bracket(w, "}");
}

void json_open_list(struct json_writer *w, const char *name) {
    open_bracket(w, name, "[");
}

void json_close_list(struct json_writer *w) {
    close_bracket(w, "]");
}

void json_bytes(struct json_writer *w, const char *name, const void *bytes, size_t length) {
    begin(w, name);
    put_text(w, bytes, length);
}

void json_text(struct json_writer *w, const char *name, const char *value) {
    json_bytes(w, name, value, strlen(value));
}

void json_raw(struct json_writer *w, const char *name, const char *value, size_t length) {
    begin(w, name);
    put(w, value, length);
}

void json_bool(struct json_writer *w, const char *name, bool value) {
    json_raw(w, name, value ? "true" : "false", value ? 4 : 5);
}

void json_null(struct json_writer *w, const char *name) {
    json_raw(w, name, "null", 4);
}

void json_count(struct json_writer *w, const char *name, uint64_t value) {
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + value % 10);
    while (value /= 10);
    json_raw(w, name, digits + first, sizeof digits - first);
}

void json_integer(struct json_writer *w, const char *name, int64_t value) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)value);
    json_raw(w, name, digits, (size_t)length);
}

/* Are they the same but for the last bit of a computation? */
static bool near(double a, double b) {
    return fabs(a - b) <= fmax(fabs(a), fabs(b)) * DBL_EPSILON;
}

/* 15 digits where they say all of it, else the 17 that always do. */
void json_number(struct json_writer *w, const char *name, double value) {
    char digits[32];
    if (!isfinite(value)) {
        json_null(w, name);
        return;
    }
    int length = snprintf(digits, sizeof digits, "%1.15g", value);
    if (!near(strtod(digits, NULL), value))
        length = snprintf(digits, sizeof digits, "%1.17g", value);
    json_raw(w, name, digits, (size_t)length);
}

void json_newline(struct json_writer *w) {
    put(w, "\n", 1);
}

char *json_finish(struct json_writer *w, size_t *ret_length) {
    if (w->depth > 0 || !reserve(w, 0)) {
        json_writer_clear(w);
        return NULL;
    }
    char *text = w->text;
    text[w->length] = 0;
    if (ret_length)
        *ret_length = w->length;
    *w = (struct json_writer){.failed = true};
    return text;
}
