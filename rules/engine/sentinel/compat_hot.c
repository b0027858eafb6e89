/* Hot parameters (ParamFlowSlot, ParamFlowChecker, ParameterMetric). */
#include <string.h>

#include "rules/engine/limiters/param.h"
#include "rules/engine/sentinel/compat_call.h"
#include "rules/engine/sentinel/compat_private.h"

enum {
    VALUES_BASE = 4000,
    VALUES_MAX = 200000,
    THREAD_VALUES = 4000,
    NESTING = 8,
    SOURCE_INDEX = 1 << 30,
    COMBINATIONS = 64
};

/* ------------------------------------------------------------------------------------------------ the values */

/* Value and type: 5, 5L, 5.0 and "5" are four values. */
static struct compat_key hash_value(uint64_t seed, const struct engine_value *value, int depth) {
    bool several = value->type == VALUE_LIST || value->type == VALUE_ARRAY;
    uint64_t typed = seed + 0x9e3779b97f4a7c15ull * (value->type + 1u);
    struct compat_key key = {hash_bytes(typed, several ? "" : value->text, several ? 0 : value->length),
                             hash_bytes(~typed, several ? "" : value->text, several ? 0 : value->length)};
    for (size_t i = 0; several && depth && i < value->count; i++) {
        struct compat_key element = hash_value(seed, &value->elements[i], depth - 1);
        key = (struct compat_key){hash_mix(key.a ^ element.a, 0xa0761d6478bd642full) | 1,
                                  hash_mix(key.b ^ element.b, 0xe7037ed1a0b428dbull) | 1};
    }
    return key;
}

struct compat_key compat_value_key(uint64_t seed, const struct engine_value *value) {
    return hash_value(seed, value, NESTING);
}

static void args_add(struct compat_args *args, uint64_t seed, int32_t index, const struct engine_value *value) {
    struct compat_arg_value *to = &args->value[args->values++];
    to->index = index;
    to->null = value->type == VALUE_NONE;
    if (!to->null)
        to->key = compat_value_key(seed, value);
}

/* NULL: no memory, or nothing to keep. */
struct compat_args *compat_args_new(struct compat *compat, const struct engine_request *request) {
    size_t room = COMPAT_EXTRA_ARGS;
    for (uint32_t i = 0; i < request->args_count; i++) {
        const struct engine_value *value = &request->args[i];
        room += value->type == VALUE_LIST || value->type == VALUE_ARRAY ? value->count : 1;
    }
    if (room > UINT32_MAX / sizeof(struct compat_arg_value) - 1)
        return NULL;
    size_t bytes = sizeof(struct compat_args) + room * sizeof(struct compat_arg_value);
    struct compat_args *args = compat_take(&compat->arena, bytes);
    if (!args)
        return NULL;
    args->bytes = (uint32_t)bytes;
    args->args = (int32_t)request->args_count;
    args->room = (uint32_t)room;
    for (uint32_t i = 0; i < request->args_count; i++) {
        const struct engine_value *value = &request->args[i];
        if (value->type == VALUE_LIST || value->type == VALUE_ARRAY)
            for (size_t j = 0; j < value->count; j++)
                args_add(args, compat->seed, (int32_t)i, &value->elements[j]);
        else if (value->type != VALUE_NONE)
            args_add(args, compat->seed, (int32_t)i, value);
    }
    return args;
}

/* ------------------------------------------------------------------------------------------------- the state */

static struct compat_threads *threads_of(const struct compat_metric *metric, int32_t index) {
    struct compat_threads *threads = metric->threads;
    while (threads && threads->param_idx != index)
        threads = threads->next;
    return threads;
}

static struct compat_hot_state *state_of(const struct compat_metric *metric, struct compat_digest rule, int32_t index) {
    struct compat_hot_state *state = metric->states;
    while (state && !(compat_digest_equal(state->rule, rule) && state->param_idx == index))
        state = state->next;
    return state;
}

