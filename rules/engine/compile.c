/* A compiled ruleset: one that was adopted, made ready to decide by.
 *
 * Adoption makes of each rule a limiter in numbers, and an index over resource names.  Which rules apply to a resource
 * is found out at its first request under it, and kept: a list of bindings.  So a request pays for the rules
 * that apply to it, not for those that exist. */
#include <string.h>

#include "rules/engine/limiters/authority.h"
#include "rules/engine/limiters/breaker.h"
#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/param.h"
#include "rules/engine/limiters/queue.h"
#include "rules/hash.h"
#include "rules/engine/limiters/warm_up.h"

enum { ALIGN = 16, CANARY_SEED = 0x63616e6172u };
_Static_assert((int)RULESET_VALUE_TYPE_MAX == (int)VALUE_ARRAY, "a ruleset knows all types of values");

/* ---------------------------------------------------------------------------------------------------- the arena */

static uint32_t rounded(size_t size) {
    return (uint32_t)((size + ALIGN - 1) / ALIGN * ALIGN);
}

static void *arena_take_at(struct compiled *compiled, size_t size, uint32_t *ret_at) {
    uint32_t used = load_relaxed(&compiled->used);
    if (size > ENGINE_COMPILED_BYTES)
        return NULL;
    do
        if (!chunks_place(&compiled->chunks, used, rounded(size), ENGINE_COMPILED_BYTES, ret_at))
            return NULL;
    while (!atomic_take32(&compiled->used, &used, *ret_at + rounded(size)));
    return chunks_at(&compiled->chunks, *ret_at);
}

static void *arena_take(struct compiled *compiled, size_t size) {
    uint32_t at;
    return arena_take_at(compiled, size ? size : 1, &at);
}

/* The rest of the block taken last, if nothing has been taken since. */
static void arena_shorten(struct compiled *compiled, uint32_t at, size_t from, size_t to) {
    uint32_t used = at + rounded(from);
    atomic_take32(&compiled->used, &used, at + rounded(to));
}

static void *arena_zeroed(struct compiled *compiled, size_t size) {
    void *memory = arena_take(compiled, size);
    return memory ? memset(memory, 0, size) : NULL;
}

/* More for regular expressions. */
static void *pattern_block(void *context, size_t at_least, size_t *ret_size) {
    *ret_size = at_least > ENGINE_PATTERN_BLOCK ? at_least : (size_t)ENGINE_PATTERN_BLOCK;
    return arena_take(context, *ret_size);
}

void compiled_free(struct compiled *compiled) {
    chunks_free(&compiled->chunks);
    compiled->used = 0;
    compiled->patterns = (struct pattern_arena){.more = pattern_block, .context = compiled};
    memset(compiled->lists, 0, sizeof(compiled->lists));
}

/* ------------------------------------------------------------------------------------------------ rules in numbers */

static uint32_t whole(double count) {
    return count >= UINT32_MAX ? UINT32_MAX : count > 0 ? (uint32_t)count : 0;
}

/* Thresholds are whole permits per interval: 2.5 a second admits 2 in any second.  Less than one per interval is one
 * per a longer interval: 0.1 a second is 1 in any ten. */
static void limiter_make(struct limiter *to, const struct rule *rule, uint32_t cold_factor) {
    double count = rule->count, burst = rule->burst;
    to->interval_ns = rule->ttl_ns ? rule->ttl_ns : rule->interval_ns ? rule->interval_ns : 1000000000u;
    to->unit_ns = queue_unit_ns(count, to->interval_ns);
    if (count > 0 && count < 1 && !rule->ttl_ns && rule->grade == GRADE_QPS) {
        to->interval_ns = to->unit_ns;
        count = 1;
    }
    to->limit = whole(count + burst);
    double capacity = (double)to->unit_ns * (double)whole(count + burst);
    to->burst_ns = burst > 0 && count > 0 ? (capacity < 9e18 ? (uint64_t)capacity : (uint64_t)9e18) : 0;
    if (rule->kind == RULE_DEGRADE)
        window_clock_init(&to->clock, rule->stat_interval_ns, BREAKER_TICKS);
    else
        window_clock_init(&to->clock, to->interval_ns, WINDOW_TICKS);
    warm_up_init(to, rule, cold_factor);
    to->hot = hot_shape_of(rule);
}

