#include "tools/import/hash_set.h"

#include <stdlib.h>

static size_t slot_of(const struct hash_set *set, uint64_t hash) {
    size_t at = (size_t)hash & (set->size - 1);
    while (set->slots[at] && set->slots[at] != hash)
        at = (at + 1) & (set->size - 1);
    return at;
}

/* 0 marks what is free. */
static uint64_t key_of(uint64_t hash) {
    return hash ? hash : 1;
}

bool hash_set_has(const struct hash_set *set, uint64_t hash) {
    return set->size && set->slots[slot_of(set, key_of(hash))];
}

static bool grow(struct hash_set *set) {
    struct hash_set larger = {.size = set->size ? set->size * 2 : 64, .used = set->used};
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < set->size; i++)
        if (set->slots[i])
            larger.slots[slot_of(&larger, set->slots[i])] = set->slots[i];
    free(set->slots);
    *set = larger;
    return true;
}

void hash_set_add(struct hash_set *set, uint64_t hash) {
    if (set->used * 2 >= set->size && !grow(set))
        return;
    uint64_t *slot = &set->slots[slot_of(set, key_of(hash))];
    set->used += *slot == 0;
    *slot = key_of(hash);
}

void hash_set_clear(struct hash_set *set) {
    free(set->slots);
    *set = (struct hash_set){0};
}