/* What the rule knows of the resource, begun at its first check (ParameterMetric.initialize). */
static struct compat_hot_state *state_begin(struct compat_call *call, const struct compat_rule *rule, int32_t index) {
    struct compat_arena *arena = &call->compat->arena;
    struct compat_metric *metric = call->resource->metric;
    if (!metric && !(metric = call->resource->metric = compat_take(arena, sizeof *metric)))
        return NULL;
    struct compat_hot_state *state = state_of(metric, rule->digest, index);
    if (!state) {
        if (!(state = compat_take(arena, sizeof *state)))
            return NULL;
        int64_t seconds = rule->hot.duration_s < VALUES_MAX ? rule->hot.duration_s : VALUES_MAX;
        int64_t capacity = seconds * VALUES_BASE < VALUES_MAX ? seconds * VALUES_BASE : VALUES_MAX;
        *state = (struct compat_hot_state){
            .next = metric->states, .rule = rule->digest, .param_idx = index, .values.capacity = (uint32_t)capacity};
        metric->states = state;
    }
    if (!threads_of(metric, index)) {
        struct compat_threads *threads = compat_take(arena, sizeof *threads);
        if (!threads)
            return NULL;
        *threads = (struct compat_threads){
            .next = metric->threads, .param_idx = index, .values.capacity = THREAD_VALUES};
        metric->threads = threads;
    }
    return state;
}

void compat_metric_free(struct compat *compat, struct compat_resource *resource) {
    struct compat_metric *metric = resource->metric;
    if (!metric)
        return;
    for (struct compat_hot_state *state = metric->states, *next; state; state = next) {
        next = state->next;
        compat_values_clear(&compat->arena, &state->values);
        compat_give(&compat->arena, state, sizeof *state);
    }
    for (struct compat_threads *threads = metric->threads, *next; threads; threads = next) {
        next = threads->next;
        compat_values_clear(&compat->arena, &threads->values);
        compat_give(&compat->arena, threads, sizeof *threads);
    }
    compat_give(&compat->arena, metric, sizeof *metric);
    resource->metric = NULL;
}

/* A rule that is gone takes its values along, and the concurrency of its index, also if other rules use it (sic). */
void compat_metric_forget(struct compat *compat, struct compat_resource *resource, struct compat_digest rule,
                          int32_t index) {
    struct compat_metric *metric = resource->metric;
    if (!metric)
        return;
    for (struct compat_hot_state **at = &metric->states; *at; at = &(*at)->next)
        if (compat_digest_equal((*at)->rule, rule) && (*at)->param_idx == index) {
            struct compat_hot_state *state = *at;
            *at = state->next;
            compat_values_clear(&compat->arena, &state->values);
            compat_give(&compat->arena, state, sizeof *state);
            break;
        }
    for (struct compat_threads **at = &metric->threads; *at; at = &(*at)->next)
        if ((*at)->param_idx == index) {
            struct compat_threads *threads = *at;
            *at = threads->next;
            compat_values_clear(&compat->arena, &threads->values);
            compat_give(&compat->arena, threads, sizeof *threads);
            break;
        }
}

/* ------------------------------------------------------------------------------------------------ the checks */

enum answer { PASS, BLOCK, STUMBLE /* Sentinel throws and catches: the rest of the argument is not looked at */ };

static int64_t limit_of(const struct compat_hot *hot, const struct compat_arg_value *value) {
    uint32_t low = 0, high = value->null ? 0 : hot->items_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct compat_key *key = &hot->items[middle].value;
        if (compat_key_equal(*key, value->key))
            return hot->items[middle].count;
        if (key->a < value->key.a || (key->a == value->key.a && key->b < value->key.b))
            low = middle + 1;
        else
            high = middle;
    }
    return hot->limit;
}

