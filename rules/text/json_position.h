/* What a JSON parser that keeps no positions leaves out: comments, strict grammar, and where each value stands.
 * Pure: no allocation, no output; reads `length` bytes and nothing beyond. */
#ifndef WEIR_RULES_TEXT_JSON_POSITION_H
#define WEIR_RULES_TEXT_JSON_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 64 };

struct json_place {      /* byte offsets into the text */
    uint32_t key;        /* of the key's opening quote; the value's own offset where there is no key */
    uint32_t value, end; /* first byte of the value, and the one after its last */
};

struct json_fault {
    size_t at;            /* offset of the first byte that cannot be right */
    const char *expected; /* "expected ',' or '}'", … (static text) */
};

/* Writes blanks over // and block comments (line ends stay, so offsets and lines stay true); strings are left alone.
 * False for a block comment without an end. */
bool json_blank_comments(char *text, size_t length, struct json_fault *ret_fault);

/* Checks that the text is one JSON value by RFC 8259 (no deeper than JSON_DEPTH_MAX, valid UTF-8, no \u0000) and lists
 * the places of its values in document order: a value before its members.  Counts on when `capacity` is used up. */
bool json_scan(const char *text, size_t length, struct json_place *places, size_t capacity, size_t *ret_count,
               struct json_fault *ret_fault);

/* 1-based; columns count characters, not bytes.  An offset beyond the text is its end. */
void json_line_column(const char *text, size_t length, size_t offset, unsigned *ret_line, unsigned *ret_column);

#endif
