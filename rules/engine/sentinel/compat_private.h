/* What the files of the compat mode share.  Names in comments are Sentinel's classes. */
#ifndef WEIR_RULES_COMPAT_PRIVATE_H
#define WEIR_RULES_COMPAT_PRIVATE_H

#include "rules/engine/sentinel/compat.h"
#include "rules/engine/sentinel/compat_arena.h"
#include "rules/engine/sentinel/compat_java.h"
#include "rules/engine/sentinel/compat_node.h"
#include "rules/engine/sentinel/compat_values.h"
#include "rules/hash.h"
#include "rules/ruleset.h"

enum { COMPAT_CONTEXTS = 2000, COMPAT_RESOURCES = 6000, COMPAT_PENDING = 1024, COMPAT_EXTRA_ARGS = 32 };
#define COMPAT_DEFAULT_CONTEXT "sentinel_default_context"

struct compat_digest {
    uint64_t a, b;
}; /* of a rule's content: equal digests are equal rules (equals()) */

struct compat_text {
    const char *bytes;
    size_t length;
};

struct compat_flow { /* DefaultController, WarmUpController, ThrottlingController, WarmUpRateLimiterController */
    int64_t max_queue_ms;
    int64_t latest; /* ms, or ns in ns mode */
    bool nanoseconds;
    int32_t cold_factor, warning, maximum;
    double slope;
    int64_t tokens, filled_ms;
};
struct compat_item_limit {
    struct compat_key value;
    int64_t count;
};
struct compat_source { /* where a parameter comes from that is not an argument (HTTP) */
    struct rule_param param;
    struct compat_text field, pattern;
    void *code; /* compiled pattern */
};
struct compat_hot {    /* ParamFlowRule */
    int32_t param_idx; /* negative until the first call */
    int32_t loaded_idx;
    int64_t limit, burst, duration_s, max_queue_ms;
    struct compat_item_limit *items; /* sorted by value */
    uint32_t items_count;
    bool constant; /* a gateway rule without a parameter: one value for all */
    struct compat_source *sources;
    uint32_t sources_count;
};
struct compat_degrade { /* DegradeRule */
    double ratio;
    int64_t slow_ms, min_requests, stat_ms;
    int32_t open_ms;
};

struct compat_rule {
    struct compat_digest digest;
    uint32_t ruleset_index;
    uint8_t kind, mode, side, grade, strategy, behavior, origin_kind, authority;
    bool cluster, fallback_local, regex;
    double count;
    struct compat_text resource, origin, ref;
    struct compat_rule **namesakes; /* limitApp "other" of a pattern: the rules of the resource named as the pattern */
    uint32_t namesakes_count;
    union {
        struct compat_flow flow;
        struct compat_hot hot;
        struct compat_degrade degrade;
    };
};

enum compat_state { STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN };
struct compat_breaker { /* AbstractCircuitBreaker */
    const struct compat_rule *rule;
    struct compat_breaker *next_probe; /* in the call that is being decided */
    uint32_t references;
    uint8_t state; /* enum compat_state */
    int64_t retry_ms;
    int64_t start_ms, bad, total; /* its one bucket */
};

struct compat_group { /* the rules whose resource is this text, in the order of evaluation */
    struct compat_item item;
    struct compat_group *next; /* patterns: in the order of the list; plain ones: all of the family */
    void *code;                /* of MATCH_REGEX */
    struct compat_rule **rules;
    struct compat_breaker **breakers; /* FAMILY_DEGRADE, not patterns */
    uint32_t count, room;
};
struct compat_record { /* a rule of the list as loaded */
    struct compat_digest digest;
    int32_t param_idx;
    struct compat_rule *rule; /* NULL where it was dropped: invalid, a duplicate */
};
struct compat_rules {            /* one family (RuleManager) */
    struct compat_digest digest; /* of the list as loaded, invalid rules and all */
    struct compat_record *records;
    uint32_t count;
    uint32_t kept;    /* records behind them: rules still in force that are not of the list */
    uint32_t version; /* never the same twice: a resource sees by it that its lists are stale */
    struct compat_map plain, pattern;
    struct compat_group *plain_list, *patterns;
};

