/* Times of day: zones (rules/text/zone.c) against libc's, "when" (rules/text/when.c) against its own definition, and
 * what an engine makes of it.  WHEN_CASES and WHEN_SEED: how many random windows, and which. */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_fixture.h"
#include "rules/text/rule_text.h"
#include "rules/text/zone.h"
#include "rules/when.h"
#include "tests/unit/suite.h"

enum { DAY = 86400, HOUR = 3600 };
#ifdef __SANITIZE_ADDRESS__ /* memory is looked at, not zones: a part of the cases is enough */
enum { EVERY_ZONE = 4, CASES = 20, LOCAL_STEP = 2700 };
#else
enum { EVERY_ZONE = 1, CASES = 60, LOCAL_STEP = 900 };
#endif
static const int64_t Y1975 = 157766400, Y2000 = 946684800, Y2090 = 3786912000;

static uint64_t state;

static uint64_t any(uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ------------------------------------------------------------------------------------------------------ libc's */

static void set_zone(const char *name) {
    char text[160];
    snprintf(text, sizeof(text), ":%s", name);
    setenv("TZ", text, 1);
    tzset();
}

static int64_t shown(int64_t utc) { /* by the clocks of the zone that is set */
    time_t at = (time_t)utc;
    struct tm local;
    ck_assert_ptr_nonnull(localtime_r(&at, &local));
    return utc + local.tm_gmtoff;
}

static int64_t utc_of(const char *text) {
    struct tm time = {0};
    ck_assert_ptr_nonnull(strptime(text, "%Y-%m-%d %H:%M:%S", &time));
    return (int64_t)timegm(&time);
}

static void load(const char *name, struct zone *zone) {
    ck_assert_msg(zone_load(ZONE_FOLDER, name, Y2090 + 10 * DAY, zone) == ZONE_OK, "%s", name);
}

/* ------------------------------------------------------------------------------------------------------- zones */

static void agrees(const char *name) {
    struct zone zone;
    load(name, &zone);
    set_zone(name);
    for (int i = 0; i < 60; i++) {
        int64_t at = Y1975 + (int64_t)any((uint64_t)(Y2090 - Y1975));
        ck_assert_msg(at + zone_offset(&zone, at) == shown(at), "%s at %lld", name, (long long)at);
    }
    for (size_t i = 1; i < zone.count; i++)
        for (int64_t at = zone.steps[i].at - 1; zone.steps[i].at > Y1975 && at <= zone.steps[i].at + 1; at++)
            ck_assert_msg(at + zone_offset(&zone, at) == shown(at), "%s at %lld", name, (long long)at);
    zone_clear(&zone);
}

static int zones_seen;

static int visit(const char *path, const struct stat *status, int type, struct FTW *where) {
    const char *name = path + strlen(ZONE_FOLDER) + 1;
    (void)status;
    if (type != FTW_F || path[where->base] < 'A' || path[where->base] > 'Z' || strchr(path + where->base, '.') ||
        strncmp(name, "right/", 6) == 0 || strncmp(name, "posix/", 6) == 0)
        return 0;
    if (zones_seen++ % EVERY_ZONE == 0)
        agrees(name);
    return 0;
}

START_TEST(every_zone_is_as_libc_has_it) {
    state = 1;
    ck_assert_int_eq(nftw(ZONE_FOLDER, visit, 16, FTW_PHYS), 0);
    ck_assert_int_gt(zones_seen, 300);
}
END_TEST

/* Summer time forward and back by one, half an hour and two, a day left out, odd offsets, rules that changed. */
static const char *const odd_zones[] = {
    "Europe/Berlin",    "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Antarctica/Troll", "Pacific/Apia",     "Africa/Casablanca",   "Europe/Dublin",
    "Asia/Gaza",        "America/Nuuk",     "America/Sao_Paulo",   "Europe/Istanbul",
    "Asia/Pyongyang",   "America/Caracas",  "Pacific/Kwajalein",   "UTC"};
enum { ODD_ZONES = sizeof(odd_zones) / sizeof(odd_zones[0]) };

/* The first moment at which the clocks show `local` or later, by looking at all of them. */
static int64_t first_shown(int64_t local, int step) {
    for (int64_t at = local - 15 * HOUR;; at += step) /* no clock is that far ahead */
        if (shown(at) >= local)
            return at;
}

START_TEST(a_time_of_day_is_the_first_moment_that_shows_it) {
    struct zone zone;
    load(odd_zones[_i], &zone);
    set_zone(odd_zones[_i]);
    for (size_t i = 1; i < zone.count; i++) {
        int64_t at = zone.steps[i].at, before = at + zone.steps[i - 1].offset;
        if (at < 473385600 /* 1985 */ || at > utc_of("2028-01-01 00:00:00") || at % 900 || before % 900)
            continue;
        for (int64_t local = before - 3 * HOUR; local <= before + 3 * HOUR; local += LOCAL_STEP)
            ck_assert_msg(zone_moment(&zone, local) == first_shown(local, 900), "%s: %lld", odd_zones[_i],
                          (long long)local);
    }
    zone_clear(&zone);
}
END_TEST

static const struct {
    const char *zone, *local, *utc;
} moments[] = {
    {"Europe/Berlin", "2026-03-29 01:59:00", "2026-03-29 00:59:00"},
    {"Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29 01:00:00"}, /* left out: when clocks are put forward */
    {"Europe/Berlin", "2026-03-29 03:00:00", "2026-03-29 01:00:00"},
    {"Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25 00:30:00"}, /* twice: the first time */
    {"Europe/Berlin", "2026-10-25 03:00:00", "2026-10-25 02:00:00"},
    {"America/New_York", "2026-03-08 02:15:00", "2026-03-08 07:00:00"},
    {"America/New_York", "2026-11-01 01:30:00", "2026-11-01 05:30:00"},
    {"America/New_York", "2026-11-01 02:00:00", "2026-11-01 07:00:00"},
    {"Asia/Kathmandu", "2026-06-01 12:00:00", "2026-06-01 06:15:00"},
    {"Australia/Lord_Howe", "2026-10-04 02:15:00", "2026-10-03 15:30:00"}, /* by half an hour */
    {"Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04 14:45:00"},
    {"Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 10:00:00"},      /* a day that there was not */
    {"America/Sao_Paulo", "2018-11-04 00:00:00", "2018-11-04 03:00:00"}, /* midnight left out */
};

START_TEST(moments_of_the_calendar) {
    struct zone zone;
    load(moments[_i].zone, &zone);
    ck_assert_int_eq(zone_moment(&zone, utc_of(moments[_i].local)), utc_of(moments[_i].utc));
    zone_clear(&zone);
}
END_TEST

START_TEST(no_file_outside_is_a_zone) {
    static const char *const names[] = {
        "../../../etc/passwd", "/etc/localtime", "Europe//Berlin", "Europe/",     "", "Europe",
        "Europe/Berlin\n",     "tzdata.zi",      "posixrules/x",   "Nowhere/Land"};
    struct zone zone;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(zone_load(ZONE_FOLDER, names[i], 0, &zone) == ZONE_UNKNOWN && !zone.steps, "%s", names[i]);
    char near[64];
    ck_assert(zone_nearest(ZONE_FOLDER, "Europe/Brelin", near, sizeof(near)) && strcmp(near, "Europe/Berlin") == 0);
    ck_assert(zone_nearest(ZONE_FOLDER, "Berlin", near, sizeof(near)) && strcmp(near, "Europe/Berlin") == 0);
    ck_assert(zone_nearest(ZONE_FOLDER, "america/new_york", near, sizeof(near)) &&
              strcmp(near, "America/New_York") == 0);
    static const char *const far[] = {"Mars/Olympus_Mons", "GMT+2", "Etc/GMT+02", "UTC+2", "Europe", "America"};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
        ck_assert_msg(!zone_nearest(ZONE_FOLDER, far[i], near, sizeof(near)), "%s: %s", far[i], near);
}
END_TEST

/* Cut anywhere, or with any byte changed: refused, or read as some zone, nothing worse (under ASan). */
START_TEST(spoilt_zone_files) {
    static unsigned char bytes[8192], spoilt[8192];
    FILE *file = fopen(ZONE_FOLDER "/Europe/Berlin", "re");
    size_t size = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    ck_assert(size > 100 && size < sizeof(bytes));
    fclose(file);
    struct zone zone;
    for (size_t cut = 0; cut < size; cut += cut < 200 || cut + 200 > size ? 1 : 17) {
        ck_assert(!zone_parse(bytes, cut, Y2090, &zone));
        ck_assert_ptr_null(zone.steps);
    }
    state = 2;
    for (int i = 0; i < 4000; i++) {
        memcpy(spoilt, bytes, size);
        for (uint64_t k = any(4) + 1; k; k--)
            spoilt[any(size)] = (unsigned char)any(256);
        if (zone_parse(spoilt, size, Y2000, &zone))
            (void)zone_moment(&zone, (int64_t)any(4000000000));
        zone_clear(&zone);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- "when" */

/* The ruleset of a rule with that "when"; NULL, and what is wrong. */
static void *ruleset_of(const char *when, const char *more, int64_t now, char *ret_errors, size_t size) {
    char text[2048];
    struct rule_errors errors = {0};
    size_t ruleset_size;
    void *ruleset = NULL;
    snprintf(text, sizeof(text), "{\"flow\":[{\"id\":\"r\",\"resource\":\"a\",\"count\":1,\"when\":%s}]%s}", when,
             more);
    struct rule_document *document = rule_text_parse("f", text, strlen(text), NULL, &errors);
    if (document)
        ruleset = rule_text_ruleset_at(&document, 1, "t", (uint64_t)now, &ruleset_size, &errors);
    ret_errors[0] = 0;
    for (size_t i = 0; i < errors.count; i++)
        snprintf(ret_errors + strlen(ret_errors), size - strlen(ret_errors), "%s %s\n", errors.list[i].path,
                 errors.list[i].message);
    rule_document_free(document);
    rule_errors_clear(&errors);
    return ruleset;
}

static const char *when_text(const void *ruleset) {
    return ruleset_text(ruleset, ruleset_rules(ruleset)->when);
}

static bool in_force(const void *ruleset, int64_t at) {
    uint64_t until;
    bool now = when_in_force(ruleset, ruleset_rules(ruleset), (uint64_t)at, &until);
    ck_assert(until > (uint64_t)at);
    ck_assert_uint_ne(until, WHEN_NEVER);
    if (until != WHEN_UNKNOWN) {
        uint64_t next;
        ck_assert(when_in_force(ruleset, ruleset_rules(ruleset), until - 1, &next) == now);
        ck_assert(when_in_force(ruleset, ruleset_rules(ruleset), until, &next) != now);
    }
    return now;
}

struct window {
    uint8_t days;
    int from, to; /* minutes; `to` up to two days */
    const char *zone;
};

/* What docs/rules.md says a window means, with libc's clocks: of a day it is in force from the first moment at which
 * clocks show `from` to the first one at which they show `to`. */
static bool by_definition(const struct window *window, int64_t at) {
    int64_t today = shown(at) / DAY;
    for (int64_t day = today - 2; day <= today + 1; day++)
        if (window->days >> (day + 3) % 7 & 1 && first_shown(day * DAY + window->from * 60, 300) <= at &&
            at < first_shown(day * DAY + window->to * 60, 300))
            return true;
    return false;
}

static void random_window(struct window *window, char *text, size_t size) {
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    char days[100] = "";
    *window = (struct window){.days = (uint8_t)(1 + any(127)),
                              .from = (int)any(288) * 5,
                              .to = (int)any(289) * 5,
                              .zone = odd_zones[any(ODD_ZONES)]};
    if (window->to == window->from)
        window->to = window->from < 720 ? 1440 : 0;
    for (int day = 0; day < 7; day++)
        if (window->days >> day & 1)
            snprintf(days + strlen(days), sizeof(days) - strlen(days), "%s\"%s\"", days[0] ? "," : "", names[day]);
    snprintf(text, size, "{\"days\":[%s],\"from\":\"%02d:%02d\",\"to\":\"%02d:%02d\",\"tz\":\"%s\"}", days,
             window->from / 60, window->from % 60, window->to / 60, window->to % 60, window->zone);
    if (window->to < window->from)
        window->to += 1440;
}

START_TEST(random_windows) {
    uint64_t cases = number_of("WHEN_CASES", CASES);
    state = number_of("WHEN_SEED", 7);
    for (uint64_t i = 0; i < cases; i++) {
        char text[300], errors[1000];
        struct window window;
        int64_t now = Y2000 + (int64_t)any(36ull * 366 * DAY);
        random_window(&window, text, sizeof(text));
        set_zone(window.zone);
        void *ruleset = ruleset_of(text, "", now, errors, sizeof(errors));
        ck_assert_msg(ruleset, "%s: %s", text, errors);
        for (int k = 0; k < 4; k++) { /* anywhere in the year, and where it changes next */
            uint64_t at = (uint64_t)now + any(366ull * DAY), until;
            when_in_force(ruleset, ruleset_rules(ruleset), at, &until);
            int64_t looks[] = {(int64_t)at, until == WHEN_UNKNOWN ? (int64_t)at : (int64_t)until,
                               until == WHEN_UNKNOWN ? (int64_t)at : (int64_t)until - 1};
            for (int j = 0; j < 3; j++)
                ck_assert_msg(in_force(ruleset, looks[j]) == by_definition(&window, looks[j]), "%s, now %lld: at %lld",
                              text, (long long)now, (long long)looks[j]);
        }
        free(ruleset);
    }
}
END_TEST

static const struct {
    const char *when, *words, *in, *out; /* moments in UTC */
} meant[] = {
    {"{\"from\":\"22:00\",\"to\":\"06:00\",\"tz\":\"Europe/Berlin\"}", "22:00-06:00 Europe/Berlin",
     "2026-07-01 03:59:59", "2026-07-01 04:00:00"},
    {"{\"from\":\"22:00\",\"to\":\"06:00\",\"tz\":\"Europe/Berlin\"}", "22:00-06:00 Europe/Berlin",
     "2026-12-01 21:00:00", "2026-12-01 20:59:59"},
    /* The day is that of `from`: Friday's night goes on into Saturday, Sunday's is none. */
    {"{\"days\":\"mon-fri\",\"from\":\"22:00\",\"to\":\"06:00\"}", "mon-fri 22:00-06:00 UTC", "2026-12-05 05:59:59",
     "2026-12-07 05:00:00"},
    {"{\"days\":[\"sat\",\"sun\"]}", "sat,sun UTC", "2026-12-06 23:59:59", "2026-12-07 00:00:00"},
    {"{\"days\":[\"fri-mon\"],\"to\":\"9:30\"}", "mon,fri-sun 00:00-09:30 UTC", "2026-12-07 09:29:59",
     "2026-12-08 01:00:00"},
    {"{\"from\":\"18:00\"}", "18:00-24:00 UTC", "2026-12-07 23:59:59", "2026-12-08 00:00:00"},
    {"{\"from\":\"18:00\",\"to\":\"00:00\"}", "18:00-24:00 UTC", "2026-12-07 23:59:59", "2026-12-08 00:00:00"},
    {"[{\"from\":\"08:00\",\"to\":\"10:00\"},{\"from\":\"09:00\",\"to\":\"12:00\"},{\"days\":\"sun\"}]",
     "08:00-10:00 UTC, 09:00-12:00 UTC, sun UTC", "2026-12-07 11:59:59", "2026-12-07 12:00:00"},
    /* In the hour that comes twice: once, the first time. */
    {"{\"from\":\"02:10\",\"to\":\"02:50\",\"tz\":\"Europe/Berlin\"}", "02:10-02:50 Europe/Berlin",
     "2026-10-25 00:30:00", "2026-10-25 01:30:00"},
    /* In the hour that is left out: not at all; over it: for what there is. */
    {"{\"from\":\"02:10\",\"to\":\"02:50\",\"tz\":\"Europe/Berlin\"}", "02:10-02:50 Europe/Berlin",
     "2026-03-28 01:30:00", "2026-03-29 01:00:00"},
    {"{\"from\":\"02:30\",\"to\":\"04:00\",\"tz\":\"Europe/Berlin\"}", "02:30-04:00 Europe/Berlin",
     "2026-03-29 01:00:00", "2026-03-29 02:00:00"},
};

START_TEST(what_is_meant) {
    char errors[1000];
    int64_t now = utc_of("2026-01-15 12:00:00");
    void *ruleset = ruleset_of(meant[_i].when, "", now, errors, sizeof(errors));
    ck_assert_msg(ruleset, "%s", errors);
    ck_assert_str_eq(when_text(ruleset), meant[_i].words);
    ck_assert_uint_eq(ruleset_rules(ruleset)->requires, RULE_FEATURE_WHEN); /* an older library leaves the rule out */
    ck_assert(in_force(ruleset, utc_of(meant[_i].in)));
    ck_assert(!in_force(ruleset, utc_of(meant[_i].out)));
    free(ruleset);
}
END_TEST

static const struct {
    const char *when, *more, *path, *words;
} wrong[] = {
    {"{}", "", "$.flow[0].when", "at least one of"},
    {"[]", "", "$.flow[0].when", "a list of 1 to 16"},
    {"\"22:00-06:00\"", "", "$.flow[0].when", "\"from\": \"22:00\""},
    {"{\"tz\":\"UTC\"}", "", "$.flow[0].when", "at least one of"},
    {"{\"days\":\"monday\"}", "", "when.days", "\"mon-fri\""},
    {"{\"days\":[\"mon\",\"mon-\"]}", "", "when.days[1]", "\"mon-fri\""},
    {"{\"days\":[]}", "", "when.days", "at least one day"},
    {"{\"from\":\"24:00\"}", "", "when.from", "\"00:00\" to \"23:59\""},
    {"{\"to\":\"24:01\"}", "", "when.to", "\"00:00\" to \"24:00\""},
    {"{\"to\":\"10:5\"}", "", "when.to", "\"00:00\" to \"24:00\""},
    {"{\"to\":\"10:00:00\"}", "", "when.to", "\"00:00\" to \"24:00\""},
    {"{\"to\":600}", "", "when.to", "\"00:00\" to \"24:00\""},
    {"{\"from\":\"6:00\",\"to\":\"06:00\"}", "", "$.flow[0].when", "the same time"},
    {"{\"from\":\"00:00\",\"to\":\"24:00\"}", "", "$.flow[0].when", "all the time"},
    {"{\"from\":\"6:00\",\"tz\":\"Europe/Brelin\"}", "", "when.tz", "did you mean \"Europe/Berlin\"?"},
    {"{\"from\":\"6:00\",\"tz\":\"CEST\"}", "", "when.tz", "/usr/share/zoneinfo"},
    {"{\"from\":\"6:00\",\"until\":\"7:00\"}", "", "when.until", "unknown key"},
    {"[{\"from\":\"6:00\"},{\"to\":\"x\"}]", "", "when[1].to", "\"24:00\""},
    {"{\"from\":\"6:00\"}", ",\"options\":{\"compat\":\"sentinel\"}", "flow[0].when", "is not Sentinel's"},
    {"{\"from\":\"6:00\"}", ",\"blockActions\":[{\"name\":\"x\",\"when\":{\"from\":\"6:00\"}}]", "blockActions[0].when",
     "unknown key"},
};

START_TEST(what_cannot_be_meant) {
    char errors[1000];
    ck_assert_ptr_null(ruleset_of(wrong[_i].when, wrong[_i].more, Y2000, errors, sizeof(errors)));
    ck_assert_msg(strstr(errors, wrong[_i].path) && strstr(errors, wrong[_i].words), "%s", errors);
}
END_TEST

START_TEST(a_year_is_known_and_then_it_is_in_force) {
    char errors[1000];
    const char *when = "{\"from\":\"03:00\",\"to\":\"04:00\"}";
    for (int day = 0; day < 40; day++) {
        int64_t now = utc_of("2026-05-05 12:00:00") + day * DAY, last = now + 366 * DAY;
        void *ruleset = ruleset_of(when, "", now, errors, sizeof(errors));
        ck_assert(in_force(ruleset, last / DAY * DAY + 3 * HOUR + 1800) &&
                  !in_force(ruleset, last / DAY * DAY + 5 * HOUR));
        ck_assert(
            in_force(ruleset, now + 500 * DAY / DAY * DAY)); /* no agent for so long: rather too much protection */
        ck_assert(!in_force(ruleset, now - 3 * DAY));        /* a clock that is set back a little */
        free(ruleset);
    }
}
END_TEST

/* Read again on another day of the month, the same file makes the same ruleset; rules that say the same share moments.
 */
START_TEST(the_same_for_weeks) {
    char errors[1000];
    const char *when = "{\"days\":\"mon\",\"from\":\"03:00\",\"tz\":\"Asia/Kathmandu\"}",
               *more = ",\"isolation\":[{\"resource\":\"b\",\"count\":1,\"when\":{\"days\":\"mon\",\"from\":\"03:00\","
                       "\"tz\":\"Asia/Kathmandu\"}}]";
    unsigned other = 0;
    void *before = ruleset_of(when, more, Y2000, errors, sizeof(errors));
    for (int day = 1; day < 56; day++) {
        void *now = ruleset_of(when, more, Y2000 + day * DAY, errors, sizeof(errors));
        ck_assert_uint_eq(ruleset_rules(now)[0].when_first, ruleset_rules(now)[1].when_first);
        other += ruleset_head(before)->size != ruleset_head(now)->size ||
                 memcmp(before, now, ruleset_head(now)->size) != 0;
        free(before);
        before = now;
    }
    free(before);
    ck_assert_uint_le(other, 2);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- the engine */

START_TEST(an_engine_goes_by_the_time_it_is_given) {
    char errors[1000];
    int64_t now = utc_of("2026-05-05 12:00:00"), three = utc_of("2026-05-05 03:00:00");
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    const int64_t times[] = {three - 1, three, three + HOUR - 1, three + HOUR};
    for (unsigned i = 0; i < 4; i++) {
        void *ruleset = ruleset_of("{\"from\":\"03:00\",\"to\":\"04:00\"}", "", now, errors, sizeof(errors));
        bool within = i == 1 || i == 2;
        engine_set_wall(engine, (uint64_t)times[i]);
        ck_assert_int_eq(engine_adopt(engine, ruleset, ruleset_head(ruleset)->size, i + 1), 0);
        free((void *)engine_release(engine));
        ck_assert_uint_eq(engine_until(engine), (uint64_t)(i == 0 ? three : within ? three + HOUR : three + DAY));
        uint64_t at = START + i * 10 * SECOND;
        ck_assert_uint_eq(fixture_passes(engine, at, fixture_resource(engine, "a"), 5), within ? 1 : 5);
    }
    fixture_free(engine);
}
END_TEST

/* Without a time of day all of them are in force, and nothing is due. */
START_TEST(an_engine_that_is_given_none) {
    char errors[1000];
    struct engine *engine = fixture_engine(NULL, UINT32_MAX);
    void *ruleset = ruleset_of("{\"from\":\"03:00\",\"to\":\"04:00\"}", "", Y2000, errors, sizeof(errors));
    ck_assert_int_eq(engine_adopt(engine, ruleset, ruleset_head(ruleset)->size, 1), 0);
    ck_assert_uint_eq(engine_until(engine), WHEN_UNKNOWN);
    ck_assert_uint_eq(fixture_passes(engine, START, fixture_resource(engine, "a"), 5), 1);
    fixture_free(engine);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
int main(void) {
    TCase *zones = tcase_create("zones"), *when = tcase_create("when");
    tcase_set_timeout(zones, 60);
    tcase_set_timeout(when, 60);
    tcase_add_test(zones, every_zone_is_as_libc_has_it);
    tcase_add_loop_test(zones, a_time_of_day_is_the_first_moment_that_shows_it, 0, ODD_ZONES);
    tcase_add_loop_test(zones, moments_of_the_calendar, 0, COUNT(moments));
    tcase_add_test(zones, no_file_outside_is_a_zone);
    tcase_add_test(zones, spoilt_zone_files);
    tcase_add_test(when, random_windows);
    tcase_add_loop_test(when, what_is_meant, 0, COUNT(meant));
    tcase_add_loop_test(when, what_cannot_be_meant, 0, COUNT(wrong));
    tcase_add_test(when, a_year_is_known_and_then_it_is_in_force);
    tcase_add_test(when, the_same_for_weeks);
    tcase_add_test(when, an_engine_goes_by_the_time_it_is_given);
    tcase_add_test(when, an_engine_that_is_given_none);
    return suite_run("when", zones, when, NULL);
}
