#include "shim/protocol/http1/http1.h"

#include <string.h>

/* Chunked coding (RFC 9112 7.1), byte by byte but for the data itself. */
enum chunk_state {
    CHUNK_SIZE,      /* hexadecimal digits; at least one, no sign, no space */
    CHUNK_PADDING,   /* blanks after the size: BWS of RFC 9112 7.1.1 */
    CHUNK_EXTENSION, /* after ';', to the CR */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a trailer's line, or of the empty one */
    CHUNK_TRAILER_LINE,
    CHUNK_TRAILER_LF,
    CHUNK_LAST_LF,
};
enum { DIGITS_MAX = 15, LINE_MAX = 65535 };

bool http1_switches(uint16_t status, uint8_t of_method_id) {
    return status == 101 || (of_method_id == HTTP_METHOD_CONNECT && status >= 200 && status < 300);
}

enum body_framing http1_response_framing(const struct message *head, uint8_t of_method_id) {
    if (of_method_id == HTTP_METHOD_CONNECT && head->status >= 200 && head->status < 300)
        return BODY_UNTIL_CLOSE;
    return of_method_id == HTTP_METHOD_HEAD ? BODY_NONE : (enum body_framing)head->framing;
}

void http1_response_body_start(struct body *body, const struct message *head, uint8_t of_method_id) {
    *body = (struct body){.framing = http1_response_framing(head, of_method_id), .lenient = true};
    if (body->framing == BODY_LENGTH)
        body->left = head->content_length;
}

static int hex(unsigned char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum parsed after_size(struct body *body) {
    body->digits = 0;
    body->line = 0;
    body->state = body->left ? CHUNK_DATA : CHUNK_TRAILER;
    return PARSED_MORE;
}

static enum parsed take_size(struct body *body, unsigned char c) {
    int digit = body->state == CHUNK_SIZE ? hex(c) : -1;
    if (digit >= 0) {
        if (body->digits == DIGITS_MAX)
            return PARSED_BROKEN;
        body->left = (body->digits++ ? body->left << 4 : 0) | (unsigned)digit;
        return PARSED_MORE;
    }
    if (!body->digits)
        return PARSED_BROKEN;
    if (c == ';')
        body->state = CHUNK_EXTENSION;
    else if (c == '\r')
        body->state = CHUNK_SIZE_LF;
    else if (body->lenient && c == '\n')
        return after_size(body);
    else if (c == ' ' || c == '\t')
        body->state = CHUNK_PADDING;
    else
        return PARSED_BROKEN;
    return PARSED_MORE;
}

/* A byte of an extension or of a trailer: `next` is the state after its CR. */
static enum parsed take_text(struct body *body, unsigned char c, enum chunk_state next) {
    if (c == '\r') {
        body->state = next;
        return PARSED_MORE;
    }
    return (c >= ' ' || c == '\t') && ++body->line < LINE_MAX ? PARSED_MORE : PARSED_BROKEN;
}

static enum parsed take_trailer(struct body *body, unsigned char c) {
    if (c == '\r') {
        body->state = CHUNK_LAST_LF;
        return PARSED_MORE;
    }
    if (body->lenient && c == '\n')
        return PARSED_DONE;
    if (c <= ' ' || c == ':')
        return PARSED_BROKEN;
    body->state = CHUNK_TRAILER_LINE;
    return PARSED_MORE;
}

static enum parsed take_data_end(struct body *body, unsigned char c) {
    if (body->state == CHUNK_DATA_CR && c == '\r') {
        body->state = CHUNK_DATA_LF;
        return PARSED_MORE;
    }
    if (c != '\n' || (body->state == CHUNK_DATA_CR && !body->lenient))
        return PARSED_BROKEN;
    body->state = CHUNK_SIZE;
    return PARSED_MORE;
}

static enum parsed take_byte(struct body *body, unsigned char c) {
    switch ((enum chunk_state)body->state) {
    case CHUNK_SIZE:
    case CHUNK_PADDING: return take_size(body, c);
    case CHUNK_EXTENSION: return take_text(body, c, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF: return c == '\n' ? after_size(body) : PARSED_BROKEN;
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF: return take_data_end(body, c);
    case CHUNK_TRAILER: return take_trailer(body, c);
    case CHUNK_TRAILER_LINE: return take_text(body, c, CHUNK_TRAILER_LF);
    case CHUNK_TRAILER_LF: body->state = CHUNK_TRAILER; return c == '\n' ? PARSED_MORE : PARSED_BROKEN;
    case CHUNK_LAST_LF: return c == '\n' ? PARSED_DONE : PARSED_BROKEN;
    case CHUNK_DATA: break;
    }
    return PARSED_BROKEN;
}

static void end(struct body *body) {
    *body = (struct body){.framing = BODY_NONE, .lenient = body->lenient};
}

static enum parsed skip_chunked(struct body *body, const char *bytes, size_t size, size_t *ret_taken) {
    size_t at = 0;
    while (at < size) {
        if (body->state == CHUNK_DATA) {
            size_t step = size - at < body->left ? size - at : (size_t)body->left;
            http1_body_skip_blind(body, step);
            at += step;
            continue;
        }
        enum parsed answer = take_byte(body, (unsigned char)bytes[at]);
        if (answer == PARSED_MORE) {
            at++;
            continue;
        }
        *ret_taken = at + (answer == PARSED_DONE);
        if (answer == PARSED_DONE)
            end(body);
        return answer;
    }
    *ret_taken = size;
    return PARSED_MORE;
}

enum parsed http1_body_skip(struct body *body, const char *bytes, size_t size, size_t *ret_taken) {
    if (body->framing == BODY_CODED)
        return skip_chunked(body, bytes, size, ret_taken);
    bool until_close = body->framing == BODY_UNTIL_CLOSE;
    *ret_taken = until_close || size < body->left ? size : (size_t)body->left;
    if (until_close || *ret_taken < body->left) {
        body->left -= until_close ? 0 : *ret_taken;
        return PARSED_MORE;
    }
    body->framing = BODY_NONE;
    body->left = 0;
    return PARSED_DONE;
}

size_t http1_body_blind(const struct body *body) {
    switch ((enum body_framing)body->framing) {
    case BODY_NONE: return 0;
    case BODY_LENGTH: return body->left < SIZE_MAX ? (size_t)body->left : SIZE_MAX - 1;
    case BODY_CODED: return body->state == CHUNK_DATA ? (size_t)body->left : 0;
    case BODY_UNTIL_CLOSE: return SIZE_MAX;
    }
    return 0;
}

bool http1_body_skip_blind(struct body *body, size_t size) {
    if (body->framing == BODY_UNTIL_CLOSE)
        return false;
    body->left -= size;
    if (body->left)
        return false;
    if (body->framing == BODY_CODED) {
        body->state = CHUNK_DATA_CR;
        return false;
    }
    end(body);
    return true;
}
