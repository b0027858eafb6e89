/* How many requests of each value are in flight: hot parameters by concurrency.
 *
 * A table of words, each of which says "so many requests of this value are in flight in this process".  A value's words
 * stand within a window behind its hash; its requests in flight are their sum.  Who acquires adds to its own word first
 * and then looks at the sum, as in in_flight.h: of two who race for the last place at least one sees both, so the limit
 * is never passed.  The words are the ledger, too: what a killed process held is exactly the words with its number. A
 * word that falls to 0 is free for any value.  Where a window has no free word (each of its words is a request in
 * flight of some value) the value shares the fullest of this process's words that has room within the limit, and is
 * rejected if none has. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_IN_FLIGHT_BY_KEY_H
#define WEIR_RULES_ENGINE_LIMITERS_IN_FLIGHT_BY_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/layout.h"

enum { BY_KEY_WINDOW = LAYOUT_PROCESSES };

struct in_flight_by_key {
    uint64_t *words;
    uint32_t count;  /* at least BY_KEY_WINDOW */
    uint32_t *reach; /* of a window, how much is in use: grows */
    uint8_t me;      /* this process: its slot, or in private memory its incarnation */
    bool alone;      /* private memory: words of others are a parent's before the fork, and free */
};

/* Adds n if no more than `limit` are in flight then; `ret_word` goes back with in_flight_by_key_return. */
bool in_flight_by_key_take(const struct in_flight_by_key *, uint64_t key, uint32_t limit, uint32_t n,
                           uint32_t *ret_word, uint32_t *ret_left);
void in_flight_by_key_return(const struct in_flight_by_key *, uint32_t word, uint32_t n);
uint32_t in_flight_by_key_now(const struct in_flight_by_key *, uint64_t key);
void in_flight_by_key_reclaim(const struct in_flight_by_key *, uint8_t who); /* the process is dead */
bool in_flight_by_key_is_idle(const struct in_flight_by_key *);

#endif