/* ------------------------------------------------------------------------------------------------------- canaries */

static bool canary_chosen(const struct engine *engine, const struct compiled *compiled, const struct rule *rule) {
    const uint32_t *list = ruleset_list(compiled->ruleset) + rule->list_first;
    if (rule->canary == CANARY_PERCENT) /* the same processes at 20 % as at 10 %, and more */
        return hash_bytes(CANARY_SEED, &engine->pid, sizeof(engine->pid)) % 100 < rule->canary_percent;
    for (uint32_t i = 0; i < rule->list_count; i++)
        if (rule->canary == CANARY_PIDS ? list[i] == engine->pid
                                        : engine_host_hash(ruleset_text(compiled->ruleset, list[i])) == engine->host)
            return true;
    return false;
}

/* Rules with the same id are versions of one rule: where the canary is in force the others are not. */
static void choose_versions(const struct engine *engine, struct compiled *compiled) {
    for (uint32_t i = 0; i < compiled->rules_count; i++) {
        const struct rule *rule = &compiled->rules[i];
        compiled->limiters[i].in_force = rule->mode != MODE_OFF &&
                                         (!rule->canary || canary_chosen(engine, compiled, rule));
    }
    for (uint32_t i = 0; compiled->canary && i < compiled->rules_count; i++)
        for (uint32_t j = 0; compiled->rules[i].canary && compiled->limiters[i].in_force && j < compiled->rules_count;
             j++)
            if (compiled->rules[j].id_hash == compiled->rules[i].id_hash && !compiled->rules[j].canary)
                compiled->limiters[j].in_force = 0;
}

/* -------------------------------------------------------------------------------------------------------- building */

static uint64_t name_hash(const char *name) {
    return hash_bytes(CANARY_SEED, name, strlen(name));
}

static bool is_exact(const struct compiled *compiled, const struct rule *rule) {
    return rule->match == MATCH_EXACT && strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") != 0;
}

static void index_name(struct compiled *compiled, uint32_t i) {
    const char *name = ruleset_text(compiled->ruleset, compiled->rules[i].resource);
    uint32_t at = (uint32_t)name_hash(name) & compiled->index_mask;
    for (; compiled->exact[at]; at = (at + 1) & compiled->index_mask)
        if (strcmp(ruleset_text(compiled->ruleset, compiled->rules[compiled->exact[at] - 1].resource), name) == 0)
            break;
    compiled->names += compiled->exact[at] == 0;
    compiled->limiters[i].next_exact = compiled->exact[at];
    compiled->exact[at] = i + 1;
}

static void index_id(struct compiled *compiled, uint32_t i) {
    uint32_t at = (uint32_t)compiled->rules[i].id_hash & compiled->index_mask;
    while (compiled->ids[at])
        at = (at + 1) & compiled->index_mask;
    compiled->ids[at] = i + 1;
}

uint32_t compiled_rule(const struct compiled *compiled, uint64_t id_hash) {
    for (uint32_t at = (uint32_t)id_hash & compiled->index_mask; compiled->ids[at];
         at = (at + 1) & compiled->index_mask)
        if (compiled->rules[compiled->ids[at] - 1].id_hash == id_hash)
            return compiled->ids[at] - 1;
    return UINT32_MAX;
}

static int make_rule(struct compiled *compiled, uint32_t i, uint32_t cold_factor) {
    const struct rule *rule = &compiled->rules[i];
    struct limiter *limiter = &compiled->limiters[i];
    limiter_make(limiter, rule, cold_factor);
    index_id(compiled, i);
    limiter->secrets = param_secrets(compiled->ruleset, rule);
    if (rule->match == MATCH_REGEX && rule->kind < RULE_SYSTEM)
        limiter->pattern = pattern_compile(&compiled->patterns, ruleset_text(compiled->ruleset, rule->resource));
    if (rule->items_count) {
        void *room = arena_take(compiled, param_items_bytes(rule));
        if (!room)
            return -1;
        limiter->items = param_items_make(room, compiled->ruleset, rule);
    }
    if (rule->kind == RULE_AUTHORITY) {
        void *room = arena_take(compiled, authority_bytes(ruleset_text(compiled->ruleset, rule->origin)));
        if (!room)
            return -1;
        limiter->authority = authority_make(room, ruleset_text(compiled->ruleset, rule->origin));
    }
    return 0;
}

