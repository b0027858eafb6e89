/* The heads of requests and of responses. */
#include "shim/protocol/http1/http1.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "rules/naming/names.h"
#include "shim/protocol/http1/head_private.h"

enum { LENGTH_DIGITS_MAX = 18 }; /* fits 63 bits whatever the digits are */

/* RFC 9110 5.6.2: what a method and a header's name are made of. */
static const uint8_t token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* -------------------------------------------------------------------------------------------------- parts of both */

/* Behind the letters, digits and other bytes of a token.  Sixteen bytes at a time are looked at for letters and '-',
 * which most names are made of. */
static inline const char *skip_token(const char *at, const char *end) {
#ifdef __SSE2__
    const __m128i bit = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), span = _mm_set1_epi8('z' - 'a'),
                  dash = _mm_set1_epi8('-');
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, bit), a);
        __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, span), letter), _mm_cmpeq_epi8(bytes, dash));
        unsigned bad = ~(unsigned)_mm_movemask_epi8(good) & 0xffff;
        if (bad) {
            at += __builtin_ctz(bad);
            break;
        }
    }
#endif
    while (at < end && token[(unsigned char)*at])
        at++;
    return at;
}

/* First byte below `limit` (≤ 0x80) in [at, end), or end; sixteen at a time where there are as many. */
static inline const char *find_below(const char *at, const char *end, unsigned limit) {
#ifdef __SSE2__
    const __m128i most = _mm_set1_epi8((char)(limit - 1));
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        int below = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, most), bytes));
        if (below)
            return at + __builtin_ctz((unsigned)below);
    }
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* Eight: the subtraction borrows out of a byte exactly when it is smaller; a borrow may spoil the bytes above it
     * only, and the lowest one is the one wanted. */
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (uint64_t word; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        uint64_t hit = (word - ones * limit) & ~word & tops;
        if (hit)
            return at + (__builtin_ctzll(hit) >> 3);
    }
#endif
    while (at < end && (unsigned char)*at >= limit)
        at++;
    return at;
}

