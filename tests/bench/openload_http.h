/* Where a response of HTTP/1.1 ends, and whether its connection may be used again: as much as a load generator needs.
 * Bytes come in any pieces; bodies are skipped. Not thread-safe, no allocation. */
#ifndef WEIR_TESTS_BENCH_OPENLOAD_HTTP_H
#define WEIR_TESTS_BENCH_OPENLOAD_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum answer_stage {
    ANSWER_HEAD,
    ANSWER_BODY,
    ANSWER_UNTIL_CLOSE,
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK,
    ANSWER_TRAILER,
    ANSWER_DONE
};
enum { ANSWER_HEAD_MOST = 8192 };

struct answer {
    enum answer_stage stage;
    int status; /* 0: none yet; -1: this is no response */
    bool closes;
    uint64_t left; /* bytes of the body or of the chunk */
    unsigned length;
    char line[ANSWER_HEAD_MOST]; /* the head; later, a line of the chunked coding */
};

static inline const char *answer_field(const struct answer *answer, const char *name) {
    const char *found = strcasestr(answer->line, name);
    return found ? found + strlen(name) : NULL;
}

/* The head is complete in `line`. */
static inline void answer_head(struct answer *answer) {
    int minor = 1;
    answer->line[answer->length] = 0;
    answer->length = 0;
    if (strncmp(answer->line, "HTTP/1.", 7) != 0) {
        answer->status = -1;
        answer->stage = ANSWER_DONE;
        return;
    }
    minor = answer->line[7] - '0';
    answer->status = atoi(answer->line + 8);
    answer->closes = answer_field(answer, "\r\nconnection: close") || minor == 0;
    const char *size = answer_field(answer, "\r\ncontent-length:");
    answer->left = size ? strtoull(size, NULL, 10) : 0;
    if (answer_field(answer, "\r\ntransfer-encoding: chunked"))
        answer->stage = ANSWER_CHUNK_SIZE;
    else if (!size)
        answer->stage = ANSWER_UNTIL_CLOSE;
    else
        answer->stage = answer->left ? ANSWER_BODY : ANSWER_DONE;
}

/* A line of the chunked coding has ended. */
static inline void answer_line(struct answer *answer) {
    unsigned length = answer->length;
    answer->line[length] = 0;
    answer->length = 0;
    if (answer->stage == ANSWER_TRAILER) {
        answer->stage = length <= 2 ? ANSWER_DONE : ANSWER_TRAILER;
        return;
    }
    uint64_t size = strtoull(answer->line, NULL, 16);
    answer->left = size + 2; /* and the line end behind the chunk */
    answer->stage = size ? ANSWER_CHUNK : ANSWER_TRAILER;
}

static inline void answer_byte(struct answer *answer, char byte) {
    answer->line[answer->length++] = byte;
    if (answer->stage == ANSWER_HEAD) {
        if (byte == '\n' && answer->length >= 4 && memcmp(answer->line + answer->length - 4, "\r\n\r\n", 4) == 0)
            answer_head(answer);
    } else if (byte == '\n') {
        answer_line(answer);
    }
    if (answer->length >= ANSWER_HEAD_MOST - 1)
        answer->status = -1, answer->stage = ANSWER_DONE;
}

static inline void answer_begin(struct answer *answer) {
    answer->stage = ANSWER_HEAD;
    answer->status = 0;
    answer->closes = false;
    answer->length = 0;
}

/* Takes `size` bytes that came; afterwards the stage is ANSWER_DONE if the response has ended. */
static inline void answer_take(struct answer *answer, const char *bytes, size_t size) {
    while (size && answer->stage != ANSWER_DONE) {
        size_t used = 1;
        if (answer->stage == ANSWER_BODY || answer->stage == ANSWER_CHUNK) {
            used = size < answer->left ? size : (size_t)answer->left;
            answer->left -= used;
            if (!answer->left)
                answer->stage = answer->stage == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_SIZE;
        } else if (answer->stage == ANSWER_UNTIL_CLOSE) {
            used = size;
        } else {
            answer_byte(answer, *bytes);
        }
        bytes += used, size -= used;
    }
}

/* The connection has ended: was the response complete? */
static inline bool answer_ends(struct answer *answer) {
    answer->closes = true;
    return answer->stage == ANSWER_DONE || answer->stage == ANSWER_UNTIL_CLOSE;
}

#endif
