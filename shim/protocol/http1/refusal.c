/* The answer that a rejected request gets: a complete HTTP/1.1 response. */
#include "shim/protocol/refusal.h"

#include <string.h>
#include <strings.h>

#include "shim/protocol/http1/http1.h"

struct answer {
    struct refusal of;
    bool head; /* the request was HEAD: headers only */
    bool html; /* the client prefers text/html */
};

/* A bounded writer: once something did not fit, `overflow` stays set and nothing more is written. */
struct writer {
    char *at, *end;
    bool overflow;
};

static void put(struct writer *w, const char *bytes, size_t size) {
    if (w->overflow || (size_t)(w->end - w->at) < size) {
        w->overflow = true;
        return;
    }
    memcpy(w->at, bytes, size);
    w->at += size;
}

static void put_text(struct writer *w, const char *text) {
    put(w, text, strlen(text));
}

static void put_number(struct writer *w, uint64_t number) {
    char digits[20];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + number % 10);
    while (number /= 10);
    put(w, digits + n, sizeof(digits) - n);
}

static void put_two(struct writer *w, unsigned number) {
    char digits[2] = {(char)('0' + number / 10 % 10), (char)('0' + number % 10)};
    put(w, digits, 2);
}

static void put_escaped_json(struct writer *w, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c == '"' || c == '\\')
        put(w, (char[]){'\\', (char)c}, 2);
    else
        put(w, text, sizeof(text));
}

static void put_escaped_html(struct writer *w, unsigned char c) {
    static const char *const names[] = {['"'] = "&quot;", ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;"};
    put_text(w, c < sizeof(names) / sizeof(names[0]) && names[c] ? names[c] : "?");
}

static void put_escaped_plain(struct writer *w, unsigned char c) {
    put(w, c > 0x20 && c < 0x7f ? (char *)&c : "?", 1);
}

static void put_escaped_token(struct writer *w, unsigned char c) { /* RFC 9651 string: printable ASCII only */
    if (c == '"' || c == '\\')
        put(w, (char[]){'\\', (char)c}, 2);
    else
        put(w, "?", 1);
}

/* Well-formed UTF-8 by its lead and continuation bytes (RFC 3629; overlong forms of two bytes are refused). */
static bool is_utf8(const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i++];
        size_t more = c < 0x80                ? 0
                      : c >= 0xc2 && c < 0xe0 ? 1
                      : c >= 0xe0 && c < 0xf0 ? 2
                      : c >= 0xf0 && c < 0xf5 ? 3
                                              : 4;
        if (more > length - i || more == 4)
            return false;
        for (; more; more--, i++)
            if ((text[i] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Runs of harmless bytes go as they are, the rest one by one through `escape`.  Names come from request lines: nothing
 * in them may end a header, a string or an element. */
static void put_escaped(struct writer *w, const char *text, size_t length,
                        void (*escape)(struct writer *, unsigned char)) {
    bool utf8 = escape != put_escaped_token && is_utf8(text, length);
    size_t run = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&')
            continue;
        if (c >= 0x80 && utf8)
            continue;
        put(w, text + run, i - run);
        run = i + 1;
        escape(w, c);
    }
    put(w, text + run, length - run);
}

/* Civil date from days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_date(struct writer *w, uint64_t now_ns) {
    static const char week[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t second = now_ns / 1000000000u, days = second / 86400;
    unsigned of_day = (unsigned)(second % 86400);
    uint64_t z = days + 719468, era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1;
    unsigned month = mp < 10 ? mp + 2 : mp - 10; /* 0 = January */
    uint64_t year = yoe + era * 400 + (month < 2);

    put(w, week + days % 7 * 3, 3);
    put(w, ", ", 2);
    put_two(w, day);
    put(w, " ", 1);
    put(w, months + month * 3, 3);
    put(w, " ", 1);
    put_number(w, year);
    put(w, " ", 1);
    put_two(w, of_day / 3600);
    put(w, ":", 1);
    put_two(w, of_day / 60 % 60);
    put(w, ":", 1);
    put_two(w, of_day % 60);
    put(w, " GMT", 4);
}

static uint64_t whole(double number) {
    return number >= 1 ? (uint64_t)(number < 1e15 ? number : 1e15) : 0;
}

static uint64_t seconds_up(uint64_t ns) {
    return ns ? (ns - 1) / 1000000000u + 1 : 1;
}

/* A window lets its oldest go a hundredth of its length late; no client is asked to wait two seconds for one, or 61 for
 * a minute. */
static uint64_t retry_seconds(const struct answer *f) {
    const uint64_t slack_ns = 50000000;
    uint64_t retry_ns = f->of.retry_ns;
    if (retry_ns > f->of.interval_ns && retry_ns - f->of.interval_ns <= f->of.interval_ns / 50)
        retry_ns = f->of.interval_ns;
    return seconds_up(retry_ns > slack_ns ? retry_ns - slack_ns : 0);
}

/* RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers. */
static void put_rate_draft(struct writer *w, const struct answer *f, uint64_t retry) {
    size_t length = strlen(f->of.rule);
    put_text(w, "RateLimit-Policy: \"");
    put_escaped(w, f->of.rule, length, put_escaped_token);
    put_text(w, "\";q=");
    put_number(w, whole(f->of.limit));
    if (f->of.interval_ns) {
        put_text(w, ";w=");
        put_number(w, seconds_up(f->of.interval_ns));
    } else {
        put_text(w, ";qu=\"concurrent-requests\"");
    }
    put_text(w, "\r\nRateLimit: \"");
    put_escaped(w, f->of.rule, length, put_escaped_token);
    put_text(w, "\";r=");
    put_number(w, whole(f->of.remaining));
    put_text(w, ";t=");
    put_number(w, retry);
    put_text(w, "\r\n");
}

/* The triple of the drafts before 07 (as Kong and others send it), and Envoy's spelling of it. */
static void put_rate_triple(struct writer *w, const struct answer *f, uint64_t retry, const char *prefix) {
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"Limit: ", whole(f->of.limit)}, {"Remaining: ", whole(f->of.remaining)}, {"Reset: ", retry}};
    for (size_t i = 0; i < 3; i++) {
        put_text(w, prefix);
        put_text(w, fields[i].name);
        put_number(w, fields[i].value);
        put_text(w, "\r\n");
    }
}

