/* Names to numbers: the table of resources, shared by all processes of the app.  Entries are never freed; beyond the
 * budget everything counts under ENGINE_OTHER. */
#include <string.h>

#include "rules/engine/engine_private.h"
#include "rules/hash.h"

enum {
    BUDGET_DEFAULT = 6000,
    HASH_TEXT = 17,   /* "~" and 16 hexadecimal digits */
    GROUPS_KEPT = 64, /* entries that are left to names which several share */
};

/* Entries that may be used, and have counters. */
static uint32_t entries(struct engine *engine) {
    uint32_t names = counters_reach(&engine->map, LAYOUT_NAMES);
    uint32_t counters = counters_reach(&engine->map, LAYOUT_STATISTICS);
    return names < counters ? names : counters;
}

static uint32_t entries_most(const struct engine *engine) {
    return engine->map.part[LAYOUT_NAMES].count;
}

/* Of a name that is longer than the layout allows. */
static const char *shorten(const struct engine *engine, const char *name, size_t *length,
                           char room[LAYOUT_RESOURCE_NAME_MAX]) {
    size_t kept = LAYOUT_RESOURCE_NAME_MAX - 1 - HASH_TEXT;
    uint64_t hash = hash_bytes(engine->counters->hash_seed, name, *length);
    memcpy(room, name, kept);
    room[kept] = '~';
    for (unsigned i = 0; i < 16; i++)
        room[kept + 1 + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    *length = LAYOUT_RESOURCE_NAME_MAX - 1;
    return room;
}

/* The entry of that name, or UINT32_MAX with the empty slot where it would go (NULL: the index is full). */
static uint32_t find(struct engine *engine, uint64_t hash, const char *name, size_t length, uint32_t **ret_slot) {
    uint32_t mask = engine->map.part[LAYOUT_NAME_INDEX].count - 1,
             usable = load_acquire(&engine->map.part[LAYOUT_STATISTICS].mapped);
    for (uint32_t i = 0; i <= mask; i++) {
        uint32_t *slot = engine_record_at(engine, LAYOUT_NAME_INDEX, (hash + i) & mask), entry = load_acquire(slot);
        *ret_slot = slot;
        if (entry == 0)
            return UINT32_MAX;
        if (__builtin_expect(entry > usable || entry > load_acquire(&engine->map.part[LAYOUT_NAMES].mapped), 0)) {
            usable = entries(engine); /* more may have been allocated */
            if (entry > usable)
                continue; /* nonsense: not ours to repair */
        }
        const struct layout_resource *resource = engine_entry(engine, entry - 1);
        if (resource->hash == hash && resource->length == length && memcmp(resource->name, name, length) == 0)
            return entry - 1;
    }
    *ret_slot = NULL;
    return UINT32_MAX;
}

bool resource_known(struct engine *engine, const char *name) {
    char room[LAYOUT_RESOURCE_NAME_MAX];
    size_t length = strlen(name);
    uint32_t *slot;
    if (length >= LAYOUT_RESOURCE_NAME_MAX)
        name = shorten(engine, name, &length, room);
    return find(engine, hash_bytes(engine->counters->hash_seed, name, length), name, length, &slot) != UINT32_MAX;
}

static uint32_t budget(const struct compiled *compiled) {
    uint32_t budget = compiled ? ruleset_head(compiled->ruleset)->options.max_resources : 0;
    return budget && budget < LAYOUT_RESOURCES ? budget + 1 : BUDGET_DEFAULT + 1; /* entry 0 does not count */
}

struct room {
    uint32_t all, limit; /* entries there are; and how far the table may be filled with a new name */
    bool grows;          /* not the budget is used up, only what the agent has allocated so far */
};

/* Names that come with the traffic leave room for those that the rules speak of, or a client that asks for enough
 * nonsense would be rid of the rules; and while the agent has not allocated all of it yet, for those that patterns
 * apply to. */
static struct room room_for(struct engine *engine, const char *name, size_t length, uint32_t used) {
    uint32_t all = entries(engine), token = engine_read_begin(engine);
    struct compiled *compiled = token < sizeof(engine->compiled) / sizeof(engine->compiled[0])
                                    ? &engine->compiled[token]
                                    : NULL;
    uint32_t most = entries_most(engine), limit = budget(compiled), kept = all < most ? all / 8 : 0, whole = all;
    bool grows = all < most && used < limit;
    all = all > 2 * GROUPS_KEPT ? all - GROUPS_KEPT : all;
    if (compiled && used + compiled->names >= all) {
        uint32_t missing = compiled_missing(engine, compiled, used);
        kept = missing < kept ? kept : missing < all ? missing : all;
    }
    if (limit > all - kept)
        limit = all - kept;
    if (compiled && used >= limit && used < all) {
        char text[LAYOUT_RESOURCE_NAME_MAX];
        memcpy(text, name, length);
        text[length] = '\0';
        limit = compiled_speaks_of(engine, compiled, text, length) ? all : limit;
    }
    engine_read_end(engine, token);
    return (struct room){whole, limit, grows};
}

static void note_refused(struct engine *engine, const struct room *room) {
    uint32_t refused = add_relaxed(&engine->counters->resources_refused, 1u);
    if (!room->grows && (refused & (refused - 1)) == 0 && (refused == 0 || refused >= 1024))
        metrics_event(engine, load_relaxed(&engine->seen_ns), EVENT_BUDGET, NULL, NULL, ENGINE_OTHER, 0, 0,
                      refused + 1);
}

/* An entry that the index does not lead to, because another thread was first: the last one is given back; one that
 * others came behind stays without a name, which is not shown. */
static void give_back(struct engine *engine, uint32_t entry) {
    struct layout_resource *resource = engine_entry(engine, entry);
    uint32_t used = entry + 1;
    resource->length = 0;
    store_relaxed(&resource->name[0], '\0');
    atomic_take32(&engine->counters->resources_used, &used, entry);
}

/* The entry of a name that is not there yet, in the slot of the index that find() gave; UINT32_MAX: no room. */
static uint32_t add(struct engine *engine, uint64_t hash, const char *name, size_t length, uint8_t side, uint32_t *slot,
                    uint32_t limit) {
    uint32_t used = load_relaxed(&engine->counters->resources_used), entry;
    do
        if (!slot || used == 0 || used >= limit)
            return UINT32_MAX;
    while (!atomic_take32(&engine->counters->resources_used, &used, used + 1));
    struct layout_resource *resource = engine_entry(engine, used);
    resource->hash = hash;
    resource->length = (uint32_t)length;
    resource->side = side;
    memcpy(resource->name, name, length);
    resource->name[length] = '\0';
    for (;;) {
        uint32_t empty = 0;
        if (atomic_take32(slot, &empty, used + 1))
            return used;
        entry = find(engine, hash, name, length, &slot); /* another made it, or another took the slot */
        if (entry != UINT32_MAX || !slot) {
            give_back(engine, used);
            return slot ? entry : UINT32_MAX;
        }
    }
}

static uint32_t find_or_add(struct engine *engine, const char *name, size_t length, uint8_t side, uint32_t limit) {
    uint64_t hash = hash_bytes(engine->counters->hash_seed, name, length);
    uint32_t *slot, entry = find(engine, hash, name, length, &slot);
    return entry != UINT32_MAX ? entry : add(engine, hash, name, length, side, slot, limit);
}

/* A name without room of its own is held to the rules that apply to it all the same: it shares an entry with the other
 * names that the same rules apply to. */
static uint32_t group_of(struct engine *engine, const char *name, size_t length, uint8_t side,
                         const struct room *room) {
    char text[LAYOUT_RESOURCE_NAME_MAX], group[LAYOUT_RESOURCE_NAME_MAX];
    uint32_t token = engine_read_begin(engine), entry = UINT32_MAX;
    size_t size = 0;
    memcpy(text, name, length);
    text[length] = '\0';
    if (token < ENGINE_NO_RULES)
        size = compiled_group_name(engine, &engine->compiled[token], text, length, group);
    engine_read_end(engine, token);
    if (size)
        entry = find_or_add(engine, group, size, side, room->all - 1);
    if (size && entry == UINT32_MAX)
        entry = find_or_add(engine, RESOURCE_GROUP_ALL, sizeof(RESOURCE_GROUP_ALL) - 1, side, room->all);
    return entry;
}

uint32_t engine_resource(struct engine *engine, const char *name, size_t length, uint8_t side) {
    char room[LAYOUT_RESOURCE_NAME_MAX];
    uint32_t *slot;
    if (__builtin_expect(length >= LAYOUT_RESOURCE_NAME_MAX, 0))
        name = shorten(engine, name, &length, room);
    uint64_t hash = hash_bytes(engine->counters->hash_seed, name, length);
    uint32_t entry = find(engine, hash, name, length, &slot);
    if (__builtin_expect(entry != UINT32_MAX, 1))
        return entry;
    struct room room_left = room_for(engine, name, length, load_relaxed(&engine->counters->resources_used));
    entry = add(engine, hash, name, length, side, slot, room_left.limit);
    if (entry != UINT32_MAX)
        return entry;
    entry = group_of(engine, name, length, side, &room_left);
    note_refused(engine, &room_left);
    return entry != UINT32_MAX ? entry : (uint32_t)ENGINE_OTHER;
}

const char *engine_resource_name(const struct engine *engine, uint32_t resource, size_t *ret_length) {
    if (resource >= counters_mapped(&engine->map, LAYOUT_NAMES))
        resource = ENGINE_OTHER;
    const struct layout_resource *entry = engine_entry(engine, resource);
    size_t length = load_relaxed(&entry->length);
    *ret_length = length < LAYOUT_RESOURCE_NAME_MAX ? length : LAYOUT_RESOURCE_NAME_MAX - 1;
    return entry->name;
}