static enum answer check_bucket(struct compat_call *call, const struct compat_hot *hot, struct compat_hot_state *state,
                                const struct compat_arg_value *value) {
    int64_t limit = limit_of(hot, value), acquire = (int32_t)call->request->acquire;
    int64_t most = java_add(limit, hot->burst);
    if (limit == 0 || acquire > most)
        return BLOCK;
    if (value->null)
        return STUMBLE;
    bool new;
    struct compat_value *entry = compat_values_get(&call->compat->arena, &state->values, value->key, &new);
    if (!entry)
        return PASS;
    if (new) {
        entry->time_ms = call->at->ms;
        entry->amount = java_subtract(most, acquire);
        return PASS;
    }
    int64_t interval_ms = hot->duration_s * 1000, elapsed_ms = call->at->ms - entry->time_ms;
    bool refill = elapsed_ms > interval_ms;
    int64_t rest = java_subtract(entry->amount, acquire);
    if (refill) {
        int64_t full = java_add(java_multiply(elapsed_ms, limit) / interval_ms, entry->amount);
        rest = java_subtract(full > most ? most : full, acquire);
    }
    if (rest < 0)
        return BLOCK;
    entry->amount = rest;
    if (refill)
        entry->time_ms = call->at->ms;
    return PASS;
}

static enum answer check_queue(struct compat_call *call, const struct compat_hot *hot, struct compat_hot_state *state,
                               const struct compat_arg_value *value, int64_t *wait_ms) {
    int64_t limit = limit_of(hot, value);
    if (limit == 0)
        return BLOCK;
    if (value->null)
        return STUMBLE;
    int64_t cost = java_round(1.0 * 1000 * (int32_t)call->request->acquire * (double)hot->duration_s / (double)limit);
    bool new;
    struct compat_value *entry = compat_values_get(&call->compat->arena, &state->values, value->key, &new);
    if (!entry)
        return PASS;
    if (new) {
        entry->time_ms = call->at->ms;
        return PASS;
    }
    int64_t expected = java_add(entry->time_ms, cost), wait = java_subtract(expected, call->at->ms);
    if (expected > call->at->ms && wait >= hot->max_queue_ms)
        return BLOCK;
    entry->time_ms = wait > 0 ? expected : call->at->ms;
    if (wait > 0)
        *wait_ms += wait;
    return PASS;
}

static enum answer check_threads(struct compat_call *call, const struct compat_hot *hot, int32_t index,
                                 const struct compat_arg_value *value) {
    struct compat_threads *threads = threads_of(call->resource->metric, index);
    if (value->null)
        return STUMBLE;
    struct compat_value *entry = compat_values_find(&threads->values, value->key);
    int64_t count = entry ? (int32_t)entry->amount : 0;
    call->result->counted = (double)count;
    return count + 1 <= limit_of(hot, value) ? PASS : BLOCK;
}

static enum answer check_value(struct compat_call *call, struct compat_rule *rule, struct compat_hot_state *state,
                               const struct compat_arg_value *value, int64_t *wait_ms) {
    call->value_limit = (double)limit_of(&rule->hot, value);
    if (rule->grade == GRADE_THREAD)
        return check_threads(call, &rule->hot, state->param_idx, value);
    if (rule->behavior == BEHAVIOR_QUEUE)
        return check_queue(call, &rule->hot, state, value, wait_ms);
    return check_bucket(call, &rule->hot, state, value);
}

/* A negative index is resolved by the first call that comes, permanently (ParamFlowSlot.applyRealParamIdx). */
static void resolve_index(struct compat_hot *hot, int32_t args) {
    if (hot->param_idx < 0)
        hot->param_idx = -(int64_t)hot->param_idx <= args ? args + hot->param_idx : java_add_int(0, -hot->param_idx);
}

/* --------------------------------------------------------- weir's extension: values that the request itself brings */

