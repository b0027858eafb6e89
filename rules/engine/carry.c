#include "rules/engine/carry.h"

#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/engine/limiters/hot_carry.h"
#include "rules/engine/limiters/limiters.h"
#include "rules/engine/limiters/queue.h"
#include "rules/hash.h"

struct record { /* then the name, and the limiter, each filled up to 8 bytes */
    uint64_t rule, interval_ns;
    uint32_t kind;   /* LIMITER_WINDOW, LIMITER_PARAM */
    uint32_t common; /* one that resources share: its number + 1; 0: of the resource of that name */
    uint32_t name_length, bytes;
};
_Static_assert(sizeof(struct record) == 32, "record");

static size_t filled(size_t bytes) {
    return (bytes + 7) / 8 * 8;
}

/* ---------------------------------------------------------------------------------------------------------- to save */

struct saving {
    struct counters *counters;
    struct state_space space;
    const void *ruleset;
    const struct rule *rule;
    struct hot_shape shape;
    uint64_t now_ns, interval_ns;
    char *to;
    size_t at, size;
    bool whole;
};

static uint64_t interval_of(const struct rule *rule, enum limiter_kind kind) {
    if (kind == LIMITER_PARAM)
        return slide_of(rule->count, rule->interval_ns, rule->cost_kind == COST_ONE).interval_ns;
    return rule->count < 1 ? queue_unit_ns(rule->count, rule->interval_ns) : rule->interval_ns;
}

static bool is_kept(const struct rule *rule) {
    enum limiter_kind kind = limiter_of(rule);
    return rule->scope == SCOPE_APP && rule->origin_kind == ORIGIN_DEFAULT && rule->kind < RULE_SYSTEM &&
           rule->grade == GRADE_QPS && rule->count > 0 && rule->behavior != BEHAVIOR_QUEUE &&
           (kind == LIMITER_WINDOW || kind == LIMITER_PARAM) && interval_of(rule, kind) >= CARRY_INTERVAL_NS;
}

/* The bucket, and what was taken so many ticks ago. */
static size_t save_window(const struct saving *saving, const struct window *window, uint64_t *to, size_t room) {
    struct window_clock clock;
    size_t at = 1;
    if (room < WINDOW_SLOTS + 1)
        return 0;
    window_clock_init(&clock, saving->interval_ns, WINDOW_TICKS);
    uint32_t now = window_tick(&clock, saving->now_ns);
    for (unsigned i = 0; i < WINDOW_SLOTS; i++) {
        uint64_t slot = load_total(&window->slots[i]);
        uint32_t age = now - high_of(slot);
        age = (int32_t)age < 0 && (int32_t)age > -3 ? 0 : age; /* a clock that was read a little earlier */
        if (age <= WINDOW_TICKS && low_of(slot))
            to[at++] = pack(age, low_of(slot));
    }
    to[0] = load_relaxed(&window->turn);
    return at == 1 ? 0 : at * sizeof(uint64_t);
}

static void save_state(struct saving *saving, enum limiter_kind kind, uint32_t resource, const char *name,
                       size_t length) {
    uint64_t key = limiter_state_key(saving->counters->header->hash_seed, saving->rule->id_hash, resource, kind,
                                     kind == LIMITER_PARAM ? hot_mark(&saving->shape) : 0);
    size_t least = kind == LIMITER_PARAM ? hot_bytes(&saving->shape) : sizeof(struct window);
    const struct limiter_state *state = state_find(&saving->space, key, kind, least);
    size_t head = sizeof(struct record) + filled(length), bytes;
    bool room = true;
    if (!state)
        return;
    if (saving->size - saving->at < head + (WINDOW_SLOTS + 1) * sizeof(uint64_t)) {
        saving->whole = false;
        return;
    }
    char *to = saving->to + saving->at;
    size_t left = saving->size - saving->at - head;
    if (kind == LIMITER_PARAM)
        bytes = hot_save(state, &saving->shape, to + head, left, &room);
    else
        bytes = save_window(saving, (const struct window *)state, (uint64_t *)(void *)(to + head),
                            left / sizeof(uint64_t));
    saving->whole = saving->whole && room;
    if (!bytes)
        return;
    struct record record = {.rule = saving->rule->id_hash,
                            .interval_ns = saving->interval_ns,
                            .kind = kind,
                            .common = length ? 0 : resource - COMMON_FIRST + 1,
                            .name_length = (uint32_t)length,
                            .bytes = (uint32_t)bytes};
    memset(to, 0, head);
    memcpy(to, &record, sizeof(record));
    memcpy(to + sizeof(record), name, length);
    saving->at += head + bytes;
}

