/* A rule as the engine sees it, and the ruleset that carries a whole rule set through shared memory.
 *
 * The records are plain data with offsets into the ruleset's string pool, so that the same bytes are what rules/text
 * builds, what the agent publishes and what a process copies, validates (ruleset_check) and then decides by.
 * Field names, defaults and numeric codes follow Sentinel's rule beans (FlowRule, DegradeRule, ParamFlowRule, …);
 * times are nanoseconds here, whatever the unit in the file. */
#ifndef WEIR_RULES_RULE_H
#define WEIR_RULES_RULE_H

#include <stdint.h>

#include "rules/address.h"

enum rule_kind { /* in the order of checks of weir's own mode; also the index of ruleset_header.kind_* */
                 RULE_AUTHORITY,
                 RULE_PARAM,
                 RULE_GATEWAY,
                 RULE_FLOW,
                 RULE_ISOLATION,
                 RULE_DEGRADE,
                 RULE_SYSTEM,
                 RULE_ADAPTIVE,
                 RULE_KINDS
};
enum rule_mode { MODE_ENFORCE, MODE_SIMULATE, MODE_OFF };
enum rule_scope { SCOPE_PROCESS, SCOPE_APP, SCOPE_CLUSTER };
enum rule_match { MATCH_EXACT, MATCH_PREFIX, MATCH_GLOB, MATCH_REGEX };
enum rule_side { SIDE_ANY, SIDE_INBOUND, SIDE_OUTBOUND };
enum rule_priority { PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_CRITICAL };
enum rule_origin { ORIGIN_DEFAULT, ORIGIN_NAMED, ORIGIN_OTHER };
enum rule_grade { GRADE_THREAD = 0, GRADE_QPS = 1 };
enum rule_strategy { STRATEGY_DIRECT = 0, STRATEGY_RELATE = 1, STRATEGY_CHAIN = 2 };
enum rule_behavior { BEHAVIOR_REJECT = 0, BEHAVIOR_WARM_UP = 1, BEHAVIOR_QUEUE = 2, BEHAVIOR_WARM_UP_QUEUE = 3 };
enum rule_degrade { DEGRADE_SLOW = 0, DEGRADE_RATIO = 1, DEGRADE_COUNT = 2, DEGRADE_AVG_RT = 3 };
enum rule_recovery { RECOVERY_SINGLE, RECOVERY_GRADUAL };
enum rule_cost { COST_ONE, COST_NUMBER, COST_HEADER, COST_BYTES };
enum rule_authority { AUTHORITY_WHITE = 0, AUTHORITY_BLACK = 1 };
enum rule_system { SYSTEM_QPS, SYSTEM_THREAD, SYSTEM_RT, SYSTEM_CPU, SYSTEM_LOAD };
enum rule_adaptive { /* 1 and 2 were latency's gradient, and throughput: by delay, too (limiters/overload.c) */
                     ADAPTIVE_CPU = 0,
                     ADAPTIVE_DELAY = 3
};
enum rule_param_source {
    PARAM_CLIENT_IP = 0,
    PARAM_HOST = 1,
    PARAM_HEADER = 2,
    PARAM_URL = 3,
    PARAM_COOKIE = 4,
    PARAM_PATH = 5
};
enum rule_param_match { PARAM_EXACT = 0, PARAM_PREFIX = 1, PARAM_REGEX = 2, PARAM_CONTAINS = 3 };
enum rule_canary { CANARY_NONE, CANARY_PERCENT, CANARY_PIDS, CANARY_HOSTS };

/* What this version can do beyond what the first with rules of this form could: bits of struct rule.requires and of
 * ruleset_header.requires.  A rule that requires a bit that a library does not have is not in force in its processes,
 * and nothing of it is; they report it.  A ruleset that requires such a bit as a whole, because of what it says in
 * addition to its rules, is refused as a whole: the rules before stay in force. */
enum rule_feature {
    RULE_FEATURE_NONE = 0,
    RULE_FEATURE_CLIENT_HEADER = 1 << 0, /* of a whole ruleset: options.clientIpHeader */
    RULE_FEATURE_ADDRESS_ITEMS = 1 << 1, /* items of hot parameters that are ranges of addresses */
    RULE_FEATURE_WHEN = 1 << 2,          /* times of day */
    RULE_FEATURE_DELAY = 1 << 3,         /* overload protection by queueing delay */
};
#define RULE_FEATURES                                                                                                  \
    ((uint64_t)(RULE_FEATURE_CLIENT_HEADER | RULE_FEATURE_ADDRESS_ITEMS | RULE_FEATURE_WHEN | RULE_FEATURE_DELAY))

