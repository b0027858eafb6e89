/* What `weir why` will be asked about: a ring of rejections in the app's file, read by the agent.
 *
 * How many a process writes is limited (a burst, then so many a second), by a virtual schedule in one word: a flood
 * shall neither cost more than a rejection must, nor overwrite what the agent has not read yet.  Beyond that the ones
 * of a rule and resource share the last number that was written for them, and are counted there. */
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/delay.h"
#include "rules/alone.h"
#include "rules/hash.h"

enum { NUMBER_BITS = 40 };
#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)
static const uint64_t EACH_NS = 100000000, BURST_NS = 64 * UINT64_C(100000000);

static bool may_write(struct engine *engine, uint64_t now_ns) {
    uint64_t due_ns = load_relaxed(&engine->rejections_ns), next_ns;
    do {
        if (due_ns > now_ns + BURST_NS)
            return false;
        next_ns = (due_ns > now_ns ? due_ns : now_ns) + EACH_NS;
    } while (!alone_take64(&engine->rejections_ns, &due_ns, next_ns));
    return true;
}

/* ------------------------------------------------------------------------------------------------- figures of a rule
 */

void result_value_add(struct engine_result *result, const char *text, size_t length, size_t most) {
    size_t room = sizeof(result->value) - result->value_length, shown = length < most ? length : most;
    if (result->value_length && room) {
        result->value[result->value_length++] = '|';
        room--;
    }
    result->value_cut |= shown < length || shown > room;
    shown = shown < room ? shown : room;
    memcpy(result->value + result->value_length, text, shown);
    result->value_length = (uint8_t)(result->value_length + shown);
}

static enum limit_of of_flow(const struct rule *rule) {
    bool queue = rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE;
    if (rule->grade == GRADE_THREAD)
        return rule->strategy == STRATEGY_RELATE ? LIMIT_RELATED_IN_FLIGHT : LIMIT_IN_FLIGHT;
    if (queue)
        return LIMIT_QUEUE;
    if (rule->strategy == STRATEGY_RELATE)
        return LIMIT_RELATED;
    return rule->behavior == BEHAVIOR_WARM_UP ? LIMIT_WARM_UP : LIMIT_RATE;
}

static enum limit_of of_adaptive(const struct rule *rule, uint8_t detail) {
    if (rule->grade == ADAPTIVE_CPU)
        return LIMIT_ADAPTIVE_CPU;
    return detail == DELAY_IN_FLIGHT ? LIMIT_ADAPTIVE_IN_FLIGHT : LIMIT_ADAPTIVE_DELAY;
}

static enum limit_of limit_of(const struct rule *rule, uint8_t detail) {
    static const uint8_t circuits[] = {[DEGRADE_SLOW] = LIMIT_SLOW_CALLS,
                                       [DEGRADE_RATIO] = LIMIT_EXCEPTION_RATIO,
                                       [DEGRADE_COUNT] = LIMIT_EXCEPTIONS,
                                       [DEGRADE_AVG_RT] = LIMIT_AVERAGE_RT};
    static const uint8_t all[] = {[SYSTEM_QPS] = LIMIT_ALL_RATE,
                                  [SYSTEM_THREAD] = LIMIT_ALL_IN_FLIGHT,
                                  [SYSTEM_RT] = LIMIT_ALL_RT,
                                  [SYSTEM_CPU] = LIMIT_CPU,
                                  [SYSTEM_LOAD] = LIMIT_LOAD};
    switch (rule->kind) {
    case RULE_AUTHORITY: return rule->authority == AUTHORITY_WHITE ? LIMIT_WHITE_LIST : LIMIT_BLACK_LIST;
    case RULE_GATEWAY:
        if (!rule->params_count)
            return of_flow(rule);
        return rule->grade == GRADE_THREAD ? LIMIT_VALUE_IN_FLIGHT : LIMIT_VALUE_RATE;
    case RULE_PARAM: return rule->grade == GRADE_THREAD ? LIMIT_VALUE_IN_FLIGHT : LIMIT_VALUE_RATE;
    case RULE_FLOW: return of_flow(rule);
    case RULE_ISOLATION: return LIMIT_IN_FLIGHT;
    case RULE_DEGRADE: return rule->grade < sizeof(circuits) ? circuits[rule->grade] : LIMIT_UNKNOWN;
    case RULE_SYSTEM: return rule->grade < sizeof(all) ? all[rule->grade] : LIMIT_UNKNOWN;
    case RULE_ADAPTIVE: return of_adaptive(rule, detail);
    default: return LIMIT_UNKNOWN;
    }
}

/* Whole requests, whatever another process wrote where the limit is from. */
static double whole(double limit) {
    return limit >= 0 ? (double)(limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX) : 0;
}