static void save_rule(struct saving *saving) {
    const char *resource = ruleset_text(saving->ruleset, saving->rule->resource);
    bool exact = saving->rule->match == MATCH_EXACT && strcmp(resource, "*") != 0;
    enum limiter_kind kind = limiter_of(saving->rule);
    uint32_t used = load_acquire(&saving->counters->header->resources_used);
    uint32_t reach = counters_mapped(saving->counters, LAYOUT_NAMES);
    saving->interval_ns = interval_of(saving->rule, kind);
    saving->shape = hot_shape_of(saving->rule);
    for (uint32_t i = 0; i < used && i < reach; i++) {
        const struct layout_resource *entry = counters_at(saving->counters, LAYOUT_NAMES, i);
        size_t length = load_relaxed(&entry->length);
        if (length && length < LAYOUT_RESOURCE_NAME_MAX &&
            (!exact || (strlen(resource) == length && memcmp(resource, entry->name, length) == 0)))
            save_state(saving, kind, i, entry->name, length);
    }
    saving->shape = hot_shape_common(saving->rule);
    for (uint32_t i = 0; i < COMMONS; i++)
        save_state(saving, kind, COMMON_FIRST + i, "", 0);
}

size_t carry_save(struct counters *counters, const void *ruleset, uint64_t now_ns, void *buffer, size_t size,
                  bool *ret_whole) {
    struct saving saving = {.counters = counters,
                            .space = state_space_shared(counters),
                            .ruleset = ruleset,
                            .now_ns = now_ns,
                            .to = buffer,
                            .size = size,
                            .whole = true};
    for (uint32_t i = 0; i < ruleset_head(ruleset)->rules_count; i++) {
        saving.rule = &ruleset_rules(ruleset)[i];
        if (is_kept(saving.rule))
            save_rule(&saving);
    }
    *ret_whole = saving.whole;
    return saving.at;
}

/* ------------------------------------------------------------------------------------------------------- to restore */

/* The entry of that name, made if there is none; UINT32_MAX: no room. */
static uint32_t entry_of(struct counters *counters, const char *name, size_t length) {
    struct layout_counters_header *header = counters->header;
    uint64_t hash = hash_bytes(header->hash_seed, name, length);
    uint32_t mask = counters->part[LAYOUT_NAME_INDEX].count - 1, used = header->resources_used;
    for (uint32_t i = 0; i <= mask; i++) {
        uint32_t *slot = counters_at(counters, LAYOUT_NAME_INDEX, (uint32_t)(hash + i) & mask);
        if (*slot && *slot <= used) {
            const struct layout_resource *entry = counters_at(counters, LAYOUT_NAMES, *slot - 1);
            if (entry->hash == hash && entry->length == length && memcmp(entry->name, name, length) == 0)
                return *slot - 1;
        }
        if (*slot)
            continue;
        if (used >= counters_mapped(counters, LAYOUT_NAMES) || used >= counters_mapped(counters, LAYOUT_STATISTICS))
            return UINT32_MAX;
        struct layout_resource *entry = counters_at(counters, LAYOUT_NAMES, used);
        *entry = (struct layout_resource){.hash = hash, .length = (uint32_t)length, .side = SIDE_INBOUND};
        memcpy(entry->name, name, length);
        store_release(slot, used + 1);
        store_release(&header->resources_used, used + 1);
        return used;
    }
    return UINT32_MAX;
}

