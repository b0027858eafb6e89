/* The engine: admits, queues or rejects one request by the rules in force, and learns from its completion.
 *
 * Pure: no clock, no sockets, no allocation, no printing, no lock; time is a parameter in nanoseconds (the "engine
 * clock": Unix time that never jumps, see layout_counters_header.clock_offset_ns).  The same code runs in the shim, in
 * `weir replay` on a virtual clock, in the tests and in the fuzzers.
 *
 * Memory: the caller gives it, when the engine is made and when rules or traffic need more (struct engine_memory).
 * `shared` is the app's counters file as mapped (rules/counters.h), or NULL, and then scope app behaves as scope
 * process.
 *
 * Threads: engine_enter, engine_exit, engine_resource may be called by any number of threads at once, and
 * engine_adopt by one at a time.  None of them waits for another thread or process; a process killed at any
 * instruction leaves nothing that a later request trips over, and no permit lost (engine_reclaim).
 */
#ifndef WEIR_RULES_ENGINE_ENGINE_H
#define WEIR_RULES_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

struct engine;
struct counters;     /* rules/counters.h */
struct naming_rules; /* rules/naming/names.h */

enum { ENGINE_OTHER = 0 };          /* the resource entry "{other}" */
enum { ENGINE_RESOURCES_MAX = 8 };  /* resources that one request may count for */
enum { ENGINE_LISTENER_NAMES = 2 }; /* of them for its listener: "http::PORT", and a name of its own */
enum { ENGINE_ORIGINS_MAX = 8 };    /* names that a caller may have */
#define ENGINE_WAITED_UNKNOWN UINT64_MAX
enum { ENGINE_LEASES_MAX = 24 }; /* words that say what one request holds until its exit */

enum engine_verdict { ENGINE_PASS, ENGINE_WAIT, ENGINE_BLOCK };

enum value_type { /* of an argument; hot parameter values are equal only if their types are, too (as in Sentinel) */
                  VALUE_NONE,
                  VALUE_STRING,
                  VALUE_INT,
                  VALUE_LONG,
                  VALUE_DOUBLE,
                  VALUE_BOOLEAN,
                  VALUE_LIST,
                  VALUE_ARRAY
};
struct engine_value {
    uint8_t type;     /* enum value_type */
    const char *text; /* its text form; VALUE_LIST, VALUE_ARRAY: NULL */
    size_t length;
    const struct engine_value *elements; /* VALUE_LIST, VALUE_ARRAY */
    size_t count;
    const struct address_range *address; /* the whole address of which the text may be the network; NULL: it is none */
};

struct engine_name { /* not terminated */
    const char *text;
    size_t length;
};

struct engine_request {
    const uint32_t *resources; /* from engine_resource(), most specific first; 1 … ENGINE_RESOURCES_MAX */
    uint32_t resources_count;
    uint8_t side;     /* SIDE_INBOUND or SIDE_OUTBOUND */
    uint8_t priority; /* enum rule_priority */
    /* A connection, whose requests may be counted on their own: no business of system and adaptive rules. */
    bool connection;
    /* It is looked at before the application has it: rejected, if it would be for how long it has waited (which costs
     * the application less than to read it first); else nothing is decided, and nothing changes: ENGINE_PASS. */
    bool door;
    bool prioritized; /* Sentinel's entryWithPriority (replay, custom entries) */
    uint32_t acquire; /* requests' worth of it, normally 1 (Sentinel's batch count) */
    const char *origin;
    size_t origin_length; /* who calls; empty = unknown */
    const struct engine_name
        *origins; /* other names of the same caller: a rule that names one of them is about it, too */
    uint32_t origins_count;
    /* the caller's address, 4 or 16 bytes network order, for CIDR; 0 = none */
    const unsigned char *address;
    uint32_t address_length;
    const char *entrance;
    size_t entrance_length; /* inbound resource on whose behalf an outbound call is made */
    uint64_t bytes;         /* size of the body, for "cost": "bytes" */
    /* How long it lay with the kernel before the application read it, where the ruleset asks for it
     * (ruleset_header.waits): in the accept queue, or in the socket.  ENGINE_WAITED_UNKNOWN: it is not known. */
    uint64_t waited_ns;
    bool first; /* … and it is the first of its connection, which waited to be accepted, too */
    const struct engine_value *args;
    uint32_t args_count;
    /* The value of a parameter source (hot parameters, cost by header), a list where the request says several; returns
     * false where it has none.  What is returned is valid until the next call.  May be NULL.  Called only for rules
     * that apply. */
    bool (*param)(void *context, const struct rule_param *param, const char *field, struct engine_value *ret_value);
    void *param_context;
};

