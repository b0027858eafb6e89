#include "hot_param.h"

#include <string.h>

#include "atomic.h"
#include "queue.h"

enum {
    TEXT_WORDS = HOT_TEXT / 4,
    SKETCH_LINE = 64,
    SKETCH_GROUP = 15,
    SKETCH_AGE = 128,
    VALUES_A_LINE = 16,
    VALUES_A_BUCKET = 8,
    FREQUENCY_MAX = 255,
    CARRY = 128,
    AGE_SHIFT = 33 /* frequencies are halved every 8.6 s */
};

struct set {
    uint64_t keys[HOT_WAYS];
    uint8_t frequency[8];
    uint64_t states[HOT_WAYS]; /* time the bucket is full again; or in flight */
    uint64_t age;
    uint32_t hits[HOT_WAYS]; /* what the frequencies cannot hold, carried over in lumps */
    uint32_t texts[HOT_WAYS][TEXT_WORDS];
    uint32_t reserved[6];
};
_Static_assert(sizeof(struct set) == 320, "set");

struct hot {
    struct cell cell;
    uint32_t incarnation; /* of the process whose calls are in flight; 0: a table of buckets */
    uint32_t reserved[7];
    struct set set[];
};
_Static_assert(sizeof(struct hot) == 64, "hot");

struct hot_shape hot_shape(uint32_t capacity) {
    uint64_t room = (uint64_t)capacity + capacity / 8; /* sets fill unevenly */
    return (struct hot_shape){.sets = (uint32_t)(room / HOT_WAYS) + 1,
                              .lines = capacity / VALUES_A_LINE + 1,
                              .buckets = capacity / VALUES_A_BUCKET / 8 * 8 + 8};
}

size_t hot_bytes(const struct hot_shape *shape) {
    return sizeof(struct hot) + shape->sets * sizeof(struct set) + (size_t)shape->lines * SKETCH_LINE +
           2 * shape->buckets * sizeof(uint64_t);
}

/* How many sets there are, for those who do not know the rule any more. */
static uint32_t sets_of(const struct hot *hot) {
    return (uint32_t)(((size_t)load_relaxed(&hot->cell.units) * LAYOUT_CELL_UNIT - sizeof(*hot)) / sizeof(struct set));
}

static uint32_t scaled(uint64_t hash, uint32_t n) {
    return (uint32_t)((hash >> 32) * n >> 32);
}

static struct set *set_of(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    return &hot->set[scaled(key, shape->sets)];
}

void hot_prefetch(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    struct set *set = set_of(hot, shape, key);
    __builtin_prefetch(set->keys, 1);
    __builtin_prefetch(set->states, 1);
}

/* ------------------------------------------------------------------------------------------------- how often seen */

static uint8_t *line_of(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    uint8_t *lines = (uint8_t *)(hot->set + shape->sets);
    return lines + (size_t)scaled(key * 0x9e3779b97f4a7c15ull, shape->lines) * SKETCH_LINE;
}

static void age_line(uint8_t *line) {
    for (unsigned i = 0; i < SKETCH_LINE; i++)
        store_relaxed(&line[i], (uint8_t)(load_relaxed(&line[i]) >> 1));
}

/* Counts one sight of the value and returns the estimate.  Racing threads may lose a count: it is an estimate. */
static uint8_t sketch_add(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    uint8_t *line = line_of(hot, shape, key), *counters[4], least = FREQUENCY_MAX;
    for (unsigned i = 0; i < 4; i++) {
        counters[i] = &line[4 + i * SKETCH_GROUP + (key >> (8 * i) & 255) % SKETCH_GROUP];
        uint8_t count = load_relaxed(counters[i]);
        least = count < least ? count : least;
    }
    for (unsigned i = 0; i < 4 && least < FREQUENCY_MAX; i++)
        if (load_relaxed(counters[i]) == least)
            store_relaxed(counters[i], (uint8_t)(least + 1));
    uint8_t age = (uint8_t)(load_relaxed(&line[0]) + 1);
    store_relaxed(&line[0], age);
    if (age >= SKETCH_AGE)
        age_line(line);
    return least < FREQUENCY_MAX ? (uint8_t)(least + 1) : least;
}

static void age_set(struct set *set, uint64_t now_ns) {
    uint64_t age = now_ns >> AGE_SHIFT, old = load_relaxed(&set->age);
    if (__builtin_expect(old == age, 1) || !atomic_take(&set->age, &old, age))
        return;
    unsigned halvings = old > age ? 0 : age - old < 8 ? (unsigned)(age - old) : 8;
    for (unsigned i = 0; i < HOT_WAYS; i++) {
        store_relaxed(&set->frequency[i], (uint8_t)(load_relaxed(&set->frequency[i]) >> halvings));
        store_relaxed(&set->hits[i], load_relaxed(&set->hits[i]) >> halvings);
    }
}

