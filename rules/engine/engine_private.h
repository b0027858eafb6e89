/* What the files of the engine share. */
#ifndef WEIR_RULES_ENGINE_PRIVATE_H
#define WEIR_RULES_ENGINE_PRIVATE_H

#include <string.h>

#include "rules/atomic.h"
#include "rules/engine/custody.h"
#include "rules/engine/state.h"
#include "rules/engine/engine.h"
#include "rules/engine/limiters/hot_param.h"
#include "rules/engine/policy.h"
#include "rules/pattern.h"
#include "rules/ruleset.h"
#include "rules/counters.h"
#include "rules/layout.h"
#include "rules/naming/route.h"
#include "rules/engine/limiters/window.h"
#include "rules/engine/limiters/waiting.h"

enum {
    ENGINE_NO_RULES = 2, /* of engine.current, and a reader's token: no rules yet */
    ENGINE_READERS = 16, /* shards of the count of threads that use a compiled ruleset */
    ENGINE_COMPILED_BYTES =
        64 << 20, /* of one compiled ruleset, at most: rules made ready, regular expressions, bindings */
    ENGINE_PATTERN_BLOCK = 64 << 10, /* of them, at least, that regular expressions take at a time */
    ENGINE_SCRATCHES = 16,           /* threads that match regular expressions at a time */
    ENGINE_STATE_INDEX = 65536,      /* two halves */
    ENGINE_BINDINGS_MAX = 1024,      /* rules on one resource */
    ENGINE_TAKES_MAX = 96,           /* limiters one request may take from and give back … */
    ENGINE_TAKES_FEW = 16,           /* … and how many of them are noted on the stack */
    ENGINE_SHEDDERS_MAX = 64,        /* system and adaptive rules in force */
    ENGINE_REJECTIONS_LAST = 64,     /* a power of two */
};

/* ---------------------------------------------------------------------------------------------- rules, made ready */

struct limiter {       /* what a rule means in numbers; made when the rules are adopted */
    uint32_t limit;    /* permits per interval, or in flight */
    uint32_t in_force; /* 0: off, not in this process (canary), or not now (when) */
    uint32_t varies;   /* the window's limit is not `limit` at all times: warm-up, a fractional threshold */
    struct window_clock clock;
    uint64_t interval_ns;
    uint64_t unit_ns;    /* time of one permit */
    uint64_t burst_ns;   /* capacity of the bucket of a rule with burst; 0 = none */
    uint64_t extra_ns;   /* a threshold of 2.5: time of one permit beyond the 2; 0 = a whole threshold */
    double cold;         /* warm-up: cold factor; 0 = none */
    double warning;      /* where on the way from warm (0) to cold (1) the threshold begins to fall */
    double cold_ns;      /* time it takes to cool down from 0 to 1 when idle */
    double permits;      /* admissions it takes to warm up from 1 to 0 */
    uint32_t next_exact; /* next rule with the same resource name, + 1 */
    const struct pattern *pattern;
    const struct authority *authority;
    const struct items *items;   /* hot parameters: values with thresholds of their own */
    struct slide slide;          /* hot parameters: of the rule's own threshold */
    struct hot_shape hot;        /* hot parameters: their table … */
    struct hot_shape hot_common; /* … and the one for all resources that have no room for their own */
    uint64_t spare;              /* atomic; limiters/spare.c */
    uint8_t secrets;             /* hot parameters: bit i: what the i-th source says is shown in part only */
};

struct binding { /* one rule on one resource */
    const struct rule *rule;
    const struct limiter *limiter;
    struct limiter_state *state; /* atomic; NULL until first needed */
    uint32_t hit;                /* where its hits are counted, + 1 (a hint) */
    uint8_t kind;                /* enum limiter_kind: its limiter */
    bool plain;                  /* a window for every request alike: nothing of it has to be found out first */
    uint8_t reserved[2];
};

