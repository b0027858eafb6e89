/* "At most so many in any interval" in one word: the sliding window of a hot key (hot_param.h).
 *
 * Time is cut into ticks, of which an interval has 12 to 32.  The word says in which of them what was taken; the
 * present one and an interval's worth before it count.  An interval, at whatever offset, lies within those ticks, so
 * none admits more than the limit.  What was taken counts for a tick too long at most, and beyond 32 permits it is
 * counted in lumps of a 16th to a 20th of the limit: a value that takes all that it can gets at least 32/33 of a
 * threshold up to 16, 16/17 up to 32, and some 9/10 beyond.  A threshold of 1 is exact: the word is the time at which
 * the permit is free again.
 *
 * Source: the sliding window of counters, as window.h has it with more ticks.  Pure functions of a word, and swaps of
 * it: any number of threads and processes.  A word may have been written by another: any value is possible, and counts
 * for an interval at most. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_SLIDE_H
#define WEIR_RULES_ENGINE_LIMITERS_SLIDE_H

#include <stdbool.h>
#include <stdint.h>

enum { SLIDE_MOST = (1 << 19) - 1 };

struct slide {
    uint64_t interval_ns;
    uint32_t most; /* permits in any interval, 1 … SLIDE_MOST */
    uint32_t unit; /* slide.c: made of these by slide_of() */
    uint64_t tick_ns;
    uint32_t form;
};
/* Of a threshold > 0 per interval.  One beyond SLIDE_MOST is kept in parts of the interval; a fraction below 16, if
 * each request takes one permit (`single`), by the distance of requests. */
struct slide slide_of(double threshold, uint64_t interval_ns, bool single);

/* What the word says at that time, for that limit. */
uint64_t slide_at(const struct slide *, uint64_t word, uint64_t now_ns);
uint32_t slide_used(const struct slide *, uint64_t word_at);
/* Of both in each tick the larger number; both as slide_at() returns them. */
uint64_t slide_larger(const struct slide *, uint64_t a, uint64_t b);
/* Takes n permits, or none: then `ret_wait_ns` says when there is room (0: never).  Before and after are for
 * queue_return(). */
bool slide_take(uint64_t *word, const struct slide *, uint32_t n, uint64_t now_ns, uint64_t *ret_wait_ns,
                uint64_t *ret_before, uint64_t *ret_after);
/* A word that was kept while nothing was counted: as it would be after `elapsed_ns`, on a clock that says `now_ns`
 * then. */
uint64_t slide_moved(uint64_t word, uint64_t interval_ns, uint64_t saved_ns, uint64_t elapsed_ns, uint64_t now_ns);

#endif
