/* The most frequent values: what a table of hot keys shows. */
#include "rules/engine/limiters/hot_table.h"

enum { SHOW_NS = 1000000000 };

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