static void put_rate_headers(struct writer *w, const struct answer *f, uint64_t retry) {
    static const char *const prefixes[] = {[2] = "RateLimit-", [3] = "X-RateLimit-"};
    bool quota = f->of.reason == REASON_FLOW || f->of.reason == REASON_PARAM || f->of.reason == REASON_ISOLATION;
    if (!quota || !f->of.rate_headers)
        return;
    if (f->of.rate_headers == 1)
        put_rate_draft(w, f, retry);
    else
        put_rate_triple(w, f, retry, prefixes[f->of.rate_headers == 3 ? 3 : 2]);
}

static void put_body_json(struct writer *w, const struct answer *f) {
    put_text(w, "{\"error\":\"blocked by weir\",\"resource\":\"");
    put_escaped(w, f->of.resource, f->of.resource_length, put_escaped_json);
    put_text(w, "\",\"reason\":\"");
    put_text(w, refusal_reason(f->of.reason));
    put_text(w, "\",\"rule\":\"");
    put_escaped(w, f->of.rule, strlen(f->of.rule), put_escaped_json);
    if (f->of.id && f->of.id[0]) {
        put_text(w, "\",\"id\":\"");
        put_text(w, f->of.id);
    }
    if (f->of.trace_length) {
        put_text(w, "\",\"traceId\":\"");
        put_escaped(w, f->of.trace, f->of.trace_length, put_escaped_json);
    }
    put_text(w, "\"}\n");
}

static void put_body_html(struct writer *w, const struct answer *f, uint64_t retry) {
    put_text(w, "<!doctype html><meta charset=utf-8><title>");
    put_text(w, refusal_heading(f->of.reason));
    put_text(w, "</title><h1>");
    put_text(w, refusal_heading(f->of.reason));
    put_text(w, "</h1>");
    if (!refusal_is_lasting(f->of.reason)) {
        put_text(w, "<p>Please try again in ");
        put_number(w, retry);
        put_text(w, retry == 1 ? " second.</p>" : " seconds.</p>");
    }
    put_text(w, "<p><small>");
    put_escaped(w, f->of.resource, f->of.resource_length, put_escaped_html);
    put_text(w, ", ");
    put_text(w, refusal_reason(f->of.reason));
    put_text(w, ", rule ");
    put_escaped(w, f->of.rule, strlen(f->of.rule), put_escaped_html);
    if (f->of.id && f->of.id[0]) {
        put_text(w, ", id ");
        put_text(w, f->of.id);
    }
    if (f->of.trace_length) {
        put_text(w, ", trace ");
        put_escaped(w, f->of.trace, f->of.trace_length, put_escaped_html);
    }
    put_text(w, "</small></p>\n");
}