struct binding_list {                 /* of one resource, in the order of checks */
    uint16_t checks, breakers, feeds; /* items: first the checks, then the circuits, then what feeds other rules */
    uint8_t priority;                 /* enum rule_priority that the rules give its requests */
    bool health;                      /* its requests are health checks */
    uint64_t exempt;                  /* bit i: not rejected by the compiled ruleset's shedder i */
    struct binding items[];
};

struct compiled { /* one adopted ruleset, made ready */
    struct engine *engine;
    const void *ruleset;
    uint64_t generation;
    uint64_t until_s; /* Unix time at which a rule comes into force or ends; WHEN_NEVER */
    const struct rule *rules;
    struct limiter *limiters; /* [rule] */
    uint32_t *exact;          /* hash index over resource names: rule + 1 of the first, open-addressed */
    uint32_t *ids;            /* hash index over id_hash: rule + 1 */
    uint32_t *general;        /* rules whose resource is a pattern or "*", in order */
    uint32_t rules_count, index_mask, general_count;
    uint32_t names;       /* of resources that rules name in full */
    uint32_t missing;     /* atomic; how many of them had no entry when the table held… */
    uint32_t missing_at;  /* atomic; …so many */
    uint32_t shedders;    /* system and adaptive rules */
    uint8_t policy;       /* POLICY_OWN, … */
    uint8_t ticket_flags; /* what its tickets begin with */
    bool canary;
    bool adaptive; /* of the shedders, at least one is adaptive protection */
    bool crowded;  /* atomic; it has been reported that a request counts for more than there is room for */
    struct binding shedder[ENGINE_SHEDDERS_MAX], shedder_vitals[ENGINE_SHEDDERS_MAX],
        shedder_state[ENGINE_SHEDDERS_MAX], shedder_delay[ENGINE_SHEDDERS_MAX], shedder_budget[ENGINE_SHEDDERS_MAX];
    const struct pattern **param_patterns; /* [param] */
    struct chunks chunks;                  /* what of it is made as it is needed */
    uint32_t used;                         /* atomic; bytes of them */
    struct pattern_arena patterns;
    struct naming_rules naming;
    struct naming_siblings siblings;
    struct binding_list *lists[LAYOUT_RESOURCES]; /* atomic; NULL: not resolved yet */
};

/* ---------------------------------------------------------------------------------------------- the engine itself */

struct readers {
    uint32_t count[2]; /* atomic; threads of this shard in compiled ruleset 0, 1 */
    uint32_t pad[14];
};

struct engine {
    struct engine_memory memory;             /* where more of it comes from */
    size_t bytes;                            /* of the first block, which this is in */
    struct layout_counters_header *counters; /* the app's, or private ones of the same layout */
    struct counters map;                     /* where it is */
    bool shared;                             /* it is the app's */
    struct layout_area *private_area;        /* in flight while there is no slot, or no area for it yet */
    uint32_t slot;                           /* atomic; UINT32_MAX = none */
    uint32_t area;                           /* atomic; the slot, once its area may be used; UINT32_MAX = not yet */
    uint32_t pid;
    uint32_t incarnation; /* raised in a forked child */
    uint64_t wall_s;      /* Unix time, for the next adoption */
    uint64_t host;        /* hash of the host's name, for canaries */
    struct state_space own, app;
    struct chunks chunks; /* of `own` */
    struct layout_cell_roots own_roots;
    uint32_t own_used;
    uint64_t seen_ns;                        /* atomic */
    uint64_t cpu, load1, app_cpu, cpus_used; /* atomic; doubles as bits */
    struct waiting waiting[WAITING_QUEUES];  /* of requests that this process reads */
    uint64_t rejections_ns;                  /* atomic; rejections.c: until when ids of rejections are used up */
    uint64_t rejections_last[ENGINE_REJECTIONS_LAST]; /* atomic; the last ids given out, by rule and resource */
    uint32_t strangers;                    /* atomic; limiters/shedding.c: requests of callers that are not known */
    uint32_t current;                      /* atomic; compiled ruleset in force: 0, 1; 2 = none */
    const void *released;                  /* ruleset that is not used any more */
    char *scratches[ENGINE_SCRATCHES];     /* atomic; NULL: never needed yet */
    uint32_t scratch_taken;                /* atomic; bit i: scratch i is in use */
    uint32_t endings_seen[CUSTODY_TABLES]; /* atomic; custody.c: of each table */
    struct compat *sentinel;               /* sentinel/policy.c: NULL until its rules are in force for the first time */
    struct readers readers[ENGINE_READERS] __attribute__((aligned(64)));
    struct compiled compiled[2];
};

