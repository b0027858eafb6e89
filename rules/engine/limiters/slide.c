#include "rules/engine/limiters/slide.h"

#include "rules/atomic.h"

/* A word: the highest bit, 2 bits of its form, 13 of its tick, and 48 of counts.  0, or the highest bit clear: a time.
 * Counts are written as strokes: from the lowest bit, which is the latest, a 1 for what was taken, a 0 where a tick
 * ends; so many ticks back that the strokes fit into the word.  Many permits are counted in a number while their tick
 * lasts, and then in strokes of several.  What is left of less than a stroke goes on to the next tick, once: the
 * number's highest bit says that some did; if nothing comes to it there it counts as a stroke. */
enum { FORM_SHIFT = 61, TICK_SHIFT = 48, TICK_BITS = 13, TICK_MASK = (1 << TICK_BITS) - 1, SPACED_BELOW = 16 };
static const uint64_t COUNTED = 1ull << 63, COUNTS = (1ull << TICK_SHIFT) - 1;

static const struct form {
    uint8_t now_bits; /* of the number of the present tick, in the lowest bits; 0: strokes */
    uint8_t ticks;    /* before the present one that count */
    uint8_t strokes;  /* of a full word */
    uint32_t most;
} forms[4] = {{0, 32, 16, 16}, {0, 16, 32, 32}, {12, 16, 20, (1 << 11) - 1}, {20, 12, 16, SLIDE_MOST}};

static unsigned form_of(uint32_t most) {
    unsigned form = 0;
    while (form < 3 && most > forms[form].most)
        form++;
    return form;
}

/* What a stroke stands for. */
static uint32_t slide_unit(const struct slide *slide, const struct form *form) {
    return form->now_bits ? (slide->most + form->strokes - 1) / form->strokes : 1;
}

static uint64_t slide_tick(const struct slide *slide, const struct form *form) {
    return (slide->interval_ns + form->ticks - 1) / form->ticks;
}

static struct slide slide_in_numbers(double threshold, uint64_t interval_ns, bool single) {
    const double longest = 1e18;
    struct slide slide = {.interval_ns = interval_ns ? interval_ns : 1, .most = 1};
    bool whole = threshold >= SPACED_BELOW || threshold == (double)(uint32_t)threshold;
    if (threshold < 1 || (single && !whole)) {
        double distance = (double)slide.interval_ns / threshold;
        slide.interval_ns = distance < longest ? (uint64_t)distance + 1 : (uint64_t)longest;
        return slide;
    }
    for (; threshold > SLIDE_MOST && slide.interval_ns > 1; threshold /= 2)
        slide.interval_ns = (slide.interval_ns + 1) / 2;
    slide.most = threshold > SLIDE_MOST ? SLIDE_MOST : (uint32_t)threshold;
    return slide;
}

struct slide slide_of(double threshold, uint64_t interval_ns, bool single) {
    struct slide slide = slide_in_numbers(threshold > 0 ? threshold : 1, interval_ns, single);
    slide.form = form_of(slide.most);
    slide.unit = slide_unit(&slide, &forms[slide.form]);
    slide.tick_ns = slide_tick(&slide, &forms[slide.form]);
    return slide;
}

static uint64_t word_of(unsigned form, uint64_t tick, uint64_t counts) {
    return COUNTED | (uint64_t)form << FORM_SHIFT | (tick & TICK_MASK) << TICK_SHIFT | (counts & COUNTS);
}

static uint64_t ones(unsigned n) {
    return (1ull << n) - 1;
}

/* How many bits are set, by adding neighbours: without -mpopcnt the compiler calls a function of its own, by a table.
 */
static unsigned count_ones(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)(word * 0x0101010101010101u >> 56);
}

/* What stands below the n-th 0. */
static uint64_t below_zero(uint64_t strokes, unsigned n) {
    unsigned width = n, wider;
    while (width < 63 && (wider = n + count_ones(strokes & ones(width))) != width)
        width = wider;
    return width < 63 ? strokes & ones(width) : strokes;
}

static uint64_t carried(const struct form *form) {
    return form->now_bits ? 1ull << (form->now_bits - 1) : 0;
}

static uint32_t number_of(const struct form *form, uint64_t counts) {
    return form->now_bits ? (uint32_t)(counts & (carried(form) - 1)) : 0;
}

