/* The answer that a rejected HTTP request gets: a complete HTTP/1.1 response (protocols.md, "What a person sees when
 * blocked").  Pure: bytes from facts, no clock, no memory of its own. */
#ifndef WEIR_SHIM_ANSWER_H
#define WEIR_SHIM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

/* What a rules file's "blockActions" say instead of the default; members may be "" (or 0): then the default stays. */
struct answer_action {
    unsigned status;
    const char *headers; /* complete "Name: value\r\n" lines */
    const char *content_type;
    const char *body;     /* may hold {resource} {rule} {reason} {retryAfter} {origin} {traceId} {id} */
    const char *redirect; /* the same; a Location */
};

struct answer_facts {
    uint8_t reason;       /* enum reason: decides between 429 and 503 */
    const char *resource; /* any bytes; escaped as needed */
    size_t resource_length;
    const char *rule; /* id of the rule */
    const char *trace;
    size_t trace_length; /* trace id of the request, or length 0 */
    double limit;        /* the rule's threshold, what is left of it, and per what */
    double remaining;
    uint64_t interval_ns; /* 0: the threshold is one of concurrency */
    uint64_t retry_ns;    /* when a retry has a chance; 0 = unknown (one second is said) */
    uint64_t now_ns;      /* Unix time, for Date */
    uint8_t rate_headers; /* ruleset_options.rate_limit_headers: 0 off, 1 draft, 2 legacy, 3 Envoy's */
    bool head;            /* the request was HEAD: headers only */
    bool html;            /* the client prefers text/html */
    bool close;           /* Connection: close */
    const char *origin;
    size_t origin_length;
    const char *id; /* of this rejection, for `weir why`; "" or NULL: none.  Letters, digits and dashes */
    const struct answer_action *action; /* or NULL */
};

/* Writes the response; returns its length.  `size` is 1024 at least: what does not fit with its body goes without, and
 * where that does not help, without what the block action says. */
size_t answer_write(char *ret_bytes, size_t size, const struct answer_facts *facts);
/* 429 for rules, 503 for overload and open circuits. */
unsigned answer_status(uint8_t reason);
/* The word for a reason in answers and logs ("flow"). */
const char *answer_reason(uint8_t reason);

#endif
