#include "tools/since.h"

#include <stdlib.h>
#include <string.h>

#include "tools/times.h"

static bool parse_ago(const char *text, time_t now, time_t *ret_since) {
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    long n = strtol(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (end[0] != units[i].unit || end[1] || n > 10000000)
            continue;
        *ret_since = now - n * units[i].seconds;
        return true;
    }
    return false;
}

bool since_parse(const char *text, time_t now, time_t *ret_since) {
    static const char *const days[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                                       "%Y-%m-%d"};
    static const char *const clocks[] = {"%H:%M:%S", "%H:%M"};
    struct tm at;
    if (parse_ago(text, now, ret_since))
        return true;
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        memset(&at, 0, sizeof at);
        const char *end = strptime(text, days[i], &at);
        at.tm_isdst = -1;
        if (end && !*end)
            return times_is_date(&at) && (*ret_since = mktime(&at)) != (time_t)-1;
    }
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        localtime_r(&now, &at);
        at.tm_sec = 0;
        const char *end = strptime(text, clocks[i], &at);
        at.tm_isdst = -1;
        if (!end || *end)
            continue;
        *ret_since = mktime(&at);
        at.tm_mday--; /* it is yet to come today */
        at.tm_isdst = -1;
        if (*ret_since > now)
            *ret_since = mktime(&at);
        return true;
    }
    return false;
}
