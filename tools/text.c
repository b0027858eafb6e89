#include "tools/text.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

enum { INDENT = 4, LABEL_MAX = 24 /* columns: what stands further right is no second column */ };

/* -------------------------------------------------------------------------------------------------- characters */

/* The character at `text`: its length in bytes, 0 if it is broken (or a longer spelling than need be, or a surrogate).
 */
static size_t decode(const unsigned char *text, uint32_t *ret_code) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    uint32_t code = length == 1 ? *text : length ? *text & (0x7f >> length) : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0; /* the end of the text is one of these */
        code = code << 6 | (text[i] & 0x3f);
    }
    if (length > 1 && (code < smallest[length] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff))
        return 0;
    *ret_code = code;
    return length;
}

static size_t columns_of(uint32_t code) {
    int width = wcwidth((wchar_t)code); /* -1 in a locale that does not know it */
    return width < 0 ? 1 : (size_t)width;
}

/* Turns direction, hides or joins text: nothing that a name from outside may do to a person's terminal. */
static bool is_harmful(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

size_t text_harmful(const char *text, uint32_t *ret_code) {
    size_t length = decode((const unsigned char *)text, ret_code);
    return length && is_harmful(*ret_code) ? length : 0;
}

size_t text_clean(char *text) {
    size_t width = 0;
    char *to = text;
    for (char *at = text; *at;) {
        uint32_t code = 0;
        size_t length = decode((unsigned char *)at, &code);
        if (length == 0 || is_harmful(code)) {
            *to++ = '?';
            width++;
            at += length ? length : 1;
            continue;
        }
        memmove(to, at, length);
        to += length;
        at += length;
        width += columns_of(code);
    }
    *to = '\0';
    return width;
}

/* ------------------------------------------------------------------------------------------------------ cutting */

size_t text_within(const char *text, size_t width, size_t *ret_columns) {
    size_t at = 0, used = 0;
    while (text[at]) {
        uint32_t code = 0;
        size_t length = decode((const unsigned char *)text + at, &code);
        size_t columns = columns_of(code);
        if (length == 0 || used + columns > width)
            break;
        used += columns;
        at += length;
    }
    *ret_columns = used;
    return at;
}

size_t text_columns(const char *text) {
    size_t columns;
    text_within(text, SIZE_MAX, &columns);
    return columns;
}

size_t text_within_end(const char *text, size_t width, size_t *ret_columns) {
    size_t length = strlen(text), at = length, used = 0;
    while (at > 0) {
        size_t before = at - 1;
        uint32_t code = 0;
        while (before > 0 && ((unsigned char)text[before] & 0xc0) == 0x80)
            before--;
        if (decode((const unsigned char *)text + before, &code) == 0 || used + columns_of(code) > width)
            break;
        used += columns_of(code);
        at = before;
    }
    *ret_columns = used;
    return length - at;
}

/* ------------------------------------------------------------------------------------------------------ folding */

/* Where a word that is too long for a line is divided: bytes of it that fit. */
static size_t divide(const char *text, size_t fits) {
    for (size_t at = fits; at > fits / 2; at--)
        if (strchr("/:&,?=-_.", text[at - 1]))
            return at;
    return fits;
}

/* The last blank of the first `length` bytes of `text`, or the blank directly behind them; outside of backquotes if
 * `whole`.  0: there is none. */
static size_t last_blank(const char *text, size_t length, bool whole) {
    size_t found = 0;
    bool quoted = false;
    for (size_t i = 0; i <= length && text[i]; i++) {
        quoted ^= text[i] == '`';
        if (text[i] == ' ' && i > 0 && !(quoted && whole))
            found = i;
    }
    return found;
}

/* Does what stands in the next backquotes fit into a line of its own? */
static bool fits_quoted(const char *text, size_t width) {
    const char *begin = strchr(text, '`'), *end = begin ? strchr(begin + 1, '`') : NULL;
    return !end || (size_t)(end - begin) < width;
}

size_t text_line(const char *text, size_t width, bool split, size_t *ret_next) {
    size_t used, length = text_within(text, width, &used), end;
    if (length == 0) /* narrower than one character: that is the least */
        length = text_within(text, 2, &used);
    end = length;
    if (text[length]) {
        end = last_blank(text, length, true);
        if (end == 0 || !fits_quoted(text + end, width))
            end = last_blank(text, length, false);
        if (end == 0)
            end = split ? divide(text, length) : strcspn(text, " ");
    }
    *ret_next = end + strspn(text + end, " ");
    while (end > 0 && text[end - 1] == ' ')
        end--;
    return end;
}

void text_fold(FILE *stream, const char *text, size_t width, size_t at, size_t indent) {
    if (width == 0 || text_columns(text) + at <= width) {
        fprintf(stream, "%s\n", text);
        return;
    }
    if (indent + INDENT * 4 > width) /* so narrow that nothing would be left */
        indent = 0;
    for (size_t first = strspn(text, " "); *text;) { /* what the first line is indented by is no place to break at */
        size_t next, length = text_line(text + first, width > at + first ? width - at - first : 1, false, &next);
        fprintf(stream, "%.*s\n", (int)(first + length), text);
        text += first + next;
        at = indent;
        first = 0;
        if (*text)
            fprintf(stream, "%*s", (int)indent, "");
    }
}

size_t text_indent(const char *text) {
    size_t first = strspn(text, " "), at = first, gap = 0;
    while (at < LABEL_MAX && text[at] && gap < 2) {
        at += strcspn(text + at, " ");
        gap = strspn(text + at, " ");
        at += gap;
    }
    if (gap >= 2 && at <= LABEL_MAX)
        return at;
    return first ? first : INDENT;
}
