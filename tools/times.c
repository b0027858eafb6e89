#include "tools/times.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/when.h"

enum { MOMENT_TEXT = 48 };

static uint64_t known(uint64_t moment) {
    return moment >= WHEN_UNKNOWN ? 0 : moment;
}

void times_of(const void *ruleset, const struct rule *rule, uint64_t now_s, struct times *ret_times) {
    uint64_t next = WHEN_UNKNOWN, until;
    ret_times->now = when_in_force(ruleset, rule, now_s, &until);
    if (!ret_times->now && until < WHEN_UNKNOWN)
        when_in_force(ruleset, rule, until, &next);
    ret_times->until = known(until);
    ret_times->next = known(next);
}

static void moment_text(uint64_t unix_s, char ret_text[static MOMENT_TEXT]) {
    time_t at = (time_t)unix_s;
    struct tm local;
    if (!unix_s || !localtime_r(&at, &local) || !strftime(ret_text, MOMENT_TEXT, "%a %Y-%m-%d %H:%M %Z", &local))
        snprintf(ret_text, MOMENT_TEXT, "further notice");
}

void times_text(const struct times *times, char ret_text[static TIMES_TEXT]) {
    char until[MOMENT_TEXT], next[MOMENT_TEXT];
    moment_text(times->until, until);
    moment_text(times->next, next);
    if (times->now)
        snprintf(ret_text, TIMES_TEXT, "in force until %s", until);
    else
        snprintf(ret_text, TIMES_TEXT, "not in force until %s (then until %s)", until, next);
}

bool times_is_date(const struct tm *date) {
    struct tm same = {.tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = date->tm_mday};
    return timegm(&same) != -1 && same.tm_mon == date->tm_mon && same.tm_mday == date->tm_mday;
}

bool times_parse(const char *text, uint64_t *ret_unix_s) {
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct tm time = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &time);
        if (!end || (*end && strcmp(end, "Z") != 0))
            continue;
        if (!times_is_date(&time))
            return false;
        int64_t at = *end ? (int64_t)timegm(&time) : (int64_t)mktime(&time);
        *ret_unix_s = (uint64_t)at;
        return at > 0 && at < TIMES_END;
    }
    return false;
}
