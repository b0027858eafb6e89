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
#include "rules/engine/limiters/items.h"
#include "rules/engine/limiters/param.h"
#include "rules/engine/limiters/queue.h"
#include "rules/hash.h"
#include "rules/when.h"
#include "rules/engine/limiters/warm_up.h"

enum { ALIGN = 16, CANARY_SEED = 0x63616e6172u };
_Static_assert((int)RULESET_VALUE_TYPE_MAX == (int)VALUE_ARRAY, "a ruleset knows all types of values");

/* ---------------------------------------------------------------------------------------------------- the arena */

static uint32_t rounded(size_t size) {
    return (uint32_t)((size + ALIGN - 1) / ALIGN * ALIGN);
}

void *compiled_take(struct compiled *compiled, size_t size, uint32_t *ret_at) {
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
    return compiled_take(compiled, size ? size : 1, &at);
}

/* The rest of the block taken last, if nothing has been taken since. */
void compiled_shorten(struct compiled *compiled, uint32_t at, size_t from, size_t to) {
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

/* Windows count whole permits: 2.5 a second is 2 in any second, and one more whenever a bucket that gains 0.5 a second
 * holds one: at most 3 in any second, and 2.5 a second in the long run.  Less than one per interval is one per a longer
 * interval: 0.1 a second is 1 in any ten. */
static uint64_t extra_ns(double count, double burst, uint64_t interval_ns) {
    double part = count - (double)whole(count);
    return burst > 0 || count >= UINT32_MAX || !(part > 1e-9) ? 0 : queue_unit_ns(part, interval_ns);
}

static void limiter_make(struct limiter *to, const struct rule *rule, uint32_t cold_factor) {
    double count = rule->count, burst = rule->burst;
    to->interval_ns = rule->ttl_ns ? rule->ttl_ns : rule->interval_ns ? rule->interval_ns : 1000000000u;
    to->unit_ns = queue_unit_ns(count, to->interval_ns);
    if (count > 0 && count < 1 && !rule->ttl_ns && rule->grade == GRADE_QPS) {
        to->interval_ns = to->unit_ns;
        count = 1;
    }
    to->limit = whole(count + burst);
    to->extra_ns = extra_ns(count, burst, to->interval_ns);
    double capacity = (double)to->unit_ns * (double)whole(count + burst);
    to->burst_ns = burst > 0 && count > 0 ? (capacity < 9e18 ? (uint64_t)capacity : (uint64_t)9e18) : 0;
    if (rule->kind == RULE_DEGRADE)
        window_clock_init(&to->clock, rule->stat_interval_ns, BREAKER_TICKS);
    else
        window_clock_init(&to->clock, to->interval_ns, WINDOW_TICKS);
    warm_up_init(to, rule, cold_factor);
    to->varies = to->cold != 0 || to->extra_ns != 0;
    to->slide = slide_of(rule->count, rule->interval_ns ? rule->interval_ns : 1000000000u, rule->cost_kind == COST_ONE);
    to->hot = hot_shape_of(rule);
    to->hot_common = hot_shape_common(rule);
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
    compiled->until_s = WHEN_NEVER;
    for (uint32_t i = 0; i < compiled->rules_count; i++) {
        const struct rule *rule = &compiled->rules[i];
        uint64_t until_s;
        bool now = when_in_force(compiled->ruleset, rule, engine->wall_s, &until_s);
        if (until_s < compiled->until_s)
            compiled->until_s = until_s;
        compiled->limiters[i].in_force = now && rule->mode != MODE_OFF &&
                                         (!rule->canary || canary_chosen(engine, compiled, rule));
    }
    for (uint32_t i = 0; compiled->canary && i < compiled->rules_count; i++)
        for (uint32_t j = 0; compiled->rules[i].canary && compiled->limiters[i].in_force && j < compiled->rules_count;
             j++)
            if (compiled->rules[j].id_hash == compiled->rules[i].id_hash && !compiled->rules[j].canary)
                compiled->limiters[j].in_force = 0;
}

/* -------------------------------------------------------------------------------------------------------- building */

uint64_t compiled_name_hash(const char *name) {
    return hash_bytes(CANARY_SEED, name, strlen(name));
}

bool compiled_is_exact(const struct compiled *compiled, const struct rule *rule) {
    return rule->match == MATCH_EXACT && strcmp(ruleset_text(compiled->ruleset, rule->resource), "*") != 0;
}

static void index_name(struct compiled *compiled, uint32_t i) {
    const char *name = ruleset_text(compiled->ruleset, compiled->rules[i].resource);
    uint32_t at = (uint32_t)compiled_name_hash(name) & compiled->index_mask;
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
    compiled->adaptive = false;
    for (uint32_t i = 0; i < compiled->rules_count && compiled->shedders < ENGINE_SHEDDERS_MAX; i++)
        if (compiled->rules[i].kind >= RULE_SYSTEM && compiled->limiters[i].in_force) {
            struct binding binding = {.rule = &compiled->rules[i],
                                      .limiter = &compiled->limiters[i],
                                      .kind = (uint8_t)limiter_of(&compiled->rules[i])};
            compiled->shedder[compiled->shedders] = compiled->shedder_vitals[compiled->shedders] =
                compiled->shedder_state[compiled->shedders] = compiled->shedder_delay[compiled->shedders] =
                    compiled->shedder_budget[compiled->shedders] = binding;
            compiled->adaptive |= binding.rule->kind == RULE_ADAPTIVE;
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
        return PATTERN_GAVE_UP;
    }
    enum pattern_result result = pattern_try(pattern, scratch, text, length);
    scratch_give(engine, number);
    return result;
}

enum pattern_result compiled_regex(struct engine *engine, const struct pattern *pattern, const char *text,
                                   size_t length, bool *ret_undecided) {
    return regex_try(engine, pattern, text, length, ret_undecided);
}

/* A path that takes an expression too long matches it: a sender of such a path gains nothing by it. */
static int route_regex(void *context, const struct pattern *pattern, const char *text, size_t length) {
    bool undecided = false;
    enum pattern_result result = regex_try(context, pattern, text, length, &undecided);
    return undecided ? -1 : result != PATTERN_NO;
}

static int make_naming(struct engine *engine, struct compiled *compiled) {
    size_t size = route_regexes_size(compiled->ruleset);
    compiled->siblings = (struct naming_siblings){.slots = engine_record(engine, LAYOUT_SIBLING_TABLE, 0),
                                                  .count = engine->map.part[LAYOUT_SIBLING_TABLE].count,
                                                  .limit = ruleset_head(compiled->ruleset)->options.max_siblings,
                                                  .seed = engine->counters->hash_seed};
    compiled->naming = naming_rules_of(compiled->ruleset);
    compiled->naming.siblings = &compiled->siblings;
    compiled->naming.misses = compiled->general_count ? compiled_misses : NULL;
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
    compiled->ticket_flags = (uint8_t)(compiled->policy << TICKET_POLICY_SHIFT |
                                       (header->options.rt == RT_COMPLETE ? TICKET_WHOLE : 0));
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
        if (compiled_is_exact(compiled, &compiled->rules[i]) && compiled->rules[i].kind < RULE_SYSTEM)
            index_name(compiled, i);
    }
    for (uint32_t i = 0; i < n; i++) { /* what no name leads to: patterns, "*", and who else is fed by a resource */
        const struct rule *rule = &compiled->rules[i];
        if (rule->kind < RULE_SYSTEM &&
            (!compiled_is_exact(compiled, rule) || (rule->kind == RULE_FLOW && rule->strategy == STRATEGY_RELATE)))
            compiled->general[compiled->general_count++] = i;
    }
    choose_versions(engine, compiled);
    make_shedders(compiled);
    return make_naming(engine, compiled);
}

void compiled_choose_versions(struct engine *engine, struct compiled *compiled) {
    choose_versions(engine, compiled);
    make_shedders(compiled);
    for (uint32_t i = 0; i < LAYOUT_RESOURCES; i++)
        store_relaxed(&compiled->lists[i], NULL);
}