struct engine_result {
    uint8_t verdict;   /* enum engine_verdict */
    uint8_t reason;    /* enum reason, of a block */
    uint8_t detail;    /* enum rule_system of a system block; of one by queueing delay: 1 = by what is in flight */
    uint32_t rule;     /* index into the ruleset's rules; UINT32_MAX = none */
    uint32_t resource; /* which of the request's resources (entry index) the rule was about */
    uint64_t wait_ns;  /* ENGINE_WAIT: admit after this long (the ticket is already taken); also recorded on a
                          block by a later rule in compat mode */
    uint64_t retry_ns; /* ENGINE_BLOCK: when a retry has a chance, 0 = unknown */
    double limit;      /* the rule's threshold, and what is left of it, for RateLimit headers */
    double remaining;
    uint64_t interval_ns; /* 0: the threshold is one of requests in flight */
    double counted;       /* what was counted against the limit, where it is not limit - remaining; 0 = unknown */
    uint32_t simulated;   /* rules in mode simulate that would have rejected */
    /* Of a block by a hot key, or by an entry of a list; the bytes are valid up to value_length alone. */
    uint8_t value_length;
    bool value_cut;
    char value[46];
};

/* A request in flight.  Owned by the caller, moved freely, ended exactly once by engine_exit or engine_cancel.  One
 * that a forked child finds among what it inherited is the parent's: ending it there changes nothing. */
struct engine_ticket {
    struct engine *engine; /* the caller's note of who gave it: the engine itself does not look at it */
    uint64_t start_ns;
    uint32_t acquire;
    uint8_t resources_count, leases_count;
    uint8_t side, flags;
    uint32_t engine_private[3];
    uint16_t resources[ENGINE_RESOURCES_MAX];
    uint32_t leases[ENGINE_LEASES_MAX]; /* opaque; so near the end that a copy may end behind those in use */
    /* Until TICKET_BEGUN: what of the time since start_ns is no latency; then the latency itself.  In microseconds; the
     * largest value: longer than that. */
    uint32_t time_us;
};

/* Of engine_ticket.flags, what its owner may look at. */
enum {
    TICKET_ENDS = 8,   /* its policy learns from how it ends */
    TICKET_ENTRY = 32, /* latency is from entry to exit, whatever happens in between ("compat": "sentinel") */
    TICKET_WHOLE = 64, /* latency is to the end of the response ("rt": "complete") */
    TICKET_BEGUN = 128 /* its latency is known: engine_begun() */
};

struct engine_outcome {
    bool error;   /* the business failed: 5xx, aborted, traced error */
    bool aborted; /* the connection went away before completion */
    bool left;    /* … and it was the client who went first: neutral, whatever the others say */
};

/* What the engine cannot see from requests; adopted by engine_sample, at most a few times a second. */
struct engine_sample {
    double cpu;       /* of the host, 0…1; < 0 = unknown */
    double load1;     /* < 0 = unknown */
    double app_cpu;   /* what the app uses of what it could, 0…1; < 0 = unknown: nothing is shed by it */
    double cpus_used; /* the share of the time of the CPUs that the app may use that was used, by all programs; 0:
                         unknown */
};

