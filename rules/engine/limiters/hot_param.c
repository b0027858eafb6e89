#include "rules/engine/limiters/hot_param.h"

#include <string.h>

#include "rules/atomic.h"
#include "rules/engine/limiters/queue.h"
#include "rules/address.h"

enum {
    TEXT_WORDS = HOT_TEXT / 4,
    TEXT_MOST = HOT_TEXT - 2,
    SKETCH_LINE = 64,
    SKETCH_GROUP = 15,
    SKETCH_AGE = 128,
    VALUES_A_LINE = 16,
    VALUES_A_BUCKET = 8,
    FREQUENCY_MAX = 255,
    CARRY = 128,
    YOUNG = 8,      /* seen so few times, a value may have been let in by several threads */
    AGE_SHIFT = 33, /* frequencies are halved every 8.6 s */
    HALVINGS_MOST = 24,
    SHOW_NS = 1000000000,
    CAPACITY_DEFAULT = 4000,
    CAPACITY_MOST = 1 << 20,
};
_Static_assert(TEXT_MOST <= (int)LAYOUT_HOT_TEXT, "what is kept can be shown");

struct set {
    uint64_t keys[HOT_WAYS];
    uint8_t frequency[8];
    uint64_t states[HOT_WAYS]; /* time the bucket is full again; of rules about requests in flight unused */
    uint64_t age;
    uint32_t hits[HOT_WAYS]; /* what the frequencies cannot hold, carried over in lumps */
    uint32_t texts[HOT_WAYS][TEXT_WORDS];
    uint16_t blocked[HOT_WAYS]; /* low bits, and high ones: how many of them were rejected */
    uint8_t blocked_high[HOT_WAYS];
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct set) == 320, "set");

struct hot {
    struct limiter_state base;
    uint32_t calls;       /* words behind the header, for those who do not know the rule any more */
    uint32_t reach;       /* of a window of them (in_flight_by_key.h) */
    uint32_t incarnation; /* of the process that counts in its own memory */
    uint32_t floor;       /* what is seen no more often is none of the top */
    uint64_t shown_ns, born_ns;
    uint32_t top[LAYOUT_HOT_VALUES]; /* places of the most frequent values, + 1 */
    uint32_t reserved[4];
    uint64_t words[];
};
_Static_assert(sizeof(struct hot) == HOT_HEADER_BYTES, "hot");

struct hot_shape hot_shape(uint32_t capacity, bool in_flight) {
    uint64_t room = (uint64_t)capacity + capacity / 8; /* sets fill unevenly */
    uint32_t calls = 2 * capacity < BY_KEY_WINDOW ? BY_KEY_WINDOW : 2 * capacity;
    return (struct hot_shape){.sets = (uint32_t)(room / HOT_WAYS) + 1,
                              .lines = capacity / VALUES_A_LINE + 1,
                              .buckets = in_flight ? 0 : capacity / VALUES_A_BUCKET / 8 * 8 + 8,
                              .calls = in_flight ? calls / 8 * 8 : 0};
}

struct hot_shape hot_shape_of(const struct rule *rule) {
    uint32_t values = rule->capacity ? rule->capacity : CAPACITY_DEFAULT;
    return hot_shape(values < CAPACITY_MOST ? values : CAPACITY_MOST, rule->grade == GRADE_THREAD);
}

size_t hot_bytes(const struct hot_shape *shape) {
    return sizeof(struct hot) + shape->calls * sizeof(uint64_t) + shape->sets * sizeof(struct set) +
           (size_t)shape->lines * SKETCH_LINE + 2 * shape->buckets * sizeof(uint64_t);
}

static struct set *sets_of(const struct hot *hot, const struct hot_shape *shape) {
    return (struct set *)(hot->words + shape->calls);
}

static uint32_t scaled(uint64_t hash, uint32_t n) {
    return (uint32_t)((hash >> 32) * n >> 32);
}

static struct set *set_of(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    return &sets_of(hot, shape)[scaled(key, shape->sets)];
}

void hot_prefetch(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    struct set *set = set_of(hot, shape, key);
    __builtin_prefetch(set->keys, 1);
    __builtin_prefetch(set->states, 1);
}