/* So many ticks later, in which nothing was taken. */
static uint64_t move_on_empty(const struct form *form, uint64_t counts, unsigned ticks) {
    uint64_t strokes = counts >> form->now_bits;
    bool room = count_ones(strokes) < form->strokes;
    strokes <<= 1;
    if (number_of(form, counts) && room)
        strokes = strokes << 1 | 1;
    strokes = below_zero(strokes, form->ticks);
    return below_zero(strokes << (ticks - 1), form->ticks) << form->now_bits;
}

/* The counts, so many ticks later; at least one. */
static uint64_t move_on(uint32_t unit, const struct form *form, uint64_t counts, unsigned ticks) {
    uint64_t strokes = counts >> form->now_bits;
    uint32_t number = number_of(form, counts);
    unsigned full = count_ones(strokes), room = full < form->strokes ? form->strokes - full : 0;
    unsigned whole = number / unit, rest = number % unit;
    if (ticks > form->ticks)
        return 0;
    if (!form->now_bits)
        return below_zero(strokes << ticks, form->ticks + 1u);
    if (whole == 0 && rest && (counts & carried(form)))
        whole = 1, rest = 0;
    whole = whole < room ? whole : room;
    strokes = below_zero((strokes << 1 << whole | ones(whole)), form->ticks);
    counts = strokes << form->now_bits | rest | (rest ? carried(form) : 0);
    return ticks > 1 ? move_on_empty(form, counts, ticks - 1) : counts;
}

static uint32_t used(uint32_t unit, const struct form *form, uint64_t counts) {
    uint64_t strokes = count_ones(counts >> form->now_bits);
    return number_of(form, counts) + (uint32_t)strokes * unit;
}

/* All of it in the present tick. */
static uint64_t counts_of(const struct form *form, uint32_t count) {
    return form->now_bits ? count : ones(count);
}

/* In the word's own form, of which a tick and a stroke are so much. */
static uint64_t aged(uint64_t word, uint64_t tick_ns, uint32_t unit, uint64_t now_ns) {
    unsigned number = word >> FORM_SHIFT & 3;
    const struct form *form = &forms[number];
    uint64_t tick = now_ns / tick_ns;
    uint32_t ticks = (uint32_t)(tick - (word >> TICK_SHIFT)) & TICK_MASK;
    if (ticks == 0 || ticks >= TICK_MASK - 1) /* or a clock that was read a little earlier */
        return word;
    return word_of(number, tick, move_on(unit, form, word & COUNTS, ticks));
}

/* The threshold was another: what is used counts from now on.  Of one far beyond, by how much is not known. */
static uint32_t used_elsewhere(const struct slide *slide, uint64_t word, uint64_t now_ns) {
    if (!(word & COUNTED))
        return word > now_ns;
    unsigned number = word >> FORM_SHIFT & 3;
    const struct form *form = &forms[number];
    uint64_t old = aged(word, slide_tick(slide, form), slide_unit(slide, form), now_ns) & COUNTS;
    bool large = form->now_bits && old >> form->now_bits;
    uint32_t count = large ? slide->most : used(1, form, old);
    return count < slide->most ? count : slide->most;
}

uint64_t slide_at(const struct slide *slide, uint64_t word, uint64_t now_ns) {
    unsigned form = slide->form;
    if (slide->most == 1) {
        bool free = !used_elsewhere(slide, word, now_ns);
        return free ? 0 : !(word & COUNTED) && word - now_ns < slide->interval_ns ? word : now_ns + slide->interval_ns;
    }
    if (word & COUNTED && (word >> FORM_SHIFT & 3) == form)
        return aged(word, slide->tick_ns, slide->unit, now_ns);
    return word_of(form, now_ns / slide->tick_ns, counts_of(&forms[form], used_elsewhere(slide, word, now_ns)));
}

uint32_t slide_used(const struct slide *slide, uint64_t word) {
    return slide->most == 1 ? word != 0 : used(slide->unit, &forms[slide->form], word & COUNTS);
}

