#include "shim/protocol/http1.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* RFC 9110 5.6.2: what a method and a header's name are made of. */
static const uint8_t token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

enum { LENGTH_DIGITS_MAX = 18 }; /* fits 63 bits whatever the digits are */

struct cursor {
    const char *at, *end;
};

struct connection_tokens {
    bool close, keep, upgrade;
};

#ifdef __SSE2__
/* Sixteen bytes at a time where there are as many. */
static inline const char *skip_fast(const char *at, const char *end, unsigned limit)
{
    const __m128i most = _mm_set1_epi8((char)(limit - 1));
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        int below = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, most), bytes));
        if (below)
            return at + __builtin_ctz((unsigned)below);
        at += 16;
    }
    return at;
}

/* Letters and '-', which most names are made of. */
static inline const char *skip_letters(const char *at, const char *end)
{
    const __m128i bit = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), span = _mm_set1_epi8('z' - 'a'), dash = _mm_set1_epi8('-');
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, bit), a);
        __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, span), letter), _mm_cmpeq_epi8(bytes, dash));
        unsigned bad = ~(unsigned)_mm_movemask_epi8(good) & 0xffff;
        if (bad)
            return at + __builtin_ctz(bad);
        at += 16;
    }
    return at;
}
#else
/* Eight at a time: the subtraction borrows out of a byte exactly when it is smaller; a borrow may spoil the bytes above it
 * only, and the lowest one is the one wanted. */
static inline const char *skip_fast(const char *at, const char *end, unsigned limit)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t hit = (word - ones * limit) & ~word & tops;
        if (hit)
            return at + (__builtin_ctzll(hit) >> 3);
        at += 8;
    }
#else
    (void)end, (void)limit;
#endif
    return at;
}

static inline const char *skip_letters(const char *at, const char *end)
{
    (void)end;
    return at;
}
#endif

/* First byte below `limit` (≤ 0x80) in [at, end), or end. */
static inline const char *find_below(const char *at, const char *end, unsigned limit)
{
    at = skip_fast(at, end, limit);
    while (at < end && (unsigned char)*at >= limit)
        at++;
    return at;
}

static inline const char *skip_token(const char *at, const char *end)
{
    at = skip_letters(at, end);
    while (at < end && token[(unsigned char)*at])
        at++;
    return at;
}

/* `lower` is in lower case, made of letters and '-' only: no other byte becomes one of these by setting bit 5, but for
 * control characters and '\r' → '-', which no name holds; '_' → DEL. */
static bool same(const char *at, const char *lower, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)at[i] | 0x20) != (unsigned char)lower[i])
            return false;
    return true;
}

static bool slice_is(struct http_slice slice, const char *lower)
{
    return slice.size == strlen(lower) && same(slice.at, lower, slice.size);
}

static inline enum http_answer take_line_end(struct cursor *c)
{
    size_t have = (size_t)(c->end - c->at);
    if (have && c->at[0] != '\r')
        return HTTP_BROKEN;
    if (have < 2)
        return HTTP_MORE;
    if (c->at[1] != '\n')
        return HTTP_BROKEN;
    c->at += 2;
    return HTTP_DONE;
}

static enum http_answer take_version(struct cursor *c, struct http_head *head)
{
    static const char text[] = "HTTP/1.";
    size_t have = (size_t)(c->end - c->at), size = sizeof(text) - 1;
    if (have > size ? memcmp(c->at, text, sizeof(text) - 1) != 0 : memcmp(c->at, text, have) != 0)
        return HTTP_BROKEN;
    if (have <= size)
        return HTTP_MORE;
    if (c->at[size] != '0' && c->at[size] != '1')
        return HTTP_BROKEN;
    head->minor = (uint8_t)(c->at[size] - '0');
    c->at += size + 1;
    return HTTP_DONE;
}

static enum http_method method_of(struct http_slice method)
{
    static const struct {
        const char *name;
        enum http_method id;
    } known[] = { { "GET", HTTP_METHOD_GET }, { "POST", HTTP_METHOD_POST }, { "HEAD", HTTP_METHOD_HEAD },
                  { "CONNECT", HTTP_METHOD_CONNECT } };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (method.size == strlen(known[i].name) && memcmp(method.at, known[i].name, method.size) == 0)
            return known[i].id;
    return HTTP_METHOD_OTHER;
}