/* Of rules that leave no figures in the result those of the rule itself, and of what the engine was given. */
static void write_figures(const struct engine *engine, const struct compiled *compiled, const struct rule *rule,
                          const struct engine_result *result, struct layout_rejection *to) {
    bool own = compiled->policy == POLICY_OWN;
    enum limit_of of = rule ? limit_of(rule, result->detail) : LIMIT_UNKNOWN;
    bool delay = of == LIMIT_ADAPTIVE_DELAY || of == LIMIT_ADAPTIVE_IN_FLIGHT;
    bool said = !own || of == LIMIT_ALL_RT || delay;
    double counted = said ? result->counted > 0 ? result->counted : -1 : result->limit - result->remaining;
    bool circuit = of >= LIMIT_SLOW_CALLS && of <= LIMIT_AVERAGE_RT;
    bool list = of == LIMIT_WHITE_LIST || of == LIMIT_BLACK_LIST;
    to->limit_of = (uint8_t)of;
    to->limit = of == LIMIT_ADAPTIVE_IN_FLIGHT ? whole(result->limit) : result->limit;
    to->remaining = result->remaining;
    to->interval_ns = delay ? 0 : result->interval_ns;
    if (of == LIMIT_CPU) /* Sentinel's is the host's */
        counted = load_double(own ? &engine->app_cpu : &engine->cpu);
    if (of == LIMIT_LOAD)
        counted = load_double(&engine->load1);
    if (of == LIMIT_ADAPTIVE_CPU)
        counted = load_double(&engine->app_cpu);
    if (of == LIMIT_CPU || of == LIMIT_LOAD || of == LIMIT_ADAPTIVE_CPU || circuit) {
        to->limit = rule->count;
        to->interval_ns = circuit ? rule->stat_interval_ns : 0;
    }
    if (circuit || list) {
        to->remaining = 0;
        counted = -1;
    }
    if (list)
        to->limit = (double)(to->interval_ns = 0);
    to->counted = counted;
}

static void write_value(const struct engine *engine, uint64_t number, const struct engine_result *result,
                        struct layout_rejection *to) {
    size_t length = result->value_length < sizeof(to->value) ? result->value_length : sizeof(to->value);
    if (engine->map.part[LAYOUT_REJECTION_RING].stride < sizeof(*to))
        return; /* the file is an older agent's */
    memcpy(to->value, result->value, length);
    to->value_length = (uint8_t)length;
    to->value_cut = result->value_cut;
    to->details_of = (uint32_t)number;
}

/* -------------------------------------------------------------------------------------------------------- the ring */

static uint64_t write_down(struct engine *engine, const struct compiled *compiled, uint64_t now_ns,
                           const struct engine_request *request, const struct engine_result *result, const char *trace,
                           size_t trace_length) {
    uint64_t number = add_relaxed(&engine->counters->rejection_next, 1u);
    struct layout_rejection *to = engine_record(engine, LAYOUT_REJECTION_RING, number);
    const struct rule *rule = result->rule < compiled->rules_count ? &compiled->rules[result->rule] : NULL;
    const char *id = rule ? ruleset_text(compiled->ruleset, rule->id) : "";
    __atomic_exchange_n(&to->sequence, 0u, __ATOMIC_ACQ_REL); /* what follows is not seen before it */
    to->time_ns = now_ns;
    to->rule = rule ? rule->id_hash : 0;
    to->generation = compiled->generation;
    write_figures(engine, compiled, rule, result, to);
    write_value(engine, number, result, to);
    to->retry_ns = result->retry_ns;
    to->resource = result->resource;
    to->pid = engine->pid;
    to->more = 0;
    to->reason = result->reason;
    to->side = request->side;
    size_t address_length = request->address_length <= sizeof(to->address) ? request->address_length : 0;
    to->address_length = (uint8_t)address_length;
    if (address_length) /* by our own count: another process may write the record's */
        memcpy(to->address, request->address, address_length);
    metrics_text(to->rule_id, sizeof(to->rule_id), id, strlen(id));
    metrics_text(to->origin, sizeof(to->origin), request->origin, request->origin_length);
    metrics_text(to->trace, sizeof(to->trace), trace, trace_length);
    store_release(&to->sequence, number + 1);
    return number;
}

uint64_t engine_rejection(struct engine *engine, uint32_t token, uint64_t now_ns, const struct engine_request *request,
                          const struct engine_result *result, const char *trace, size_t trace_length) {
    const struct compiled *compiled = &engine->compiled[token & 1];
    uint64_t what = hash_mix((uint64_t)result->resource << 32 | result->rule, compiled->generation ^ NUMBER_MASK);
    uint64_t *given = &engine->rejections_last[what / 2 % ENGINE_REJECTIONS_LAST], last = load_relaxed(given);
    uint64_t tag = what >> NUMBER_BITS | 1; /* never 0: that is a place not used yet */
    bool same = last >> NUMBER_BITS == tag;
    if (same && !may_write(engine, now_ns)) {
        struct layout_rejection *to = engine_record(engine, LAYOUT_REJECTION_RING, last & NUMBER_MASK);
        if ((load_relaxed(&to->sequence) & NUMBER_MASK) == (last & NUMBER_MASK) + 1)
            add_relaxed(&to->more, 1u);
        return last & NUMBER_MASK;
    }
    uint64_t number = write_down(engine, compiled, now_ns, request, result, trace, trace_length);
    store_relaxed(given, tag << NUMBER_BITS | (number & NUMBER_MASK));
    return number;
}

uint64_t engine_hash_seed(const struct engine *engine) {
    return engine->counters->hash_seed;
}