enum event_kind {
    EVENT_CIRCUIT = 1,
    EVENT_ADAPTIVE = 2,
    EVENT_SYSTEM = 3,
    EVENT_BUDGET = 4,
    EVENT_CELLS_FULL = 5,
    EVENT_SIBLINGS = 6,
    EVENT_CROWDED = 7,
    EVENT_UNSEEN = 8 /* `from`: enum engine_unseen; `value`: how many since the last such event */
};
enum engine_unseen { /* what was refused because rules about requests could not have been kept on it */
                     UNSEEN_FOREIGN = 1, /* a connection that does not begin with HTTP, to a listener that serves it */
                     UNSEEN_HTTP2,       /* a connection that begins with HTTP/2 */
                     UNSEEN_UPGRADE,     /* a request's offer to go on with HTTP/2 */
                     UNSEEN_PROXY,       /* a header of PROXY that is missing, or that could be read in two ways */
                     UNSEEN_KINDS
};
enum circuit_state { CIRCUIT_NONE, CIRCUIT_CLOSED, CIRCUIT_HALF_OPEN, CIRCUIT_OPEN };

/* Where private memory comes from.  Both may be called in any thread, several at once, in the middle of a request:
 * lock-free, no malloc. */
struct engine_memory {
    void *(*take)(void *context, size_t bytes); /* zeroed, private, page-aligned; NULL: there is none */
    void (*give)(void *context, void *memory, size_t bytes);
    void *context;
};

/* `slot` is this process's slot in `shared`, or UINT32_MAX until it has one (engine_set_slot).  `shared` is copied; its
 * file stays mapped as long as the engine is there.  NULL: no memory. */
struct engine *engine_new(const struct engine_memory *memory, const struct counters *shared, uint32_t slot);
/* Nothing of it may be in use. */
void engine_free(struct engine *);
struct counters *engine_counters(struct engine *);
void engine_set_slot(struct engine *, uint32_t slot, uint32_t pid);
void engine_set_host(struct engine *, const char *name); /* for canaries by host */
/* In a forked child before anything else: the parent's requests in flight are not the child's. */
void engine_after_fork(struct engine *);

/* The time of day, Unix seconds, that the next engine_adopt goes by: rules with "when" that are not in force then are
 * as if they were off.  Before the first call, all of them are in force. */
void engine_set_wall(struct engine *, uint64_t unix_s);
/* When that changes (the same clock): the ruleset is to be adopted again then.  WHEN_NEVER: there are no such rules,
 * WHEN_UNKNOWN: not unless the clock is set (rules/when.h). */
uint64_t engine_until(const struct engine *);
/* Puts a checked ruleset in force.  `ruleset` must stay valid until engine_release names it; at most two are in use at
 * a time.  Counts, buckets and circuits of rules that keep their id stay as they are. 0, or -EBUSY while the ruleset
 * before the last is still in use by a thread (try again later), -ENOMEM (no memory to be had), or -ENOSPC. */
int engine_adopt(struct engine *, const void *ruleset, size_t size, uint64_t generation);
/* A ruleset that no thread uses any more and the caller may unmap, or NULL. */
const void *engine_release(struct engine *);
uint64_t engine_generation(const struct engine *);
const void *engine_ruleset(const struct engine *); /* valid between engine_read_begin and engine_read_end */
/* Bracket any use of engine_ruleset() by the caller (enter and exit do it themselves).  Wait-free. */
uint32_t engine_read_begin(struct engine *);
void engine_read_end(struct engine *, uint32_t token);
/* The same, and what the token keeps in use, which need not be the newest any more.  False: there are no rules, and
 * nothing is to be ended. */
struct engine_rules {
    uint32_t token; /* for engine_read_end */
    const void *ruleset;
    uint64_t generation;
    const struct naming_rules *naming; /* what messages get their names by */
};
bool engine_rules_begin(struct engine *, struct engine_rules *ret_rules);

/* Siblings begin to share the name of this entry (route_found.proliferated): for the log. */
void engine_siblings(struct engine *, uint32_t token, uint64_t now_ns, uint32_t resource);
/* A request to this entry falls in more groups than there is room for: for the log, once under each set of rules. */
void engine_crowded(struct engine *, uint32_t token, uint64_t now_ns, uint32_t resource);
/* So many connections or requests of the listener with this entry were refused for what they are: for the log. */
void engine_unseen(struct engine *, uint64_t now_ns, uint32_t resource, enum engine_unseen, uint64_t count);