struct slice http1_trim(struct slice text) {
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.size--;
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* `lower` is in lower case, made of letters and '-' only: no other byte becomes one of these by setting bit 5, but for
 * control characters and '\r' → '-', which no name holds; '_' → DEL. */
static inline bool same(const char *at, const char *lower, size_t size) {
    const uint64_t bit = 0x2020202020202020u;
    uint64_t here, there, differ = 0;
    for (size_t i = 0; size >= 8; i = size - i - 8 < 8 ? size - 8 : i + 8) { /* the last eight overlap */
        memcpy(&here, at + i, 8);
        memcpy(&there, lower + i, 8);
        differ |= (here | bit) ^ there;
        if (i == size - 8)
            return !differ;
    }
    for (size_t i = 0; i < size; i++)
        differ |= ((unsigned char)at[i] | 0x20u) ^ (unsigned char)lower[i];
    return !differ;
}

static inline bool slice_is(struct slice slice, const char *lower) {
    return slice.size == strlen(lower) && same(slice.at, lower, slice.size);
}

static inline struct slice next_list_item(struct slice *list) {
    const char *comma = memchr(list->at, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->at) : list->size;
    struct slice item = {list->at, size};
    list->at += size + (comma != NULL);
    list->size -= size + (comma != NULL);
    return http1_trim(item);
}

static inline bool see_length(struct message *head, struct slice value) {
    uint64_t length = 0;
    while (value.size > 1 && *value.at == '0')
        value.at++, value.size--;
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

/* "HTTP/1.0" or "HTTP/1.1" at `*at`. */
static inline enum parsed take_version(const char **at, const char *end, struct message *head) {
    static const char text[] = "HTTP/1.";
    size_t have = (size_t)(end - *at), size = sizeof(text) - 1;
    if (memcmp(*at, text, have > size ? size : have) != 0)
        return PARSED_BROKEN;
    if (have <= size)
        return PARSED_MORE;
    if ((*at)[size] != '0' && (*at)[size] != '1')
        return PARSED_BROKEN;
    head->minor = (uint8_t)((*at)[size] - '0');
    *at += size + 1;
    return PARSED_DONE;
}

/* Nothing new happened since an answer of MORE at `seen`: the first line was complete then, and what came since does
 * not hold the end of the head, as any server may take it. */
static inline bool still_more(const char *bytes, size_t size, size_t seen) {
    size_t start = 0;
    while (start < seen &&
           (bytes[start] == '\r' || bytes[start] == '\n' || bytes[start] == ' ' || bytes[start] == '\t'))
        start++;
    if (size >= MESSAGE_HEAD_MAX || seen > size || start >= seen || !memchr(bytes + start, '\n', seen - start))
        return false;
    size_t from = seen > start + 2 ? seen - 2 : start;
    for (const char *at = bytes + from; (at = memchr(at, '\n', (size_t)(bytes + size - at))); at++) {
        size_t left = (size_t)(bytes + size - at);
        if ((left >= 2 && at[1] == '\n') || (left >= 3 && at[1] == '\r' && at[2] == '\n'))
            return false;
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------------- requests */

static void see_connection(struct connection_tokens *tokens, struct slice list) {
    while (list.size) {
        struct slice item = next_list_item(&list);
        tokens->close |= slice_is(item, "close");
        tokens->keep |= slice_is(item, "keep-alive");
        tokens->upgrade |= slice_is(item, "upgrade");
    }
}

/* Before the value of a framing header only spaces, behind it nothing: parsers disagree about everything else. */
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
            head->host = http1_trim(value);
        return true;
    case 6:
        if (same(name.at, "expect", 6))
            head->expect_continue = head->minor == 1 && slice_is(http1_trim(value), "100-continue");
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

/* All headers are seen: what they say together. */
enum parsed head_settle(struct message *head, const struct connection_tokens *tokens) {
    head->keep_alive = head->minor == 1 ? !tokens->close : tokens->keep && !tokens->close;
    head->upgrade = (head->upgrade && tokens->upgrade && head->minor == 1) || head->method_id == HTTP_METHOD_CONNECT;
    if (head->coded && (head->has_length || head->minor == 0))
        return PARSED_BROKEN;
    if (head->coded)
        head->framing = BODY_CODED;
    else if (head->content_length)
        head->framing = BODY_LENGTH;
    return PARSED_DONE;
}

/* Header lines to the empty one; `*at` is moved on. */
static enum parsed take_fields(const char **at, const char *end, struct message *head) {
    struct connection_tokens tokens = {false, false, false};
    const char *line = *at;
    while (line < end && *line != '\r') {
        const char *colon = skip_token(line, end);
        if (colon == end)
            return PARSED_MORE;
        if (*colon != ':' || colon == line)
            return PARSED_BROKEN;
        const char *stop = find_below(colon + 1, end, ' ');
        while (stop < end && *stop == '\t')
            stop = find_below(stop + 1, end, ' ');
        if (end - stop < 2)
            return stop < end && *stop != '\r' ? PARSED_BROKEN : PARSED_MORE;
        if (stop[0] != '\r' || stop[1] != '\n' ||
            !see_field(head, &tokens, (struct slice){line, (size_t)(colon - line)},
                       (struct slice){colon + 1, (size_t)(stop - colon - 1)}))
            return PARSED_BROKEN;
        line = stop + 2;
    }
    if (end - line < 2)
        return PARSED_MORE;
    if (line[1] != '\n')
        return PARSED_BROKEN;
    *at = line + 2;
    return head_settle(head, &tokens);
}

bool head_is_token(unsigned char c) {
    return token[c];
}

bool head_see_field(struct message *head, struct connection_tokens *tokens, struct slice name, struct slice value) {
    return see_field(head, tokens, name, value);
}

bool head_see_method(struct message *head) {
    if (slice_is(head->method, "head"))
        head->method_id = HTTP_METHOD_HEAD;
    else if (slice_is(head->method, "connect"))
        head->method_id = HTTP_METHOD_CONNECT;
    return !head->method_id ||
           memcmp(head->method.at, head->method_id == HTTP_METHOD_HEAD ? "HEAD" : "CONNECT", head->method.size) == 0;
}

/* Such a line is plain, or else a server reads something else in it: a version behind what it takes for a blank. */
static bool is_bare_line(const struct message *head) {
    bool plain = http1_is_method(head->method.at, head->method.size) &&
                 (*head->target.at == '/' || memmem(head->target.at, head->target.size, "://", 3));
    for (size_t i = 0; i < head->target.size; i++)
        plain &= (unsigned char)head->target.at[i] < 0x7f;
    return plain;
}

/* HTTP/0.9: the line ends behind the target. */
static enum parsed take_bare_line(const char **at, const char *line_end, const char *end, struct message *head) {
    if (!head->target.size || !is_bare_line(head))
        return PARSED_BROKEN;
    head->bare = true;
    if (*line_end == '\r' && ++line_end == end)
        return PARSED_MORE;
    if (*line_end != '\n')
        return PARSED_BROKEN;
    *at = line_end + 1;
    return PARSED_DONE;
}

/* "METHOD TARGET HTTP/1.x"; `*at` is moved on. */
static enum parsed take_request_line(const char **at, const char *end, struct message *head) {
    const char *stop = skip_token(*at, end);
    if (stop == end)
        return PARSED_MORE;
    if (*stop != ' ' || stop == *at)
        return PARSED_BROKEN;
    head->method = (struct slice){*at, (size_t)(stop - *at)};
    if (!head_see_method(head))
        return PARSED_BROKEN;
    *at = stop + 1;
    stop = find_below(*at, end, ' ' + 1);
    head->target = (struct slice){*at, (size_t)(stop - *at)};
    const char *next = stop;
    while (next < end && *next == ' ')
        next++;
    if (next == end)
        return PARSED_MORE;
    if (*next == '\r' || *next == '\n')
        return take_bare_line(at, next, end, head);
    if (*stop != ' ' || stop == *at)
        return PARSED_BROKEN;
    *at = stop + 1;
    enum parsed version = take_version(at, end, head);
    if (version != PARSED_DONE)
        return version;
    if (end - *at < 2)
        return *at < end && **at != '\r' ? PARSED_BROKEN : PARSED_MORE;
    if ((*at)[0] != '\r' || (*at)[1] != '\n')
        return PARSED_BROKEN;
    *at += 2;
    return PARSED_DONE;
}

enum parsed http1_request(const char *bytes, size_t size, size_t seen, struct message *ret_head) {
    const char *at = bytes, *end = bytes + size;
    if (seen && still_more(bytes, size, seen))
        return PARSED_MORE;
    CLEAR(ret_head);
    ret_head->protocol = &http1;
    while (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
        at += 2;
    enum parsed parsed = PARSED_MORE;
    if (end - at != 1 || *at != '\r') /* of one more of these lines */
        parsed = take_request_line(&at, end, ret_head);
    if (parsed == PARSED_DONE) {
        ret_head->fields_at = (size_t)(at - bytes);
        parsed = ret_head->bare ? PARSED_DONE : take_fields(&at, end, ret_head);
    }
    if (__builtin_expect(parsed == PARSED_BROKEN, 0)) {
        parsed = http1_tolerate(bytes, size, ret_head);
        at = bytes + ret_head->size;
    }
    if (parsed == PARSED_MORE)
        return size >= MESSAGE_HEAD_MAX ? PARSED_BROKEN : PARSED_MORE;
    ret_head->bytes = bytes;
    ret_head->size = (size_t)(at - bytes);
    return ret_head->size > MESSAGE_HEAD_MAX ? PARSED_BROKEN : parsed;
}

static bool has_small_letters(struct slice text) {
    unsigned char bits = 0;
    for (size_t i = 0; i < text.size; i++)
        bits |= (unsigned char)text.at[i];
    return (bits & 0x20) != 0;
}

/* The query is no part of a name.  "get" is GET to some servers, and no method to the others. */
void http1_names(const struct message *head, struct naming_message *ret_naming) {
    struct slice method = head->method;
    if (has_small_letters(method))
        method = http1_usual_method(method);
    const char *query = memchr(head->target.at, '?', head->target.size);
    ret_naming->protocol = http1.name;
    ret_naming->method = method.at;
    ret_naming->method_length = method.size;
    ret_naming->path = head->target.at;
    ret_naming->path_length = query ? (size_t)(query - head->target.at) : head->target.size;
    ret_naming->host = head->host.at;
    ret_naming->host_length = head->host.size;
    ret_naming->with_host = false;
}

/* ------------------------------------------------------------------------------------------------------- responses */

static enum parsed take_status(const char **at, const char *end, struct message *head) {
    enum parsed answer = take_version(at, end, head);
    if (answer != PARSED_DONE)
        return answer;
    if (end - *at < 5)
        return find_below(*at, end, ' ') < end ? PARSED_BROKEN : PARSED_MORE;
    for (int i = 1; i < 4; i++)
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return PARSED_BROKEN;
    head->status = (uint16_t)(((*at)[1] - '0') * 100 + ((*at)[2] - '0') * 10 + (*at)[3] - '0');
    char after = (*at)[4];
    if ((*at)[0] != ' ' || head->status < 100 || (after != ' ' && after != '\r' && after != '\n'))
        return PARSED_BROKEN;
    *at += 4;
    return PARSED_DONE;
}

/* What counts is the last coding; without "chunked" the end of the connection ends the body. */
static void see_codings(struct message *head, struct slice list) {
    struct slice last = {NULL, 0};
    while (list.size)
        last = next_list_item(&list);
    head->coded = last.at && slice_is(last, "chunked");
}

/* Whether it is the connection's last, as far as it says so. */
static void see_persistence(struct message *head, struct slice list) {
    while (list.size) {
        struct slice item = next_list_item(&list);
        if (slice_is(item, "close"))
            head->keep_alive = false;
        else if (slice_is(item, "keep-alive"))
            head->keep_alive = true;
    }
}

/* MORE: go on. */
static __attribute__((noinline)) enum parsed see_response_line(struct message *head, const char *line, size_t size) {
    if (size > 14 && line[14] == ':' && same(line, "content-length", 14))
        return see_length(head, http1_trim((struct slice){line + 15, size - 15})) ? PARSED_MORE : PARSED_BROKEN;
    if (size > 10 && line[10] == ':' && same(line, "connection", 10))
        see_persistence(head, http1_trim((struct slice){line + 11, size - 11}));
    if (size > 17 && line[17] == ':' && same(line, "transfer-encoding", 17))
        see_codings(head, http1_trim((struct slice){line + 18, size - 18}));
    return PARSED_MORE;
}

/* Sixteen bytes after the other are looked through for LF, as they lie.  The first line is the status line; of the
 * others most are of no interest, as one look at the first letter shows.  Lines that are none (folded, without a
 * colon) are passed over. */
enum { LF_BLOCK = 16 };
static enum parsed take_response_lines(struct message *head, const char *at, const char *end, const char **ret_end) {
    const char *line = head->bytes, *fields = NULL;
    char last[LF_BLOCK];
    for (;; at += LF_BLOCK) {
        const char *block = at;
        if (end - at < LF_BLOCK) {
            if (at >= end)
                return PARSED_MORE;
            block = memcpy(memset(last, 0, sizeof(last)), at, (size_t)(end - at));
        }
        unsigned found = 0; /* bit i: byte i is LF */
#ifdef __SSE2__
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)block);
        found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')));
#else
        for (unsigned i = 0; i < LF_BLOCK; i++)
            found |= (unsigned)(block[i] == '\n') << i;
#endif
        for (; found; found &= found - 1) {
            const char *lf = at + __builtin_ctz(found);
            unsigned char first = (unsigned char)*line;
            enum parsed answer = PARSED_MORE;
            if ((first | 0x20) == 'c' || (first | 0x20) == 't')
                answer = see_response_line(head, line, (size_t)(lf - line) - (lf[-1] == '\r'));
            else if (first <= '\r' && (lf == line || (first == '\r' && lf - line == 1)))
                answer = PARSED_DONE;
            line = lf + 1;
            if (__builtin_expect(answer != PARSED_MORE, 0)) {
                head->fields_at = (size_t)(fields - head->bytes);
                *ret_end = line;
                return answer;
            }
            fields = fields ? fields : line;
        }
    }
}

enum parsed http1_response(const char *bytes, size_t size, size_t seen, struct message *ret_head) {
    const char *at = bytes, *end = bytes + size;
    if (seen && still_more(bytes, size, seen))
        return PARSED_MORE;
    CLEAR(ret_head);
    ret_head->protocol = &http1;
    ret_head->bytes = bytes;
    enum parsed parsed = take_status(&at, end, ret_head);
    ret_head->keep_alive = ret_head->minor == 1;
    if (parsed == PARSED_DONE)
        parsed = take_response_lines(ret_head, at, end, &at);
    if (parsed == PARSED_MORE)
        return size >= MESSAGE_HEAD_MAX ? PARSED_BROKEN : PARSED_MORE;
    ret_head->size = (size_t)(at - bytes);
    if (ret_head->status < 200 || ret_head->status == 204 || ret_head->status == 304)
        ret_head->framing = BODY_NONE;
    else if (ret_head->coded)
        ret_head->framing = BODY_CODED;
    else if (ret_head->has_length)
        ret_head->framing = ret_head->content_length ? BODY_LENGTH : BODY_NONE;
    else
        ret_head->framing = BODY_UNTIL_CLOSE;
    return ret_head->size > MESSAGE_HEAD_MAX ? PARSED_BROKEN : parsed;
}