uint64_t engine_host_hash(const char *name);
/* A number for each thread, from 0. */
extern __thread unsigned engine_thread_number __attribute__((tls_model("initial-exec"))); /* + 1 */
unsigned engine_thread_new(void);
#define engine_thread() (engine_thread_number ? engine_thread_number - 1 : engine_thread_new())
static inline bool engine_shared(const struct engine *engine) {
    return engine->shared;
}

/* Records of the counters, by number (counters_at()); operations rather than functions, as every request needs them. */
#define engine_record_at(engine, id, index)                                                                            \
    ((void *)(load_relaxed(&(engine)->map.part[id].at) + (size_t)(index) * (engine)->map.part[id].stride))
#define engine_process(engine, slot) ((struct layout_process *)engine_record_at(engine, LAYOUT_PROCESS_TABLE, slot))
#define engine_entry(engine, resource) ((struct layout_resource *)engine_record_at(engine, LAYOUT_NAMES, resource))
#define engine_metrics(engine, resource) ((struct layout_stats *)engine_record_at(engine, LAYOUT_STATISTICS, resource))
#define engine_area(engine, area) ((struct layout_area *)engine_record_at(engine, LAYOUT_AREAS, area))
/* Of a ring or table whose size is a power of two: the record that a number or hash leads to. */
static inline uint32_t engine_place(const struct engine *engine, enum layout_section_id id, uint64_t number) {
    return (uint32_t)(number & (engine->map.part[id].count - 1));
}
static inline void *engine_record(const struct engine *engine, enum layout_section_id id, uint64_t number) {
    return counters_at(&engine->map, id, engine_place(engine, id, number));
}

/* ---------------------------------------------------------------------------------------------------------- compile.c
 */

void compiled_free(struct compiled *); /* no thread uses it: what its rules were made ready in is given back */
/* Memory of the compiled ruleset's own, with its offset; NULL: there is no more.  And the rest of the block taken last
 * goes back, if nothing has been taken since. */
void *compiled_take(struct compiled *, size_t size, uint32_t *ret_at);
void compiled_shorten(struct compiled *, uint32_t at, size_t from, size_t to);
bool compiled_is_exact(const struct compiled *, const struct rule *); /* it names one resource in full */
uint64_t compiled_name_hash(const char *name);
/* bindings.c: does a pattern apply to the one name, but not to the other?  `context`: the compiled ruleset. */
bool compiled_misses(void *context, const char *name, size_t length, const char *other, size_t other_length);
int compile(struct engine *, struct compiled *, const void *ruleset, size_t size, uint64_t generation);
struct binding_list *compiled_resolve(struct engine *, struct compiled *, uint32_t resource);
/* The rules that apply to a resource; NULL: no room to say so. */
static inline struct binding_list *compiled_bindings(struct engine *engine, struct compiled *compiled,
                                                     uint32_t resource) {
    struct binding_list *list = load_acquire(&compiled->lists[resource]);
    return __builtin_expect(list != NULL, 1) ? list : compiled_resolve(engine, compiled, resource);
}
void compiled_choose_versions(struct engine *, struct compiled *); /* which process this is has changed: canaries */
/* One of the engine's scratches of PATTERN_SCRATCH bytes; NULL: all are in use. */
void *scratch_take(struct engine *engine, unsigned *ret_scratch);
void scratch_give(struct engine *engine, unsigned scratch);
/* PATTERN_GAVE_UP: the text takes too long, or, with `ret_undecided`, too many threads match at once: ask again. */
enum pattern_result compiled_regex(struct engine *, const struct pattern *, const char *text, size_t length,
                                   bool *ret_undecided);
