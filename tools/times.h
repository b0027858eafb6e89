/* When rules with times of day ("when") are in force, in words for a person: by the clocks of who reads it. */
#ifndef WEIR_TOOLS_TIMES_H
#define WEIR_TOOLS_TIMES_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "rules/rule.h"

enum { TIMES_TEXT = 200 };

struct times { /* of a rule at a moment; Unix seconds, 0: not within the year that is known */
    bool now;
    uint64_t until; /* the end of that */
    uint64_t next;  /* and, of one that is not in force, the end of the time that begins with `until` */
};
void times_of(const void *ruleset, const struct rule *rule, uint64_t now_s, struct times *ret_times);
/* "in force until Tue 2026-12-01 06:00 CET", "not in force until Tue 2026-12-01 22:00 CET (then until …)" */
void times_text(const struct times *, char ret_text[static TIMES_TEXT]);
#define TIMES_END 4102444800 /* 2100: rulesets hold times of day up to 2106 */
/* "2026-12-24T23:00" (or with a blank), with seconds if there are any: local time, with "Z" UTC; false: it is none, or
 * not before TIMES_END. */
bool times_parse(const char *text, uint64_t *ret_unix_s);
/* Is it in the calendar?  30 February is not, though mktime() takes it. */
bool times_is_date(const struct tm *);

#endif
