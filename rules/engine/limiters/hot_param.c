#include "rules/engine/limiters/hot_param.h"

#include "rules/engine/limiters/hot_table.h"
#include "rules/engine/limiters/queue.h"
#include "rules/engine/state.h"
#include "rules/address.h"

enum {
    SKETCH_GROUP = 15,
    SKETCH_AGE = 128,
    VALUES_A_LINE = 16,
    VALUES_A_BUCKET = 8,
    FREQUENCY_MAX = 255,
    CARRY = 128,
    YOUNG = 8, /* seen so few times, a value may have been let in by several threads */
    CAPACITY_DEFAULT = 4000,
    CAPACITY_MOST = 1 << 20,
};

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
    struct hot_shape shape = hot_shape(values < CAPACITY_MOST ? values : CAPACITY_MOST, rule->grade == GRADE_THREAD);
    shape.slides = rule->grade != GRADE_THREAD && rule->behavior != BEHAVIOR_QUEUE && !(rule->burst > 0);
    return shape;
}

struct hot_shape hot_shape_common(const struct rule *rule) {
    struct hot_shape shape = hot_shape_of(rule), most = hot_shape(HOT_COMMON_VALUES, rule->grade == GRADE_THREAD);
    most.slides = shape.slides;
    return shape.sets > most.sets ? most : shape;
}

uint64_t hot_mark(const struct hot_shape *shape) {
    const uint32_t slides = shape->slides ? 1u << 31 : 0; /* older libraries would take its words for times */
    return pack(shape->calls, shape->sets | slides);
}

size_t hot_bytes(const struct hot_shape *shape) {
    return sizeof(struct hot) + shape->calls * sizeof(uint64_t) + shape->sets * sizeof(struct set) +
           (size_t)shape->lines * SKETCH_LINE + 2 * shape->buckets * sizeof(uint64_t);
}

