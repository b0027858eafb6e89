#include "rules/text/zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/text/zone_rule.h"

enum { FILE_MAX = 256 << 10, NAME_MAX_BYTES = 100, HEADER = 44, TYPE = 6 };

/* ----------------------------------------------------------------------------------------------------- steps */

static bool add_step(struct zone *zone, int64_t at, int32_t offset) {
    if (zone->count && zone->steps[zone->count - 1].at > at)
        return true; /* the rule at the file's end begins where its list ends */
    if (zone->count && zone->steps[zone->count - 1].at == at) { /* summer time all the year */
        zone->steps[zone->count - 1].offset = offset;
        return true;
    }
    if ((zone->count & (zone->count + 1)) == 0) { /* 0, 1, 3, 7, …: it is full */
        struct zone_step *steps = realloc(zone->steps, (zone->count * 2 + 1) * sizeof(*steps));
        if (!steps)
            return false;
        zone->steps = steps;
    }
    zone->steps[zone->count++] = (struct zone_step){at, offset};
    return true;
}

void zone_clear(struct zone *zone) {
    free(zone->steps);
    *zone = (struct zone){0};
}

static size_t step_at(const struct zone *zone, int64_t utc) {
    size_t low = 0, high = zone->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->steps[middle].at <= utc)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : 0;
}

int32_t zone_offset(const struct zone *zone, int64_t utc) {
    return zone->steps[step_at(zone, utc)].offset;
}

int64_t zone_moment(const struct zone *zone, int64_t local) {
    enum { FARTHEST = 2 * 86400 /* more than any offset: nothing before shows that time */ };
    size_t i = step_at(zone, local - FARTHEST);
    while (i + 1 < zone->count && zone->steps[i + 1].at + zone->steps[i].offset <= local)
        i++;
    int64_t moment = local - zone->steps[i].offset;
    return i > 0 && moment < zone->steps[i].at ? zone->steps[i].at : moment;
}

int64_t zone_days(int64_t year, int month, int day) {
    /* Years from March on, so that the day that not all of them have is the last: Howard Hinnant, "chrono-Compatible
     * Low-Level Date Algorithms". */
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* --------------------------------------------------------------------------------------------------- TZif */

static int64_t number(const unsigned char *at, int bytes) {
    uint64_t value = bytes && at[0] & 0x80 ? UINT64_MAX : 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

struct counts { /* of a block, in the order of its header */
    uint32_t ut, std, leap, time, type, chars;
};

/* The header at `at`, if all of its block is there; returns the bytes behind the header, 0: it is none. */
static size_t read_block(const unsigned char *bytes, size_t size, size_t at, unsigned time_bytes,
                         struct counts *ret_counts) {
    if (at > size || size - at < HEADER || memcmp(bytes + at, "TZif", 4) != 0 || bytes[at + 4] < '2')
        return 0;
    uint32_t *const to[] = {&ret_counts->ut,   &ret_counts->std,  &ret_counts->leap,
                            &ret_counts->time, &ret_counts->type, &ret_counts->chars};
    for (size_t i = 0; i < 6; i++) {
        *to[i] = (uint32_t)number(bytes + at + 20 + 4 * i, 4);
        if (*to[i] > FILE_MAX)
            return 0;
    }
    size_t body = (size_t)ret_counts->time * (time_bytes + 1) + (size_t)ret_counts->type * TYPE + ret_counts->chars +
                  (size_t)ret_counts->leap * (time_bytes + 4) + ret_counts->std + ret_counts->ut;
    return size - at - HEADER >= body ? HEADER + body : 0;
}

static bool read_steps(const unsigned char *block, const struct counts *counts, struct zone *zone) {
    const unsigned char *times = block + HEADER, *indices = times + (size_t)counts->time * 8,
                        *types = indices + counts->time;
    bool good = add_step(zone, INT64_MIN / 2, (int32_t)number(types, 4)); /* the first type holds before the first */
    for (uint32_t i = 0; i < counts->time && good; i++) {
        int64_t at = number(times + (size_t)i * 8, 8);
        if (indices[i] >= counts->type || (i && at <= number(times + (size_t)(i - 1) * 8, 8)))
            return false;
        good = at <= INT64_MIN / 2 || add_step(zone, at, (int32_t)number(types + (size_t)indices[i] * TYPE, 4));
    }
    return good;
}

/* Behind the second block: "\nRULE\n". */
static bool read_rule(const unsigned char *at, size_t size, int64_t until, struct zone *zone) {
    char text[128];
    const unsigned char *end = size > 1 && at[0] == '\n' ? memchr(at + 1, '\n', size - 1) : NULL;
    struct zone_rule rule;
    if (!end || (size_t)(end - at) > sizeof(text))
        return false;
    memcpy(text, at + 1, (size_t)(end - at - 1));
    text[end - at - 1] = '\0';
    if (text[0] == '\0')
        return true; /* nothing is said of the time after the last step */
    if (!zone_rule_parse(text, &rule))
        return false;
    int64_t last = zone->steps[zone->count - 1].at;
    if (last > until)
        return true;
    int from = last < 0 ? 1970 : (int)(1970 + last / 31556952);
    for (int year = from - 1; zone_days(year, 1, 1) * 86400 <= until + 86400; year++) {
        struct zone_step steps[2];
        int count = zone_rule_steps(&rule, year, steps);
        for (int i = 0; i < count; i++)
            if (!add_step(zone, steps[i].at, steps[i].offset))
                return false;
    }
    return true;
}

bool zone_parse(const unsigned char *bytes, size_t size, int64_t until, struct zone *ret_zone) {
    struct counts counts;
    *ret_zone = (struct zone){0};
    size_t first = read_block(bytes, size, 0, 4, &counts); /* of 32 bits, for old readers */
    size_t second = first ? read_block(bytes, size, first, 8, &counts) : 0;
    if (second && counts.type && !counts.leap && read_steps(bytes + first, &counts, ret_zone) &&
        read_rule(bytes + first + second, size - first - second, until, ret_zone))
        return true;
    zone_clear(ret_zone);
    return false;
}

/* -------------------------------------------------------------------------------------------------- files */

/* Parts of letters, digits, "_", "+" and "-" with slashes between them. */
static bool is_name(const char *name) {
    size_t length = strlen(name);
    return length >= 1 && length <= NAME_MAX_BYTES && name[0] != '/' && name[length - 1] != '/' &&
           !strstr(name, "//") &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == length;
}

static unsigned char *read_file(const char *path, size_t *ret_size) {
    struct stat status;
    unsigned char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_MAX &&
        (bytes = malloc((size_t)status.st_size + 1)) != NULL) {
        ssize_t got = read(fd, bytes, (size_t)status.st_size);
        *ret_size = got > 0 ? (size_t)got : 0;
    }
    close(fd);
    return bytes;
}

enum zone_result zone_load(const char *folder, const char *name, int64_t until, struct zone *ret_zone) {
    char path[512];
    size_t size = 0;
    *ret_zone = (struct zone){0};
    if (strcmp(name, "UTC") == 0)
        return add_step(ret_zone, INT64_MIN / 2, 0) ? ZONE_OK : ZONE_NO_MEMORY;
    if (!is_name(name) || snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return ZONE_UNKNOWN;
    unsigned char *bytes = read_file(path, &size);
    if (!bytes)
        return ZONE_UNKNOWN;
    bool good = zone_parse(bytes, size, until, ret_zone);
    free(bytes);
    return good ? ZONE_OK : ZONE_BAD;
}