/* ------------------------------------------------------------------------------------------------- how often seen */

static uint8_t *line_of(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    uint8_t *lines = (uint8_t *)(sets_of(hot, shape) + shape->sets);
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

static uint32_t blocked_of(const struct set *set, unsigned way) {
    return (uint32_t)load_relaxed(&set->blocked_high[way]) << 16 | load_relaxed(&set->blocked[way]);
}

static void set_blocked(struct set *set, unsigned way, uint32_t count) {
    store_relaxed(&set->blocked[way], (uint16_t)count);
    store_relaxed(&set->blocked_high[way], (uint8_t)(count >> 16));
}

static unsigned halvings_since(uint64_t then, uint64_t now) {
    return then > now ? 0 : now - then < HALVINGS_MOST ? (unsigned)(now - then) : HALVINGS_MOST;
}

static void age_set(struct set *set, uint64_t now_ns) {
    uint64_t age = now_ns >> AGE_SHIFT, old = load_relaxed(&set->age);
    if (__builtin_expect(old == age, 1) || !atomic_take(&set->age, &old, age))
        return;
    unsigned halvings = halvings_since(old, age);
    for (unsigned i = 0; i < HOT_WAYS; i++) {
        store_relaxed(&set->frequency[i], (uint8_t)(load_relaxed(&set->frequency[i]) >> halvings));
        store_relaxed(&set->hits[i], load_relaxed(&set->hits[i]) >> halvings);
        set_blocked(set, i, blocked_of(set, i) >> halvings);
    }
}

/* How often seen lately, whichever request ages the set. */
static uint32_t weight_of(const struct set *set, unsigned way, uint64_t now_ns) {
    if (!load_relaxed(&set->keys[way]))
        return 0;
    return (load_relaxed(&set->frequency[way]) + load_relaxed(&set->hits[way])) >>
           halvings_since(load_relaxed(&set->age), now_ns >> AGE_SHIFT);
}

/* ----------------------------------------------------------------------------------------------------------- the top
 */

static const struct set *place_at(const struct hot *hot, const struct hot_shape *shape, uint32_t place,
                                  unsigned *ret_way) {
    if (place / HOT_WAYS >= shape->sets)
        return NULL;
    *ret_way = place % HOT_WAYS;
    return &sets_of(hot, shape)[place / HOT_WAYS];
}

static uint32_t top_weight(const struct hot *hot, const struct hot_shape *shape, unsigned i, uint64_t now_ns) {
    unsigned way;
    uint32_t place = load_relaxed(&hot->top[i]);
    const struct set *set = place ? place_at(hot, shape, place - 1, &way) : NULL;
    return set ? weight_of(set, way, now_ns) : 0;
}

/* A value that is seen more often than the least of the top takes its place. */
static void consider(struct hot *hot, const struct hot_shape *shape, const struct set *set, unsigned way,
                     uint64_t now_ns) {
    uint32_t weight = weight_of(set, way, now_ns), place = (uint32_t)(set - sets_of(hot, shape)) * HOT_WAYS + way + 1;
    if (weight <= load_relaxed(&hot->floor))
        return;
    unsigned least_at = 0;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < LAYOUT_HOT_VALUES; i++) {
        if (load_relaxed(&hot->top[i]) == place)
            return;
        uint32_t other = top_weight(hot, shape, i, now_ns);
        if (other < least) {
            least = other;
            least_at = i;
        }
    }
    store_relaxed(&hot->floor, least);
    if (weight > least)
        store_relaxed(&hot->top[least_at], place);
}

/* Each value that goes on being seen comes by here at least once between two halvings. */
static void note_hit(struct hot *hot, const struct hot_shape *shape, struct set *set, unsigned way, uint64_t now_ns) {
    uint8_t count = load_relaxed(&set->frequency[way]);
    bool carry = count == FREQUENCY_MAX;
    if (carry) {
        store_relaxed(&set->hits[way], load_relaxed(&set->hits[way]) + CARRY);
        count -= CARRY;
    }
    store_relaxed(&set->frequency[way], (uint8_t)(count + 1));
    if (!(count & (count + 1)) || carry)
        consider(hot, shape, set, way, now_ns);
}

