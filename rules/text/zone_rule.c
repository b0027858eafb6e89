#include "rules/text/zone_rule.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------------ reading
 *
 * Each takes what it reads off `*at`; false: it is not there. */

static bool take(const char **at, char what) {
    bool there = **at == what;
    *at += there;
    return there;
}

static bool take_number(const char **at, int most, int *ret_number) {
    int number = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 4; digits++, ++*at)
        number = number * 10 + (**at - '0');
    *ret_number = number;
    return digits && number <= most;
}

/* "CEST", or "<+0330>". */
static bool take_name(const char **at) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    bool quoted = take(at, '<');
    size_t length = quoted ? strcspn(*at, ">") : strspn(*at, letters);
    *at += length;
    return length >= 3 && (!quoted || take(at, '>'));
}

/* "[+-]hh[:mm[:ss]]" as seconds. */
static bool take_time(const char **at, int32_t *ret_seconds) {
    int sign = take(at, '-') ? -1 : 1, hours, minutes = 0, seconds = 0;
    if (sign > 0)
        take(at, '+');
    if (!take_number(at, 167, &hours) || (take(at, ':') && !take_number(at, 59, &minutes)) ||
        (take(at, ':') && !take_number(at, 59, &seconds)))
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

/* ",M3.5.0/2", ",J60" or ",59" */
static bool take_day(const char **at, struct zone_day *ret_day) {
    *ret_day = (struct zone_day){.kind = 'N', .time = 7200};
    if (!take(at, ','))
        return false;
    if (take(at, 'M')) {
        ret_day->kind = 'M';
        if (!take_number(at, 12, &ret_day->month) || !take(at, '.') || !take_number(at, 5, &ret_day->week) ||
            !take(at, '.') || !take_number(at, 6, &ret_day->day) || !ret_day->month || !ret_day->week)
            return false;
    } else {
        if (take(at, 'J'))
            ret_day->kind = 'J';
        if (!take_number(at, 365, &ret_day->day) || (ret_day->kind == 'J' && !ret_day->day))
            return false;
    }
    return !take(at, '/') || take_time(at, &ret_day->time);
}

bool zone_rule_parse(const char *text, struct zone_rule *ret_rule) {
    int32_t west;
    *ret_rule = (struct zone_rule){0};
    if (!take_name(&text) || !take_time(&text, &west))
        return false;
    ret_rule->offset = -west;
    if (!*text)
        return true;
    ret_rule->has_summer = true;
    ret_rule->summer = ret_rule->offset + 3600;
    if (!take_name(&text))
        return false;
    if (*text != ',') {
        if (!take_time(&text, &west))
            return false;
        ret_rule->summer = -west;
    }
    return take_day(&text, &ret_rule->begin) && take_day(&text, &ret_rule->end) && !*text;
}

/* ------------------------------------------------------------------------------------------------------ its steps */

static bool is_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Seconds since 1970-01-01 00:00, as shown. */
static int64_t local_time(const struct zone_day *day, int year) {
    int64_t days = zone_days(year, 1, 1);
    if (day->kind == 'N')
        days += day->day;
    if (day->kind == 'J')
        days += day->day - 1 + (is_leap(year) && day->day >= 60);
    if (day->kind == 'M') {
        days = zone_days(year, day->month, 1);
        int weekday = (int)((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        int of_month = (day->day - weekday + 7) % 7 + 7 * (day->week - 1);
        while (of_month >= month_days(year, day->month))
            of_month -= 7;
        days += of_month;
    }
    return days * 86400 + day->time;
}

int zone_rule_steps(const struct zone_rule *rule, int year, struct zone_step ret_steps[2]) {
    if (!rule->has_summer) {
        ret_steps[0] = (struct zone_step){zone_days(year, 1, 1) * 86400, rule->offset};
        return 0;
    }
    struct zone_step begin = {local_time(&rule->begin, year) - rule->offset, rule->summer};
    struct zone_step end = {local_time(&rule->end, year) - rule->summer, rule->offset};
    bool north = begin.at < end.at;
    ret_steps[0] = north ? begin : end;
    ret_steps[1] = north ? end : begin;
    return 2;
}
