/* A view: one adopted ruleset, made ready to decide by.
 *
 * Adoption makes of each rule a limiter in numbers, and an index over resource names.  Which rules apply to a resource
 * is found out at its first request under the view, and kept: a list of bindings.  So a request pays for the rules
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

/* ---------------------------------------------------------------------------------------------------- the arena */

static uint32_t rounded(size_t size) {
    return (uint32_t)((size + ALIGN - 1) / ALIGN * ALIGN);
}

static void *arena_take_at(struct view *view, size_t size, uint32_t *ret_at) {
    uint32_t used = load_relaxed(&view->used);
    if (size > ENGINE_VIEW_BYTES)
        return NULL;
    do
        if (!chunks_place(&view->chunks, used, rounded(size), ENGINE_VIEW_BYTES, ret_at))
            return NULL;
    while (!atomic_take32(&view->used, &used, *ret_at + rounded(size)));
    return chunks_at(&view->chunks, *ret_at);
}

static void *arena_take(struct view *view, size_t size) {
    uint32_t at;
    return arena_take_at(view, size ? size : 1, &at);
}

/* The rest of the block taken last, if nothing has been taken since. */
static void arena_shorten(struct view *view, uint32_t at, size_t from, size_t to) {
    uint32_t used = at + rounded(from);
    atomic_take32(&view->used, &used, at + rounded(to));
}

static void *arena_zeroed(struct view *view, size_t size) {
    void *memory = arena_take(view, size);
    return memory ? memset(memory, 0, size) : NULL;
}

/* More for regular expressions. */
static void *pattern_block(void *context, size_t at_least, size_t *ret_size) {
    *ret_size = at_least > ENGINE_PATTERN_BLOCK ? at_least : (size_t)ENGINE_PATTERN_BLOCK;
    return arena_take(context, *ret_size);
}

