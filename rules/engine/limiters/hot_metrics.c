#include "rules/engine/limiters/hot_metrics.h"

#include <string.h>

#include "rules/engine/limiters/param.h"
#include "rules/hash.h"

enum { PROBES = 16 };
static const uint64_t DEAD_NS = 5000000000ull;   /* a writer that takes so long has died */
static const uint64_t STALE_NS = 60000000000ull; /* an entry that is no longer written is free to others */

/* The entry of that key, a new one where there is none; NULL: its neighbourhood is full. */
static struct layout_hot *entry_of(struct engine *engine, uint64_t key, uint64_t now_ns) {
    for (unsigned again = 0; again < 2; again++)
        for (unsigned i = 0; i < PROBES; i++) {
            struct layout_hot *entry = engine_record(engine, LAYOUT_HOT_TABLE, key + i);
            uint64_t old = load_acquire(&entry->key), written = load_relaxed(&entry->written_ns);
            if (old == key)
                return entry;
            bool stale = !old || (now_ns > written && now_ns - written > STALE_NS);
            if (again && stale && atomic_take(&entry->key, &old, key))
                return entry;
        }
    return NULL;
}

/* False: another is writing. */
static bool begin(struct layout_hot *entry, uint64_t now_ns, uint32_t *ret_sequence) {
    uint32_t sequence = load_acquire(&entry->sequence), next = (sequence | 1) + (sequence & 1) * 2;
    uint64_t written = load_relaxed(&entry->written_ns);
    if ((sequence & 1) && now_ns - written < DEAD_NS)
        return false;
    *ret_sequence = next;
    return atomic_take32(&entry->sequence, &sequence, next);
}

void hot_metrics_write(struct decision *decision, const struct binding *binding, uint32_t resource,
                       struct limiter_state *state, const struct hot_shape *shape) {
    struct engine *engine = decision->engine;
    struct layout_hot_value values[LAYOUT_HOT_VALUES];
    struct {
        uint64_t state;
        uint64_t slot;
    } what = {load_relaxed(&state->key), state_is_shared(state) ? UINT32_MAX : decision->slot};
    uint32_t sequence;
    if (decision->slot == UINT32_MAX ||
        counters_reach(&engine->map, LAYOUT_HOT_TABLE) < engine->map.part[LAYOUT_HOT_TABLE].count)
        return;
    uint64_t key = hash_bytes(engine->counters->hash_seed, &what, sizeof(what)) | 1;
    struct layout_hot *entry = entry_of(engine, key, decision->now_ns);
    if (!entry || !begin(entry, decision->now_ns, &sequence))
        return;
    store_relaxed(&entry->written_ns, decision->now_ns);
    entry->rule = binding->rule->id_hash;
    entry->resource = resource;
    entry->slot = (uint32_t)what.slot;
    uint64_t span_ns;
    size_t count = hot_show((struct hot *)state, shape, decision->now_ns, values, &span_ns);
    entry->span_ns = span_ns;
    entry->count = (uint32_t)count;
    memcpy(entry->values, values, count * sizeof(values[0])); /* by our own count: another process may write its */
    store_release(&entry->sequence, sequence + 1);
}
