/* Time zones, from the system's zone files (TZif, RFC 8536), without libc's one zone for all of the process. */
#ifndef WEIR_RULES_TEXT_ZONE_H
#define WEIR_RULES_TEXT_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"

struct zone_step { /* from `at` on (Unix seconds) local time is UTC + `offset` seconds */
    int64_t at;
    int32_t offset;
};
struct zone {
    struct zone_step *steps; /* ascending; the first holds for all time before it, too */
    size_t count;
};

enum zone_result { ZONE_OK, ZONE_UNKNOWN /* no such file */, ZONE_BAD /* not a zone file */, ZONE_NO_MEMORY };

/* The zone with that name ("Europe/Berlin"; "UTC" needs no file), with its steps up to `until`; zone_clear() it.  The
 * name is untrusted: no file outside of the folder is opened. */
enum zone_result zone_load(const char *folder, const char *name, int64_t until, struct zone *ret_zone);
/* The same from the bytes of a zone file; false: they are none. */
bool zone_parse(const unsigned char *bytes, size_t size, int64_t until, struct zone *ret_zone);
void zone_clear(struct zone *);

/* Seconds to add to UTC at that moment. */
int32_t zone_offset(const struct zone *, int64_t utc);
/* The first moment at which clocks there show `local` (seconds since 1970-01-01 00:00 as shown), or, when they pass
 * over it, the moment at which they do so. */
int64_t zone_moment(const struct zone *, int64_t local);

/* The name of an existing zone that is nearest to a wrong one, in `ret_name`; false: none is near. */
bool zone_nearest(const char *folder, const char *name, char *ret_name, size_t size);

/* Days since 1970-01-01 of a date of the Gregorian calendar; months and days from 1. */
int64_t zone_days(int64_t year, int month, int day);

#endif