/* A run that ends in one space; what may be in it is said by where it stopped. */
static enum http_answer take_word(struct cursor *c, const char *stop, struct http_slice *ret_word)
{
    if (stop == c->end)
        return HTTP_MORE;
    if (*stop != ' ' || stop == c->at)
        return HTTP_BROKEN;
    *ret_word = (struct http_slice){ c->at, (size_t)(stop - c->at) };
    c->at = stop + 1;
    return HTTP_DONE;
}

static enum http_answer take_request_line(struct cursor *c, struct http_head *head)
{
    enum http_answer answer;
    if ((answer = take_word(c, skip_token(c->at, c->end), &head->method)) != HTTP_DONE)
        return answer;
    head->method_id = method_of(head->method);
    if ((answer = take_word(c, find_below(c->at, c->end, ' ' + 1), &head->target)) != HTTP_DONE)
        return answer;
    if ((answer = take_version(c, head)) != HTTP_DONE)
        return answer;
    return take_line_end(c);
}

/* To the end of the line, past what may stand inside a header's value. */
static inline enum http_answer take_rest_of_line(struct cursor *c, struct http_slice *ret_text)
{
    const char *start = c->at, *stop = find_below(c->at, c->end, ' ');
    while (stop < c->end && *stop == '\t')
        stop = find_below(stop + 1, c->end, ' ');
    c->at = stop;
    *ret_text = (struct http_slice){ start, (size_t)(stop - start) };
    return take_line_end(c);
}

