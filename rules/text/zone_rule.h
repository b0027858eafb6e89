/* How a zone goes on behind the end of its file's list: "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX, with RFC 8536's hours).
 * Pure. */
#ifndef WEIR_RULES_TEXT_ZONE_RULE_H
#define WEIR_RULES_TEXT_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/text/zone.h"

struct zone_day { /* a moment of each year, as the clocks show it that go until then */
    char kind;    /* 'M': the week-th weekday of a month (5: the last), 'J': the day, without 29 February, 'N': the day
                     from 0 on */
    int month, week, day;
    int32_t time; /* seconds from the day's beginning */
};
struct zone_rule {
    int32_t offset;  /* of standard time */
    bool has_summer; /* the rest holds */
    int32_t summer;  /* offset of summer time */
    struct zone_day begin, end;
};

bool zone_rule_parse(const char *text, struct zone_rule *ret_rule);
/* The year's changes in order of time: 0 or 2. */
int zone_rule_steps(const struct zone_rule *rule, int year, struct zone_step ret_steps[2]);

#endif