static void make_shedders(struct compiled *compiled) {
    compiled->shedders = 0;
    for (uint32_t i = 0; i < compiled->rules_count && compiled->shedders < ENGINE_SHEDDERS_MAX; i++)
        if (compiled->rules[i].kind >= RULE_SYSTEM && compiled->limiters[i].in_force) {
            struct binding binding = {.rule = &compiled->rules[i],
                                      .limiter = &compiled->limiters[i],
                                      .kind = (uint8_t)limiter_of(&compiled->rules[i])};
            compiled->shedder[compiled->shedders] = compiled->shedder_vitals[compiled->shedders] =
                compiled->shedder_state[compiled->shedders] = binding;
            compiled->shedders++;
        }
}

/* It is ours alone: its bit is set. */
static char *scratch_ready(struct engine *engine, unsigned i) {
    if (!engine->scratches[i])
        engine->scratches[i] = engine->memory.take(engine->memory.context, PATTERN_SCRATCH);
    return engine->scratches[i];
}

void *scratch_take(struct engine *engine, unsigned *ret_scratch) {
    uint32_t taken = load_relaxed(&engine->scratch_taken);
    unsigned i;
    do {
        i = (unsigned)__builtin_ctz(~taken | 1u << ENGINE_SCRATCHES);
        if (i >= ENGINE_SCRATCHES)
            return NULL;
    } while (!atomic_take32(&engine->scratch_taken, &taken, taken | 1u << i));
    *ret_scratch = i;
    char *scratch = scratch_ready(engine, i);
    if (!scratch)
        scratch_give(engine, i);
    return scratch;
}

void scratch_give(struct engine *engine, unsigned scratch) {
    __atomic_fetch_and(&engine->scratch_taken, ~(1u << scratch), __ATOMIC_SEQ_CST);
}

/* Given up also when every scratch is in use (`ret_undecided`): rules are then looked up again at the next request. */
static enum pattern_result regex_try(struct engine *engine, const struct pattern *pattern, const char *text,
                                     size_t length, bool *ret_undecided) {
    unsigned number;
    void *scratch = scratch_take(engine, &number);
    if (!scratch) {
        *ret_undecided = true;
        return PATTERN_NO;
    }
    enum pattern_result result = pattern_try(pattern, scratch, text, length);
    scratch_give(engine, number);
    return result;
}

enum pattern_result compiled_regex(struct engine *engine, const struct pattern *pattern, const char *text,
                                   size_t length, bool *ret_undecided) {
    return regex_try(engine, pattern, text, length, ret_undecided) == PATTERN_YES;
}

/* A path that takes an expression too long matches it: whoever sends such a path gains nothing by it. */
static int route_regex(void *context, const struct pattern *pattern, const char *text, size_t length) {
    bool undecided = false;
    enum pattern_result result = regex_try(context, pattern, text, length, &undecided);
    return undecided ? -1 : result != PATTERN_NO;
}

static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length);

static int make_naming(struct engine *engine, struct compiled *compiled) {
    size_t size = route_regexes_size(compiled->ruleset);
    compiled->siblings = (struct naming_siblings){.slots = engine_record(engine, LAYOUT_SIBLING_TABLE, 0),
                                                  .count = engine->map.part[LAYOUT_SIBLING_TABLE].count,
                                                  .limit = ruleset_head(compiled->ruleset)->options.max_siblings,
                                                  .seed = engine->counters->hash_seed};
    compiled->naming = naming_rules_of(compiled->ruleset);
    compiled->naming.siblings = &compiled->siblings;
    compiled->naming.misses = compiled->general_count ? misses : NULL;
    compiled->naming.context = compiled;
    if (!size)
        return 0;
    struct route_regexes *table = arena_take(compiled, size);
    if (!table)
        return -1;
    table->match = route_regex;
    table->context = engine;
    compiled->naming.regexes = route_regexes_compile(table, &compiled->patterns, compiled->ruleset);
    return 0;
}

