#include "shim/protocol/http1/http1.h"

#include <string.h>
#include <strings.h>

enum { METHOD_MAX = 24 };

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

/* What HTTP allows between a method and its target is one space, and before the method CRLF.  Anything else is
 * malformed HTTP, not something else: there are servers who overlook it; those in Python split lines at all that
 * Unicode has for a blank. */
bool http1_is_blank(char c) {
    unsigned char byte = (unsigned char)c;
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || (byte >= 0x1c && byte <= 0x1f) ||
           byte == 0x85 || byte == 0xa0;
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
    if (bytes[0] == '/' || bytes[0] == '*' || http1_is_blank(bytes[0]))
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

/* "METHOD TARGET HTTP/", whatever the method and the target are: nothing else begins so. */
static bool names_version(const char *line, size_t size) {
    static const char version[] = "HTTP/";
    enum { WORD = sizeof(version) - 1 };
    size_t at = 0, target;
    while (at < size && is_token_byte((unsigned char)line[at]))
        at++;
    if (at == 0 || at == size || line[at++] != ' ')
        return false;
    for (target = at; at < size && (unsigned char)line[at] > ' ';)
        at++;
    return at > target && size - at > WORD && line[at] == ' ' && memcmp(line + at + 1, version, WORD) == 0;
}

/* "… HTTP/1.1": whatever stands before it. */
static bool ends_in_version(const char *line, size_t size) {
    static const char version[] = "http/";
    enum { WORD = sizeof(version) - 1 };
    while (size && (http1_is_blank(line[size - 1]) || line[size - 1] == '\r'))
        size--;
    while (size && ((line[size - 1] >= '0' && line[size - 1] <= '9') || line[size - 1] == '.'))
        size--;
    return size > WORD && strncasecmp(line + size - WORD, version, WORD) == 0 && http1_is_blank(line[size - WORD - 1]);
}

static bool is_text(char c) {
    return (unsigned char)c >= ' ' || c == '\r' || http1_is_blank(c);
}

/* A first line of text, until it is seen how it ends: servers differ about what may stand before the version, and it is
 * for the parser to say so. */
static enum sniffed sniff_line(const char *bytes, size_t size, size_t seen) {
    size_t end = seen;
    while (end < size && is_text(bytes[end]))
        end++;
    if (end == size)
        return SNIFFED_MORE;
    bool http = names_version(bytes, end) || (bytes[end] == '\n' && ends_in_version(bytes, end));
    return http ? SNIFFED_YES : SNIFFED_NO;
}

static enum sniffed sniff_request(const char *bytes, size_t size) {
    size_t method = 0;
    while (method < size && method <= METHOD_MAX && is_method_byte((unsigned char)bytes[method]))
        method++;
    if (method == size)
        return is_known_beginning(bytes, size) ? SNIFFED_MORE : SNIFFED_NO;
    if (method == 0 || !http1_is_blank(bytes[method]))
        return SNIFFED_NO;
    if (method + 1 == size)
        return http1_is_method(bytes, method) ? SNIFFED_MORE : SNIFFED_NO;
    bool connect = method == 7 && memcmp(bytes, "CONNECT", 7) == 0;
    return sniff_target(bytes + method + 1, size - method - 1, connect);
}

enum sniffed http1_sniff(const char *bytes, size_t size, size_t seen) {
    size_t at = 0;
    while (at < size && (http1_is_blank(bytes[at]) || bytes[at] == '\r' || bytes[at] == '\n'))
        at++;
    if (at == size)
        return SNIFFED_MORE;
    enum sniffed sniff = sniff_request(bytes + at, size - at);
    return sniff == SNIFFED_NO ? sniff_line(bytes + at, size - at, seen > at ? seen - at : 0) : sniff;
}
