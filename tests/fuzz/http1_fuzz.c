/* The parsers on any bytes: the answer depends on the bytes alone, not on how they came in; what is DONE is within
 * them; a request that is DONE holds none of what makes readers disagree. */
#include <stdlib.h>
#include <string.h>

#include "shim/protocol/http1/http1.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

typedef enum parsed parse(const char *, size_t, size_t, struct message *);

/* An exact copy on the heap, so that the sanitizer sees one byte too far. */
static enum parsed parse_copy(parse *p, const char *bytes, size_t size, size_t seen, struct message *ret_head) {
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    enum parsed answer = p(copy, size, seen, ret_head);
    if (answer == PARSED_DONE) {
        REQUIRE(ret_head->bytes == copy && ret_head->size <= size && ret_head->size <= MESSAGE_HEAD_MAX);
        REQUIRE(ret_head->bare ? ret_head->fields_at == ret_head->size : ret_head->fields_at < ret_head->size);
        size_t at = 0;
        struct slice name, value;
        while (http1_field(ret_head, &at, &name, &value))
            REQUIRE(name.at > copy && value.at + value.size < copy + ret_head->size);
        struct slice host = message_field(ret_head, "host");
        REQUIRE(p != http1_request || (host.at == ret_head->host.at && host.size == ret_head->host.size));
    }
    free(copy);
    return answer;
}

/* In two pieces it is the same, and MORE is said of no more than of beginnings. */
static void check_pieces(parse *p, const char *bytes, size_t size, size_t first) {
    struct message whole, part, resumed;
    enum parsed answer = parse_copy(p, bytes, size, 0, &whole), before = parse_copy(p, bytes, first, 0, &part);
    if (before == PARSED_BROKEN)
        REQUIRE(answer == PARSED_BROKEN);
    if (before == PARSED_DONE)
        REQUIRE(answer == PARSED_DONE && whole.size == part.size);
    if (before != PARSED_MORE || !first)
        return;
    enum parsed after = parse_copy(p, bytes, size, first, &resumed);
    if (answer == PARSED_DONE)
        REQUIRE(after == PARSED_DONE && resumed.size == whole.size && resumed.framing == whole.framing);
    else if (answer == PARSED_MORE)
        REQUIRE(after == PARSED_MORE);
    else /* found out now or when it is complete */
        REQUIRE(after != PARSED_DONE);
}

/* Of heads that are not odd: those are judged by what a lenient reader makes of them. */
static void check_strict(const char *bytes, size_t size) {
    struct message head;
    if (http1_request(bytes, size, 0, &head) != PARSED_DONE || head.odd)
        return;
    for (size_t i = 0; i < head.size; i++) {
        REQUIRE(bytes[i] != 0);
        if (bytes[i] == '\n')
            REQUIRE(head.bare || (i && bytes[i - 1] == '\r'));
        if (bytes[i] == '\r')
            REQUIRE(bytes[i + 1] == '\n');
        if (bytes[i] == '\n' && i + 1 < head.size)
            REQUIRE(bytes[i + 1] != ' ' && bytes[i + 1] != '\t');
    }
    REQUIRE(!(head.coded && head.has_length));
}

static enum parsed skip(struct body body, const char *bytes, size_t size, size_t piece, size_t *ret_taken) {
    enum parsed answer = PARSED_MORE;
    size_t at = 0;
    while (at < size && answer == PARSED_MORE) {
        size_t step = piece < size - at ? piece : size - at, taken = 0, blind = http1_body_blind(&body);
        if (blind && blind < SIZE_MAX && step % 3 == 0) {
            taken = step < blind ? step : blind;
            if (http1_body_skip_blind(&body, taken))
                answer = PARSED_DONE;
        } else {
            answer = http1_body_skip(&body, bytes + at, step, &taken);
            REQUIRE(answer == PARSED_MORE ? taken == step : taken <= step);
        }
        at += taken;
    }
    *ret_taken = at;
    return answer;
}

static void check_chunks(const char *bytes, size_t size, size_t piece) {
    for (int lenient = 0; lenient < 2; lenient++) {
        struct body body = {.framing = BODY_CODED, .lenient = lenient};
        size_t whole_taken, pieces_taken;
        enum parsed whole = skip(body, bytes, size, SIZE_MAX, &whole_taken);
        enum parsed pieces = skip(body, bytes, size, piece, &pieces_taken);
        REQUIRE(whole == pieces && whole_taken == pieces_taken);
    }
}

/* A response's body ends at the same byte however it comes, and 1xx, 204, 304 and what answers HEAD have none; what
 * follows a CONNECT that succeeded is no HTTP. */
static void check_response(const char *bytes, size_t size, size_t piece) {
    struct message head;
    if (http1_response(bytes, size, 0, &head) != PARSED_DONE)
        return;
    for (unsigned method = HTTP_METHOD_OTHER; method <= HTTP_METHOD_CONNECT; method++) {
        enum body_framing framing = http1_response_framing(&head, (enum http_method)method);
        bool empty = head.status < 200 || head.status == 204 || head.status == 304 || method == HTTP_METHOD_HEAD;
        bool tunnel = method == HTTP_METHOD_CONNECT && head.status >= 200 && head.status < 300;
        REQUIRE(tunnel ? framing == BODY_UNTIL_CLOSE : !empty || framing == BODY_NONE);
        struct body body;
        http1_response_body_start(&body, &head, (enum http_method)method);
        REQUIRE(body.framing == framing);
        if (framing == BODY_NONE)
            continue;
        size_t whole_taken, pieces_taken;
        enum parsed whole = skip(body, bytes + head.size, size - head.size, SIZE_MAX, &whole_taken);
        enum parsed pieces = skip(body, bytes + head.size, size - head.size, piece, &pieces_taken);
        REQUIRE(whole == pieces && whole_taken == pieces_taken);
        REQUIRE(framing != BODY_UNTIL_CLOSE || (whole == PARSED_MORE && whole_taken == size - head.size));
        REQUIRE(framing != BODY_LENGTH || whole == PARSED_MORE || whole_taken == head.content_length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 2;
    size -= 2;
    size_t first = size ? (size_t)(data[0] | data[1] << 8) % (size + 1) : 0;
    check_pieces(http1_request, bytes, size, first);
    check_pieces(http1_response, bytes, size, first);
    check_response(bytes, size, first % 16 + 1);
    check_strict(bytes, size);
    check_chunks(bytes, size, first % 16 + 1);
    enum sniffed part = http1_sniff(bytes, first, 0), sniffed = http1_sniff(bytes, size, 0);
    REQUIRE(part == SNIFFED_NO || part == SNIFFED_MORE || sniffed == part);
    REQUIRE(part != SNIFFED_MORE || http1_sniff(bytes, size, first) == sniffed);
    return 0;
}
