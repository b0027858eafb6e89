#include "shim/protocol/http1/parts.h"

/* RFC 9110 5.6.2: what a method and a header's name are made of. */
static const uint8_t token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

struct connection_tokens {
    bool close, keep, upgrade;
};

#ifdef __SSE2__
/* Letters and '-', which most names are made of. */
static inline const char *skip_letters(const char *at, const char *end) {
    const __m128i bit = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), span = _mm_set1_epi8('z' - 'a'),
                  dash = _mm_set1_epi8('-');
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
static inline const char *skip_letters(const char *at, const char *end) {
    (void)end;
    return at;
}
#endif

static inline const char *skip_token(const char *at, const char *end) {
    at = skip_letters(at, end);
    while (at < end && token[(unsigned char)*at])
        at++;
    return at;
}

static inline enum parsed take_line_end(struct cursor *c) {
    size_t have = (size_t)(c->end - c->at);
    if (have && c->at[0] != '\r')
        return PARSED_BROKEN;
    if (have < 2)
        return PARSED_MORE;
    if (c->at[1] != '\n')
        return PARSED_BROKEN;
    c->at += 2;
    return PARSED_DONE;
}

static enum http_method method_of(struct slice method) {
    static const struct {
        const char *name;
        enum http_method id;
    } known[] = {{"GET", HTTP_METHOD_GET},
                 {"POST", HTTP_METHOD_POST},
                 {"HEAD", HTTP_METHOD_HEAD},
                 {"CONNECT", HTTP_METHOD_CONNECT}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (method.size == strlen(known[i].name) && memcmp(method.at, known[i].name, method.size) == 0)
            return known[i].id;
    return HTTP_METHOD_OTHER;
}

/* A run that ends in one space; what may be in it is said by where it stopped. */
static enum parsed take_word(struct cursor *c, const char *stop, struct slice *ret_word) {
    if (stop == c->end)
        return PARSED_MORE;
    if (*stop != ' ' || stop == c->at)
        return PARSED_BROKEN;
    *ret_word = (struct slice){c->at, (size_t)(stop - c->at)};
    c->at = stop + 1;
    return PARSED_DONE;
}

/* Behind it a version follows, or (HTTP/0.9) the line's end. */
static enum parsed take_target(struct cursor *c, struct message *head) {
    const char *stop = find_below(c->at, c->end, ' ' + 1), *next = stop;
    while (next < c->end && *next == ' ')
        next++;
    if (next == c->end)
        return PARSED_MORE;
    if (*next != '\r' && *next != '\n')
        return take_word(c, stop, &head->target);
    head->target = (struct slice){c->at, (size_t)(stop - c->at)};
    if (!head->target.size || (*c->at != '/' && !memmem(c->at, head->target.size, "://", 3)))
        return PARSED_BROKEN;
    c->at = next + (*next == '\n');
    head->bare = true;
    return *next == '\n' ? PARSED_DONE : take_line_end(c);
}

static enum parsed take_request_line(struct cursor *c, struct message *head) {
    enum parsed answer;
    if ((answer = take_word(c, skip_token(c->at, c->end), &head->method)) != PARSED_DONE)
        return answer;
    head->method_id = method_of(head->method);
    if ((answer = take_target(c, head)) != PARSED_DONE || head->bare)
        return answer;
    if ((answer = take_version(c, head)) != PARSED_DONE)
        return answer;
    return take_line_end(c);
}

/* To the end of the line, past what may stand inside a header's value. */
static inline enum parsed take_rest_of_line(struct cursor *c, struct slice *ret_text) {
    const char *start = c->at, *stop = find_below(c->at, c->end, ' ');
    while (stop < c->end && *stop == '\t')
        stop = find_below(stop + 1, c->end, ' ');
    c->at = stop;
    *ret_text = (struct slice){start, (size_t)(stop - start)};
    return take_line_end(c);
}

static void see_connection(struct connection_tokens *tokens, struct slice list) {
    while (list.size) {
        struct slice item = next_list_item(&list);
        tokens->close |= slice_is(item, "close");
        tokens->keep |= slice_is(item, "keep-alive");
        tokens->upgrade |= slice_is(item, "upgrade");
    }
}

/* Before the value of a framing header only spaces, behind it nothing: parsers disagree about all else. */
static struct slice skip_spaces(struct slice value) {
    while (value.size && value.at[0] == ' ')
        value.at++, value.size--;
    return value;
}

static bool see_only_chunked(struct message *head, struct slice value) {
    if (head->coded || !slice_is(skip_spaces(value), "chunked"))
        return false;
    head->coded = true;
    return true;
}

/* Some servers take '_' in a name for '-'; then they would see a framing header where others see none. */
static bool is_framing_in_disguise(struct slice name) {
    if (name.size == 14)
        return name.at[7] == '_' && same(name.at, "content", 7) && same(name.at + 8, "length", 6);
    return name.size == 17 && name.at[8] == '_' && same(name.at, "transfer", 8) && same(name.at + 9, "encoding", 8);
}

/* Notes the few headers that framing and persistence depend on; false: they leave room for two opinions. */
static bool see_field(struct message *head, struct connection_tokens *tokens, struct slice name, struct slice value) {
    switch (name.size) {
    case 4:
        if (!head->host.at && same(name.at, "host", 4))
            head->host = http_trim(value);
        return true;
    case 6:
        if (same(name.at, "expect", 6))
            head->expect_continue = head->minor == 1 && slice_is(http_trim(value), "100-continue");
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
    default: return true;
    }
}

static inline enum parsed take_field(struct cursor *c, struct message *head, struct connection_tokens *tokens) {
    const char *start = c->at, *stop = skip_token(c->at, c->end);
    if (stop == c->end)
        return PARSED_MORE;
    if (*stop != ':' || stop == start)
        return PARSED_BROKEN;
    c->at = stop + 1;
    struct slice value;
    enum parsed answer = take_rest_of_line(c, &value);
    if (answer == PARSED_DONE && !see_field(head, tokens, (struct slice){start, (size_t)(stop - start)}, value))
        return PARSED_BROKEN;
    return answer;
}

static enum parsed take_fields(struct cursor *c, struct message *head) {
    struct connection_tokens tokens = {false, false, false};
    enum parsed answer;
    while (c->at < c->end && *c->at != '\r')
        if ((answer = take_field(c, head, &tokens)) != PARSED_DONE)
            return answer;
    if ((answer = take_line_end(c)) != PARSED_DONE)
        return answer;
    head->keep_alive = head->minor == 1 ? !tokens.close : tokens.keep && !tokens.close;
    head->upgrade = (head->upgrade && tokens.upgrade && head->minor == 1) || head->method_id == HTTP_METHOD_CONNECT;
    if (head->coded && (head->has_length || head->minor == 0))
        return PARSED_BROKEN;
    if (head->coded)
        head->framing = BODY_CODED;
    else if (head->content_length)
        head->framing = BODY_LENGTH;
    return PARSED_DONE;
}

static enum parsed parse_request(const char *bytes, size_t size, struct message *head) {
    struct cursor c = {.at = bytes + leading_lines(bytes, size), .end = bytes + size};
    clear_head(head);
    if (c.end - c.at == 1 && *c.at == '\r') /* of one more of these lines */
        return within_limit(PARSED_MORE, bytes, size, c.end, head);
    enum parsed answer = take_request_line(&c, head);
    if (answer == PARSED_DONE) {
        head->fields_at = (size_t)(c.at - bytes);
        answer = head->bare ? PARSED_DONE : take_fields(&c, head);
    }
    return within_limit(answer, bytes, size, c.at, head);
}

enum parsed http1_request(const char *bytes, size_t size, size_t seen, struct message *ret_head) {
    if (seen && still_more(bytes, size, seen))
        return PARSED_MORE;
    return parse_request(bytes, size, ret_head);
}
