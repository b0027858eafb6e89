#include "rules/engine/sentinel/compat_arena.h"

#include <string.h>

enum { UNIT = 16 };

void compat_arena_init(struct compat_arena *arena, uint32_t limit, uint32_t dirty) {
    memset(arena->free, 0, sizeof arena->free);
    arena->limit = limit;
    arena->used = UNIT;
    arena->dirty = dirty;
}

uint32_t compat_place(const struct compat_arena *arena, const void *block) {
    uint32_t at;
    return block && chunks_offset(&arena->chunks, block, &at) ? at / UNIT : 0;
}

void *compat_at(const struct compat_arena *arena, uint32_t place) {
    return place ? chunks_at(&arena->chunks, place * UNIT) : NULL;
}

static unsigned class_of(size_t size) {
    return size <= 16 ? 0 : (unsigned)(60 - __builtin_clzll((unsigned long long)size - 1));
}

/* The stretch is used up: a larger free block is halved until it fits. */
static void split(struct compat_arena *arena, unsigned class) {
    unsigned from = class + 1;
    while (from < COMPAT_CLASSES && !arena->free[from])
        from++;
    if (from == COMPAT_CLASSES)
        return;
    char *block = arena->free[from];
    arena->free[from] = *(void **)block;
    while (from-- > class) {
        void **half = (void **)(block + ((size_t)16 << from));
        *half = arena->free[from];
        arena->free[from] = half;
    }
    *(void **)block = arena->free[class];
    arena->free[class] = block;
}

/* A stretch that was never a block; NULL: used up. */
static void *cut(struct compat_arena *arena, uint32_t bytes) {
    uint32_t at;
    if (!chunks_place(&arena->chunks, arena->used, bytes, arena->limit, &at))
        return NULL;
    void *block = chunks_at(&arena->chunks, at);
    uint32_t dirty = arena->dirty > at ? arena->dirty - at : 0;
    memset(block, 0, dirty < bytes ? dirty : bytes);
    arena->used = at + bytes;
    if (arena->dirty < arena->used)
        arena->dirty = arena->used;
    return block;
}

void *compat_take(struct compat_arena *arena, size_t size) {
    unsigned class = class_of(size);
    if (class >= COMPAT_CLASSES - 1)
        return NULL;
    uint32_t bytes = (uint32_t)UNIT << class;
    void **block = arena->free[class] ? NULL : cut(arena, bytes);
    if (block)
        return block;
    if (!arena->free[class])
        split(arena, class);
    block = arena->free[class];
    if (!block)
        return NULL;
    arena->free[class] = *block;
    return memset(block, 0, bytes);
}

void compat_give(struct compat_arena *arena, void *block, size_t size) {
    if (!block)
        return;
    unsigned class = class_of(size);
    *(void **)block = arena->free[class];
    arena->free[class] = block;
}

/* The lowest bit of a hash is always set. */
static struct compat_item **slot_of(const struct compat_map *map, uint64_t hash) {
    return &map->slots[hash >> 8 & (map->size - 1)];
}

void *compat_map_find(const struct compat_map *map, uint64_t hash, const char *name, size_t length) {
    if (!map->size)
        return NULL;
    struct compat_item *item = *slot_of(map, hash);
    for (; item; item = item->next)
        if (item->hash == hash && item->length == length && !memcmp(item->name, name, length))
            break;
    return item;
}

static bool map_grow(struct compat_arena *arena, struct compat_map *map) {
    uint32_t size = map->size ? map->size * 2 : 8;
    struct compat_map larger = {.slots = compat_take(arena, size * sizeof *larger.slots), .size = size};
    if (!larger.slots)
        return map->size != 0; /* longer chains, then */
    for (uint32_t i = 0; i < map->size; i++)
        for (struct compat_item *item = map->slots[i], *next; item; item = next) {
            next = item->next;
            item->next = *slot_of(&larger, item->hash);
            *slot_of(&larger, item->hash) = item;
        }
    compat_give(arena, map->slots, map->size * sizeof *map->slots);
    map->slots = larger.slots;
    map->size = size;
    return true;
}

bool compat_map_add(struct compat_arena *arena, struct compat_map *map, struct compat_item *item, const char *name,
                    size_t length) {
    if (map->count >= map->size && !map_grow(arena, map))
        return false;
    char *copy = compat_take(arena, length + 1);
    if (!copy)
        return false;
    memcpy(copy, name, length);
    item->name = copy;
    item->length = length;
    struct compat_item **slot = slot_of(map, item->hash);
    item->next = *slot;
    *slot = item;
    map->count++;
    return true;
}

void compat_map_clear(struct compat_arena *arena, struct compat_map *map) {
    compat_give(arena, map->slots, map->size * sizeof *map->slots);
    memset(map, 0, sizeof *map);
}

void compat_item_give_name(struct compat_arena *arena, struct compat_item *item) {
    if (item->name)
        compat_give(arena, (void *)(uintptr_t)item->name, item->length + 1);
    item->name = NULL;
}