size_t hot_room(const struct hot_shape *shape) {
    return state_bytes(hot_bytes(shape));
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

static void set_blocked(struct set *set, unsigned way, uint32_t count) {
    store_relaxed(&set->blocked[way], (uint16_t)count);
    store_relaxed(&set->blocked_high[way], (uint8_t)(count >> 16));
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

/* ----------------------------------------------------------------------------------------------------------- the top
 */

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
    uint64_t *buckets = coarse_of(hot, shape);
    uint32_t n = shape->buckets;
    return buckets + (size_t)row * n + scaled(key * (row ? 0xc2b2ae3d27d4eb4full : 0xff51afd7ed558ccdull), n);
}

struct moment { /* of one request: what words are compared by */
    const struct hot_limit *limit;
    uint64_t now_ns;
};

/* The fuller of both. */
static uint64_t later(const struct hot_shape *shape, const struct moment *at, uint64_t a, uint64_t b) {
    const struct slide *slide = &at->limit->slide;
    if (!shape->slides)
        return a > b ? a : b;
    return slide_larger(slide, slide_at(slide, a, at->now_ns), slide_at(slide, b, at->now_ns));
}

static uint64_t coarse_look(struct hot *hot, const struct hot_shape *shape, const struct moment *at, uint64_t key) {
    const struct slide *slide = &at->limit->slide;
    uint64_t one = load_relaxed(coarse(hot, shape, key, 0)), two = load_relaxed(coarse(hot, shape, key, 1));
    if (!shape->slides)
        return one < two ? one : two;
    one = slide_at(slide, one, at->now_ns);
    two = slide_at(slide, two, at->now_ns);
    return slide_used(slide, one) < slide_used(slide, two) ? one : two;
}

static void raise(uint64_t *word, const struct hot_shape *shape, const struct moment *at, uint64_t state) {
    uint64_t old = load_relaxed(word), next;
    do
        next = later(shape, at, old, state);
    while (next != old && !atomic_take(word, &old, next));
}

static void coarse_raise(struct hot *hot, const struct hot_shape *shape, const struct moment *at, uint64_t key,
                         uint64_t state) {
    for (unsigned row = 0; row < 2; row++)
        raise(coarse(hot, shape, key, row), shape, at, state);
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
                    const struct hot_value *value, uint8_t frequency, const struct moment *at) {
    uint64_t old = load_relaxed(&set->keys[way]), state = load_relaxed(&set->states[way]);
    if (!shape->calls && old)
        coarse_raise(hot, shape, at, old, state);
    if (!atomic_take(&set->keys[way], &old, value->key))
        return false;
    if (!shape->calls) {
        uint64_t next = coarse_look(hot, shape, at, value->key);
        if (!atomic_take(&set->states[way], &state,
                         next)) /* another request takes from it already: nothing is given back */
            raise(&set->states[way], shape, at, next);
    }
    store_relaxed(&set->frequency[way], frequency);
    store_relaxed(&set->hits[way], 0u);
    set_blocked(set, (unsigned)way, 0);
    write_text(set, way, value);
    return true;
}

/* The value's place, made if it deserves one; -1: none. */
static int place_of(struct hot *hot, const struct hot_shape *shape, struct set *set, const struct hot_value *value,
                    const struct moment *at) {
    uint64_t now_ns = at->now_ns;
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
    if (!replace(hot, shape, set, way, value, seen, at))
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

static bool take_state(uint64_t *state, const struct hot_shape *shape, const struct hot_limit *limit, uint64_t now_ns,
                       uint64_t *ret_wait_ns, uint64_t *ret_before, uint64_t *ret_after) {
    if (shape->slides)
        return slide_take(state, &limit->slide, limit->n, now_ns, ret_wait_ns, ret_before, ret_after);
    if (limit->queue)
        return queue_take(state, now_ns, limit->cost_ns, limit->patience_ns, limit->credit_ns, ret_wait_ns, ret_before,
                          ret_after);
    return queue_bucket_take(state, now_ns, limit->cost_ns, limit->capacity_ns, ret_wait_ns, ret_before, ret_after);
}

enum hot_answer hot_take(struct hot *hot, const struct hot_shape *shape, const struct hot_value *value,
                         const struct hot_limit *limit, uint64_t now_ns, uint64_t *ret_wait_ns, uint64_t **ret_state,
                         uint64_t *ret_before, uint64_t *ret_after) {
    *ret_wait_ns = 0;
    *ret_state = NULL;
    struct set *set = set_of(hot, shape, value->key);
    struct moment at = {limit, now_ns};
    int way = place_of(hot, shape, set, value, &at);
    while (way >= 0) {
        *ret_state = &set->states[way];
        if (!take_state(*ret_state, shape, limit, now_ns, ret_wait_ns, ret_before, ret_after)) {
            note_block(set, (unsigned)way);
            return HOT_BLOCK;
        }
        int first = load_relaxed(&set->frequency[way]) < YOUNG ? find(set, value->key) : way;
        if (first >= way || first < 0)
            return HOT_PASS;
        queue_return(*ret_state, *ret_before, *ret_after); /* a place that another thread is about to give up */
        way = first;
    }
    uint64_t shared = coarse_look(hot, shape, &at, value->key);
    if (!take_state(&shared, shape, limit, now_ns, ret_wait_ns, ret_before, ret_after))
        return HOT_BLOCK;
    coarse_raise(hot, shape, &at, value->key, shared);
    return HOT_PASS;
}

/* ---------------------------------------------------------------------------------------------- requests in flight */

/* How many words there are, for those who do not know the rule any more. */
static uint32_t words_count(const struct hot *hot, size_t bytes) {
    size_t count = load_relaxed(&hot->calls);
    return bytes >= sizeof(*hot) && count <= (bytes - sizeof(*hot)) / sizeof(uint64_t) ? (uint32_t)count : 0;
}

enum hot_answer hot_enter(struct hot *hot, const struct hot_shape *shape, const struct hot_value *value, uint32_t who,
                          uint32_t limit, uint32_t n, uint64_t now_ns, uint32_t *ret_place, uint32_t *ret_left) {
    struct in_flight_by_key in_flight = in_flight_of(hot, shape->calls, who);
    struct set *set = set_of(hot, shape, value->key);
    struct moment at = {NULL, now_ns};
    int way = place_of(hot, shape, set, value, &at);
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

bool hot_tracks(struct hot *hot, const struct hot_shape *shape, uint64_t key) {
    return find(set_of(hot, shape, key), key) >= 0;
}