static void note_hit(struct set *set, int way) {
    uint8_t count = load_relaxed(&set->frequency[way]);
    if (count == FREQUENCY_MAX) {
        store_relaxed(&set->hits[way], load_relaxed(&set->hits[way]) + CARRY);
        count -= CARRY;
    }
    store_relaxed(&set->frequency[way], (uint8_t)(count + 1));
}

/* -------------------------------------------------------------------------------------------------- coarse buckets */

static uint64_t *coarse(struct hot *hot, const struct hot_shape *shape, uint64_t key, unsigned row) {
    uint64_t *buckets = (uint64_t *)((uint8_t *)(hot->set + shape->sets) + (size_t)shape->lines * SKETCH_LINE);
    uint32_t n = shape->buckets;
    return buckets + (size_t)row * n + scaled(key * (row ? 0xc2b2ae3d27d4eb4full : 0xff51afd7ed558ccdull), n);
}

static uint64_t coarse_look(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    uint64_t one = load_relaxed(coarse(hot, shape, key, 0)), two = load_relaxed(coarse(hot, shape, key, 1));
    return one < two ? one : two;
}

static void coarse_raise(struct hot *hot, const struct hot_shape *shape, uint64_t key, uint64_t state) {
    for (unsigned row = 0; row < 2; row++) {
        uint64_t *bucket = coarse(hot, shape, key, row), old = load_relaxed(bucket);
        while (old < state && !atomic_take(bucket, &old, state)) {
        }
    }
}

/* -------------------------------------------------------------------------------------------------------- the table */

static void write_text(struct set *set, int way, const struct hot_value *value) {
    char text[HOT_TEXT] = {(char)value->type, (char)(value->length < HOT_TEXT - 2 ? value->length : HOT_TEXT - 2)};
    uint32_t words[TEXT_WORDS];
    memcpy(text + 2, value->text, (size_t)text[1]);
    memcpy(words, text, sizeof(words));
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        store_relaxed(&set->texts[way][i], words[i]);
}

static int find(struct set *set, uint64_t key) {
    for (int i = 0; i < HOT_WAYS; i++)
        if (load_relaxed(&set->keys[i]) == key)
            return i;
    return -1;
}

/* An empty place, else the least frequent one's that is not in flight; -1: none. */
static int weakest(struct set *set, bool in_flight) {
    int least = -1;
    for (int i = 0; i < HOT_WAYS; i++) {
        if (!load_relaxed(&set->keys[i]))
            return i;
        if (in_flight && load_relaxed(&set->states[i]))
            continue;
        if (least < 0 || load_relaxed(&set->frequency[i]) < load_relaxed(&set->frequency[least]))
            least = i;
    }
    return least;
}

/* Gives the value the place; who had it leaves its bucket to the coarse ones. */
static bool replace(struct hot *hot, const struct hot_shape *shape, struct set *set, int way,
                    const struct hot_value *value, uint8_t frequency, bool in_flight) {
    uint64_t old = load_relaxed(&set->keys[way]), state = load_relaxed(&set->states[way]);
    if (!in_flight && old)
        coarse_raise(hot, shape, old, state);
    if (!atomic_take(&set->keys[way], &old, value->key))
        return false;
    if (!in_flight) {
        uint64_t next = coarse_look(hot, shape, value->key);
        while (!atomic_take(&set->states[way], &state, next)) {
        }
    }
    store_relaxed(&set->frequency[way], frequency);
    store_relaxed(&set->hits[way], 0u);
    write_text(set, way, value);
    return true;
}

/* The value's place, made if it deserves one; -1: none. */
static int place_of(struct hot *hot, const struct hot_shape *shape, struct set *set, const struct hot_value *value,
                    uint64_t now_ns, bool in_flight) {
    __builtin_prefetch(line_of(hot, shape, value->key), 1);
    int way = find(set, value->key);
    age_set(set, now_ns);
    if (way >= 0) {
        note_hit(set, way);
        return way;
    }
    __builtin_prefetch(coarse(hot, shape, value->key, 0));
    __builtin_prefetch(coarse(hot, shape, value->key, 1));
    uint8_t seen = sketch_add(hot, shape, value->key);
    way = weakest(set, in_flight);
    if (way < 0 || (!in_flight && load_relaxed(&set->keys[way]) && seen <= load_relaxed(&set->frequency[way])))
        return -1;
    return replace(hot, shape, set, way, value, seen, in_flight) ? way : find(set, value->key);
}

static bool take_state(uint64_t *state, const struct hot_limit *limit, uint64_t now_ns, uint64_t *ret_wait_ns,
                       uint64_t *ret_before, uint64_t *ret_after) {
    if (limit->queue)
        return queue_take(state, now_ns, limit->cost_ns, limit->patience_ns, 0, ret_wait_ns, ret_before, ret_after);
    return queue_bucket_take(state, now_ns, limit->cost_ns, limit->capacity_ns, ret_wait_ns, ret_before, ret_after);
}

