/* HTTP/1.0 and 1.1 as pure functions: const bytes in, slices and numbers out.  No copy, no allocation, no I/O, no state
 * but what the caller keeps.  One parser for both directions: strict with requests, where a second opinion about the
 * end of a message would smuggle a request past the rules; lenient in harmless places with responses, which the
 * application itself wrote.
 */
#ifndef WEIR_SHIM_PROTOCOL_HTTP1_H
#define WEIR_SHIM_PROTOCOL_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_HEAD_MAX = 65536 }; /* a head that is longer is BROKEN */

enum http_answer { HTTP_MORE, HTTP_DONE, HTTP_BROKEN };

/* Points into the head's bytes; not terminated.  Absent: `at` is NULL.  Present and empty: size 0. */
struct http_slice {
    const char *at;
    size_t size;
};

/* Without the blanks and tabs around it. */
static inline struct http_slice http_trim(struct http_slice text) {
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.size--;
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

enum http_method { /* those whose meaning matters here; every other token is HTTP_METHOD_OTHER */
                   HTTP_METHOD_OTHER,
                   HTTP_METHOD_GET,
                   HTTP_METHOD_HEAD,
                   HTTP_METHOD_POST,
                   HTTP_METHOD_CONNECT
};

enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_head {
    const char *bytes; /* the whole head: first line to the empty line, both included */
    size_t size;
    size_t fields_at;         /* where the first header line begins */
    struct http_slice method; /* requests */
    struct http_slice target; /* requests, as sent: "/a?b=c", "http://host/a", "*", "host:port" */
    struct http_slice host;   /* requests: value of the (first) Host header */
    uint64_t content_length;  /* with HTTP_BODY_LENGTH; 0 otherwise */
    uint16_t status;          /* responses */
    uint8_t method_id;        /* enum http_method */
    uint8_t minor;            /* HTTP/1.minor: 0 or 1 */
    uint8_t framing;          /* enum http_framing, of a request; of a response see http1_response_framing */
    bool keep_alive;          /* requests: by version and Connection header */
    bool expect_continue;     /* requests: Expect: 100-continue, HTTP/1.1 */
    bool upgrade;             /* requests: Upgrade header and "upgrade" among the tokens of Connection */
    bool chunked, has_length; /* which framing headers there were */
};

/* Parses the request head at the start of `bytes`, leading CRLFs (which some clients send after a body) included in it.
 * `seen` is how many of these bytes an earlier call has answered MORE to (0 at first): what is known not to hold the
 * end is not searched again, so that a slow sender costs time in proportion to what it sends.
 * DONE: *ret_head is filled, its slices point into `bytes`.  MORE: valid so far.  BROKEN: not HTTP/1.0 or 1.1, or its
 * framing leaves room for two opinions (RFC 9112: Content-Length and Transfer-Encoding together, differing or odd
 * lengths, any coding but exactly "chunked", folded lines, bare CR or LF, NUL and other control characters, white space
 * around a header's name, HTTP/0.9, HTTP/2's preface).  A first line that can be told to be BROKEN is so at once,
 * whatever follows. */
enum http_answer http1_request(const char *bytes, size_t size, size_t seen, struct http_head *ret_head);
/* The same for the head of a response. */
enum http_answer http1_response(const char *bytes, size_t size, size_t seen, struct http_head *ret_head);

/* The header of that name (any case), white space around the value removed; the first if there are several; NULL if
 * there is none.  Tells an absent header (NULL) from an empty one (a pointer, size 0). */
const char *http_head_find(const struct http_head *, const char *name, size_t *ret_size);
/* All of them: `*at` is 0 at first; false when there is none left. */
bool http_head_next(const struct http_head *, size_t *at, struct http_slice *ret_name, struct http_slice *ret_value);

/* Where a body ends. */
struct http_body {
    uint64_t left;   /* of the length or of the chunk */
    uint8_t framing; /* enum http_framing */
    uint8_t state;   /* of the chunk reader */
    uint8_t digits;  /* of the chunk's size so far */
    bool lenient;    /* responses: padding around a chunk's size */
    uint16_t line;   /* bytes of the chunk's extension or of the trailers, bounded */
};

void http1_body_start(struct http_body *, const struct http_head *request);
/* How a response's body is framed depends on its request, too: HEAD has none, a CONNECT that succeeds ends HTTP. */
enum http_framing http1_response_framing(const struct http_head *response, enum http_method of_request);
void http1_response_body_start(struct http_body *, const struct http_head *response, enum http_method of_request);
/* Takes as many of these bytes as belong to the body.  DONE: it ended within `*ret_taken` bytes (perhaps 0).  MORE: all
 * of them belong to it.  BROKEN: a chunk is malformed at `*ret_taken`. */
enum http_answer http1_body_skip(struct http_body *, const char *bytes, size_t size, size_t *ret_taken);
/* Bytes that surely belong to the body yet, without seeing them (0 for chunk overhead, SIZE_MAX until close). */
size_t http1_body_blind(const struct http_body *);
/* `size` ≤ http1_body_blind() bytes went by unseen.  True when the body ended with them. */
bool http1_body_skip_blind(struct http_body *, size_t size);

#endif