static bool restore_window(struct window *window, const uint64_t *words, size_t count, uint64_t interval_ns,
                           const struct carry_clock *at) {
    struct window_clock clock;
    uint64_t sum = 0, then = at->saved_ns + at->elapsed_ns;
    window_clock_init(&clock, interval_ns, WINDOW_TICKS);
    uint32_t now = window_tick(&clock, at->now_ns);
    if (!count || count > WINDOW_SLOTS + 1)
        return false;
    for (size_t i = 1; i < count; i++) {
        uint64_t age = high_of(words[i]) + at->elapsed_ns / clock.tick_ns;
        if (high_of(words[i]) > WINDOW_TICKS)
            return false;
        if (age > WINDOW_TICKS)
            continue;
        uint32_t tick = now - (uint32_t)age;
        window->slots[tick % WINDOW_SLOTS] = pack(tick, low_of(words[i]));
        sum += low_of(words[i]);
    }
    window->head = pack(now, sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX);
    window->turn = words[0] > then && words[0] - then < UINT64_MAX / 4 ? at->now_ns + (words[0] - then) : 0;
    return true;
}

/* 1: restored, 0: no room, -1: nonsense. */
static int restore_one(struct counters *counters, const struct record *record, const char *name, const void *bytes,
                       const struct carry_clock *clock, bool (*grow)(void *), void *context) {
    struct state_space space = state_space_shared(counters);
    struct hot_shape shape = {0};
    bool param = record->kind == LIMITER_PARAM;
    if ((!param && record->kind != LIMITER_WINDOW) || record->interval_ns < CARRY_INTERVAL_NS ||
        record->interval_ns > UINT64_MAX / 4 || record->common > COMMONS || !record->common == !record->name_length ||
        (param && !hot_saved_shape(bytes, record->bytes, &shape)))
        return -1;
    uint32_t resource = record->common ? COMMON_FIRST + record->common - 1
                                       : entry_of(counters, name, record->name_length);
    if (resource == UINT32_MAX)
        return 0;
    enum limiter_kind kind = (enum limiter_kind)record->kind;
    size_t size = param ? hot_bytes(&shape) : sizeof(struct window);
    uint64_t key = limiter_state_key(counters->header->hash_seed, record->rule, resource, kind,
                                     param ? hot_mark(&shape) : 0);
    enum state_purpose purpose = record->common ? STATE_OF_SEVERAL : STATE_OF_ONE;
    if (state_find(&space, key, kind, size))
        return -1; /* twice */
    struct limiter_state *state;
    while (!(state = state_make(&space, purpose, key, record->rule, kind, size, 0)))
        if (!grow(context))
            return 0;
    bool good = param ? hot_restore(state, &shape, bytes, record->bytes, record->interval_ns, clock)
                      : restore_window((struct window *)state, bytes, record->bytes / sizeof(uint64_t),
                                       record->interval_ns, clock);
    return good ? 1 : -1;
}

int carry_restore(struct counters *counters, const void *bytes, size_t size, const struct carry_clock *clock,
                  bool (*grow)(void *context), void *context) {
    const char *from = bytes;
    int restored = 0;
    for (size_t at = 0; at < size;) {
        struct record record;
        if (size - at < sizeof(record))
            return -1;
        memcpy(&record, from + at, sizeof(record));
        at += sizeof(record);
        if (record.name_length >= LAYOUT_RESOURCE_NAME_MAX || filled(record.name_length) > size - at)
            return -1;
        const char *name = from + at;
        at += filled(record.name_length);
        if (record.bytes % 8 || record.bytes > size - at)
            return -1;
        int result = restore_one(counters, &record, name, from + at, clock, grow, context);
        if (result < 0)
            return -1;
        restored += result;
        at += record.bytes;
    }
    return restored;
}