static void note_block(struct set *set, unsigned way) {
    uint32_t count = blocked_of(set, way);
    if (count < 0xffffff)
        set_blocked(set, way, count + 1);
}

/* -------------------------------------------------------------------------------------------------- coarse buckets */

static uint64_t *coarse(struct hot *hot, const struct hot_shape *shape, uint64_t key, unsigned row) {
    uint64_t *buckets = (uint64_t *)((uint8_t *)(sets_of(hot, shape) + shape->sets) +
                                     (size_t)shape->lines * SKETCH_LINE);
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

/* 16 bytes, and, where these are not all, how many bits of them count. */
static uint8_t pack_address(const struct hot_value *value, char ret_bytes[static TEXT_MOST]) {
    char text[ADDRESS_RANGE_TEXT_MAX];
    struct address_range range;
    if (!value->address || value->length >= sizeof(text) || !memchr(value->text, ':', value->length))
        return 0;
    memcpy(text, value->text, value->length);
    text[value->length] = 0;
    if (!address_range_parse(text, &range) || range.length != 16)
        return 0;
    memcpy(ret_bytes, range.network, 16);
    ret_bytes[16] = (char)range.bits;
    return LAYOUT_HOT_ADDRESS;
}

static void write_text(struct set *set, int way, const struct hot_value *value) {
    char text[HOT_TEXT] = {0};
    uint32_t words[TEXT_WORDS];
    uint8_t type = value->type, packed = pack_address(value, text + 2);
    size_t shown = value->shown < value->length ? value->shown : value->length;
    if (packed)
        shown = text[2 + 16] == (char)128 ? 16 : 17;
    shown = shown < TEXT_MOST ? shown : TEXT_MOST;
    if (!packed)
        memcpy(text + 2, value->text, shown);
    text[0] = (char)(type | packed);
    text[1] = (char)(shown | (!packed && shown < value->length ? LAYOUT_HOT_CUT : 0));
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

/* An empty place, else the least frequent one's. */
static int weakest(struct set *set) {
    int least = 0;
    for (int i = 0; i < HOT_WAYS; i++) {
        if (!load_relaxed(&set->keys[i]))
            return i;
        if (load_relaxed(&set->frequency[i]) < load_relaxed(&set->frequency[least]))
            least = i;
    }
    return least;
}

/* Gives the value the place; who had it leaves its bucket to the coarse ones. */
static bool replace(struct hot *hot, const struct hot_shape *shape, struct set *set, int way,
                    const struct hot_value *value, uint8_t frequency) {
    uint64_t old = load_relaxed(&set->keys[way]), state = load_relaxed(&set->states[way]);
    if (!shape->calls && old)
        coarse_raise(hot, shape, old, state);
    if (!atomic_take(&set->keys[way], &old, value->key))
        return false;
    if (!shape->calls) {
        uint64_t next = coarse_look(hot, shape, value->key);
        if (!atomic_take(&set->states[way], &state,
                         next)) /* another request takes from it already: nothing is given back */
            while (state < next && !atomic_take(&set->states[way], &state, next)) {
            }
    }
    store_relaxed(&set->frequency[way], frequency);
    store_relaxed(&set->hits[way], 0u);
    set_blocked(set, (unsigned)way, 0);
    write_text(set, way, value);
    return true;
}

/* The value's place, made if it deserves one; -1: none. */
static int place_of(struct hot *hot, const struct hot_shape *shape, struct set *set, const struct hot_value *value,
                    uint64_t now_ns) {
    __builtin_prefetch(line_of(hot, shape, value->key), 1);
    int way = find(set, value->key);
    age_set(set, now_ns);
    if (way >= 0) {
        note_hit(hot, shape, set, (unsigned)way, now_ns);
        return way;
    }
    if (!shape->calls) {
        __builtin_prefetch(coarse(hot, shape, value->key, 0));
        __builtin_prefetch(coarse(hot, shape, value->key, 1));
    }
    uint8_t seen = sketch_add(hot, shape, value->key);
    way = weakest(set);
    if (load_relaxed(&set->keys[way]) && seen <= load_relaxed(&set->frequency[way]))
        return -1;
    if (!replace(hot, shape, set, way, value, seen))
        return find(set, value->key);
    int first = find(set, value->key);
    if (first >= 0 && first != way) { /* another thread let it in as well: the first place counts */
        uint64_t key = value->key;
        atomic_take(&set->keys[way], &key, 0);
        return first;
    }
    consider(hot, shape, set, (unsigned)way, now_ns);
    return way;
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
    int way = place_of(hot, shape, set, value, now_ns);
    while (way >= 0) {
        *ret_state = &set->states[way];
        if (!take_state(*ret_state, limit, now_ns, ret_wait_ns, ret_before, ret_after)) {
            note_block(set, (unsigned)way);
            return HOT_BLOCK;
        }
        int first = load_relaxed(&set->frequency[way]) < YOUNG ? find(set, value->key) : way;
        if (first >= way || first < 0)
            return HOT_PASS;
        queue_return(*ret_state, *ret_before, *ret_after); /* a place that another thread is about to give up */
        way = first;
    }
    uint64_t shared = coarse_look(hot, shape, value->key);
    if (!take_state(&shared, limit, now_ns, ret_wait_ns, ret_before, ret_after))
        return HOT_BLOCK;
    coarse_raise(hot, shape, value->key, shared);
    return HOT_PASS;
}

/* ---------------------------------------------------------------------------------------------- requests in flight */

static struct in_flight_by_key in_flight_of(const struct hot *hot, uint32_t count, uint32_t who) {
    struct hot *table = (struct hot *)hot;
    return (struct in_flight_by_key){
        .words = table->words, .count = count, .reach = &table->reach, .me = (uint8_t)who, .alone = who >= HOT_ALONE};
}

/* How many words there are, for those who do not know the rule any more. */
static uint32_t words_count(const struct hot *hot, size_t bytes) {
    size_t count = load_relaxed(&hot->calls);
    return bytes >= sizeof(*hot) && count <= (bytes - sizeof(*hot)) / sizeof(uint64_t) ? (uint32_t)count : 0;
}

enum hot_answer hot_enter(struct hot *hot, const struct hot_shape *shape, const struct hot_value *value, uint32_t who,
                          uint32_t limit, uint32_t n, uint64_t now_ns, uint32_t *ret_place, uint32_t *ret_left) {
    struct in_flight_by_key in_flight = in_flight_of(hot, shape->calls, who);
    struct set *set = set_of(hot, shape, value->key);
    int way = place_of(hot, shape, set, value, now_ns);
    if (load_relaxed(&hot->calls) != shape->calls)
        store_relaxed(&hot->calls, shape->calls);
    if (in_flight.alone && load_relaxed(&hot->incarnation) != who)
        store_relaxed(&hot->incarnation, who);
    if (in_flight_by_key_take(&in_flight, value->key, limit, n, ret_place, ret_left))
        return HOT_PASS;
    if (way >= 0)
        note_block(set, (unsigned)way);
    return HOT_BLOCK;
}

void hot_leave(struct limiter_state *state, size_t bytes, uint32_t who, uint32_t place, uint32_t n) {
    const struct hot *hot = (const struct hot *)state;
    struct in_flight_by_key in_flight = in_flight_of(hot, words_count(hot, bytes), who);
    in_flight_by_key_return(&in_flight, place, n);
}

bool hot_is_idle(const struct limiter_state *state, size_t bytes) {
    const struct hot *hot = (const struct hot *)state;
    if (bytes < sizeof(*hot))
        return true;
    struct in_flight_by_key in_flight = in_flight_of(hot, words_count(hot, bytes), load_relaxed(&hot->incarnation));
    return in_flight_by_key_is_idle(&in_flight);
}

void hot_reclaim(struct limiter_state *state, size_t bytes, uint32_t slot) {
    const struct hot *hot = (const struct hot *)state;
    struct in_flight_by_key in_flight = in_flight_of(hot, words_count(hot, bytes), slot);
    in_flight_by_key_reclaim(&in_flight, (uint8_t)slot);
}

/* ---------------------------------------------------------------------------------------------------------- to show */

bool hot_show_due(struct hot *hot, uint64_t now_ns) {
    uint64_t shown = load_relaxed(&hot->shown_ns);
    if (__builtin_expect(now_ns - shown < SHOW_NS, 1) || !atomic_take(&hot->shown_ns, &shown, now_ns))
        return false;
    if (!load_relaxed(&hot->born_ns))
        store_relaxed(&hot->born_ns, now_ns);
    return true;
}

/* How much time the weights stand for: all of the present stretch between two halvings, half of the one before, … */
static uint64_t span_of(uint64_t born_ns, uint64_t now_ns) {
    const uint64_t stretch = 1ull << AGE_SHIFT;
    uint64_t age = now_ns > born_ns ? now_ns - born_ns : 0, part = now_ns % stretch, span = 0;
    for (unsigned halvings = 0; age && halvings < HALVINGS_MOST; halvings++) {
        part = part < age ? part : age;
        span += part >> halvings;
        age -= part;
        part = stretch;
    }
    return span ? span : 1;
}

static void read_place(const struct hot *hot, const struct hot_shape *shape, const struct set *set, unsigned way,
                       uint64_t now_ns, struct layout_hot_value *ret_value) {
    uint32_t words[TEXT_WORDS];
    char text[HOT_TEXT];
    uint64_t key = load_relaxed(&set->keys[way]);
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        words[i] = load_relaxed(&set->texts[way][i]);
    memcpy(text, words, sizeof(text));
    *ret_value = (struct layout_hot_value){.type = (uint8_t)text[0], .length = (uint8_t)text[1], .mark = (uint16_t)key};
    memcpy(ret_value->text, text + 2, TEXT_MOST);
    ret_value->seen = weight_of(set, way, now_ns);
    ret_value->blocked = blocked_of(set, way) >> halvings_since(load_relaxed(&set->age), now_ns >> AGE_SHIFT);
    if (shape->calls) {
        struct in_flight_by_key in_flight = in_flight_of(hot, shape->calls, load_relaxed(&hot->incarnation));
        ret_value->in_flight = in_flight_by_key_now(&in_flight, key);
    }
}

size_t hot_show(struct hot *hot, const struct hot_shape *shape, uint64_t now_ns,
                struct layout_hot_value ret_values[static LAYOUT_HOT_VALUES], uint64_t *ret_span_ns) {
    size_t count = 0;
    for (unsigned i = 0; i < LAYOUT_HOT_VALUES; i++) {
        unsigned way;
        struct layout_hot_value value;
        uint32_t place = load_relaxed(&hot->top[i]);
        const struct set *set = place ? place_at(hot, shape, place - 1, &way) : NULL;
        if (!set || !weight_of(set, way, now_ns))
            continue;
        read_place(hot, shape, set, way, now_ns, &value);
        size_t at = count++;
        for (; at > 0 && ret_values[at - 1].seen < value.seen; at--)
            ret_values[at] = ret_values[at - 1];
        ret_values[at] = value;
    }
    store_relaxed(&hot->floor, count == LAYOUT_HOT_VALUES ? ret_values[count - 1].seen : 0);
    *ret_span_ns = span_of(load_relaxed(&hot->born_ns), now_ns);
    return count;
}

bool hot_tracks(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    return find(set_of(hot, shape, key), key) >= 0;
}

size_t hot_top(const struct limiter_state *state, const struct hot_shape *shape, struct engine_hot_key *ret_values,
               size_t max) {
    const struct hot *hot = (const struct hot *)state;
    size_t count = 0;
    for (uint32_t i = 0; i < shape->sets; i++)
        for (unsigned way = 0; way < HOT_WAYS; way++) {
            const struct set *set = &sets_of(hot, shape)[i];
            uint32_t weight = load_relaxed(&set->frequency[way]) + load_relaxed(&set->hits[way]);
            if (!load_relaxed(&set->keys[way]) || !weight || (count == max && weight <= ret_values[max - 1].weight))
                continue;
            struct layout_hot_value value;
            read_place(hot, shape, set, way, 0, &value);
            size_t at = count < max ? count++ : max - 1;
            for (; at > 0 && ret_values[at - 1].weight < weight; at--)
                ret_values[at] = ret_values[at - 1];
            ret_values[at] = (struct engine_hot_key){.weight = weight, .type = value.type};
            memcpy(ret_values[at].text, value.text, sizeof(value.text));
        }
    return count;
}