static bool matches(const struct compat_source *source, const struct engine_value *value) {
    const struct compat_text *pattern = &source->pattern;
    if (!pattern->length)
        return true;
    switch (source->param.match) {
    case PARAM_PREFIX: return value->length >= pattern->length && !memcmp(value->text, pattern->bytes, pattern->length);
    case PARAM_CONTAINS: return memmem(value->text, value->length, pattern->bytes, pattern->length) != NULL;
    case PARAM_REGEX: /* one that takes too long to judge counts: to be long is no way around a limit */
        return source->code && !compat_pattern_misses(source->code, value->text, value->length);
    default: return compat_text_is(*pattern, value->text, value->length);
    }
}

/* The source's value; where it says several, the pick'th of `ret_count`.  False: it says none. */
static bool source_value(const struct compat_call *call, const struct compat_source *source, uint32_t *pick,
                         struct engine_value *ret_value, uint32_t *ret_count) {
    const struct engine_request *request = call->request;
    *ret_value = (struct engine_value){0};
    *ret_count = 1;
    if (!request->param || !request->param(request->param_context, &source->param, source->field.bytes, ret_value))
        return false;
    if (ret_value->type == VALUE_LIST && ret_value->count) {
        *ret_count = (uint32_t)ret_value->count;
        *ret_value = ret_value->elements[*pick % *ret_count];
        *pick /= *ret_count;
    }
    return ret_value->type != VALUE_NONE && ret_value->text;
}

enum joint { JOINT_NONE, JOINT_PASSED_OVER, JOINT_COUNTS };

/* Several sources make one joint value.  JOINT_PASSED_OVER: it does not match the patterns. */
static enum joint joint_value(const struct compat_call *call, const struct compat_rule *rule, uint32_t pick,
                              struct compat_arg_value *ret_value, uint64_t *ret_combinations) {
    enum joint joint = JOINT_COUNTS;
    *ret_value = (struct compat_arg_value){.index = SOURCE_INDEX | (int32_t)(rule->digest.a & (SOURCE_INDEX - 1))};
    *ret_combinations = 1;
    for (uint32_t i = 0; i < rule->hot.sources_count; i++) {
        struct engine_value value;
        uint32_t count;
        if (!source_value(call, &rule->hot.sources[i], &pick, &value, &count))
            return JOINT_NONE;
        if (!matches(&rule->hot.sources[i], &value))
            joint = JOINT_PASSED_OVER;
        *ret_combinations *= count;
        struct compat_key key = compat_value_key(call->compat->seed, &value);
        ret_value->key = i == 0 ? key
                                : (struct compat_key){hash_mix(ret_value->key.a ^ key.a, 0xa0761d6478bd642full) | 1,
                                                      hash_mix(ret_value->key.b ^ key.b, 0xe7037ed1a0b428dbull)};
    }
    return joint;
}

/* Its place among what the call counts as in flight; one that stands there already counts once.  False: no room. */
static bool note_value(struct compat_call *call, const struct compat_arg_value *value) {
    struct compat_args *args = call->args;
    for (uint32_t i = 0; args && i < args->values; i++)
        if (args->value[i].index == value->index && compat_key_equal(args->value[i].key, value->key))
            return true;
    if (!args || args->values >= args->room)
        return false;
    args->value[args->values++] = *value;
    return true;
}

static bool check_joint(struct compat_call *call, struct compat_rule *rule, const struct compat_arg_value *value,
                        int64_t *wait_ms) {
    struct compat_hot_state *state = state_begin(call, rule, value->index);
    if (!state) {
        compat_note_undecided(call->compat);
        return true;
    }
    if (check_value(call, rule, state, value, wait_ms) == BLOCK)
        return false;
    return rule->grade != GRADE_THREAD || note_value(call, value);
}

/* What was rejected is shown as in weir's own mode: secrets in part. */
static void say_value(const struct compat_call *call, const struct compat_rule *rule, uint32_t pick) {
    const struct rule *of = compat_rule_at(call->compat, rule->ruleset_index);
    uint8_t secrets = of ? param_secrets(compat_ruleset(call->compat), of) : UINT8_MAX;
    for (uint32_t i = 0; i < rule->hot.sources_count; i++) {
        struct engine_value value;
        uint32_t count;
        if (source_value(call, &rule->hot.sources[i], &pick, &value, &count))
            result_value_add(call->result, value.text, value.length,
                             secrets >> (i & 7) & 1 ? PARAM_SECRET_SHOWN : SIZE_MAX);
    }
}