/* Why a request was rejected: what the answer's "reason", the block log and the counters say. */
enum reason {
    REASON_NONE,
    REASON_AUTHORITY,
    REASON_PARAM,
    REASON_FLOW,
    REASON_ISOLATION,
    REASON_DEGRADE,
    REASON_SYSTEM,
    REASON_ADAPTIVE,
    REASONS
};

/* What the figures of a rejection are about (layout_rejection.limit_of).  Numbers stand in shared memory: new ones come
 * last. */
enum limit_of {
    LIMIT_UNKNOWN,           /* an older library wrote it */
    LIMIT_RATE,              /* limit per interval; counted: what had passed in it */
    LIMIT_WARM_UP,           /* the same, with a limit that rises */
    LIMIT_QUEUE,             /* the rate of turns; the next turn is too far away */
    LIMIT_RELATED,           /* as rate, of another resource */
    LIMIT_RELATED_IN_FLIGHT, /* as in flight, of another resource */
    LIMIT_IN_FLIGHT,
    LIMIT_SLOW_CALLS,      /* circuit: ms */
    LIMIT_EXCEPTION_RATIO, /* circuit: 0…1 */
    LIMIT_EXCEPTIONS,      /* circuit: how many */
    LIMIT_AVERAGE_RT,      /* circuit: ms */
    LIMIT_WHITE_LIST,      /* no figures */
    LIMIT_BLACK_LIST,      /* no figures */
    LIMIT_VALUE_RATE,      /* of one value of a parameter, per interval */
    LIMIT_VALUE_IN_FLIGHT, /* of one value of a parameter */
    LIMIT_ALL_RATE,        /* of all inbound traffic */
    LIMIT_ALL_IN_FLIGHT,
    LIMIT_ALL_RT, /* ms, mean */
    LIMIT_CPU,    /* 0…1, of the host */
    LIMIT_LOAD,
    LIMIT_ADAPTIVE_CPU,       /* 0…1, of the app */
    LIMIT_ADAPTIVE_GRADIENT,  /* in flight, as latency has it: older libraries */
    LIMIT_ADAPTIVE_BBR,       /* in flight, as throughput has it: older libraries */
    LIMIT_ADAPTIVE_DELAY,     /* ms that this request had waited to be read */
    LIMIT_ADAPTIVE_IN_FLIGHT, /* in flight, as queueing within the application has it */
    LIMITS_OF
};

typedef uint32_t ruleset_string; /* offset into the string pool of a NUL-terminated string; 0 = the empty string */

struct rule {
    uint64_t id_hash; /* of the id text: what state and metrics are keyed by */
    ruleset_string id;
    ruleset_string resource;
    ruleset_string origin;       /* limitApp as written: "default", "other", "a,b"; authority: the list */
    ruleset_string ref_resource; /* relate, chain */
    uint32_t index;              /* position in its array of the rules file(s): Sentinel's kind#index */
    uint32_t line;               /* in its file, for `weir explain` */
    uint8_t kind, mode, scope, match;
    uint8_t side, priority, origin_kind;
    uint8_t grade; /* of flow, param, gateway; by kind enum rule_degrade, rule_system, rule_adaptive */
    uint8_t strategy, behavior, recovery, cost_kind;
    uint8_t penalty, canary, cluster_mode, threshold_type;
    uint8_t fallback_local, resource_mode, authority, reserved0;
    uint32_t cost_number;       /* COST_NUMBER: what one request takes, >= 1 */
    ruleset_string cost_header; /* COST_HEADER: lower-case name */
    uint32_t block_action;      /* 1-based index into the ruleset's block actions; 0 = by protocol */
    double count;               /* threshold; degrade: ms, ratio or count by grade */
    uint64_t interval_ns;       /* flow, gateway, param: the threshold is per this */
    double burst;
    uint64_t max_queue_ns; /* adaptive: the target of queueing delay */
    uint64_t warm_up_ns;
    double slow_ratio;         /* degrade, grade 0 */
    uint32_t min_requests;     /* degrade; adaptive: requests that pass in any second, however loaded it is */
    uint32_t rt_slow_requests; /* DEGRADE_AVG_RT */
    uint64_t stat_interval_ns; /* degrade; adaptive: so long must queueing last before it is overload */
    uint64_t open_ns;          /* degrade timeWindow */
    uint32_t recovery_steps, step_min_pass;
    uint64_t ttl_ns;                     /* isolation: 0 = none */
    int32_t param_idx;                   /* param without `param` sources */
    uint32_t params_first, params_count; /* struct rule_param, joint key when more than one */
    uint32_t items_first, items_count;   /* struct rule_item */
    uint32_t capacity;                   /* values remembered */
    uint32_t canary_percent;
    uint32_t list_first, list_count; /* u32 list: canary pids, or string offsets (hosts, exceptions) */
    uint32_t flow_id, sample_count;
    ruleset_string file;         /* where it stands, with `line`; "" = unknown */
    uint64_t window_interval_ns; /* cluster */
    uint64_t requires;           /* enum rule_feature */
    /* "when": u32 list of Unix times, ascending: it comes into force, ends, comes into force, … (when.h); none: always
     */
    uint32_t when_first, when_count;
    ruleset_string when; /* the same in words: "mon-fri 22:00-06:00 Europe/Berlin" */
    uint8_t reserved[28];
};
_Static_assert(sizeof(struct rule) == 256, "rule");