/* Of the strokes only the latest so many matter: a word that holds them is full as long as they last. */
static uint64_t larger_strokes(const struct form *form, uint64_t a, uint64_t b) {
    uint64_t strokes = 0;
    unsigned at = 0, room = form->strokes;
    while ((a | b) && room) {
        unsigned one = (unsigned)__builtin_ctzll(~a), other = (unsigned)__builtin_ctzll(~b);
        unsigned most = one > other ? one : other, empty;
        most = most < room ? most : room;
        strokes |= ones(most) << at;
        room -= most;
        a >>= one + 1;
        b >>= other + 1;
        empty = a | b ? (unsigned)__builtin_ctzll(a | b) : 0;
        a >>= empty;
        b >>= empty;
        at += most + 1 + empty;
    }
    return strokes;
}

uint64_t slide_larger(const struct slide *slide, uint64_t a, uint64_t b) {
    const struct form *form = &forms[slide->form];
    if (slide->most == 1)
        return a > b ? a : b;
    uint64_t one = a & COUNTS, other = b & COUNTS;
    uint64_t number = number_of(form, one) > number_of(form, other) ? number_of(form, one) : number_of(form, other);
    number |= one & carried(form);
    uint64_t strokes = larger_strokes(form, one >> form->now_bits, other >> form->now_bits);
    return (a & ~COUNTS) | ((strokes << form->now_bits | number) & COUNTS);
}

/* Until n more find room: until the tick ends to count that the latest stroke was taken in which leaves none. */
static uint64_t wait_ns(const struct slide *slide, uint64_t word, uint32_t n, uint64_t now_ns) {
    const struct form *form = &forms[slide->form];
    uint64_t strokes = (word & COUNTS) >> form->now_bits;
    uint32_t number = number_of(form, word & COUNTS), most = slide->most - n;
    unsigned age = 0, present = form->now_bits != 0;
    if (number <= most) {
        uint32_t stay = (most - number) / slide->unit, all = count_ones(strokes);
        for (; all > stay + 1; all--) /* as often as strokes leave before; seldom */
            strokes ^= 1ull << (63 - __builtin_clzll(strokes));
        age = strokes ? 63 - (unsigned)__builtin_clzll(strokes) - stay + present : 0;
    }
    unsigned ticks = age <= form->ticks ? form->ticks + 1u - age : 1u;
    return (now_ns / slide->tick_ns + ticks) * slide->tick_ns - now_ns;
}

static uint64_t taken(const struct slide *slide, uint64_t word, uint32_t n) {
    if (forms[slide->form].now_bits)
        return word + n;
    return (word & ~COUNTS) | (((word & COUNTS) << n | ones(n)) & COUNTS);
}

bool slide_take(uint64_t *word, const struct slide *slide, uint32_t n, uint64_t now_ns, uint64_t *ret_wait_ns,
                uint64_t *ret_before, uint64_t *ret_after) {
    uint64_t old = load_relaxed(word);
    *ret_wait_ns = 0;
    if (n > slide->most)
        return false;
    for (;;) {
        uint64_t now = slide_at(slide, old, now_ns);
        if (slide->most == 1 && now) {
            *ret_wait_ns = now - now_ns;
            if (now != old) /* nonsense would stay for ever: it counts for an interval from now on */
                atomic_take(word, &old, now);
            return false;
        }
        if (slide->most > 1 && slide_used(slide, now) > slide->most - n) {
            *ret_wait_ns = wait_ns(slide, now, n, now_ns);
            return false;
        }
        *ret_before = old;
        *ret_after = slide->most == 1 ? now_ns + slide->interval_ns : taken(slide, now, n);
        if (atomic_take(word, &old, *ret_after))
            return true;
    }
}

uint64_t slide_moved(uint64_t word, uint64_t interval_ns, uint64_t saved_ns, uint64_t elapsed_ns, uint64_t now_ns) {
    if (!(word & COUNTED)) {
        uint64_t then = saved_ns + elapsed_ns;
        return word > then ? now_ns + (word - then) : 0;
    }
    unsigned number = word >> FORM_SHIFT & 3;
    struct slide slide = {.interval_ns = interval_ns ? interval_ns : 1, .most = 1};
    uint64_t tick = slide_tick(&slide, &forms[number]);
    uint32_t age = (uint32_t)(saved_ns / tick - (word >> TICK_SHIFT)) & TICK_MASK;
    age = age >= TICK_MASK - 1 ? 0 : age;
    if (age + elapsed_ns / tick > forms[number].ticks)
        return 0;
    return word_of(number, now_ns / tick - age - elapsed_ns / tick, word & COUNTS);
}
