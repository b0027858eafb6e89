/* The short id of a rejection, "3F-K7QM": what a rejected client is sent, and what `weir why` is asked.
 *
 * The number in Crockford's base 32 (no I, L, O, U: an id is read out over the telephone), at least two digits, a dash,
 * and 20 bits of the number's keyed hash.  The key is the app's: these bits say which app, and which file of counters,
 * an id is of, and they find slips.  Pure. */
#ifndef WEIR_RULES_REJECTION_ID_H
#define WEIR_RULES_REJECTION_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REJECTION_ID_MAX = 20 }; /* bytes, with the NUL */

/* Returns its length. */
size_t rejection_id_write(char ret_text[static REJECTION_ID_MAX], uint64_t seed, uint64_t number);
/* Capitals or not, with or without the dash, O for 0, I or L for 1.  False: this is no id. */
bool rejection_id_read(const char *text, uint64_t *ret_number, uint32_t *ret_check);
/* Is it of the app with that key? */
bool rejection_id_fits(uint64_t seed, uint64_t number, uint32_t check);

#endif