struct rule_param {   /* where a hot parameter's value comes from */
    uint8_t source;   /* enum rule_param_source */
    uint8_t match;    /* enum rule_param_match, with a pattern */
    uint16_t segment; /* PARAM_PATH: 0-based captured segment, when field is empty */
    ruleset_string field;
    ruleset_string pattern; /* 0 = every value */
    uint32_t reserved;
};
_Static_assert(sizeof(struct rule_param) == 16, "rule_param");

struct rule_item {         /* a value with a threshold of its own */
    ruleset_string object; /* the value as text */
    uint8_t type;          /* enum value_type of engine.h; 0 = any text */
    uint8_t reserved[3];
    double count;
};
_Static_assert(sizeof(struct rule_item) == 16, "rule_item");

enum { RULESET_VALUE_TYPE_MAX = 7 }; /* largest enum value_type of engine.h */

enum route_kind { /* also the index of ruleset_header.route_kind_* */
                  ROUTE_PATTERN,
                  ROUTE_API,
                  ROUTE_LISTENER,
                  ROUTE_DOWNSTREAM,
                  ROUTE_ORIGIN,
                  ROUTE_KINDS
};
enum route_protocol { PROTOCOL_RECOGNISE, PROTOCOL_TCP, PROTOCOL_HTTP };
enum route_proxy { ROUTE_PROXY_AUTO, ROUTE_PROXY_ON, ROUTE_PROXY_OFF };
struct ruleset_route { /* one entry of "resources": how traffic gets its names, and callers theirs */
    uint8_t kind;      /* enum route_kind */
    uint8_t match;     /* enum rule_match of pattern; MATCH_GLOB also stands for {name} templates */
    uint8_t protocol;  /* enum route_protocol */
    uint8_t priority;
    ruleset_string name;                 /* the resource's, or the origin's */
    ruleset_string pattern;              /* path pattern such as /product/{id} */
    ruleset_string method;               /* upper-case; 0 = any */
    ruleset_string host;                 /* "shop.example.com" or "*.example.com", lower-case; 0 = any */
    ruleset_string header;               /* origin: the header that names it, lower-case; 0 = known by the address */
    uint32_t port;                       /* listener, downstream; 0 = any */
    uint8_t implicit;                    /* 1: made from a rule's resource "GET:/a/{b}", not from "resources" */
    uint8_t any_peer;                    /* origin: the header is believed from every peer */
    uint8_t http2;                       /* listener: 1: connections of HTTP/2 pass unseen */
    uint8_t proxy;                       /* listener: enum route_proxy */
    uint32_t ranges_first, ranges_count; /* struct address_range; downstream (none = any address), origin */
    uint32_t reserved[2];
};
_Static_assert(sizeof(struct ruleset_route) == 48, "ruleset_route");

struct ruleset_block_action {
    ruleset_string name, body, content_type, headers /* complete "Name: value\r\n" lines */, redirect;
    uint16_t status;
    uint8_t close, reserved;
    uint32_t error_number; /* errno for outbound; 0 = by protocol */
    uint32_t delay_ms;
};
_Static_assert(sizeof(struct ruleset_block_action) == 32, "ruleset_block_action");

