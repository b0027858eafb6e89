#include "rules/engine/sentinel/compat_values.h"

#include <string.h>

static struct compat_value **slot_of(const struct compat_values *values, struct compat_key key) {
    return &values->slots[key.a >> 8 & (values->size - 1)];
}

static void unlink_age(struct compat_values *values, struct compat_value *value) {
    if (value->older)
        value->older->newer = value->newer;
    else
        values->oldest = value->newer;
    if (value->newer)
        value->newer->older = value->older;
    else
        values->newest = value->older;
}

static void link_newest(struct compat_values *values, struct compat_value *value) {
    value->newer = NULL;
    value->older = values->newest;
    if (values->newest)
        values->newest->newer = value;
    else
        values->oldest = value;
    values->newest = value;
}

struct compat_value *compat_values_find(struct compat_values *values, struct compat_key key) {
    if (!values->size)
        return NULL;
    struct compat_value *value = *slot_of(values, key);
    while (value && !compat_key_equal(value->key, key))
        value = value->chain;
    if (value && value != values->newest) {
        unlink_age(values, value);
        link_newest(values, value);
    }
    return value;
}

static bool grow(struct compat_arena *arena, struct compat_values *values) {
    uint32_t size = values->size ? values->size * 2 : 16;
    struct compat_value **slots = compat_take(arena, size * sizeof *slots);
    if (!slots)
        return values->size != 0;
    struct compat_values larger = {.slots = slots, .size = size};
    for (struct compat_value *value = values->oldest; value; value = value->newer) {
        value->chain = *slot_of(&larger, value->key);
        *slot_of(&larger, value->key) = value;
    }
    compat_give(arena, values->slots, values->size * sizeof *slots);
    values->slots = slots;
    values->size = size;
    return true;
}

/* Takes it out of everything but does not give its memory back. */
static void take_out(struct compat_values *values, struct compat_value *value) {
    struct compat_value **at = slot_of(values, value->key);
    while (*at != value)
        at = &(*at)->chain;
    *at = value->chain;
    unlink_age(values, value);
    values->count--;
}

struct compat_value *compat_values_get(struct compat_arena *arena, struct compat_values *values, struct compat_key key,
                                       bool *ret_new) {
    struct compat_value *value = compat_values_find(values, key);
    *ret_new = !value;
    if (value || (values->count >= values->size && !grow(arena, values)))
        return value;
    value = values->count < values->capacity ? compat_take(arena, sizeof *value) : NULL;
    if (!value) { /* full, or no memory left: the oldest makes room */
        value = values->oldest;
        if (!value)
            return NULL;
        take_out(values, value);
        memset(value, 0, sizeof *value);
    }
    value->key = key;
    value->chain = *slot_of(values, key);
    *slot_of(values, key) = value;
    link_newest(values, value);
    values->count++;
    return value;
}

void compat_values_remove(struct compat_arena *arena, struct compat_values *values, struct compat_value *value) {
    take_out(values, value);
    compat_give(arena, value, sizeof *value);
}

void compat_values_clear(struct compat_arena *arena, struct compat_values *values) {
    for (struct compat_value *value = values->oldest, *newer; value; value = newer) {
        newer = value->newer;
        compat_give(arena, value, sizeof *value);
    }
    compat_give(arena, values->slots, values->size * sizeof *values->slots);
    memset(values, 0, sizeof *values);
}
