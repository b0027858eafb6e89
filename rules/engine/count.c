#include "rules/engine/count.h"

#include "rules/atomic.h"

enum { RETRIES = 8 };

static uint32_t mine(uint64_t word, uint32_t incarnation) {
    return high_of(word) == incarnation ? low_of(word) : 0;
}

bool count_take(struct count *count, uint32_t incarnation, uint32_t limit, uint32_t n, uint32_t *ret_left) {
    uint64_t old = load_relaxed(&count->word);
    for (;;) {
        uint32_t now = mine(old, incarnation);
        *ret_left = now < limit ? limit - now : 0;
        if (*ret_left < n || now > limit)
            return false;
        *ret_left -= n;
        if (atomic_take(&count->word, &old, pack(incarnation, now + n)))
            return true;
    }
}

void count_add(struct count *count, uint32_t incarnation, uint32_t n) {
    uint64_t old = load_relaxed(&count->word);
    while (!atomic_take(&count->word, &old, pack(incarnation, mine(old, incarnation) + n))) {
    }
}

void count_return(struct count *count, uint32_t incarnation, uint32_t n) {
    uint64_t old = load_relaxed(&count->word);
    uint32_t now;
    do
        now = mine(old, incarnation);
    while (now && !atomic_take(&count->word, &old, pack(incarnation, now > n ? now - n : 0)));
}

uint32_t count_now(const struct count *count, uint32_t incarnation) {
    return mine(load_relaxed(&count->word), incarnation);
}

uint32_t counts_now(const struct counts *counts) {
    uint64_t sum = 0;
    uint32_t slots = load_total(&counts->slots);
    for (uint32_t i = 0; i < slots && i < LAYOUT_PROCESSES; i++)
        sum += load_total(&counts->words[i]);
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

void counts_add(struct counts *counts, uint32_t slot, uint32_t n) {
    uint32_t slots = load_total(&counts->slots);
    while (slots <= slot && !atomic_take32(&counts->slots, &slots, slot + 1)) {
    }
    add_total(&counts->words[slot], n);
}

void counts_return(struct counts *counts, uint32_t slot, uint32_t n) {
    sub_floor32(&counts->words[slot], n);
}

bool counts_take(struct counts *counts, uint32_t slot, uint32_t limit, uint32_t n, uint32_t *ret_left) {
    for (unsigned i = 0; i < RETRIES; i++) {
        uint32_t before = counts_now(counts);
        *ret_left = before < limit ? limit - before : 0;
        if (*ret_left < n || before > limit)
            return false; /* no write while it is full */
        counts_add(counts, slot, n);
        uint32_t sum = counts_now(counts);
        if (sum <= limit) {
            *ret_left = limit - sum;
            return true;
        }
        counts_return(counts, slot, n);
    }
    *ret_left = 0;
    return false;
}

void counts_bury(struct counts *counts, uint32_t slot) {
    uint32_t held = load_total(&counts->words[slot]);
    atomic_take32(&counts->words[slot], &held, 0);
}

static uint32_t ttl_sum(struct window *window, uint32_t tick) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < WINDOW_SLOTS; i++) {
        uint64_t slot = load_total(&window->slots[i]);
        if (tick - high_of(slot) <= WINDOW_TICKS)
            sum += low_of(slot);
    }
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

bool ttl_take(struct window *window, const struct window_clock *clock, uint64_t now_ns, uint32_t limit, uint32_t n,
              uint32_t *ret_tick, uint32_t *ret_left) {
    uint32_t tick = window_tick(clock, now_ns);
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS];
    *ret_tick = tick;
    for (unsigned i = 0; i < RETRIES; i++) {
        uint32_t before = ttl_sum(window, tick);
        *ret_left = before < limit ? limit - before : 0;
        if (*ret_left < n || before > limit)
            return false;
        uint64_t old = load_total(slot);
        while (!atomic_take(slot, &old, pack(tick, (high_of(old) == tick ? low_of(old) : 0) + n))) {
        }
        uint32_t sum = ttl_sum(window, tick);
        if (sum <= limit) {
            *ret_left = limit - sum;
            return true;
        }
        ttl_return(window, tick, n);
    }
    *ret_left = 0;
    return false;
}

void ttl_return(struct window *window, uint32_t tick, uint32_t n) {
    uint64_t *slot = &window->slots[tick % WINDOW_SLOTS], old = load_total(slot);
    while (high_of(old) == tick && low_of(old) &&
           !atomic_take(slot, &old, pack(tick, low_of(old) > n ? low_of(old) - n : 0))) {
    }
}