void view_free(struct view *view) {
    chunks_free(&view->chunks);
    view->used = 0;
    view->patterns = (struct pattern_arena){.more = pattern_block, .context = view};
    memset(view->lists, 0, sizeof(view->lists));
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

static bool canary_chosen(const struct engine *engine, const struct view *view, const struct rule *rule) {
    const uint32_t *list = ruleset_list(view->ruleset) + rule->list_first;
    if (rule->canary == CANARY_PERCENT) /* the same processes at 20 % as at 10 %, and more */
        return hash_bytes(CANARY_SEED, &engine->pid, sizeof(engine->pid)) % 100 < rule->canary_percent;
    for (uint32_t i = 0; i < rule->list_count; i++)
        if (rule->canary == CANARY_PIDS ? list[i] == engine->pid
                                        : engine_host_hash(ruleset_text(view->ruleset, list[i])) == engine->host)
            return true;
    return false;
}

/* Rules with the same id are versions of one rule: where the canary is in force the others are not. */
static void choose_versions(const struct engine *engine, struct view *view) {
    for (uint32_t i = 0; i < view->rules_count; i++) {
        const struct rule *rule = &view->rules[i];
        view->limiters[i].in_force = rule->mode != MODE_OFF && (!rule->canary || canary_chosen(engine, view, rule));
    }
    for (uint32_t i = 0; view->canary && i < view->rules_count; i++)
        for (uint32_t j = 0; view->rules[i].canary && view->limiters[i].in_force && j < view->rules_count; j++)
            if (view->rules[j].id_hash == view->rules[i].id_hash && !view->rules[j].canary)
                view->limiters[j].in_force = 0;
}

/* -------------------------------------------------------------------------------------------------------- building */

static uint64_t name_hash(const char *name) {
    return hash_bytes(CANARY_SEED, name, strlen(name));
}

static bool is_exact(const struct view *view, const struct rule *rule) {
    return rule->match == MATCH_EXACT && strcmp(ruleset_text(view->ruleset, rule->resource), "*") != 0;
}

static void index_name(struct view *view, uint32_t i) {
    const char *name = ruleset_text(view->ruleset, view->rules[i].resource);
    uint32_t at = (uint32_t)name_hash(name) & view->index_mask;
    for (; view->exact[at]; at = (at + 1) & view->index_mask)
        if (strcmp(ruleset_text(view->ruleset, view->rules[view->exact[at] - 1].resource), name) == 0)
            break;
    view->names += view->exact[at] == 0;
    view->limiters[i].next_exact = view->exact[at];
    view->exact[at] = i + 1;
}

static void index_id(struct view *view, uint32_t i) {
    uint32_t at = (uint32_t)view->rules[i].id_hash & view->index_mask;
    while (view->ids[at])
        at = (at + 1) & view->index_mask;
    view->ids[at] = i + 1;
}

uint32_t view_rule(const struct view *view, uint64_t id_hash) {
    for (uint32_t at = (uint32_t)id_hash & view->index_mask; view->ids[at]; at = (at + 1) & view->index_mask)
        if (view->rules[view->ids[at] - 1].id_hash == id_hash)
            return view->ids[at] - 1;
    return UINT32_MAX;
}

static int make_rule(struct view *view, uint32_t i, uint32_t cold_factor) {
    const struct rule *rule = &view->rules[i];
    struct limiter *limiter = &view->limiters[i];
    limiter_make(limiter, rule, cold_factor);
    index_id(view, i);
    limiter->secrets = param_secrets(view->ruleset, rule);
    if (rule->match == MATCH_REGEX && rule->kind < RULE_SYSTEM)
        limiter->pattern = pattern_compile(&view->patterns, ruleset_text(view->ruleset, rule->resource));
    if (rule->items_count) {
        void *room = arena_take(view, param_items_bytes(rule));
        if (!room)
            return -1;
        limiter->items = param_items_make(room, view->ruleset, rule);
    }
    if (rule->kind == RULE_AUTHORITY) {
        void *room = arena_take(view, authority_bytes(ruleset_text(view->ruleset, rule->origin)));
        if (!room)
            return -1;
        limiter->authority = authority_make(room, ruleset_text(view->ruleset, rule->origin));
    }
    return 0;
}

static void make_shedders(struct view *view) {
    view->shedders = 0;
    for (uint32_t i = 0; i < view->rules_count && view->shedders < ENGINE_SHEDDERS_MAX; i++)
        if (view->rules[i].kind >= RULE_SYSTEM && view->limiters[i].in_force) {
            struct binding binding = {
                .rule = &view->rules[i], .limiter = &view->limiters[i], .kind = (uint8_t)limiter_of(&view->rules[i])};
            view->shedder[view->shedders] = view->shedder_vitals[view->shedders] = view->shedder_state[view->shedders] =
                binding;
            view->shedders++;
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

enum pattern_result view_regex(struct engine *engine, const struct pattern *pattern, const char *text, size_t length,
                               bool *ret_undecided) {
    return regex_try(engine, pattern, text, length, ret_undecided) == PATTERN_YES;
}

/* A path that takes an expression too long matches it: whoever sends such a path gains nothing by it. */
static int route_regex(void *context, const struct pattern *pattern, const char *text, size_t length) {
    bool undecided = false;
    enum pattern_result result = regex_try(context, pattern, text, length, &undecided);
    return undecided ? -1 : result != PATTERN_NO;
}

static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length);

static int make_naming(struct engine *engine, struct view *view) {
    size_t size = route_regexes_size(view->ruleset);
    view->siblings = (struct naming_siblings){.slots = engine_record(engine, LAYOUT_SIBLING_TABLE, 0),
                                              .count = engine->map.part[LAYOUT_SIBLING_TABLE].count,
                                              .limit = ruleset_head(view->ruleset)->options.max_siblings,
                                              .seed = engine->counters->hash_seed};
    view->naming = naming_rules_of(view->ruleset);
    view->naming.siblings = &view->siblings;
    view->naming.misses = view->general_count ? misses : NULL;
    view->naming.context = view;
    if (!size)
        return 0;
    struct route_regexes *table = arena_take(view, size);
    if (!table)
        return -1;
    table->match = route_regex;
    table->context = engine;
    view->naming.regexes = route_regexes_compile(table, &view->patterns, view->ruleset);
    return 0;
}

int view_build(struct engine *engine, struct view *view, const void *ruleset, size_t size, uint64_t generation) {
    const struct ruleset_header *header = ruleset_head(ruleset);
    uint32_t n = header->rules_count, slots = 16;
    (void)size;
    while (slots < 2 * n)
        slots *= 2;
    view->engine = engine;
    view->ruleset = ruleset;
    view->generation = generation;
    view->rules = ruleset_rules(ruleset);
    view->rules_count = n;
    view->index_mask = slots - 1;
    view->general_count = view->shedders = view->names = view->missing = 0;
    view->missing_at = UINT32_MAX;
    view->crowded = false;
    view->policy = header->options.compat_sentinel ? POLICY_SENTINEL : POLICY_OWN;
    view->canary = false;
    view_free(view);
    view->limiters = arena_zeroed(view, n * sizeof(*view->limiters));
    view->exact = arena_zeroed(view, slots * sizeof(*view->exact));
    view->ids = arena_zeroed(view, slots * sizeof(*view->ids));
    view->general = arena_zeroed(view, n * sizeof(*view->general));
    view->param_patterns = arena_zeroed(view, header->params_count * sizeof(*view->param_patterns));
    if (!view->param_patterns || !view->limiters || !view->exact || !view->ids || !view->general)
        return -1;
    for (uint32_t i = 0; i < header->params_count; i++)
        if (ruleset_params(ruleset)[i].match == PARAM_REGEX && ruleset_params(ruleset)[i].pattern)
            view->param_patterns[i] = pattern_compile(&view->patterns,
                                                      ruleset_text(ruleset, ruleset_params(ruleset)[i].pattern));
    for (uint32_t i = n; i-- > 0;) { /* backwards, so that chains are in order */
        view->canary |= view->rules[i].canary != CANARY_NONE;
        if (make_rule(view, i, header->options.cold_factor) != 0)
            return -1;
        if (is_exact(view, &view->rules[i]) && view->rules[i].kind < RULE_SYSTEM)
            index_name(view, i);
    }
    for (uint32_t i = 0; i < n; i++) { /* what no name leads to: patterns, "*", and who else is fed by a resource */
        const struct rule *rule = &view->rules[i];
        if (rule->kind < RULE_SYSTEM &&
            (!is_exact(view, rule) || (rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE)))
            view->general[view->general_count++] = i;
    }
    choose_versions(engine, view);
    make_shedders(view);
    return make_naming(engine, view);
}

/* -------------------------------------------------------------------------------------------------------- bindings */

static bool in_list(const struct view *view, const struct rule *rule, const char *name) {
    const uint32_t *list = ruleset_list(view->ruleset) + rule->list_first;
    for (uint32_t i = 0; !rule->canary && i < rule->list_count; i++)
        if (strcmp(ruleset_text(view->ruleset, list[i]), name) == 0)
            return true;
    return false;
}

static bool pattern_applies(struct engine *engine, struct view *view, const struct rule *rule,
                            const struct limiter *limiter, const char *name, size_t length, bool *ret_undecided) {
    const char *pattern = ruleset_text(view->ruleset, rule->resource);
    if (strcmp(pattern, "*") == 0)
        return true;
    switch (rule->match) {
    case MATCH_PREFIX: return strncmp(name, pattern, strlen(pattern)) == 0;
    case MATCH_GLOB: return pattern_glob(pattern, name, length);
    case MATCH_REGEX: return view_regex(engine, limiter->pattern, name, length, ret_undecided) == PATTERN_YES;
    default: return false;
    }
}

/* "*" for circuits: all resources of its side that have no circuit rule of their own and are not excepted. */
static bool is_default_breaker(const struct view *view, const struct rule *rule) {
    return rule->kind == RULE_DEGRADE && strcmp(ruleset_text(view->ruleset, rule->resource), "*") == 0;
}

static uint32_t first_exact(const struct view *view, const char *name) {
    for (uint32_t at = (uint32_t)name_hash(name) & view->index_mask; view->exact[at]; at = (at + 1) & view->index_mask)
        if (strcmp(ruleset_text(view->ruleset, view->rules[view->exact[at] - 1].resource), name) == 0)
            return view->exact[at];
    return 0;
}

bool view_speaks_of(struct engine *engine, struct view *view, const char *name, size_t length) {
    bool undecided = false;
    if (first_exact(view, name))
        return true;
    for (uint32_t k = 0; k < view->general_count; k++) {
        const struct rule *rule = &view->rules[view->general[k]];
        if (strcmp(ruleset_text(view->ruleset, rule->resource), "*") != 0 && !is_exact(view, rule) &&
            pattern_applies(engine, view, rule, &view->limiters[view->general[k]], name, length, &undecided))
            return true;
    }
    return false;
}

static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length) {
    struct view *view = context;
    struct engine *engine = view->engine;
    bool undecided = false;
    for (uint32_t k = 0; k < view->general_count; k++) {
        const struct rule *rule = &view->rules[view->general[k]];
        const struct limiter *limiter = &view->limiters[view->general[k]];
        if (limiter->in_force && !is_exact(view, rule) &&
            pattern_applies(engine, view, rule, limiter, name, length, &undecided) &&
            !pattern_applies(engine, view, rule, limiter, other, other_length, &undecided))
            return true;
    }
    return false;
}

uint32_t view_missing(struct engine *engine, struct view *view, uint32_t used) {
    if (load_acquire(&view->missing_at) == used)
        return load_relaxed(&view->missing);
    uint32_t missing = 0;
    for (uint32_t at = 0; at <= view->index_mask; at++)
        missing += view->exact[at] &&
                   !resource_known(engine, ruleset_text(view->ruleset, view->rules[view->exact[at] - 1].resource));
    store_relaxed(&view->missing, missing);
    store_release(&view->missing_at, used);
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

static void find_rules(struct engine *engine, struct view *view, const char *name, size_t length, struct found *found) {
    for (uint32_t i = first_exact(view, name); i; i = view->limiters[i - 1].next_exact)
        if (view->limiters[i - 1].in_force)
            found_add(found, i - 1);
    for (uint32_t k = 0; k < view->general_count; k++) {
        uint32_t i = view->general[k];
        const struct rule *rule = &view->rules[i];
        if (view->limiters[i].in_force && !is_exact(view, rule) && !in_list(view, rule, name) &&
            pattern_applies(engine, view, rule, &view->limiters[i], name, length, &found->undecided))
            found_add(found, i);
    }
    for (uint32_t k = 0; k < found->count; k++)
        found->own_breaker |= view->rules[found->rules[k]].kind == RULE_DEGRADE &&
                              !is_default_breaker(view, &view->rules[found->rules[k]]);
    for (uint32_t k = 1; k < found->count; k++) /* rules are sorted by kind, then as written */
        for (uint32_t j = k; j > 0 && found->rules[j - 1] > found->rules[j]; j--) {
            uint32_t swap = found->rules[j];
            found->rules[j] = found->rules[j - 1];
            found->rules[j - 1] = swap;
        }
}

static bool is_plain(const struct rule *rule, enum cell_kind kind) {
    return kind == CELL_WINDOW && rule->side == SIDE_ANY && rule->origin_kind == ORIGIN_DEFAULT &&
           rule->cost_kind == COST_ONE && (rule->kind != RULE_FLOW || rule->strategy == STRATEGY_DIRECT);
}

static void bind(struct view *view, struct binding_list *list, uint16_t *count, uint32_t i) {
    unsigned at = list->checks + list->breakers + list->feeds;
    const struct rule *rule = &view->rules[i];
    enum cell_kind kind = limiter_of(rule);
    list->items[at] = (struct binding){
        .rule = rule, .limiter = &view->limiters[i], .kind = (uint8_t)kind, .plain = is_plain(rule, kind)};
    ++*count;
    if (count != &list->feeds && rule->priority != PRIORITY_NORMAL)
        list->priority = rule->priority;
}

static bool feeds(const struct view *view, const struct rule *rule, const char *name) {
    return rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE &&
           strcmp(ruleset_text(view->ruleset, rule->ref_resource), name) == 0;
}

/* How many rules may apply to a resource, at most. */
static uint32_t candidates(const struct view *view, const char *name) {
    uint32_t count = view->general_count;
    for (uint32_t i = first_exact(view, name); i && count < ENGINE_BINDINGS_MAX; i = view->limiters[i - 1].next_exact)
        count++;
    return count < ENGINE_BINDINGS_MAX ? count : ENGINE_BINDINGS_MAX;
}

static size_t list_size(uint32_t bindings) {
    return sizeof(struct binding_list) + bindings * sizeof(struct binding);
}

/* What applies is collected behind the list that is made of it: a stack may be too small for that. */
static struct binding_list *resolve(struct engine *engine, struct view *view, const char *name, size_t length) {
    uint32_t fed = 0, room = candidates(view, name);
    for (uint32_t k = 0; k < view->general_count; k++)
        fed += feeds(view, &view->rules[view->general[k]], name);
    if (fed > UINT16_MAX - ENGINE_BINDINGS_MAX)
        fed = UINT16_MAX - ENGINE_BINDINGS_MAX;
    size_t whole_size = list_size(room + fed) + room * sizeof(uint32_t);
    uint32_t place;
    struct binding_list *list = arena_take_at(view, whole_size, &place);
    if (!list)
        return NULL;
    struct found found = {.rules = (uint32_t *)((char *)list + list_size(room + fed))};
    find_rules(engine, view, name, length, &found);
    if (found.undecided) {
        arena_shorten(view, place, whole_size, 0);
        return NULL;
    }
    uint32_t most = found.count + fed;
    memset(list, 0, list_size(most));
    list->priority = route_priority(view->ruleset, name, length);
    for (uint32_t k = 0; k < found.count; k++)
        if (view->rules[found.rules[k]].kind != RULE_DEGRADE)
            bind(view, list, &list->checks, found.rules[k]);
    for (uint32_t k = 0; k < found.count; k++) {
        const struct rule *rule = &view->rules[found.rules[k]];
        if (rule->kind == RULE_DEGRADE && !(found.own_breaker && is_default_breaker(view, rule)))
            bind(view, list, &list->breakers, found.rules[k]);
    }
    for (uint32_t k = 0; k < view->general_count; k++) {
        uint32_t i = view->general[k];
        if (view->limiters[i].in_force && feeds(view, &view->rules[i], name) &&
            (uint32_t)list->checks + list->breakers + list->feeds < most)
            bind(view, list, &list->feeds, i);
    }
    for (uint32_t i = 0; i < view->shedders; i++)
        if (in_list(view, view->shedder[i].rule, name))
            list->exempt |= 1ull << i;
    arena_shorten(view, place, whole_size, list_size(most));
    return list;
}

struct binding_list *view_resolve(struct engine *engine, struct view *view, uint32_t resource) {
    struct binding_list *none = NULL;
    size_t length;
    const char *name = engine_resource_name(engine, resource, &length);
    struct binding_list *list = resolve(engine, view, name, length);
    if (!list)
        return NULL;
    return __atomic_compare_exchange_n(&view->lists[resource], &none, list, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
               ? list
               : none;
}

void view_choose_versions(struct engine *engine, struct view *view) {
    choose_versions(engine, view);
    make_shedders(view);
    for (uint32_t i = 0; i < LAYOUT_RESOURCES; i++)
        store_relaxed(&view->lists[i], NULL);
}