enum hot_answer hot_take(struct hot *hot, const struct hot_shape *shape, const struct hot_value *value,
                         const struct hot_limit *limit, uint64_t now_ns, uint64_t *ret_wait_ns, uint64_t **ret_state,
                         uint64_t *ret_before, uint64_t *ret_after) {
    *ret_wait_ns = 0;
    *ret_state = NULL;
    struct set *set = set_of(hot, shape, value->key);
    int way = place_of(hot, shape, set, value, now_ns, false);
    if (way >= 0) {
        *ret_state = &set->states[way];
        return take_state(*ret_state, limit, now_ns, ret_wait_ns, ret_before, ret_after) ? HOT_PASS : HOT_BLOCK;
    }
    uint64_t shared = coarse_look(hot, shape, value->key);
    if (!take_state(&shared, limit, now_ns, ret_wait_ns, ret_before, ret_after))
        return HOT_BLOCK;
    coarse_raise(hot, shape, value->key, shared);
    return HOT_PASS;
}

static void forget_in_flight(struct hot *hot, const struct hot_shape *shape, uint32_t incarnation) {
    for (uint32_t i = 0; i < shape->sets; i++)
        for (unsigned way = 0; way < HOT_WAYS; way++)
            if (load_relaxed(&hot->set[i].states[way]))
                store_relaxed(&hot->set[i].states[way], 0u);
    store_relaxed(&hot->incarnation, incarnation);
}

enum hot_answer hot_enter(struct hot *hot, const struct hot_shape *shape, const struct hot_value *value,
                          uint32_t incarnation, uint32_t limit, uint64_t now_ns, uint32_t *ret_place) {
    *ret_place = UINT32_MAX;
    uint32_t known = load_relaxed(&hot->incarnation);
    if (known && known != incarnation)
        forget_in_flight(hot, shape, incarnation); /* a child after fork, still alone */
    else if (!known)
        store_relaxed(&hot->incarnation, incarnation);
    struct set *set = set_of(hot, shape, value->key);
    for (;;) {
        int way = place_of(hot, shape, set, value, now_ns, true);
        if (way < 0)
            return limit ? HOT_PASS : HOT_BLOCK;
        uint64_t *state = &set->states[way], old = load_relaxed(state);
        do
            if (old >= limit)
                return HOT_BLOCK;
        while (!atomic_take(state, &old, old + 1));
        uint32_t place = (uint32_t)(set - hot->set) * HOT_WAYS + (uint32_t)way;
        if (load_total(&set->keys[way]) == value->key) {
            *ret_place = place;
            return HOT_PASS;
        }
        hot_leave(&hot->cell, place); /* somebody else was given the place just before */
    }
}

void hot_leave(struct cell *cell, uint32_t place) {
    struct hot *hot = (struct hot *)cell;
    if (place / HOT_WAYS >= sets_of(hot))
        return;
    uint64_t *state = &hot->set[place / HOT_WAYS].states[place % HOT_WAYS], old = load_relaxed(state);
    while (old && !atomic_take(state, &old, old - 1)) {
    }
}

bool hot_is_idle(const struct cell *cell) {
    const struct hot *hot = (const struct hot *)cell;
    for (uint32_t i = 0; load_relaxed(&hot->incarnation) && i < sets_of(hot); i++)
        for (unsigned way = 0; way < HOT_WAYS; way++)
            if (load_relaxed(&hot->set[i].states[way]))
                return false;
    return true;
}

bool hot_tracks(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    return find(set_of(hot, shape, key), key) >= 0;
}

static struct engine_hot_value read_value(const struct set *set, unsigned way, uint32_t weight) {
    char text[HOT_TEXT];
    uint32_t words[TEXT_WORDS];
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        words[i] = load_relaxed(&set->texts[way][i]);
    memcpy(text, words, sizeof(text));
    size_t length = (unsigned char)text[1] < HOT_TEXT - 2 ? (unsigned char)text[1] : HOT_TEXT - 2;
    struct engine_hot_value value = {.weight = weight, .type = (uint8_t)text[0]};
    memcpy(value.text, text + 2, length);
    return value;
}

size_t hot_top(const struct cell *cell, const struct hot_shape *shape, struct engine_hot_value *ret_values,
               size_t max) {
    const struct hot *hot = (const struct hot *)cell;
    size_t count = 0;
    for (uint32_t i = 0; i < shape->sets; i++)
        for (unsigned way = 0; way < HOT_WAYS; way++) {
            const struct set *set = &hot->set[i];
            uint32_t weight = load_relaxed(&set->frequency[way]) + load_relaxed(&set->hits[way]);
            if (!load_relaxed(&set->keys[way]) || !weight || (count == max && weight <= ret_values[max - 1].weight))
                continue;
            size_t at = count < max ? count++ : max - 1;
            for (; at > 0 && ret_values[at - 1].weight < weight; at--)
                ret_values[at] = ret_values[at - 1];
            ret_values[at] = read_value(set, way, weight);
        }
    return count;
}