/* The entry of a name, made if it is new; ENGINE_OTHER beyond the budget.  Names longer than the layout's limit are
 * shortened with a hash at their end. */
uint32_t engine_resource(struct engine *, const char *name, size_t length, uint8_t side);
const char *engine_resource_name(const struct engine *, uint32_t resource, size_t *ret_length);

/* Decides.  On ENGINE_PASS and ENGINE_WAIT `ret_ticket` is in force and must be ended; on ENGINE_BLOCK nothing is held.
 * No rules, or no rule that applies: ENGINE_PASS, and the request is counted all the same. */
enum engine_verdict engine_enter(struct engine *, uint64_t now_ns, const struct engine_request *,
                                 struct engine_ticket *ret_ticket, struct engine_result *ret_result);
/* The same by the rules that a token keeps in use: between the caller's own engine_read_begin and engine_read_end. */
enum engine_verdict engine_enter_within(struct engine *, uint32_t token, uint64_t now_ns, const struct engine_request *,
                                        struct engine_ticket *ret_ticket, struct engine_result *ret_result);
/* What the engine learns while the request is in flight, all of it from the owner of the ticket; any of it may be left
 * out. The requester was waited for until now: its body came, or its turn.  That is no latency. */
static inline void engine_waited(struct engine_ticket *ticket, uint64_t now_ns) {
    uint64_t us = now_ns > ticket->start_ns ? (now_ns - ticket->start_ns) / 1000 : 0;
    if (!(ticket->flags & (TICKET_BEGUN | TICKET_ENTRY)))
        ticket->time_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}
/* With TICKET_WHOLE: it was so long that the response could not be sent since the requester did not take it. */
static inline void engine_blocked(struct engine_ticket *ticket, uint64_t for_ns) {
    uint64_t us = ticket->time_us + for_ns / 1000;
    if (!(ticket->flags & TICKET_BEGUN))
        ticket->time_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}
/* The latency if it ended now; an operation rather than a function, as every request needs it. */
#define engine_latency_ns(ticket, now_ns)                                                                              \
    ({                                                                                                                 \
        const struct engine_ticket *latency_of = (ticket);                                                             \
        uint64_t latency_all = (now_ns) > latency_of->start_ns ? (now_ns)-latency_of->start_ns : 0,                    \
                 latency_less = (uint64_t)latency_of->time_us * 1000;                                                  \
        latency_of->flags &TICKET_BEGUN                                   ? latency_less                               \
        : latency_all > latency_less && latency_of->time_us != UINT32_MAX ? latency_all - latency_less                 \
                                                                          : 0;                                         \
    })
/* The first byte of the response goes out: that is its latency, unless it is to the end of the response; `last`: there
 * will be no such end but the connection's.  Not needed for one that is at its end at once.  True: engine_begun() wants
 * to know. */
static inline bool engine_begins(struct engine_ticket *ticket, uint64_t now_ns, bool last) {
    if (ticket->flags & TICKET_BEGUN || (!last && ticket->flags & (TICKET_ENTRY | TICKET_WHOLE)))
        return false;
    uint64_t us = engine_latency_ns(ticket, now_ns) / 1000;
    ticket->time_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    ticket->flags |= TICKET_BEGUN;
    return ticket->flags & TICKET_ENDS;
}
/* And the end of that response is to come: circuits learn its latency, and whether its head says that it failed, and
 * overload protection counts the request no longer. */
void engine_begun(struct engine *, struct engine_ticket *, uint64_t now_ns, bool error);
/* So many bytes of its body came.  Only for tickets with TICKET_ENDS. */
void engine_arrived(struct engine *, struct engine_ticket *, uint64_t bytes, uint64_t now_ns);
/* Completion: success, latency, exception; circuits learn from it. */
void engine_exit(struct engine *, struct engine_ticket *, uint64_t now_ns, const struct engine_outcome *);
/* The request never ran (its client left while it was queued): everything taken goes back, nothing is counted but a
 * cancelled wait. */