int compile(struct engine *engine, struct compiled *compiled, const void *ruleset, size_t size, uint64_t generation) {
    const struct ruleset_header *header = ruleset_head(ruleset);
    uint32_t n = header->rules_count, slots = 16;
    (void)size;
    while (slots < 2 * n)
        slots *= 2;
    compiled->engine = engine;
    compiled->ruleset = ruleset;
    compiled->generation = generation;
    compiled->rules = ruleset_rules(ruleset);
    compiled->rules_count = n;
    compiled->index_mask = slots - 1;
    compiled->general_count = compiled->shedders = compiled->names = compiled->missing = 0;
    compiled->missing_at = UINT32_MAX;
    compiled->crowded = false;
    compiled->policy = header->options.compat_sentinel ? POLICY_SENTINEL : POLICY_OWN;
    compiled->canary = false;
    compiled_free(compiled);
    compiled->limiters = arena_zeroed(compiled, n * sizeof(*compiled->limiters));
    compiled->exact = arena_zeroed(compiled, slots * sizeof(*compiled->exact));
    compiled->ids = arena_zeroed(compiled, slots * sizeof(*compiled->ids));
    compiled->general = arena_zeroed(compiled, n * sizeof(*compiled->general));
    compiled->param_patterns = arena_zeroed(compiled, header->params_count * sizeof(*compiled->param_patterns));
    if (!compiled->param_patterns || !compiled->limiters || !compiled->exact || !compiled->ids || !compiled->general)
        return -1;
    for (uint32_t i = 0; i < header->params_count; i++)
        if (ruleset_params(ruleset)[i].match == PARAM_REGEX && ruleset_params(ruleset)[i].pattern)
            compiled->param_patterns[i] = pattern_compile(&compiled->patterns,
                                                          ruleset_text(ruleset, ruleset_params(ruleset)[i].pattern));
    for (uint32_t i = n; i-- > 0;) { /* backwards, so that chains are in order */
        compiled->canary |= compiled->rules[i].canary != CANARY_NONE;
        if (make_rule(compiled, i, header->options.cold_factor) != 0)
            return -1;
        if (is_exact(compiled, &compiled->rules[i]) && compiled->rules[i].kind < RULE_SYSTEM)
            index_name(compiled, i);
    }
    for (uint32_t i = 0; i < n; i++) { /* what no name leads to: patterns, "*", and who else is fed by a resource */
        const struct rule *rule = &compiled->rules[i];
        if (rule->kind < RULE_SYSTEM &&
            (!is_exact(compiled, rule) || (rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE)))
            compiled->general[compiled->general_count++] = i;
    }
    choose_versions(engine, compiled);
    make_shedders(compiled);
    return make_naming(engine, compiled);
}

/* -------------------------------------------------------------------------------------------------------- bindings */

static bool in_list(const struct compiled *compiled, const struct rule *rule, const char *name) {
    const uint32_t *list = ruleset_list(compiled->ruleset) + rule->list_first;
    for (uint32_t i = 0; !rule->canary && i < rule->list_count; i++)
        if (strcmp(ruleset_text(compiled->ruleset, list[i]), name) == 0)
            return true;
    return false;
}

static bool pattern_applies(struct engine *engine, struct compiled *compiled, const struct rule *rule,
                            const struct limiter *limiter, const char *name, size_t length, bool *ret_undecided) {
    const char *pattern = ruleset_text(compiled->ruleset, rule->resource);
    if (strcmp(pattern, "*") == 0)
        return true;
    switch (rule->match) {
    case MATCH_PREFIX: return strncmp(name, pattern, strlen(pattern)) == 0;
    case MATCH_GLOB: return pattern_glob(pattern, name, length);
    case MATCH_REGEX: return compiled_regex(engine, limiter->pattern, name, length, ret_undecided) == PATTERN_YES;
    default: return false;
    }
}

/* "*" for circuits: all resources of its side that have no circuit rule of their own and are not excepted. */
static bool is_default_breaker(const struct compiled *compiled, const struct rule *rule) {
    return rule->kind == RULE_DEGRADE && strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") == 0;
}

