#include "rules/text/json_position.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------------- comments */

static size_t string_end(const char *text, size_t length, size_t at) {
    for (at++; at < length; at++) {
        if (text[at] == '\\')
            at++;
        else if (text[at] == '"')
            return at + 1;
    }
    return length;
}

bool json_blank_comments(char *text, size_t length, struct json_fault *ret_fault) {
    size_t at = 0;
    while (at < length) {
        if (text[at] == '"') {
            at = string_end(text, length, at);
        } else if (text[at] == '/' && at + 1 < length && text[at + 1] == '/') {
            for (; at < length && text[at] != '\n'; at++)
                text[at] = ' ';
        } else if (text[at] == '/' && at + 1 < length && text[at + 1] == '*') {
            const char *end = memmem(text + at + 2, length - at - 2, "*/", 2);
            if (!end) {
                *ret_fault = (struct json_fault){at, "unterminated comment; expected */"};
                return false;
            }
            for (size_t stop = (size_t)(end - text) + 2; at < stop; at++)
                if (text[at] != '\n')
                    text[at] = ' ';
        } else {
            at++;
        }
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------- scan */

struct scan {
    const char *text;
    size_t length, at;
    struct json_place *places;
    size_t capacity, count;
    struct json_fault fault;
};

static bool fail(struct scan *scan, size_t at, const char *expected) {
    scan->fault = (struct json_fault){at, expected};
    return false;
}

static int peek(const struct scan *scan) {
    return scan->at < scan->length ? (unsigned char)scan->text[scan->at] : -1;
}

static int skip_blanks(struct scan *scan) {
    int c;
    while ((c = peek(scan)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        scan->at++;
    return c;
}

/* Bytes of the UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates), 0 if there is none. */
static size_t utf8_length(const struct scan *scan, size_t at) {
    const unsigned char *p = (const unsigned char *)scan->text + at;
    size_t left = scan->length - at, length = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static int hex_value(int c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The code unit of \uXXXX at `at`, or -1. */
static int code_unit(const struct scan *scan, size_t at) {
    if (scan->length - at < 6 || scan->text[at] != '\\' || scan->text[at + 1] != 'u')
        return -1;
    int unit = 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_value(scan->text[at + i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool scan_escape(struct scan *scan) {
    if (scan->length - scan->at < 2)
        return fail(scan, scan->at, "unterminated string; expected \"");
    if (scan->text[scan->at + 1] != 'u') {
        if (!memchr("\"\\/bfnrt", scan->text[scan->at + 1], 8))
            return fail(scan, scan->at, "expected one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
        scan->at += 2;
        return true;
    }
    int unit = code_unit(scan, scan->at);
    if (unit < 0)
        return fail(scan, scan->at, "expected four hexadecimal digits after \\u");
    if (unit == 0)
        return fail(scan, scan->at, "\\u0000 is not allowed in text");
    if (unit >= 0xd800 && unit < 0xe000) {
        int low = unit < 0xdc00 ? code_unit(scan, scan->at + 6 < scan->length ? scan->at + 6 : scan->length) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(scan, scan->at, "expected a pair of \\u escapes: this is half of a surrogate pair");
        scan->at += 6;
    }
    scan->at += 6;
    return true;
}

static bool scan_string(struct scan *scan) {
    size_t start = scan->at++;
    for (;;) {
        int c = peek(scan);
        if (c < 0 || c == '\n')
            return fail(scan, start, "unterminated string; expected \"");
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c < ' ')
            return fail(scan, scan->at, "control characters must be written as escapes in a string (\\t, \\u001b, …)");
        if (c == '\\') {
            if (!scan_escape(scan))
                return false;
            continue;
        }
        size_t bytes = utf8_length(scan, scan->at);
        if (!bytes)
            return fail(scan, scan->at, "invalid UTF-8");
        scan->at += bytes;
    }
}

static bool scan_digits(struct scan *scan) {
    if (peek(scan) < '0' || peek(scan) > '9')
        return fail(scan, scan->at, "expected a digit");
    while (peek(scan) >= '0' && peek(scan) <= '9')
        scan->at++;
    return true;
}

static bool scan_number(struct scan *scan) {
    if (peek(scan) == '-')
        scan->at++;
    size_t first = scan->at;
    if (!scan_digits(scan))
        return false;
    if (scan->text[first] == '0' && scan->at - first > 1)
        return fail(scan, first, "numbers do not begin with 0 in JSON");
    if (peek(scan) == '.') {
        scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-')
            scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    return true;
}

static bool scan_literal(struct scan *scan) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (scan->length - scan->at >= length && memcmp(scan->text + scan->at, words[i], length) == 0) {
            scan->at += length;
            return true;
        }
    }
    return fail(scan, scan->at, "expected a value: {, [, a \"string\", a number, true, false or null");
}

static bool scan_value(struct scan *scan, size_t key, unsigned depth);

static bool scan_object(struct scan *scan, unsigned depth) {
    scan->at++;
    if (skip_blanks(scan) == '}') {
        scan->at++;
        return true;
    }
    for (;;) {
        size_t key = scan->at;
        if (peek(scan) != '"')
            return fail(scan, key,
                        peek(scan) == '}' ? "expected a \"key\" after the comma (or no comma)"
                                          : "expected a \"key\" or '}'");
        if (!scan_string(scan))
            return false;
        if (skip_blanks(scan) != ':')
            return fail(scan, scan->at, "expected ':' after the key");
        scan->at++;
        if (!scan_value(scan, key, depth))
            return false;
        int c = skip_blanks(scan);
        if (c != ',' && c != '}')
            return fail(scan, scan->at, "expected ',' or '}'");
        scan->at++;
        if (c == '}')
            return true;
        skip_blanks(scan);
    }
}

static bool scan_array(struct scan *scan, unsigned depth) {
    scan->at++;
    if (skip_blanks(scan) == ']') {
        scan->at++;
        return true;
    }
    for (;;) {
        if (skip_blanks(scan) == ']')
            return fail(scan, scan->at, "expected a value after the comma (or no comma)");
        if (!scan_value(scan, SIZE_MAX, depth))
            return false;
        int c = skip_blanks(scan);
        if (c != ',' && c != ']')
            return fail(scan, scan->at, "expected ',' or ']'");
        scan->at++;
        if (c == ']')
            return true;
    }
}

static bool scan_value(struct scan *scan, size_t key, unsigned depth) {
    int c = skip_blanks(scan);
    size_t mine = scan->count++, start = scan->at;
    bool good;
    if (depth >= JSON_DEPTH_MAX)
        return fail(scan, scan->at, "nested too deeply: expected at most 64 levels");
    if (c == '{')
        good = scan_object(scan, depth + 1);
    else if (c == '[')
        good = scan_array(scan, depth + 1);
    else if (c == '"')
        good = scan_string(scan);
    else if (c == '-' || (c >= '0' && c <= '9'))
        good = scan_number(scan);
    else
        good = scan_literal(scan);
    if (good && mine < scan->capacity)
        scan->places[mine] = (struct json_place){(uint32_t)(key == SIZE_MAX ? start : key), (uint32_t)start,
                                                 (uint32_t)scan->at};
    return good;
}

bool json_scan(const char *text, size_t length, struct json_place *places, size_t capacity, size_t *ret_count,
               struct json_fault *ret_fault) {
    struct scan scan = {.text = text, .length = length, .places = places, .capacity = capacity};
    bool good = length < UINT32_MAX ? scan_value(&scan, SIZE_MAX, 0) : fail(&scan, 0, "the text is too long");
    if (good && skip_blanks(&scan) >= 0)
        good = fail(&scan, scan.at, "expected the end of the file after the closing bracket");
    if (good)
        *ret_count = scan.count;
    else
        *ret_fault = scan.fault;
    return good;
}

void json_line_column(const char *text, size_t length, size_t offset, unsigned *ret_line, unsigned *ret_column) {
    unsigned line = 1, column = 1;
    if (offset > length)
        offset = length;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}
