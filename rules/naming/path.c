/* Paths and patterns, without the ruleset: one spelling for every path, and what matches what. */
#include <stdint.h>
#include <string.h>

#include "rules/naming/route.h"

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

const char *route_authority(const char *target, size_t length, size_t *ret_length) {
    const char *at = target, *end = at + length;
    while (at < end && (is_alnum(*at) || *at == '+' || *at == '-' || *at == '.'))
        at++;
    *ret_length = 0;
    if (at == target || end - at < 3 || memcmp(at, "://", 3) != 0)
        return target;
    const char *authority = at += 3;
    while (at < end && *at != '/' && *at != '?' && *at != '#')
        at++;
    *ret_length = (size_t)(at - authority);
    return authority;
}

static bool is_slash(char c) {
    return c == '/' || c == '\\';
}

/* "//host/path": the path, if it begins with a host. */
static const char *skip_host(const char *at, const char *end, unsigned how, unsigned *others) {
    if (end - at < 2 || !is_slash(at[0]) || !is_slash(at[1]))
        return at;
    *others |= ROUTE_READ_HOST;
    if (!(how & ROUTE_READ_HOST))
        return at;
    while (at < end && is_slash(*at))
        at++;
    while (at < end && !is_slash(*at) && *at != '?' && *at != '#')
        at++;
    return at;
}

/* "x:/path": the path, if it begins with a scheme, whatever that is made of. */
static const char *skip_scheme(const char *at, const char *end, unsigned how, unsigned *others) {
    const char *colon = at;
    while (colon < end && *colon != ':' && !is_slash(*colon) && *colon != '?' && *colon != '#')
        colon++;
    if (colon == end || *colon != ':')
        return at;
    *others |= ROUTE_READ_SCHEME;
    skip_host(colon + 1, end, ROUTE_READ_PLAIN, others); /* of which there could be one then */
    return how & ROUTE_READ_SCHEME ? colon + 1 : at;
}

/* Origin form: itself.  Absolute form: what follows the authority. */
static void cut_target(const char **target, size_t *length, unsigned how, unsigned *others) {
    size_t authority;
    const char *end = *target + *length, *at = route_authority(*target, *length, &authority) + authority;
    if (at == *target)
        at = skip_host(skip_scheme(at, end, how, others), end, how, others);
    *target = at;
    for (*length = 0; at < end && *at != '?' && *at != '#'; at++)
        ++*length;
}

/* --------------------------------------------------------------------------------------------------- reading */

enum { MARGIN = 8 /* bytes at the end of the room, for dots and for what stands for the lost end of a long path */ };

struct reading {
    const char *target;
    size_t length, at;
    unsigned how, others; /* enum route_reading; others: those that could make a difference */
    char *path;
    size_t size, written;
    size_t lost; /* segments that found no room: only how many is known of them */
};

/* Bytes of a segment's end at `at`: 0 = it goes on. */
static size_t separator(struct reading *reading) {
    const char *at = reading->target + reading->at;
    if (*at == '/')
        return 1;
    if (*at == '\\') {
        reading->others |= ROUTE_READ_SLASHES;
        return (reading->how & ROUTE_READ_SLASHES) != 0;
    }
    if (reading->length - reading->at < 3 || at[0] != '%' || at[1] != '2' || (at[2] | 32) != 'f')
        return 0;
    reading->others |= ROUTE_READ_SLASHES;
    return reading->how & ROUTE_READ_SLASHES ? 3 : 0;
}

/* Here the whole path ends for some. */
static bool ends_for_some(struct reading *reading) {
    const char *at = reading->target + reading->at;
    bool nul = !*at || (reading->length - reading->at >= 3 && memcmp(at, "%00", 3) == 0);
    if (!nul && (unsigned char)*at != 0x85 && (unsigned char)*at != 0xa0)
        return false;
    reading->others |= ROUTE_READ_CUT;
    return (reading->how & ROUTE_READ_CUT) != 0;
}

/* Copies one segment behind what is written; false: no room for all of it. */
static bool read_segment(struct reading *reading) {
    size_t start = reading->written;
    bool fits = true, parameters = false;
    while (reading->at < reading->length && !separator(reading)) {
        char spelling[3];
        size_t bytes;
        if (ends_for_some(reading)) {
            reading->length = reading->at;
            break;
        }
        reading->at += one_character(reading->target + reading->at, reading->length - reading->at, "", spelling,
                                     &bytes);
        if (spelling[0] == ';') {
            reading->others |= ROUTE_READ_PARAMETERS;
            parameters |= (reading->how & ROUTE_READ_PARAMETERS) != 0;
        }
        if (parameters)
            continue;
        fits &= reading->written + bytes + MARGIN < reading->size || reading->written - start + bytes <= 2;
        if (!fits)
            continue;
        memcpy(reading->path + reading->written, spelling, bytes);
        reading->written += bytes;
    }
    return fits;
}

