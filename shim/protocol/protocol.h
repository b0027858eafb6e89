/* What a protocol is to the shim: a table of operations.  The session follows its messages, admission asks it what
 * rules look at and has it write refusals; neither knows which one it is.  A new protocol is a folder beside http1/
 * with its table, its fuzzer, and one line in the list (list.h).
 *
 * Everything here is pure: bytes in, slices and numbers out; no copy, no allocation, no I/O, no state but what the
 * caller keeps.  Any number of threads at once. */
#ifndef WEIR_SHIM_PROTOCOL_H
#define WEIR_SHIM_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

struct protocol;
struct naming_message; /* rules/naming/names.h */
struct refusal;        /* refusal.h */

/* Points into a message's bytes; not terminated.  Absent: `at` is NULL.  Present and empty: size 0. */
struct slice {
    const char *at;
    size_t size;
};

/* MORE: valid so far, the rest has to come.  BROKEN: it is not this protocol, or could be read in two ways. */
enum parsed { PARSED_MORE, PARSED_DONE, PARSED_BROKEN };
enum sniffed { SNIFFED_NO, SNIFFED_MORE, SNIFFED_YES };

enum { MESSAGE_HEAD_MAX = 65536 }; /* bytes of a head; a longer one is BROKEN */

/* How the end of a body is known.  CODED: the protocol's own marks (chunks). */
enum body_framing { BODY_NONE, BODY_LENGTH, BODY_CODED, BODY_UNTIL_CLOSE };

struct message { /* the head of a request or of a response */
    const struct protocol *protocol;
    const char *bytes; /* the whole head */
    size_t size;
    size_t fields_at;        /* where its fields begin */
    struct slice method;     /* requests: the verb */
    struct slice target;     /* requests: what it is about, as sent */
    struct slice host;       /* requests: the host that it names */
    uint64_t content_length; /* with BODY_LENGTH; 0 otherwise */
    uint64_t busy_ns;  /* requests, the session's: until then the application had another one of the channel; 0: none,
                          UINT64_MAX: it still has */
    uint16_t status;   /* responses, as HTTP numbers them */
    uint8_t method_id; /* requests: 0, or the protocol's number of a method by which the response is framed */
    uint8_t minor;     /* of the version */
    uint8_t framing;   /* enum body_framing; of a response as it answers a method of id 0 */
    bool keep_alive;   /* another may follow the response; of a response: as far as it says so */
    bool expect_continue;   /* requests: the body waits for an interim answer */
    bool upgrade;           /* requests: what follows is another protocol, if the response says so, too */
    bool coded, has_length; /* which framing fields there were */
    bool bare;              /* requests: the response has no head, and the connection's end ends it (HTTP/0.9) */
    bool odd;               /* requests: it departs from the protocol, but in a way that has one meaning */
    bool foreign;           /* requests, BROKEN: so much so that it may be none of the protocol's at all */
    bool other_version;     /* requests, BROKEN: its version is not spoken here */
    bool whole; /* requests, the session\'s: nothing of it is still to come, and nothing behind it has come */
};

struct body {        /* where one ends */
    uint64_t left;   /* bytes of the length, or of the part under way */
    uint8_t framing; /* enum body_framing */
    uint8_t state;   /* these four are the protocol's own, of BODY_CODED */
    uint8_t digits;
    bool lenient;
    uint16_t line;
};

enum {
    VALUES_JOINED = 16,             /* of more, first ones and last ones */
    VALUES_MAX = VALUES_JOINED + 2, /* and what several together are as one list */
    VALUES_ROOM = 4096              /* bytes that have to be written again; what is longer is cut */
};
struct values {   /* what a request says of one parameter; they point into the message, or into the room */
    size_t count; /* 0: nothing */
    struct slice list[VALUES_MAX];
    struct address_range client; /* the whole address that a client's one value is made of; length 0: it is none */
    char room[VALUES_ROOM];
};

struct protocol {
    const char *name;
    uint16_t state_size; /* bytes of its own that it keeps for a connection, zeroed at first */
    bool multiplexed;    /* exchanges are distinguished by an id, and not by their order */

    /* Are these first bytes of a client its own?  MORE: a byte of what could be the beginning is missing.  `seen`: so
     * many of them an earlier call has answered MORE to (0 at first). */
    enum sniffed (*sniff)(const char *bytes, size_t size, size_t seen);
    /* The head at the start of `bytes`.  `seen`: so many of them an earlier call has answered MORE to (0 at first). */
    enum parsed (*request)(const char *bytes, size_t size, size_t seen, struct message *ret_message);
    enum parsed (*response)(const char *bytes, size_t size, size_t seen, struct message *ret_message);

    /* Of a response to a method of an id other than 0. */
    void (*response_body)(struct body *ret_body, const struct message *response, uint8_t of_method_id);
    /* Takes as many bytes as belong to the body.  DONE: it ended within `*ret_taken` of them (perhaps 0).  MORE: all
     * belong to it.  BROKEN: malformed at `*ret_taken`. */
    enum parsed (*body)(struct body *, const char *bytes, size_t size, size_t *ret_taken);
    /* Bytes that surely belong to it, without seeing them (SIZE_MAX: until the connection closes); and that `size` of
     * these went by: true when the body ended with them. */
    size_t (*body_blind)(const struct body *);
    bool (*body_skip_blind)(struct body *, size_t size);

    /* Behind a response of this status there is another protocol. */
    bool (*switches)(uint16_t status, uint8_t of_method_id);

    /* The next name of a protocol that cannot be followed and that a request offers to go on with, or a response
     * consents to; `*at` is 0 at first; false: there is none left. */
    bool (*offer)(const struct message *, size_t *at, struct slice *ret_name);

    /* The next of its named fields (headers, metadata); `*at` is 0 at first; false: there is none left. */
    bool (*field)(const struct message *, size_t *at, struct slice *ret_name, struct slice *ret_value);
    /* What a request says of a parameter (enum rule_param_source, but for the client's address and fields), each value
     * in one spelling, so that no client gets a threshold of its own by another spelling; may say the same twice. */
    void (*value)(const struct message *, const struct rule_param *, const char *field, struct values *ret_values);
    /* What it is named by. */
    void (*names)(const struct message *, struct naming_message *ret_naming);
    /* Writes the answer of a request that is refused; `request` is NULL where it could not be made out.  Returns its
     * length.  `size` is 1024 at least. */
    size_t (*refuse)(const struct message *request, const struct refusal *, char *ret_bytes, size_t size);
    /* Says in such an answer, written without a word of it, that the connection ends (or, with `close` false, that it
     * stays where that has to be said).  False: there is no room, and nothing is changed. */
    bool (*settle)(const struct message *request, bool close, char *answer, size_t *size, size_t capacity);
};

/* Which protocol do these first bytes begin?  YES: `*ret_protocol` is it.  MORE: one could.  NO: none. */
enum sniffed protocol_sniff(const char *bytes, size_t size, size_t seen, const struct protocol **ret_protocol);

/* The first field of that name (any case), white space around the value removed; `at` is NULL if there is none. */
struct slice message_field(const struct message *, const char *name);
/* The id to echo: the trace id of a traceparent (W3C Trace Context), else X-Request-Id; `at` is NULL if there is none.
 */
struct slice message_trace_id(const struct message *);
/* One more value; of more than there is room for, the last one always counts: some applications go by it. */
void values_add(struct values *, struct slice value);

#endif
