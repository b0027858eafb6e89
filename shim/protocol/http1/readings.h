/* The values that servers may read a parameter as: found by cookies.c and values.c as they were sent, and then written
 * in one spelling.  Servers differ in where a value ends and in what is decoded; each reading counts, so that a client
 * cannot choose one that is not counted.  Their number is bounded: of a parameter that comes often, the first readings
 * and those of its last occurrence are kept, since servers go by either. */
#ifndef WEIR_SHIM_HTTP1_READINGS_H
#define WEIR_SHIM_HTTP1_READINGS_H

#include "shim/protocol/protocol.h"

enum spelling { SPELT_PLAIN, SPELT_PERCENT, SPELT_PLUS /* and '+' is a blank */, SPELT_QUOTED /* \x, \123, %xx */ };
enum {
    READINGS_EACH = 8, /* of one occurrence, at most */
    READINGS_KEPT = VALUES_JOINED - READINGS_EACH
};

struct readings {
    struct values *values;
    uint32_t firsts;              /* bit i: value i is the first of its occurrence */
    uint8_t spelling[VALUES_MAX]; /* enum spelling */
};

/* The parameter occurs once more: what is added from here on are readings of that. */
void readings_begin(struct readings *);
/* As it was sent; the same again is passed over. */
void readings_add(struct readings *, struct slice value, enum spelling);
/* Writes what is not in its spelling yet.  `join`: all occurrences as one list, as some servers have it, count, too. */
void readings_write(struct readings *, bool join);

/* Writes a value as it is meant, cut where there is no room; returns its size. */
size_t readings_spell(struct slice value, enum spelling, char *to, size_t room);

/* May a server take this, as sent, for that parameter?  Decoded, or as PHP and its like have names: blanks before it
 * left out, '_' for ' ', '.' and '[', elements of it as "name[…]", nothing behind a NUL. */
bool readings_name(struct slice sent, const char *name);

#endif