static void put_escaped_url(struct writer *w, unsigned char c) {
    static const char hex[] = "0123456789ABCDEF";
    put(w, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
}

static void put_url(struct writer *w, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || memchr("-._~/", c, 5);
        if (plain && c)
            put(w, text + i, 1);
        else
            put_escaped_url(w, c);
    }
}

/* The value of a template's {word}; false: these braces are the text's own. */
static bool word_value(const struct answer *f, const char *word, size_t length, struct writer *number,
                       const char **ret_text, size_t *ret_length) {
    const struct {
        const char *name, *text;
        size_t length;
    } words[] = {
        {"resource", f->of.resource, f->of.resource_length},
        {"rule", f->of.rule, strlen(f->of.rule)},
        {"reason", refusal_reason(f->of.reason), strlen(refusal_reason(f->of.reason))},
        {"origin", f->of.origin, f->of.origin_length},
        {"traceId", f->of.trace, f->of.trace_length},
        {"id", f->of.id, f->of.id ? strlen(f->of.id) : 0},
    };
    if (length == 10 && !memcmp(word, "retryAfter", 10)) {
        *ret_text = number->at;
        put_number(number, retry_seconds(f));
        *ret_length = (size_t)(number->at - *ret_text);
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].name) != length || memcmp(words[i].name, word, length) != 0)
            continue;
        *ret_text = words[i].text ? words[i].text : "";
        *ret_length = words[i].length;
        return true;
    }
    return false;
}

/* Escapes as the place needs it: `escape` NULL is a URL. */
static void put_template(struct writer *w, const char *text, const struct answer *f,
                         void (*escape)(struct writer *, unsigned char)) {
    for (const char *brace; (brace = strchr(text, '{')); text = brace) {
        const char *end = strchr(brace, '}'), *value;
        char digits[20];
        struct writer number = {digits, digits + sizeof(digits), false};
        size_t length;
        put(w, text, (size_t)(brace - text));
        if (!end || !word_value(f, brace + 1, (size_t)(end - brace - 1), &number, &value, &length)) {
            put(w, brace++, 1);
            continue;
        }
        if (escape)
            put_escaped(w, value, length, escape);
        else
            put_url(w, value, length);
        brace = end + 1;
    }
    put_text(w, text);
}

/* Whatever its capitals; NULL: it is not in there. */
static const char *find_word(const char *text, const char *word) {
    for (size_t length = strlen(word); *text; text++)
        if (!strncasecmp(text, word, length))
            return text;
    return NULL;
}

static void (*escape_for(const char *type))(struct writer *, unsigned char) {
    if (find_word(type, "html") || find_word(type, "xml"))
        return put_escaped_html;
    return find_word(type, "json") || find_word(type, "script") ? put_escaped_json : put_escaped_plain;
}

static void put_body(struct writer *w, const struct answer *f) {
    const struct refusal_action *action = f->of.action;
    if (action && action->body[0])
        put_template(w, action->body, f, escape_for(action->content_type));
    else if (f->html)
        put_body_html(w, f, retry_seconds(f));
    else
        put_body_json(w, f);
}

static const char *content_type(const struct answer *f) {
    if (f->of.action && f->of.action->content_type[0])
        return f->of.action->content_type;
    if (f->of.action && f->of.action->body[0])
        return "text/plain; charset=utf-8";
    return f->html ? "text/html; charset=utf-8" : "application/json";
}

static void put_status(struct writer *w, unsigned status) {
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {{200, "OK"},
                   {204, "No Content"},
                   {301, "Moved Permanently"},
                   {302, "Found"},
                   {303, "See Other"},
                   {307, "Temporary Redirect"},
                   {308, "Permanent Redirect"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}};
    const char *phrase = "Blocked";
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            phrase = phrases[i].phrase;
    put_text(w, "HTTP/1.1 ");
    put_number(w, status);
    put(w, " ", 1);
    put_text(w, phrase);
}

static bool sets_header(const struct refusal_action *action, const char *name) {
    const char *at = action ? find_word(action->headers, name) : NULL;
    return at && (at == action->headers || at[-1] == '\n');
}