void engine_cancel(struct engine *, struct engine_ticket *, uint64_t now_ns);
/* It would have had to wait (ENGINE_WAIT), could not, and was answered with a rejection: as engine_cancel, and counted
 * as blocked instead of passed.  The decision of an ENGINE_WAIT says which rule it was. */
void engine_refuse(struct engine *, struct engine_ticket *, uint64_t now_ns);

/* Writes a rejection down for `weir why`, and returns the number that its id is made of (rules/rejection_id.h).  While
 * a process rejects more than a few a second, those of one rule and resource share a number: who floods a server gains
 * nothing by it, neither our time nor the room in which others are remembered.  Within the caller's
 * engine_read_begin. */
uint64_t engine_rejection(struct engine *, uint32_t token, uint64_t now_ns, const struct engine_request *,
                          const struct engine_result *, const char *trace, size_t trace_length);
/* The key of ids, random for each app's file. */
uint64_t engine_hash_seed(const struct engine *);

/* What became of a connection to a listener; `fate`: enum layout_fate. */
void engine_count_fate(struct engine *, uint32_t resource, unsigned fate);
/* What was decided elsewhere, by rules of this app (connections that the kernel let in or refused), counts here, too:
 * for a resource, and for the rule that refused them or would have. */
void engine_count_elsewhere(struct engine *, uint32_t resource, uint64_t passed, uint64_t blocked, uint64_t simulated);
void engine_hit_elsewhere(struct engine *, uint32_t resource, uint64_t rule_id_hash, const char *rule_id,
                          enum reason reason, uint64_t blocked, uint64_t simulated);

/* Hot keys: the most frequent ones that a rule saw on a resource, most frequent first; returns how many.  What a
 * process decides by alone (scope process) only the process itself can show. */
struct engine_hot_key {
    char text[24];   /* NUL-terminated, cut */
    uint32_t weight; /* seen so often lately; halved every few seconds */
    uint8_t type;    /* enum value_type */
};
size_t engine_hot(struct engine *, uint64_t rule_id_hash, uint32_t resource, struct engine_hot_key *ret_values,
                  size_t max);

void engine_sample(struct engine *, uint64_t now_ns, const struct engine_sample *);

/* Takes back what a dead process held in `shared` (permits, probes, in flight) and frees its slot, if its owner word is
 * still `owner`.  Called by the agent, or by any process that found it dead.  Idempotent, safe against each other. */
void engine_reclaim(struct counters *shared, uint32_t slot, uint64_t owner);

/* For `weir explain`, under the rules in force, of an engine that adopts no others meanwhile.  The rules that apply to
 * a resource, in the order in which they are asked: first the checks, then circuits.  Returns how many, at most `max`.
 */
enum { ENGINE_RULES_MAX = 1024, ENGINE_HEALTH_CHECKS = 5 /* a second, that pass a system or adaptive rule */ };
struct engine_applying {
    size_t checks;    /* how many of the rules are */
    uint64_t exempt;  /* bit i: the i-th of engine_shedding_rules() is not asked about its requests */
    bool health;      /* its requests are health checks, if it is the first of a request's resources */
    uint8_t priority; /* enum rule_priority: that its requests have by it */
};
size_t engine_rules_of(struct engine *, uint32_t resource, const struct rule **ret_rules, size_t max,
                       struct engine_applying *ret);
size_t engine_shedding_rules(struct engine *, const struct rule **ret_rules, size_t max); /* system and adaptive; 64 */
/* Between engine_read_begin and engine_read_end: may one at the door be rejected?  (engine_request.door) */
bool engine_door(struct engine *, uint32_t token, uint64_t now_ns);
/* Not switched off, nor a canary in other processes: by the rule's index in the ruleset. */
bool engine_in_force(struct engine *, uint32_t rule);

#endif
