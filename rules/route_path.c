/* Paths and patterns, without the image: one spelling for every path, and what matches what. */
#include <string.h>

#include "route.h"

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What may stand for itself in a path segment (RFC 3986, pchar without percent-encoding). */
static bool is_plain(char c) {
    return is_alnum(c) || (c && strchr("-._~!$&'()*+,;=:@", c));
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One character of a path at `text`: how many bytes it takes there, and its spelling here (1 or 3 bytes). */
static size_t one_character(const char *text, size_t left, const char *kept, char ret_spelling[static 3],
                            size_t *ret_length) {
    static const char digits[] = "0123456789ABCDEF";
    int high = left >= 3 && text[0] == '%' ? hex_digit(text[1]) : -1, low = high >= 0 ? hex_digit(text[2]) : -1;
    unsigned char c = low >= 0 ? (unsigned char)(high * 16 + low) : (unsigned char)text[0];
    if (is_plain((char)c) || (low < 0 && (c == '/' || (c && strchr(kept, (char)c))))) {
        ret_spelling[0] = (char)c;
        *ret_length = 1;
    } else {
        ret_spelling[0] = '%';
        ret_spelling[1] = digits[c >> 4];
        ret_spelling[2] = digits[c & 15];
        *ret_length = 3;
    }
    return low >= 0 ? 3 : 1;
}

/* A segment has just been completed at `length`: undo it if it is "." or "..". */
static size_t resolve_dots(const char *path, size_t length) {
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t size = length - start;
    if (size == 1 && path[start] == '.')
        return start;
    if (size == 2 && path[start] == '.' && path[start + 1] == '.') {
        start -= start > 1; /* the slash before it, but not the root's */
        while (start > 1 && path[start - 1] != '/')
            start--;
        return start;
    }
    return length;
}

/* Origin form: itself.  Absolute form: what follows the authority. */
static void cut_target(const char **target, size_t *length) {
    const char *at = *target, *end = at + *length, *scheme = at;
    while (scheme < end && (is_alnum(*scheme) || *scheme == '+' || *scheme == '-' || *scheme == '.'))
        scheme++;
    if (scheme > at && end - scheme >= 3 && memcmp(scheme, "://", 3) == 0) {
        at = scheme + 3;
        while (at < end && *at != '/' && *at != '?' && *at != '#')
            at++;
    }
    *target = at;
    for (*length = 0; at < end && *at != '?' && *at != '#'; at++)
        ++*length;
}

size_t route_path(const char *target, size_t length, char *ret_path, size_t size) {
    if (size < 2) {
        if (size)
            ret_path[0] = '\0';
        return 0;
    }
    size_t written = 0;
    if (length == 1 && target[0] == '*') {
        ret_path[written++] = '*';
        ret_path[written] = '\0';
        return written;
    }
    cut_target(&target, &length);
    ret_path[written++] = '/';
    for (size_t at = 0, taken; at < length; at += taken) {
        char spelling[3];
        size_t bytes;
        if (target[at] == '/') {
            taken = 1;
            written = resolve_dots(ret_path, written);
            if (ret_path[written - 1] != '/' && written + 1 < size)
                ret_path[written++] = '/';
            continue;
        }
        taken = one_character(target + at, length - at, "", spelling, &bytes);
        if (written + bytes >= size)
            break;
        memcpy(ret_path + written, spelling, bytes);
        written += bytes;
    }
    written = resolve_dots(ret_path, written);
    ret_path[written] = '\0';
    return written;
}

size_t route_pattern(const char *pattern, size_t length, char *ret_pattern, size_t size) {
    size_t written = 0;
    bool braces = false; /* what a {name} is called is nobody's path */
    for (size_t at = 0, taken; at < length; at += taken) {
        char spelling[3] = {pattern[at]};
        size_t bytes = 1;
        taken = 1;
        braces = pattern[at] == '{' || (braces && pattern[at] != '}' && pattern[at] != '/');
        if (!braces)
            taken = one_character(pattern + at, length - at, "{}?", spelling, &bytes);
        if (written + bytes >= size)
            break;
        memcpy(ret_pattern + written, spelling, bytes);
        written += bytes;
    }
    if (size)
        ret_pattern[written] = '\0';
    return written;
}

/* --------------------------------------------------------------------------------------------------- matching */

/* The byte after a {name} at `pattern`, or NULL if there is none: then '{' is a character like others. */
static const char *template_end(const char *pattern) {
    size_t length = strcspn(pattern + 1, "{}/");
    return length && pattern[length + 1] == '}' ? pattern + length + 2 : NULL;
}

struct retry { /* where a wildcard can take one character more */
    const char *pattern;
    size_t at;
};

/* Where ** tries next.  When a * behind it had its chances, another start in the same segment would come to the same
 * end: skipping those keeps the time in proportion to the path. */
static size_t later_start(const char *path, size_t length, size_t at, bool star) {
    size_t slash = at;
    while (star && slash < length && path[slash] != '/')
        slash++;
    return slash > at ? slash : at + 1;
}

bool route_glob(const char *pattern, const char *path, size_t length) {
    struct retry star = {NULL, 0}, stars = {NULL, 0};
    size_t at = 0;
    for (;;) {
        const char *end;
        if (pattern[0] == '/' && strcmp(pattern, "/**") == 0 && at == length)
            return true;
        if (pattern[0] == '*' && pattern[1] == '*') {
            pattern += 2;
            stars = (struct retry){pattern, at};
            star.pattern = NULL;
            continue;
        }
        if (pattern[0] == '*') {
            star = (struct retry){++pattern, at};
            continue;
        }
        if (pattern[0] == '{' && (end = template_end(pattern)) && at < length && path[at] != '/') {
            pattern = end;
            star = (struct retry){pattern, ++at};
            continue;
        }
        if (at == length && *pattern == '\0')
            return true;
        if (at < length && (*pattern == path[at] || (*pattern == '?' && path[at] != '/')) && *pattern) {
            pattern++;
            at++;
        } else if (star.pattern && star.at < length && path[star.at] != '/') {
            pattern = star.pattern;
            at = ++star.at;
        } else if (stars.pattern && stars.at < length) {
            stars.at = later_start(path, length, stars.at, star.pattern != NULL);
            pattern = stars.pattern;
            at = stars.at;
            star.pattern = NULL;
        } else {
            return false;
        }
    }
}

bool route_prefix(const char *pattern, const char *path, size_t length) {
    size_t size = strlen(pattern);
    if (size >= 3 && strcmp(pattern + size - 3, "/**") == 0) {
        size -= 3;
        return length >= size && memcmp(pattern, path, size) == 0 && (length == size || path[size] == '/');
    }
    while (size > 0 && pattern[size - 1] == '*')
        size--;
    return length >= size && memcmp(pattern, path, size) == 0;
}