/* Index of a rule with that id, or UINT32_MAX. */
uint32_t compiled_rule(const struct compiled *, uint64_t id_hash);
/* Does a rule name it, in full or by a pattern other than "*"? */
bool compiled_speaks_of(struct engine *, struct compiled *, const char *name, size_t length);
/* The first rule about single resources from `from` on that applies to the name, without any memory; UINT32_MAX: none.
 * What cannot be judged now applies. */
uint32_t compiled_next_rule(struct engine *, struct compiled *, const char *name, size_t length, uint32_t from);
/* The name of the entry that the name shares with others to which the same rules apply, where there is no room for its
 * own; not terminated. 0: no rule but "*" applies to it. */
size_t compiled_group_name(struct engine *, struct compiled *, const char *name, size_t length,
                           char ret_name[LAYOUT_RESOURCE_NAME_MAX]);
/* unlisted.c: a request for a resource whose list of rules could not be made.  False: rejected. */
bool unlisted_check(struct decision *, uint32_t resource,
                    bool (*check)(struct decision *, const struct binding_list *, struct binding *, uint32_t resource));
/* How many resources that rules name in full have no entry yet, in a table of `used`. */
uint32_t compiled_missing(struct engine *, struct compiled *, uint32_t used);

/* ----------------------------------------------------------------------------------------------------- resource.c */

#define RESOURCE_GROUP "{other}:"      /* how the names of compiled_group_name() begin … */
#define RESOURCE_GROUP_ALL "{other}:*" /* … and the one for what finds no room among these */
bool resource_known(struct engine *, const char *name);

/* -------------------------------------------------------------------------------------------------------- stats.c */

/* Into a field of shared memory: cut where it must be, and zeroed behind. */
static inline void metrics_text(char *to, size_t size, const char *from, size_t length) {
    size_t n = length < size - 1 ? length : size - 1;
    if (n)
        memcpy(to, from, n);
    memset(to + n, 0, size - n);
}
void metrics_find_area(struct engine *); /* it may have come since */
enum reason rule_reason(const struct rule *);
/* One request that a rule (NULL: no rule of the ruleset) rejected, or would have rejected.  `hint`: where its hits are
 * counted, + 1, of this rule and resource; NULL: not remembered. */
void metrics_hit(const struct decision *, const void *ruleset, const struct rule *, uint32_t resource, enum reason,
                 bool simulated, uint32_t *hint);
void metrics_circuit(struct engine *, uint32_t resource, enum circuit_state worst);
void metrics_event(struct engine *, uint64_t now_ns, enum event_kind, const void *ruleset, const struct rule *,
                   uint32_t resource, uint8_t from, uint8_t to, double value);
/* An episode of overload protection begins (from 0, to 1), goes on (1, 1) or is over (1, 0).  Figures below 0: not
 * known. */
struct episode_figures {
    double cpu;                     /* what the app uses of the CPU that it could use, 0…1 */
    double delay_ms;                /* how long requests waited to be read, or in the application beyond its best */
    double rejected_share;          /* of the requests of now, 0…1; when it is over: of the whole episode */
    double goodput_before, goodput; /* admitted requests a second, before the episode and in it */
    double lasted_s;                /* since it began, seconds */
};
void metrics_episode(struct engine *, uint64_t now_ns, const void *ruleset, const struct rule *, uint8_t from,
                     uint8_t to, const struct episode_figures *);

/* Adds a part of the value that a block is about, of which at most `most` bytes are shown; several are joined. */
void result_value_add(struct engine_result *, const char *text, size_t length, size_t most);

#endif