static size_t write_whole(char *ret_bytes, size_t size, const struct answer *f, bool with_body) {
    char body_bytes[1536];
    struct writer body = {body_bytes, body_bytes + sizeof(body_bytes), false};
    struct writer w = {ret_bytes, ret_bytes + size, false};
    const struct refusal_action *action = f->of.action;
    unsigned status = action && action->status ? action->status : refusal_status(f->of.reason);
    bool bodiless = status == 204 || status == 304;
    uint64_t retry = retry_seconds(f);

    if (with_body)
        put_body(&body, f);
    if (body.overflow)
        return 0;

    put_status(&w, status);
    put_text(&w, "\r\nDate: ");
    put_date(&w, f->of.now_ns);
    if (!bodiless) {
        put_text(&w, "\r\nContent-Type: ");
        put_text(&w, content_type(f));
        put_text(&w, "\r\nContent-Length: ");
        put_number(&w, (uint64_t)(body.at - body_bytes));
    }
    if (!sets_header(action, "cache-control:"))
        put_text(&w, "\r\nCache-Control: no-store");
    if (!refusal_is_lasting(f->of.reason)) {
        put_text(&w, "\r\nRetry-After: ");
        put_number(&w, retry);
    }
    if (f->of.id && f->of.id[0]) {
        put_text(&w, "\r\nX-Weir-Id: ");
        put_text(&w, f->of.id);
    }
    put_text(&w, "\r\n");
    put_rate_headers(&w, f, retry);
    if (action)
        put_text(&w, action->headers);
    if (action && action->redirect[0]) {
        put_text(&w, "Location: ");
        put_template(&w, action->redirect, f, NULL);
        put_text(&w, "\r\n");
    }
    if (f->of.close)
        put_text(&w, "Connection: close\r\n");
    put_text(&w, "\r\n");
    if (!f->head && !bodiless)
        put(&w, body_bytes, (size_t)(body.at - body_bytes));
    return w.overflow ? 0 : (size_t)(w.at - ret_bytes);
}

/* `size` is 1024 at least: what does not fit with its body goes without, and where that does not help, without what the
 * block action says. */
static size_t write_answer(char *ret_bytes, size_t size, const struct answer *f) {
    struct answer plain = *f;
    plain.of.action = NULL;
    plain.of.resource_length = plain.of.trace_length = plain.of.origin_length = 0;
    size_t length = write_whole(ret_bytes, size, f, true);
    if (!length)
        length = write_whole(ret_bytes, size, f, false);
    return length ? length : write_whole(ret_bytes, size, &plain, false);
}

size_t http1_refuse(const struct message *request, const struct refusal *refusal, char *ret_bytes, size_t size) {
    static const struct {
        const char *status, *more;
    } others[] = {
        [REFUSED_BY_RULE] = {"", ""}, /* below */
        [REFUSED_MALFORMED] = {"400 Bad Request", ""},
        [REFUSED_VERSION] = {"505 HTTP Version Not Supported", ""},
        [REFUSED_TOO_LARGE] = {"431 Request Header Fields Too Large", ""},
        [REFUSED_CROWDED] = {"503 Service Unavailable", "Retry-After: 1\r\n"},
    };
    if (refusal->kind != REFUSED_BY_RULE) {
        struct writer w = {ret_bytes, ret_bytes + size, false};
        put_text(&w, "HTTP/1.1 ");
        put_text(&w, others[refusal->kind].status);
        put_text(&w, "\r\n");
        put_text(&w, others[refusal->kind].more);
        put_text(&w, refusal->close ? "Connection: close\r\nContent-Length: 0\r\n\r\n" : "Content-Length: 0\r\n\r\n");
        return (size_t)(w.at - ret_bytes);
    }
    struct slice accept = message_field(request, "accept");
    struct answer answer = {
        .of = *refusal,
        .head = request->method_id == HTTP_METHOD_HEAD,
        .html = accept.at && memmem(accept.at, accept.size, "text/html", 9) != NULL,
    };
    return write_answer(ret_bytes, size, &answer);
}

/* A client of HTTP/1.0 that asked for it waits for the connection's end, unless the answer says that it stays. */
bool http1_settle(const struct message *request, bool close, char *answer, size_t *size, size_t capacity) {
    const char *header = close                            ? "Connection: close\r\n"
                         : request && request->minor == 0 ? "Connection: keep-alive\r\n"
                                                          : "";
    const char *line = memchr(answer, '\n', *size);
    size_t extra = strlen(header);
    if (!line || *size + extra > capacity)
        return false;
    size_t at = (size_t)(line + 1 - answer);
    memmove(answer + at + extra, answer + at, *size - at);
    memcpy(answer + at, header, extra);
    *size += extra;
    return true;
}