struct compat_system { /* SystemRuleManager */
    bool on;
    struct {
        double limit;
        uint32_t ruleset_index;
        bool set, simulate;
    } field[SYSTEM_LOAD + 1];
    struct compat_text *exceptions;
    uint32_t exceptions_count, exceptions_room;
};

struct compat_hot_state { /* what one rule knows of one resource's values */
    struct compat_hot_state *next;
    struct compat_digest rule;
    int32_t param_idx;
    struct compat_values values;
};
struct compat_threads { /* concurrency by value at one index */
    struct compat_threads *next;
    int32_t param_idx;
    struct compat_values values;
};
struct compat_metric { /* ParameterMetric */
    struct compat_hot_state *states;
    struct compat_threads *threads;
};

struct compat_named_node { /* of a context or an origin */
    struct compat_item item;
    struct compat_node node;
};
struct compat_list {
    uint32_t version, count;
    uint32_t chains; /* of them rules with STRATEGY_CHAIN */
    struct compat_rule **rules;
};
struct compat_resource {
    struct compat_item item;
    struct compat_resource *next;
    struct compat_node node;
    struct compat_map contexts, origins;
    struct compat_list list[FAMILIES];
    struct compat_breaker **breakers, **default_breakers;
    uint32_t breakers_count, default_breakers_count;
    bool shown; /* that there are circuits has been reported */
    struct compat_metric *metric;
};

struct compat_entrance { /* in addition to its context, what a call in flight entered a resource through */
    struct compat_entrance *next;
    struct compat_node *node;
};

struct compat_pending { /* an exit that found the lock taken */
    uint32_t state;     /* atomic: 0 free, 1 being filled, 2 filled */
    uint8_t cancel;
    struct engine_outcome outcome;
    uint64_t now_ns;
    struct engine_ticket ticket;
};

struct compat {
    uint32_t lock;          /* atomic */
    uint32_t epoch;         /* distinguishes tickets from before a fork */
    uint64_t undecided;     /* atomic */
    uint32_t pending_count; /* atomic: filled or about to be */
    struct compat_arena arena;
    uint64_t seed;
    uint64_t last_ns; /* time never goes back in here */
    const void *ruleset;
    size_t ruleset_size;
    int64_t max_rt_ms;
    uint32_t max_resources, versions;
    struct compat_map resources, contexts;
    struct compat_resource *resource_list;
    struct compat_node inbound; /* Constants.ENTRY_NODE */
    struct compat_rules rules[FAMILIES];
    struct compat_system system;
    struct engine_sample sample;
    const struct compat_listener *listener; /* NULL: none */
    void *owner;
    struct compat_pending pending[COMPAT_PENDING];
};

struct compat_arg_value {
    struct compat_key key;
    int32_t index;
    uint8_t null; /* a null element: Sentinel stumbles over it and stops there */
};
struct compat_args { /* of a call in flight */
    uint32_t bytes;
    int32_t args; /* how many arguments */
    uint32_t values, room;
    struct compat_arg_value value[]; /* by index; lists element by element */
};

struct compat_call { /* one request at one resource while it is being decided */
    struct compat *compat;
    const struct compat_moment *at;
    const struct engine_request *request;
    const struct compat_name *names; /* of all its resources */
    void *call;                      /* the listener's */
    uint32_t entry;                  /* which of request->resources it is about */
    struct compat_resource *resource;
    struct compat_named_node *context, *origin; /* origin may be NULL */
    struct compat_args *args;
    struct engine_result *result;
    struct compat_breaker *probes;
    struct compat_entrance *entrances;
    double value_limit; /* of the hot key that was looked at last */
    bool system_asked;
    bool occupied; /* a prioritized call that borrowed: out of the chain at once */
};