/* Where a source says several values each is counted, and of several such sources each combination.  What makes more of
 * them than can be counted is rejected. */
static bool check_sources(struct compat_call *call, struct compat_rule *rule, int64_t *wait_ms) {
    uint64_t combinations = 1;
    for (uint32_t k = 0; k < combinations; k++) {
        struct compat_arg_value value;
        enum joint joint = joint_value(call, rule, k, &value, &combinations);
        if (combinations > COMBINATIONS && joint != JOINT_NONE)
            return false;
        if (joint == JOINT_NONE)
            return true;
        if (joint == JOINT_COUNTS && !check_joint(call, rule, &value, wait_ms)) {
            say_value(call, rule, k);
            return false;
        }
    }
    return true;
}

/* A gateway rule without a parameter counts all requests as one value. */
static bool check_constant(struct compat_call *call, struct compat_rule *rule, int64_t *wait_ms) {
    struct compat_arg_value value = {.index = SOURCE_INDEX | (int32_t)(rule->digest.a & (SOURCE_INDEX - 1)),
                                     .key = {1, 1}};
    return check_joint(call, rule, &value, wait_ms);
}

/* ----------------------------------------------------------------------------------------------------- a rule's check
 */

static bool check_args(struct compat_call *call, struct compat_rule *rule, int64_t *wait_ms) {
    const struct compat_args *args = call->args;
    if (!args)
        return true;
    resolve_index(&rule->hot, args->args);
    struct compat_hot_state *state = state_begin(call, rule, rule->hot.param_idx);
    if (!state)
        compat_note_undecided(call->compat);
    if (!state || rule->hot.param_idx >= args->args ||
        (rule->cluster && rule->grade == GRADE_QPS && !rule->fallback_local))
        return true;
    for (uint32_t i = 0; i < args->values; i++) {
        if (args->value[i].index != rule->hot.param_idx)
            continue;
        enum answer answer = check_value(call, rule, state, &args->value[i], wait_ms);
        if (answer != PASS)
            return answer == STUMBLE;
    }
    return true;
}

bool compat_hot_check(struct compat_call *call, struct compat_rule *rule) {
    int64_t wait_ms = 0;
    bool pass = rule->hot.sources_count ? check_sources(call, rule, &wait_ms)
                : rule->hot.constant    ? check_constant(call, rule, &wait_ms)
                                        : check_args(call, rule, &wait_ms);
    if (rule->mode != MODE_SIMULATE)
        call->result->wait_ns += (uint64_t)wait_ms * 1000000;
    return pass;
}

/* --------------------------------------------------------------------------------- concurrency, in and out */

/* One more, or one less, of each argument's value in flight; up to the first null, where Sentinel stumbles. */
static void count_values(struct compat *compat, struct compat_resource *resource, const struct compat_args *args,
                         int step) {
    if (!resource->metric || !args)
        return;
    for (uint32_t i = 0; i < args->values; i++) {
        struct compat_threads *threads = threads_of(resource->metric, args->value[i].index);
        bool new;
        if (!threads)
            continue;
        if (args->value[i].null)
            return;
        struct compat_value *entry = compat_values_get(&compat->arena, &threads->values, args->value[i].key, &new);
        if (!entry || (new &&step < 0)) /* it made room for others meanwhile */
            continue;
        entry->amount += step;
        if (entry->amount <= 0)
            compat_values_remove(&compat->arena, &threads->values, entry);
    }
}

void compat_hot_enter(struct compat *compat, struct compat_resource *resource, const struct compat_args *args) {
    count_values(compat, resource, args, 1);
}

void compat_hot_exit(struct compat *compat, struct compat_resource *resource, const struct compat_args *args) {
    count_values(compat, resource, args, -1);
}