static struct http_slice trim(struct http_slice text)
{
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.size--;
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static struct http_slice next_list_item(struct http_slice *list)
{
    const char *comma = memchr(list->at, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->at) : list->size;
    struct http_slice item = { list->at, size };
    list->at += size + (comma != NULL);
    list->size -= size + (comma != NULL);
    return trim(item);
}

static void see_connection(struct connection_tokens *tokens, struct http_slice list)
{
    while (list.size) {
        struct http_slice item = next_list_item(&list);
        tokens->close |= slice_is(item, "close");
        tokens->keep |= slice_is(item, "keep-alive");
        tokens->upgrade |= slice_is(item, "upgrade");
    }
}

static bool see_length(struct http_head *head, struct http_slice value)
{
    uint64_t length = 0;
    if (!value.size || value.size > LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (head->has_length && head->content_length != length)
        return false;
    head->has_length = true;
    head->content_length = length;
    return true;
}

/* Before the value of a framing header only spaces, behind it nothing: parsers disagree about all else. */
static struct http_slice skip_spaces(struct http_slice value)
{
    while (value.size && value.at[0] == ' ')
        value.at++, value.size--;
    return value;
}

static bool see_only_chunked(struct http_head *head, struct http_slice value)
{
    if (head->chunked || !slice_is(skip_spaces(value), "chunked"))
        return false;
    head->chunked = true;
    return true;
}

/* Some servers take '_' in a name for '-'; then they would see a framing header where others see none. */
static bool is_framing_in_disguise(struct http_slice name)
{
    if (name.size == 14)
        return name.at[7] == '_' && same(name.at, "content", 7) && same(name.at + 8, "length", 6);
    return name.size == 17 && name.at[8] == '_' && same(name.at, "transfer", 8) && same(name.at + 9, "encoding", 8);
}

/* Notes the few headers that framing and persistence depend on; false: they leave room for two opinions. */
static bool see_field(struct http_head *head, struct connection_tokens *tokens, struct http_slice name, struct http_slice value)
{
    switch (name.size) {
    case 4:
        if (!head->host.at && same(name.at, "host", 4))
            head->host = trim(value);
        return true;
    case 6:
        if (same(name.at, "expect", 6))
            head->expect_continue = head->minor == 1 && slice_is(trim(value), "100-continue");
        return true;
    case 7:
        if (same(name.at, "upgrade", 7))
            head->upgrade = true;
        return true;
    case 10:
        if (same(name.at, "connection", 10))
            see_connection(tokens, value);
        return true;
    case 14:
        if (same(name.at, "content-length", 14))
            return see_length(head, skip_spaces(value));
        return !is_framing_in_disguise(name);
    case 17:
        if (same(name.at, "transfer-encoding", 17))
            return see_only_chunked(head, value);
        return !is_framing_in_disguise(name);
    default:
        return true;
    }
}

static inline enum http_answer take_field(struct cursor *c, struct http_head *head, struct connection_tokens *tokens)
{
    const char *start = c->at, *stop = skip_token(c->at, c->end);
    if (stop == c->end)
        return HTTP_MORE;
    if (*stop != ':' || stop == start)
        return HTTP_BROKEN;
    c->at = stop + 1;
    struct http_slice value;
    enum http_answer answer = take_rest_of_line(c, &value);
    if (answer == HTTP_DONE && !see_field(head, tokens, (struct http_slice){ start, (size_t)(stop - start) }, value))
        return HTTP_BROKEN;
    return answer;
}

static enum http_answer take_fields(struct cursor *c, struct http_head *head)
{
    struct connection_tokens tokens = { false, false, false };
    enum http_answer answer;
    while (c->at < c->end && *c->at != '\r')
        if ((answer = take_field(c, head, &tokens)) != HTTP_DONE)
            return answer;
    if ((answer = take_line_end(c)) != HTTP_DONE)
        return answer;
    head->keep_alive = head->minor == 1 ? !tokens.close : tokens.keep && !tokens.close;
    head->upgrade = head->upgrade && tokens.upgrade && head->minor == 1;
    if (head->chunked && (head->has_length || head->minor == 0))
        return HTTP_BROKEN;
    if (head->chunked)
        head->framing = HTTP_BODY_CHUNKED;
    else if (head->content_length)
        head->framing = HTTP_BODY_LENGTH;
    return HTTP_DONE;
}

static size_t leading_lines(const char *bytes, size_t size)
{
    size_t at = 0;
    while (at + 2 <= size && bytes[at] == '\r' && bytes[at + 1] == '\n')
        at += 2;
    return at;
}

/* Within the limit? */
static enum http_answer limited(enum http_answer answer, const char *bytes, size_t size, const char *end, struct http_head *head)
{
    if (answer == HTTP_MORE)
        return size >= HTTP_HEAD_MAX ? HTTP_BROKEN : HTTP_MORE;
    head->bytes = bytes;
    head->size = (size_t)(end - bytes);
    return answer == HTTP_DONE && head->size > HTTP_HEAD_MAX ? HTTP_BROKEN : answer;
}

static enum http_answer parse_request(const char *bytes, size_t size, struct http_head *head)
{
    struct cursor c = { .at = bytes + leading_lines(bytes, size), .end = bytes + size };
    memset(head, 0, sizeof(*head));
    if (c.end - c.at == 1 && *c.at == '\r') /* of one more of these lines */
        return limited(HTTP_MORE, bytes, size, c.end, head);
    enum http_answer answer = take_request_line(&c, head);
    if (answer == HTTP_DONE) {
        head->fields_at = (size_t)(c.at - bytes);
        answer = take_fields(&c, head);
    }
    return limited(answer, bytes, size, c.at, head);
}

/* Nothing new happened since an answer of MORE at `seen`: the first line was complete then, and what came since holds
 * neither the end of the head nor an LF that could be one to somebody. */
static bool still_more(const char *bytes, size_t size, size_t seen)
{
    size_t start = leading_lines(bytes, seen);
    if (size >= HTTP_HEAD_MAX || seen > size || start >= seen || !memchr(bytes + start, '\n', seen - start))
        return false;
    size_t from = seen > 2 ? seen - 2 : 0;
    for (const char *at = bytes + from; (at = memchr(at, '\n', (size_t)(bytes + size - at))); at++) {
        size_t left = (size_t)(bytes + size - at);
        if (at == bytes || at[-1] != '\r' || (left >= 2 && at[1] == '\n') || (left >= 3 && at[1] == '\r' && at[2] == '\n'))
            return false;
    }
    return true;
}

enum http_answer http1_request(const char *bytes, size_t size, size_t seen, struct http_head *ret_head)
{
    if (seen && still_more(bytes, size, seen))
        return HTTP_MORE;
    return parse_request(bytes, size, ret_head);
}

/* ---------------------------------------------------------------------------------------------------------- responses */

static enum http_answer take_status(struct cursor *c, struct http_head *head)
{
    enum http_answer answer = take_version(c, head);
    if (answer != HTTP_DONE)
        return answer;
    if (c->end - c->at < 5)
        return find_below(c->at, c->end, ' ') < c->end ? HTTP_BROKEN : HTTP_MORE;
    for (int i = 1; i < 4; i++)
        if (c->at[i] < '0' || c->at[i] > '9')
            return HTTP_BROKEN;
    head->status = (uint16_t)((c->at[1] - '0') * 100 + (c->at[2] - '0') * 10 + c->at[3] - '0');
    char after = c->at[4];
    if (c->at[0] != ' ' || head->status < 100 || (after != ' ' && after != '\r' && after != '\n'))
        return HTTP_BROKEN;
    c->at += 4;
    return HTTP_DONE;
}

/* What counts is the last coding; without "chunked" the end of the connection ends the body. */
static void see_codings(struct http_head *head, struct http_slice list)
{
    struct http_slice last = { NULL, 0 };
    while (list.size)
        last = next_list_item(&list);
    head->chunked = last.at && slice_is(last, "chunked");
}

/* Most lines of a response are of no interest: one look at the first letter.  Lines that are none (folded, without a colon)
 * are passed over. */
static enum http_answer see_response_line(struct http_head *head, const char *line, size_t size)
{
    char first = (char)(line[0] | 0x20);
    if (first == 'c' && size > 14 && line[14] == ':' && same(line, "content-length", 14))
        return see_length(head, trim((struct http_slice){ line + 15, size - 15 })) ? HTTP_DONE : HTTP_BROKEN;
    if (first == 't' && size > 17 && line[17] == ':' && same(line, "transfer-encoding", 17))
        see_codings(head, trim((struct http_slice){ line + 18, size - 18 }));
    return HTTP_DONE;
}

static enum http_answer take_response_lines(struct cursor *c, struct http_head *head)
{
    const char *line = c->at, *end;
    while ((end = memchr(line, '\n', (size_t)(c->end - line)))) {
        size_t size = (size_t)(end - line) - (end > line && end[-1] == '\r');
        c->at = end + 1;
        if (!size)
            return HTTP_DONE;
        if (see_response_line(head, line, size) != HTTP_DONE)
            return HTTP_BROKEN;
        line = c->at;
    }
    return HTTP_MORE;
}

static enum http_answer parse_response(const char *bytes, size_t size, struct http_head *head)
{
    struct cursor c = { .at = bytes, .end = bytes + size };
    memset(head, 0, sizeof(*head));
    enum http_answer answer = take_status(&c, head);
    const char *end = answer == HTTP_DONE ? memchr(c.at, '\n', (size_t)(c.end - c.at)) : NULL;
    if (answer == HTTP_DONE && !end)
        answer = HTTP_MORE;
    if (answer == HTTP_DONE) {
        c.at = end + 1;
        head->fields_at = (size_t)(c.at - bytes);
        answer = take_response_lines(&c, head);
    }
    return limited(answer, bytes, size, c.at, head);
}

enum http_answer http1_response(const char *bytes, size_t size, size_t seen, struct http_head *ret_head)
{
    if (seen && still_more(bytes, size, seen))
        return HTTP_MORE;
    return parse_response(bytes, size, ret_head);
}

/* -------------------------------------------------------------------------------------------------------- single headers */

bool http_head_next(const struct http_head *head, size_t *at, struct http_slice *ret_name, struct http_slice *ret_value)
{
    size_t from = *at ? *at : head->fields_at;
    while (from < head->size) {
        const char *line = head->bytes + from, *end = memchr(line, '\n', head->size - from);
        if (!end)
            return false;
        from = (size_t)(end + 1 - head->bytes);
        size_t size = (size_t)(end - line);
        if (size && line[size - 1] == '\r')
            size--;
        const char *colon = memchr(line, ':', size);
        if (!colon || colon == line || line[0] == ' ' || line[0] == '\t')
            continue;
        *at = from;
        *ret_name = (struct http_slice){ line, (size_t)(colon - line) };
        *ret_value = trim((struct http_slice){ colon + 1, (size_t)(line + size - colon - 1) });
        return true;
    }
    return false;
}

static bool same_any_case(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x != y && ((x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

const char *http_head_find(const struct http_head *head, const char *name, size_t *ret_size)
{
    size_t at = 0, size = strlen(name);
    struct http_slice field, value;
    while (http_head_next(head, &at, &field, &value)) {
        if (field.size != size || !same_any_case(field.at, name, size))
            continue;
        *ret_size = value.size;
        return value.at;
    }
    *ret_size = 0;
    return NULL;
}
