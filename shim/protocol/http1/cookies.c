/* Cookies, as the servers that differ most read them: RFC 6265 (';' separates, blanks around do not count), RFC 2965
 * and its heirs (',' separates, too), Python's SimpleCookie (so do blanks; what is in quotes may hold any of them, and
 * \x and \123 stand for bytes), PHP (names and values decoded).  A cookie is whatever begins where one of these has a
 * cookie begin, and its value ends where one of them has it end. */
#include <string.h>
#include <strings.h>

#include "shim/protocol/http1/http1.h"
#include "shim/protocol/http1/readings.h"

struct scan { /* ends that were looked for are kept: a header of nothing but names takes time in proportion to it */
    struct readings *readings;
    const char *end, *semicolon, *comma; /* the next ones behind where was last looked, or the end */
};

static bool is_blank(char c) {
    return (unsigned char)c <= ' ';
}

static bool separates(char c) {
    return c == ';' || c == ',' || is_blank(c);
}

static const char *next_of(const char **kept, const char *at, const char *end, char c) {
    if (!*kept || *kept < at) {
        *kept = memchr(at, c, (size_t)(end - at));
        *kept = *kept ? *kept : end;
    }
    return *kept;
}

/* Up to one of its possible ends, without the quotes around it. */
static void add_until(struct scan *scan, const char *at, const char *end) {
    while (at < end && is_blank(end[-1]))
        end--;
    if (end - at >= 2 && at[0] == '"' && end[-1] == '"')
        at++, end--;
    struct slice value = {at, (size_t)(end - at)};
    readings_add(scan->readings, value, SPELT_PERCENT);
    if (memchr(at, '+', value.size))
        readings_add(scan->readings, value, SPELT_PLUS);
}

/* False: its quote has no end, and is a byte like others. */
static bool add_quoted(struct scan *scan, const char *at) {
    const char *close = at + 1;
    if (at == scan->end || *at != '"')
        return false;
    while (close < scan->end && *close != '"')
        close += *close == '\\' && close + 1 < scan->end ? 2 : 1;
    if (close < scan->end)
        readings_add(scan->readings, (struct slice){at + 1, (size_t)(close - at - 1)}, SPELT_QUOTED);
    return close < scan->end;
}

static void add_cookie(struct scan *scan, const char *at) {
    const char *end = next_of(&scan->semicolon, at, scan->end, ';'), *comma, *stop;
    readings_begin(scan->readings);
    add_until(scan, at, end);
    bool structured = at < end && (*at == '{' || *at == '['); /* what its first comma ends would be the value of many */
    if (add_quoted(scan, at) || structured)
        return;
    comma = next_of(&scan->comma, at, scan->end, ',');
    if (comma < end)
        add_until(scan, at, comma);
    for (stop = at; stop < end && !separates(*stop);)
        stop++;
    if (stop < end)
        add_until(scan, at, stop);
}

static void find_in(struct readings *readings, struct slice header, const char *name) {
    struct scan scan = {.readings = readings, .end = header.at + header.size};
    for (const char *at = header.at, *stop; at < scan.end; at = stop) {
        for (stop = at; stop < scan.end && *stop != '=' && !separates(*stop);)
            stop++;
        struct slice key = {at, (size_t)(stop - at)};
        while (stop < scan.end && is_blank(*stop))
            stop++;
        if (stop == scan.end || *stop != '=') { /* a name alone, or the blank within one */
            stop += stop < scan.end && separates(*stop);
            stop += stop == at;
            continue;
        }
        for (stop++; stop < scan.end && is_blank(*stop);)
            stop++;
        if (readings_name(key, name))
            add_cookie(&scan, stop);
        while (stop < scan.end && !separates(*stop))
            stop++;
        stop += stop < scan.end;
    }
}

void http1_cookies(struct readings *readings, const struct message *head, const char *name) {
    struct slice field, value;
    for (size_t at = 0; http1_field(head, &at, &field, &value);)
        if (field.size == 6 && strncasecmp(field.at, "cookie", 6) == 0)
            find_in(readings, value, name);
}
