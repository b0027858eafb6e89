/* What the parsers of requests and of responses have in common; for these two only. */
#ifndef WEIR_SHIM_HTTP1_PARTS_H
#define WEIR_SHIM_HTTP1_PARTS_H

#include "shim/protocol/http1/http1.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { HTTP_LENGTH_DIGITS_MAX = 18 }; /* fits 63 bits whatever the digits are */

/* In halves: for more than 64 bytes at once gcc takes `rep stos`, which lasts longer than reading a line of a head. */
static inline void clear_head(struct message *head) {
    enum { HALF = sizeof(*head) / 2 };
    memset(head, 0, HALF);
    memset((char *)head + HALF, 0, sizeof(*head) - HALF);
    head->protocol = &http1;
}

struct cursor {
    const char *at, *end;
};

#ifdef __SSE2__
/* Sixteen bytes at a time where there are as many. */
static inline const char *skip_fast(const char *at, const char *end, unsigned limit) {
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
#else
/* Eight at a time: the subtraction borrows out of a byte exactly when it is smaller; a borrow may spoil the bytes above
 * it only, and the lowest one is the one wanted. */
static inline const char *skip_fast(const char *at, const char *end, unsigned limit) {
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
#endif

/* First byte below `limit` (≤ 0x80) in [at, end), or end. */
static inline const char *find_below(const char *at, const char *end, unsigned limit) {
    at = skip_fast(at, end, limit);
    while (at < end && (unsigned char)*at >= limit)
        at++;
    return at;
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

/* Sixteen bytes (or so many as the machine takes at once) are looked through for LF; bit i: block[i] is one. */
enum { LF_BLOCK = 16 };
static inline unsigned lf_of_block(const char *block) {
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)block);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')));
#else
    unsigned found = 0;
    for (unsigned i = 0; i < LF_BLOCK; i++)
        found |= (unsigned)(block[i] == '\n') << i;
    return found;
#endif
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
    return http_trim(item);
}

static inline bool see_length(struct message *head, struct slice value) {
    uint64_t length = 0;
    if (!value.size || value.size > HTTP_LENGTH_DIGITS_MAX)
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

static inline enum parsed take_version(struct cursor *c, struct message *head) {
    static const char text[] = "HTTP/1.";
    size_t have = (size_t)(c->end - c->at), size = sizeof(text) - 1;
    if (have > size ? memcmp(c->at, text, sizeof(text) - 1) != 0 : memcmp(c->at, text, have) != 0)
        return PARSED_BROKEN;
    if (have <= size)
        return PARSED_MORE;
    if (c->at[size] != '0' && c->at[size] != '1')
        return PARSED_BROKEN;
    head->minor = (uint8_t)(c->at[size] - '0');
    c->at += size + 1;
    return PARSED_DONE;
}

static inline size_t leading_lines(const char *bytes, size_t size) {
    size_t at = 0;
    while (at + 2 <= size && bytes[at] == '\r' && bytes[at + 1] == '\n')
        at += 2;
    return at;
}

/* Within the limit? */
static inline enum parsed within_limit(enum parsed answer, const char *bytes, size_t size, const char *end,
                                       struct message *head) {
    if (answer == PARSED_MORE)
        return size >= MESSAGE_HEAD_MAX ? PARSED_BROKEN : PARSED_MORE;
    head->bytes = bytes;
    head->size = (size_t)(end - bytes);
    return answer == PARSED_DONE && head->size > MESSAGE_HEAD_MAX ? PARSED_BROKEN : answer;
}

/* Nothing new happened since an answer of MORE at `seen`: the first line was complete then, and what came since holds
 * neither the end of the head nor an LF that could be one to somebody. */
static inline bool still_more(const char *bytes, size_t size, size_t seen) {
    size_t start = leading_lines(bytes, seen);
    if (size >= MESSAGE_HEAD_MAX || seen > size || start >= seen || !memchr(bytes + start, '\n', seen - start))
        return false;
    size_t from = seen > 2 ? seen - 2 : 0;
    for (const char *at = bytes + from; (at = memchr(at, '\n', (size_t)(bytes + size - at))); at++) {
        size_t left = (size_t)(bytes + size - at);
        if (at == bytes || at[-1] != '\r' || (left >= 2 && at[1] == '\n') ||
            (left >= 3 && at[1] == '\r' && at[2] == '\n'))
            return false;
    }
    return true;
}

#endif
