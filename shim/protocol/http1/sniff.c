#include "shim/protocol/http1/http1.h"

#include <string.h>
#include <strings.h>

enum {
    METHOD_MAX = 24,
    KNOWN_MAX = METHOD_MAX + 8 /* bytes after which a method that is known, and a target's beginning, are decided on */
};

/* IANA's registry, and PURGE. */
static const char *const methods[] = {
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
};

static bool begins(const char *bytes, size_t size, const char *text) {
    size_t length = strlen(text);
    return memcmp(bytes, text, size < length ? size : length) == 0;
}

/* What HTTP allows between a method and its target is one space, and before the method CRLF.  Anything else is
 * malformed HTTP, not something else: there are servers who overlook it. */
static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static bool is_method_byte(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* The method is not complete: is it the beginning of one that is known? */
static bool is_known_beginning(const char *bytes, size_t size) {
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (size <= strlen(methods[i]) && memcmp(bytes, methods[i], size) == 0)
            return true;
    return false;
}

bool http1_is_method(const char *bytes, size_t size) {
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (size == strlen(methods[i]) && memcmp(bytes, methods[i], size) == 0)
            return true;
    return false;
}

struct slice http1_usual_method(struct slice method) {
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (method.size == strlen(methods[i]) && strncasecmp(method.at, methods[i], method.size) == 0)
            return (struct slice){methods[i], method.size};
    return method;
}

/* "/path", "*", "http://…", "https://…"; after CONNECT "host:port". */
static enum sniffed sniff_target(const char *bytes, size_t size, bool connect) {
    static const char absolute[] = "http";
    if (bytes[0] == '/' || bytes[0] == '*' || is_blank(bytes[0]))
        return SNIFFED_YES;
    if (connect)
        return (unsigned char)bytes[0] > ' ' ? SNIFFED_YES : SNIFFED_NO;
    for (size_t i = 0; i < sizeof(absolute) - 1; i++) {
        if (i == size)
            return SNIFFED_MORE;
        if ((bytes[i] | 0x20) != absolute[i])
            return SNIFFED_NO;
    }
    return SNIFFED_YES;
}

static bool is_token_byte(unsigned char c) {
    return (c >= '0' && c <= '9') || is_method_byte(c) || (c && strchr("!#$%&'*+.^`|~", c));
}

/* "METHOD TARGET HTTP/", whatever the method and the target are: nothing else begins so.  Of the bytes seen before, the
 * last few may be the blank and the beginning of the version, and all before them are as they have to be. */
static enum sniffed sniff_line(const char *bytes, size_t size, size_t seen) {
    static const char version[] = "HTTP/";
    const char *blank = memchr(bytes, ' ', size);
    size_t method = blank ? (size_t)(blank - bytes) : size, start = method + 1, at;
    for (at = seen > KNOWN_MAX ? seen : 0; at < method; at++)
        if (!is_token_byte((unsigned char)bytes[at]))
            return SNIFFED_NO;
    if (!blank)
        return SNIFFED_MORE;
    for (at = seen > start + sizeof(version) ? seen - sizeof(version) : start; at < size; at++)
        if ((unsigned char)bytes[at] <= ' ')
            break;
    if (at == size && method)
        return SNIFFED_MORE;
    if (!method || at++ == start || bytes[at - 1] != ' ' || !begins(bytes + at, size - at, version))
        return SNIFFED_NO;
    return size - at >= sizeof(version) - 1 ? SNIFFED_YES : SNIFFED_MORE;
}

static enum sniffed sniff_request(const char *bytes, size_t size) {
    size_t method = 0;
    while (method < size && method <= METHOD_MAX && is_method_byte((unsigned char)bytes[method]))
        method++;
    if (method == size)
        return is_known_beginning(bytes, size) ? SNIFFED_MORE : SNIFFED_NO;
    if (method == 0 || !is_blank(bytes[method]))
        return SNIFFED_NO;
    if (method + 1 == size)
        return http1_is_method(bytes, method) ? SNIFFED_MORE : SNIFFED_NO;
    bool connect = method == 7 && memcmp(bytes, "CONNECT", 7) == 0;
    return sniff_target(bytes + method + 1, size - method - 1, connect);
}

enum sniffed http1_sniff(const char *bytes, size_t size, size_t seen) {
    size_t at = 0;
    while (at < size && (is_blank(bytes[at]) || bytes[at] == '\r' || bytes[at] == '\n'))
        at++;
    if (at == size)
        return SNIFFED_MORE;
    enum sniffed sniff = sniff_request(bytes + at, size - at);
    return sniff == SNIFFED_NO ? sniff_line(bytes + at, size - at, seen > at ? seen - at : 0) : sniff;
}