static inline bool compat_digest_equal(struct compat_digest x, struct compat_digest y) {
    return x.a == y.a && x.b == y.b;
}
static inline bool compat_text_is(struct compat_text text, const char *bytes, size_t length) {
    return text.length == length && !__builtin_memcmp(text.bytes, bytes, length);
}
/* Of weir's extensions, what applies to any rule: the side. */
static inline bool compat_concerns(const struct compat_rule *rule, const struct engine_request *request) {
    return rule->side == SIDE_ANY || rule->side == request->side;
}
/* Has the call, which is one of the total inbound traffic, come by itself: through what it is for? */
static inline bool compat_is_inbound(const struct engine_request *request) {
    return request->side == SIDE_INBOUND && !request->connection;
}

static inline const struct rule *compat_rule_at(const struct compat *compat, uint32_t ruleset_index) {
    const void *ruleset = compat->ruleset;
    return ruleset && ruleset_index < ruleset_head(ruleset)->rules_count ? &ruleset_rules(ruleset)[ruleset_index]
                                                                         : NULL;
}

/* compat_call.c: a rule rejects the call; false: it would have, in mode simulate, which is only counted. */
bool compat_rejects(struct compat_call *, uint32_t ruleset_index, enum reason, bool simulated);
/* The decision is about this rule: it rejects, or makes the call wait. */
void compat_say(struct compat_call *, uint32_t ruleset_index, enum reason);
/* compat_entrance.c: where a call is counted that entered a resource through another one of its own. */
bool compat_entered_through(const struct compat_call *, struct compat_text name);
struct compat_node *compat_entrance_node(struct compat_call *, struct compat_text name);
void compat_entrances_count(struct compat_call *, bool pass);

/* compat_rules.c */
int compat_rules_load(struct compat *, const void *ruleset, uint32_t alone);
/* compat_group.c: the rules of a family that concern a resource, those that name it first, then those whose pattern
 * matches it. */
const struct compat_list *compat_rules_of(struct compat *, struct compat_resource *, enum compat_family);
/* compat_text.c: regular expressions in the arena */
void *compat_pattern(struct compat_arena *, const char *pattern, size_t length); /* as Java's matches(): all of it */
bool compat_pattern_matches(const void *code, const char *text, size_t length);
bool compat_pattern_misses(const void *code, const char *text, size_t length); /* false also: given up */
void compat_pattern_free(void *code);
/* compat_flow.c, … : each says whether the call passes */
void compat_flow_init(struct compat_rule *, uint32_t cold_factor);
void compat_flow_warm_up(struct compat_rule *, int32_t period_s);
bool compat_flow_check(struct compat_call *, struct compat_rule *);
bool compat_authority_check(const struct compat_call *, const struct compat_rule *);
bool compat_system_check(struct compat_call *);
/* compat_hot.c */
struct compat_args *compat_args_new(struct compat *, const struct engine_request *);
struct compat_key compat_value_key(uint64_t seed, const struct engine_value *);
bool compat_hot_check(struct compat_call *, struct compat_rule *);
void compat_hot_enter(struct compat *, struct compat_resource *, const struct compat_args *);
void compat_hot_exit(struct compat *, struct compat_resource *, const struct compat_args *);
void compat_metric_free(struct compat *, struct compat_resource *);
void compat_metric_forget(struct compat *, struct compat_resource *, struct compat_digest rule, int32_t param_idx);
/* compat_breaker.c */
struct compat_breaker *compat_breaker_new(struct compat *, const struct compat_rule *);
void compat_breaker_release(struct compat *, struct compat_breaker *);
bool compat_breakers_check(struct compat_call *, int64_t *ret_retry_ms);
void compat_breakers_complete(struct compat *, struct compat_resource *, uint32_t entry, const struct compat_moment *,
                              int64_t rt_ms, bool error);
void compat_breakers_cancel(struct compat *, struct compat_resource *, uint32_t entry, const struct compat_moment *);
enum circuit_state compat_breakers_worst(struct compat *, struct compat_resource *);
void compat_probes_back(struct compat_call *);

#endif
