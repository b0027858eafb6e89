/* What `weir why` will be asked about: a ring of rejections in the app's file, read by the agent.
 *
 * How many a process writes is limited (a burst, then so many a second), by a virtual schedule in one word: a flood
 * shall neither cost more than a rejection must, nor overwrite what the agent has not read yet.  Beyond that the ones
 * of a rule and resource share the last number that was written for them, and are counted there. */
#include <string.h>

#include "rules/engine/engine_private.h"
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
    to->limit = result->limit;
    to->remaining = result->remaining;
    to->interval_ns = result->interval_ns;
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
