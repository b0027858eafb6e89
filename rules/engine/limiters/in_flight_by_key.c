#include "rules/engine/limiters/in_flight_by_key.h"

#include <stddef.h>

#include "rules/atomic.h"

/* A word: 40 bits of the value's hash, 8 of the process, 16 that count. */
enum { RETRIES = 8, ATTEMPTS = 64, WHO_SHIFT = 16, COUNT_MASK = 0xffff, WHO_MASK = 0xff };
static const uint64_t VALUE_MASK = ~0xffffffull;
_Static_assert(LAYOUT_PROCESSES <= WHO_MASK + 1, "a slot fits into a word");

static uint32_t start_of(const struct in_flight_by_key *table, uint64_t key) {
    return (uint32_t)((key * 0x9e3779b97f4a7c15ull >> 32) * table->count >> 32);
}

static uint64_t *word_at(const struct in_flight_by_key *table, uint32_t start, uint32_t i) {
    uint32_t at = start + i;
    return &table->words[at < table->count ? at : at - table->count];
}

static uint8_t who_of(uint64_t word) {
    return (uint8_t)(word >> WHO_SHIFT & WHO_MASK);
}

static bool is_free(const struct in_flight_by_key *table, uint64_t word) {
    return !(word & COUNT_MASK) || (table->alone && who_of(word) != table->me);
}

static uint32_t reach_of(const struct in_flight_by_key *table) {
    uint32_t reach = load_total(table->reach);
    return reach < BY_KEY_WINDOW ? reach : BY_KEY_WINDOW;
}

uint32_t in_flight_by_key_now(const struct in_flight_by_key *table, uint64_t key) {
    uint32_t sum = 0, reach = reach_of(table), start = start_of(table, key);
    for (uint32_t i = 0; i < reach; i++) {
        uint64_t word = load_total(word_at(table, start, i));
        if (!((word ^ key) & VALUE_MASK) && !is_free(table, word))
            sum += (uint32_t)(word & COUNT_MASK);
    }
    return sum;
}

/* The word to add to: that of this value and process, else a free one; NULL: none within reach. */
static uint64_t *own_word(const struct in_flight_by_key *table, uint64_t key, uint32_t n, uint64_t *ret_old) {
    uint32_t reach = reach_of(table), start = start_of(table, key);
    uint64_t *free = NULL, mine = (key & VALUE_MASK) | (uint64_t)table->me << WHO_SHIFT;
    for (uint32_t i = 0; i < reach; i++) {
        uint64_t *at = word_at(table, start, i), word = load_total(at);
        if (is_free(table, word)) {
            if (!free)
                *ret_old = word;
            free = free ? free : at;
        } else if (!((word ^ mine) & ~(uint64_t)COUNT_MASK) && (word & COUNT_MASK) + n <= COUNT_MASK) {
            *ret_old = word;
            return at;
        }
    }
    return free;
}

/* False: no word is left. */
static bool add(const struct in_flight_by_key *table, uint64_t key, uint32_t n, uint32_t *ret_word) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        uint64_t old, *word = own_word(table, key, n, &old);
        if (word) {
            uint64_t mine = (key & VALUE_MASK) | (uint64_t)table->me << WHO_SHIFT;
            if (!atomic_take(word, &old, is_free(table, old) ? mine | n : old + n))
                continue;
            *ret_word = (uint32_t)(word - table->words);
            return true;
        }
        uint32_t reach = load_total(table->reach);
        if (reach >= BY_KEY_WINDOW)
            return false;
        atomic_take32(table->reach, &reach, reach ? 2 * reach : 4);
    }
    return false;
}

/* Without a word of its own: adds to another value's. */
static bool share(const struct in_flight_by_key *table, uint64_t key, uint32_t limit, uint32_t n, uint32_t *ret_word) {
    uint32_t start = start_of(table, key), most = limit < COUNT_MASK ? limit : COUNT_MASK;
    for (unsigned attempt = 0; attempt < RETRIES; attempt++) {
        uint64_t *best = NULL, seen = 0;
        for (uint32_t i = 0; i < BY_KEY_WINDOW; i++) {
            uint64_t *at = word_at(table, start, i), word = load_total(at);
            bool fits = who_of(word) == table->me && (word & COUNT_MASK) + n <= most;
            if (fits && (!best || (word & COUNT_MASK) > (seen & COUNT_MASK))) {
                best = at;
                seen = word;
            }
        }
        if (!best)
            return false;
        if (atomic_take(best, &seen, seen + n)) {
            *ret_word = (uint32_t)(best - table->words);
            return true;
        }
    }
    return false;
}

bool in_flight_by_key_take(const struct in_flight_by_key *table, uint64_t key, uint32_t limit, uint32_t n,
                           uint32_t *ret_word, uint32_t *ret_left) {
    *ret_word = UINT32_MAX;
    for (unsigned i = 0; i < RETRIES; i++) {
        uint32_t before = in_flight_by_key_now(table, key);
        *ret_left = before < limit ? limit - before : 0;
        if (*ret_left < n)
            return false;
        n = n < COUNT_MASK ? n : COUNT_MASK; /* as much as a word can hold stands for more */
        if (!add(table, key, n, ret_word))
            return share(table, key, limit, n, ret_word);
        uint32_t sum = in_flight_by_key_now(table, key);
        if (sum <= limit) {
            *ret_left = limit - sum;
            return true;
        }
        in_flight_by_key_return(table, *ret_word, n);
    }
    *ret_left = 0;
    return false;
}

void in_flight_by_key_return(const struct in_flight_by_key *table, uint32_t word, uint32_t n) {
    if (word >= table->count)
        return;
    uint64_t *at = &table->words[word], old = load_total(at);
    while (who_of(old) == table->me && (old & COUNT_MASK) &&
           !atomic_take(at, &old, (old & COUNT_MASK) > n ? old - n : 0)) {
    } /* it may have been cleared, as a dead process's is */
}

void in_flight_by_key_reclaim(const struct in_flight_by_key *table, uint8_t who) {
    for (uint32_t i = 0; i < table->count; i++) {
        uint64_t word = load_total(&table->words[i]);
        if (word && who_of(word) == who)
            atomic_take(&table->words[i], &word, 0);
    }
}

bool in_flight_by_key_is_idle(const struct in_flight_by_key *table) {
    for (uint32_t i = 0; i < table->count; i++)
        if (!is_free(table, load_relaxed(&table->words[i])))
            return false;
    return true;
}