static uint32_t first_exact(const struct compiled *compiled, const char *name) {
    for (uint32_t at = (uint32_t)name_hash(name) & compiled->index_mask; compiled->exact[at];
         at = (at + 1) & compiled->index_mask)
        if (strcmp(ruleset_text(compiled->ruleset, compiled->rules[compiled->exact[at] - 1].resource), name) == 0)
            return compiled->exact[at];
    return 0;
}

bool compiled_speaks_of(struct engine *engine, struct compiled *compiled, const char *name, size_t length) {
    bool undecided = false;
    if (first_exact(compiled, name))
        return true;
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        const struct rule *rule = &compiled->rules[compiled->general[k]];
        if (strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") != 0 && !is_exact(compiled, rule) &&
            pattern_applies(engine, compiled, rule, &compiled->limiters[compiled->general[k]], name, length,
                            &undecided))
            return true;
    }
    return false;
}

static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length) {
    struct compiled *compiled = context;
    struct engine *engine = compiled->engine;
    bool undecided = false;
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        const struct rule *rule = &compiled->rules[compiled->general[k]];
        const struct limiter *limiter = &compiled->limiters[compiled->general[k]];
        if (limiter->in_force && !is_exact(compiled, rule) &&
            pattern_applies(engine, compiled, rule, limiter, name, length, &undecided) &&
            !pattern_applies(engine, compiled, rule, limiter, other, other_length, &undecided))
            return true;
    }
    return false;
}

uint32_t compiled_missing(struct engine *engine, struct compiled *compiled, uint32_t used) {
    if (load_acquire(&compiled->missing_at) == used)
        return load_relaxed(&compiled->missing);
    uint32_t missing = 0;
    for (uint32_t at = 0; at <= compiled->index_mask; at++)
        missing += compiled->exact[at] &&
                   !resource_known(engine,
                                   ruleset_text(compiled->ruleset, compiled->rules[compiled->exact[at] - 1].resource));
    store_relaxed(&compiled->missing, missing);
    store_release(&compiled->missing_at, used);
    return missing;
}

struct found {              /* rules that apply to one resource */
    uint32_t *rules, count; /* room for ENGINE_BINDINGS_MAX, or for all that may apply */
    bool own_breaker, undecided;
};

static void found_add(struct found *found, uint32_t rule) {
    if (found->count < ENGINE_BINDINGS_MAX)
        found->rules[found->count++] = rule;
}

static void find_rules(struct engine *engine, struct compiled *compiled, const char *name, size_t length,
                       struct found *found) {
    for (uint32_t i = first_exact(compiled, name); i; i = compiled->limiters[i - 1].next_exact)
        if (compiled->limiters[i - 1].in_force)
            found_add(found, i - 1);
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        uint32_t i = compiled->general[k];
        const struct rule *rule = &compiled->rules[i];
        if (compiled->limiters[i].in_force && !is_exact(compiled, rule) && !in_list(compiled, rule, name) &&
            pattern_applies(engine, compiled, rule, &compiled->limiters[i], name, length, &found->undecided))
            found_add(found, i);
    }
    for (uint32_t k = 0; k < found->count; k++)
        found->own_breaker |= compiled->rules[found->rules[k]].kind == RULE_DEGRADE &&
                              !is_default_breaker(compiled, &compiled->rules[found->rules[k]]);
    for (uint32_t k = 1; k < found->count; k++) /* rules are sorted by kind, then as written */
        for (uint32_t j = k; j > 0 && found->rules[j - 1] > found->rules[j]; j--) {
            uint32_t swap = found->rules[j];
            found->rules[j] = found->rules[j - 1];
            found->rules[j - 1] = swap;
        }
}

static bool is_plain(const struct rule *rule, enum limiter_kind kind) {
    return kind == LIMITER_WINDOW && rule->side == SIDE_ANY && rule->origin_kind == ORIGIN_DEFAULT &&
           rule->cost_kind == COST_ONE && (rule->kind != RULE_FLOW || rule->strategy == STRATEGY_DIRECT);
}

