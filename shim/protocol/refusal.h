/* What the answer of a refused request says, whatever the protocol; each writes it in its own way (protocol.refuse).
 * Pure: bytes from facts, no clock, no memory of its own. */
#ifndef WEIR_SHIM_REFUSAL_H
#define WEIR_SHIM_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

/* What a rules file's "blockActions" say instead of the default; members may be "" (or 0): then the default stays. */
struct refusal_action {
    unsigned status;
    const char *headers; /* complete "Name: value\r\n" lines */
    const char *content_type;
    const char *body;     /* may hold {resource} {rule} {reason} {retryAfter} {origin} {traceId} {id} */
    const char *redirect; /* the same; a Location */
};

enum refused {
    REFUSED_BY_RULE,
    REFUSED_MALFORMED, /* it could be read in two ways */
    REFUSED_VERSION,   /* it is of a version that is not spoken here */
    REFUSED_TOO_LARGE, /* its head */
    REFUSED_CROWDED    /* too much is unanswered on its connection */
};

struct refusal {
    uint8_t kind; /* enum refused; of others than BY_RULE only `close` is looked at */
    bool close;   /* the connection ends with it */

    uint8_t reason;       /* enum reason: decides the status */
    uint8_t rate_headers; /* ruleset_options.rate_limit_headers: 0 off, 1 draft, 2 legacy, 3 Envoy's */
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
    const char *origin;
    size_t origin_length;
    const char *id; /* of this rejection, for `weir why`; "" or NULL: none.  Letters, digits and dashes */
    const struct refusal_action *action; /* or NULL */
};

/* What a rule's block action says; none: all of it is "". */
struct refusal_action refusal_action_of(const void *ruleset, const struct rule *);
/* 429 for limits, 503 for overload and open circuits, 403 for callers that are not admitted. */
unsigned refusal_status(uint8_t reason);
/* What a page for people says. */
const char *refusal_heading(uint8_t reason);
/* A retry has no better chance: nothing is said of when (no Retry-After). */
bool refusal_is_lasting(uint8_t reason);
/* The word for a reason in answers and logs ("flow"). */
const char *refusal_reason(uint8_t reason);

#endif