/* The path ends in dots: it may be taken for that of a folder, which ends in a slash, or of a file. */
static void end_in_dots(struct reading *reading) {
    if (reading->at < reading->length || reading->written <= 1)
        return;
    reading->others |= ROUTE_READ_DOTS;
    if (reading->how & ROUTE_READ_DOTS)
        reading->written -= reading->path[reading->written - 1] == '/';
}

/* The segment that ends where the path does has just been read. */
static void end_segment(struct reading *reading, size_t start, bool fits) {
    const char *segment = reading->path + start;
    size_t size = reading->written - start;
    if (fits && size == 1 && segment[0] == '.') {
        reading->written = start;
        end_in_dots(reading);
    } else if (fits && size == 2 && segment[0] == '.' && segment[1] == '.') {
        if (reading->lost) {
            reading->lost--;
        } else {
            start -= start > 1; /* the slash before it, but not the root's */
            while (start > 1 && reading->path[start - 1] != '/')
                start--;
        }
        reading->written = start;
        end_in_dots(reading);
    } else if (!fits || reading->lost || reading->written + MARGIN >= reading->size) {
        reading->lost++;
        reading->written = start;
    } else if (size && reading->at < reading->length) {
        reading->path[reading->written++] = '/';
    }
}

size_t route_read(const char *target, size_t length, unsigned how, char *ret_path, size_t size, unsigned *ret_others) {
    struct reading reading = {.how = how, .path = ret_path, .size = size};
    *ret_others = 0;
    if (size < 2 * MARGIN) {
        if (size)
            ret_path[0] = '\0';
        return 0;
    }
    if (length == 1 && target[0] == '*') {
        memcpy(ret_path, "*", 2);
        return 1;
    }
    cut_target(&target, &length, how, &reading.others);
    reading.target = target;
    reading.length = length;
    ret_path[reading.written++] = '/';
    while (reading.at < reading.length) {
        size_t slash = separator(&reading), start = reading.written;
        reading.at += slash;
        if (!slash)
            end_segment(&reading, start, read_segment(&reading));
    }
    if (reading.lost) {
        memcpy(ret_path + reading.written, ROUTE_CUT, sizeof(ROUTE_CUT) - 1);
        reading.written += sizeof(ROUTE_CUT) - 1;
    }
    ret_path[reading.written] = '\0';
    *ret_others = reading.others & ~how;
    return reading.written;
}

size_t route_path(const char *target, size_t length, char *ret_path, size_t size) {
    unsigned others;
    return route_read(target, length, ROUTE_READ_PLAIN, ret_path, size, &others);
}

size_t route_pattern(const char *pattern, size_t length, char *ret_pattern, size_t size) {
    size_t written = 0;
    bool braces = false; /* the name inside {…} is not part of any path */
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

bool route_parts(const char *name, struct route_parts *ret_parts) {
    size_t method = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    if (!method || name[method] != ':')
        return false;
    const char *path = name + method + 1;
    *ret_parts = (struct route_parts){.method_length = method};
    if (strncmp(path, "http://", 7) == 0) {
        ret_parts->host = path + 7;
        ret_parts->host_length = strcspn(ret_parts->host, "/");
        path = ret_parts->host + ret_parts->host_length;
        if (!ret_parts->host_length)
            return false;
    }
    ret_parts->path = path;
    return *path == '/';
}

size_t route_host(const char *host, size_t length, char ret_host[static ROUTE_HOST_MAX]) {
    const char *user = length ? memrchr(host, '@', length) : NULL;
    length -= user ? (size_t)(user + 1 - host) : 0;
    host = user ? user + 1 : host;
    const char *bracket = length && host[0] == '[' ? memchr(host, ']', length) : NULL;
    const char *port = bracket ? bracket + 1 : length ? memchr(host, ':', length) : NULL;
    length = port ? (size_t)(port - host) : length; /* whatever stands there: servers pass over what is no port */
    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length >= ROUTE_HOST_MAX)
        length = 0;
    for (size_t i = 0; i < length; i++)
        ret_host[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] | 32) : host[i];
    ret_host[length] = '\0';
    return length;
}

bool route_origin_reserved(const char *name, size_t length) {
    return (length >= 5 && memcmp(name, "unit:", 5) == 0) || (length >= 4 && memcmp(name, "uid:", 4) == 0) ||
           (length >= 5 && memcmp(name, "comm:", 5) == 0);
}