static void bind(struct compiled *compiled, struct binding_list *list, uint16_t *count, uint32_t i) {
    unsigned at = list->checks + list->breakers + list->feeds;
    const struct rule *rule = &compiled->rules[i];
    enum limiter_kind kind = limiter_of(rule);
    list->items[at] = (struct binding){
        .rule = rule, .limiter = &compiled->limiters[i], .kind = (uint8_t)kind, .plain = is_plain(rule, kind)};
    ++*count;
    if (count != &list->feeds && rule->priority != PRIORITY_NORMAL)
        list->priority = rule->priority;
}

static bool feeds(const struct compiled *compiled, const struct rule *rule, const char *name) {
    return rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE &&
           strcmp(ruleset_text(compiled->ruleset, rule->ref_resource), name) == 0;
}

/* How many rules may apply to a resource, at most. */
static uint32_t candidates(const struct compiled *compiled, const char *name) {
    uint32_t count = compiled->general_count;
    for (uint32_t i = first_exact(compiled, name); i && count < ENGINE_BINDINGS_MAX;
         i = compiled->limiters[i - 1].next_exact)
        count++;
    return count < ENGINE_BINDINGS_MAX ? count : ENGINE_BINDINGS_MAX;
}

static size_t list_size(uint32_t bindings) {
    return sizeof(struct binding_list) + bindings * sizeof(struct binding);
}

/* What applies is collected behind the list that is made of it: a stack may be too small for that. */
static struct binding_list *resolve(struct engine *engine, struct compiled *compiled, const char *name, size_t length) {
    uint32_t fed = 0, room = candidates(compiled, name);
    for (uint32_t k = 0; k < compiled->general_count; k++)
        fed += feeds(compiled, &compiled->rules[compiled->general[k]], name);
    if (fed > UINT16_MAX - ENGINE_BINDINGS_MAX)
        fed = UINT16_MAX - ENGINE_BINDINGS_MAX;
    size_t whole_size = list_size(room + fed) + room * sizeof(uint32_t);
    uint32_t place;
    struct binding_list *list = arena_take_at(compiled, whole_size, &place);
    if (!list)
        return NULL;
    struct found found = {.rules = (uint32_t *)((char *)list + list_size(room + fed))};
    find_rules(engine, compiled, name, length, &found);
    if (found.undecided) {
        arena_shorten(compiled, place, whole_size, 0);
        return NULL;
    }
    uint32_t most = found.count + fed;
    memset(list, 0, list_size(most));
    list->priority = route_priority(compiled->ruleset, name, length);
    for (uint32_t k = 0; k < found.count; k++)
        if (compiled->rules[found.rules[k]].kind != RULE_DEGRADE)
            bind(compiled, list, &list->checks, found.rules[k]);
    for (uint32_t k = 0; k < found.count; k++) {
        const struct rule *rule = &compiled->rules[found.rules[k]];
        if (rule->kind == RULE_DEGRADE && !(found.own_breaker && is_default_breaker(compiled, rule)))
            bind(compiled, list, &list->breakers, found.rules[k]);
    }
    for (uint32_t k = 0; k < compiled->general_count; k++) {
        uint32_t i = compiled->general[k];
        if (compiled->limiters[i].in_force && feeds(compiled, &compiled->rules[i], name) &&
            (uint32_t)list->checks + list->breakers + list->feeds < most)
            bind(compiled, list, &list->feeds, i);
    }
    for (uint32_t i = 0; i < compiled->shedders; i++)
        if (in_list(compiled, compiled->shedder[i].rule, name))
            list->exempt |= 1ull << i;
    arena_shorten(compiled, place, whole_size, list_size(most));
    return list;
}

struct binding_list *compiled_resolve(struct engine *engine, struct compiled *compiled, uint32_t resource) {
    struct binding_list *none = NULL;
    size_t length;
    const char *name = engine_resource_name(engine, resource, &length);
    struct binding_list *list = resolve(engine, compiled, name, length);
    if (!list)
        return NULL;
    return __atomic_compare_exchange_n(&compiled->lists[resource], &none, list, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST)
               ? list
               : none;
}

void compiled_choose_versions(struct engine *engine, struct compiled *compiled) {
    choose_versions(engine, compiled);
    make_shedders(compiled);
    for (uint32_t i = 0; i < LAYOUT_RESOURCES; i++)
        store_relaxed(&compiled->lists[i], NULL);
}