enum tcp_reject { TCP_REJECT_RESET, TCP_REJECT_CLOSE, TCP_REJECT_DEFER };
enum rt_until { RT_HEAD, RT_COMPLETE }; /* latency ends at the first byte of the response, or at its last */
enum upgraded {
    UPGRADED_HOLD,
    UPGRADED_RELEASE
}; /* what a request holds once its connection speaks another protocol */
struct ruleset_options {
    uint8_t compat_sentinel; /* "options": {"compat": "sentinel"} */
    uint8_t strict_http;     /* 0 opaque, 1 answer 400 and close; less than that where defend_http is set */
    uint8_t mark;
    uint8_t tcp_reject;     /* enum tcp_reject, inbound */
    uint32_t max_resources; /* 1 … LAYOUT_RESOURCES - 1 */
    uint32_t cold_factor;
    uint32_t max_siblings; /* names learned beside each other, before new ones are {*} */
    uint64_t max_rt_ns;
    uint32_t proxies_first, proxies_count; /* struct address_range: trustedProxies */
    uint8_t rate_limit_headers;            /* 0 off, 1 draft, 2 legacy, 3 envoy */
    uint8_t own_proxies;                   /* 1: as above; 0, in older rulesets: loopback and the private ranges */
    uint8_t local_callers;            /* what rules name callers of this host by: bits of caller.h; ruleset_builder's */
    uint8_t ipv6_prefix, ipv4_prefix; /* bits of a client's address that its hot key is made of; 0 = all */
    uint8_t defend_http;              /* 1: "strictHttp": "defend", which older libraries take for strict_http 0 */
    uint8_t rt;                       /* enum rt_until */
    uint8_t upgraded;                 /* enum upgraded */
    ruleset_string client_header;     /* clientIpHeader, lower case: no other is believed; 0 = the usual ones */
    uint32_t health_first, health_count; /* u32 list of string offsets: paths of health checks, see health.h */
    uint8_t reserved[76];
};
_Static_assert(sizeof(struct ruleset_options) == 128, "ruleset_options");

#define RULESET_MAGIC 0x6567616d69726977ull /* "wirimage" */
#define RULESET_VERSION 3
#define RULESET_MIN_READER 3 /* the oldest version that can read what this one writes … */
#define RULESET_MIN_WRITER 3 /* … and the oldest whose rulesets this one can */
/* How versions may grow: records and the header get fields behind those they had, where 0 means "as before", and with
 * them their size (`strides`, `header_size`); a rule means more: a bit of `requires`; new kinds of rules come last. */
enum { RULESET_STRIDES = 8, RULESET_KINDS = 16 };
enum ruleset_stride { STRIDE_RULE, STRIDE_PARAM, STRIDE_ITEM, STRIDE_ROUTE, STRIDE_RANGE, STRIDE_ACTION, STRIDES };
struct ruleset_header {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* of the whole ruleset, bytes */
    uint32_t header_size;
    uint32_t min_reader;
    uint64_t requires;                 /* enum rule_feature */
    uint32_t strides[RULESET_STRIDES]; /* bytes of a record of each kind, enum ruleset_stride; 0 = none of that kind */
    ruleset_string app;
    ruleset_string version_text;    /* of this rule set: for status and `weir why` */
    uint32_t rules_at, rules_count; /* struct rule[], sorted by kind, then by order in the file */
    uint32_t kind_first[RULESET_KINDS], kind_count[RULESET_KINDS];
    uint32_t params_at, params_count; /* struct rule_param[] */
    uint32_t items_at, items_count;   /* struct rule_item[] */
    uint32_t routes_at, routes_count; /* struct ruleset_route[], sorted by kind, then by order in the files */
    uint32_t route_kind_first[RULESET_KINDS], route_kind_count[RULESET_KINDS];
    uint32_t ranges_at, ranges_count;   /* struct address_range[] */
    uint32_t actions_at, actions_count; /* struct ruleset_block_action[] */
    uint32_t list_at, list_count;       /* uint32_t[] */
    uint32_t strings_at, strings_size;  /* pool; byte 0 and the last byte are NUL */
    struct ruleset_options options;
    /* uint32_t[], open-addressed, 0 = free: index + 1 into routes, by route_index_route(); and strings of exact rules'
     * resources, by route_index_name(). */
    uint32_t route_slots_at, route_slots_count;
    uint32_t name_slots_at, name_slots_count;
    uint32_t hosts;   /* 1: the name of a request may depend on its host */
    uint32_t callers; /* 1: callers are to be identified: rules about some callers, entries of kind origin */
    uint32_t waits;   /* 1: rules look at how long requests lay unread (engine_request.waited_ns) */
    uint32_t reserved[11];
};

#endif
