/* "when": the times of day at which a rule is in force.  What the file says by the clocks of a zone becomes a list of
 * moments for a year and more, so that no process that goes by the rules needs to know of zones and calendars. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/join.h"
#include "rules/text/kinds.h"
#include "rules/text/zone.h"

enum { DAY_MINUTES = 1440, DAY_SECONDS = 86400, WINDOWS_MAX = 16, WORDS_MAX = 240 };
/* The moments begin some days ago and are the same for four weeks, so that a file read again makes the same ruleset. */
enum { SPAN_DAYS = 28, BEFORE_DAYS = 8, YEAR_DAYS = 366 };

struct when_window {
    uint8_t days; /* bit 0: Monday */
    int from, to; /* minutes of the day; `to` is later than `from`, and may be of the next day */
    const char *zone;
};
struct span { /* in force from `begin` to `end`, Unix seconds */
    int64_t begin, end;
};
struct spans {
    struct span *list;
    size_t count;
    bool failed; /* no memory */
};

/* ----------------------------------------------------------------------------------------------------- fields */

static const char day_names[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int day_number(const char *text) {
    for (int day = 0; day < 7; day++)
        if (strncmp(text, day_names[day], 3) == 0)
            return day;
    return -1;
}

/* "mon" or "fri-mon" as bits; 0: neither. */
static uint8_t days_of(const char *text) {
    size_t length = strlen(text);
    int first = day_number(text), last = length == 7 && text[3] == '-' ? day_number(text + 4) : first;
    uint8_t days = 0;
    if (first < 0 || last < 0 || (length != 3 && length != 7) || (length == 7 && text[3] != '-'))
        return 0;
    for (int day = first;; day = (day + 1) % 7) {
        days |= (uint8_t)(1u << day);
        if (day == last)
            return days;
    }
}

static void read_day(struct reader *reader, const struct path *path, const cJSON *node, struct when_window *window) {
    uint8_t days = cJSON_IsString(node) ? days_of(node->valuestring) : 0;
    if (!days)
        reader_expected(reader, path, node,
                        "a day such as \"mon\" or days such as \"mon-fri\" (mon tue wed thu fri sat "
                        "sun)");
    window->days |= days;
}

static void read_days(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    const cJSON *day;
    int index = 0;
    if (!cJSON_IsArray(node)) {
        read_day(reader, path, node, record);
        return;
    }
    if (cJSON_GetArraySize(node) == 0)
        reader_expected(reader, path, node, "at least one day");
    cJSON_ArrayForEach(day, node) {
        struct path here = {path, NULL, index++};
        read_day(reader, &here, day, record);
    }
}

/* "6:00", "22:30", "24:00" as minutes; -1: not a time of day. */
static int minutes_of(const char *text) {
    size_t digits = strspn(text, "0123456789");
    if (digits < 1 || digits > 2 || text[digits] != ':' || strspn(text + digits + 1, "0123456789") != 2 ||
        text[digits + 3])
        return -1;
    int hours = atoi(text), minutes = atoi(text + digits + 1), all = hours * 60 + minutes;
    return minutes < 60 && all <= DAY_MINUTES ? all : -1;
}

static void read_from(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int minutes = cJSON_IsString(node) ? minutes_of(node->valuestring) : -1;
    if (minutes < 0 || minutes == DAY_MINUTES)
        reader_expected(reader, path, node, "a time of day, \"00:00\" to \"23:59\"");
    else
        ((struct when_window *)record)->from = minutes;
}

static void read_to(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    int minutes = cJSON_IsString(node) ? minutes_of(node->valuestring) : -1;
    if (minutes < 0)
        reader_expected(reader, path, node, "a time of day, \"00:00\" to \"24:00\"");
    else
        ((struct when_window *)record)->to = minutes;
}

static void read_zone(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct when_window *window = record;
    const char *name = reader_text(reader, path, node, 1, 100);
    struct zone zone;
    char near[128];
    if (!name)
        return;
    window->zone = name;
    switch (zone_load(ZONE_FOLDER, name, 0, &zone)) {
    case ZONE_UNKNOWN:
        if (zone_nearest(ZONE_FOLDER, name, near, sizeof(near)))
            reader_error(reader, path, node, "there is no time zone \"%s\" in " ZONE_FOLDER "; did you mean \"%s\"?",
                         name, near);
        else
            reader_error(reader, path, node,
                         "there is no time zone \"%s\" in " ZONE_FOLDER " (Debian's package tzdata); expected a name "
                         "such as \"Europe/Berlin\", or \"UTC\"",
                         name);
        break;
    case ZONE_BAD: reader_error(reader, path, node, ZONE_FOLDER "/%s is not a time zone file (TZif)", name); break;
    case ZONE_NO_MEMORY: reader->join->failed = true; break;
    case ZONE_OK: zone_clear(&zone); break;
    }
}

static const struct field when_fields[] = {
    CUSTOM_FIELD("days", 0, read_days),
    CUSTOM_FIELD("from", 0, read_from),
    CUSTOM_FIELD("to", 0, read_to),
    CUSTOM_FIELD("tz", 0, read_zone),
    FIELD_END,
};

const struct field_table when_table = {"when", {when_fields, NULL}};

/* False: wrong, and reported. */
static bool read_window(struct reader *reader, const struct path *path, const cJSON *node, struct when_window *window) {
    size_t before = reader->errors->count;
    *window = (struct when_window){.to = DAY_MINUTES, .zone = "UTC"};
    if (!reader_object(reader, path, node, &when_table, window) || reader->errors->count != before)
        return false;
    bool days = reader_is_set(node, "days"), times = reader_is_set(node, "from") || reader_is_set(node, "to");
    if (!days && !times)
        reader_expected(reader, path, node, "at least one of \"days\", \"from\" and \"to\"");
    else if (window->from == window->to)
        reader_error(reader, path, node, "from and to are the same time; for whole days leave both out");
    else if (!days && window->from == 0 && window->to == DAY_MINUTES)
        reader_error(reader, path, node, "is all day, every day: without it the rule is in force all the time");
    if (!days)
        window->days = 0x7f;
    if (window->to < window->from)
        window->to += DAY_MINUTES;
    return reader->errors->count == before;
}

/* ---------------------------------------------------------------------------------------------------- moments */

static void add_span(struct spans *spans, struct span span) {
    if ((spans->count & (spans->count + 1)) == 0) { /* 0, 1, 3, 7, …: it is full */
        struct span *list = realloc(spans->list, (spans->count * 2 + 1) * sizeof(*list));
        if (!list) {
            spans->failed = true;
            return;
        }
        spans->list = list;
    }
    spans->list[spans->count++] = span;
}

/* What the window means on the days from `first` to `last`, counted from 1970-01-01. */
static void add_window(struct spans *spans, const struct when_window *window, int64_t first, int64_t last) {
    struct zone zone;
    if (zone_load(ZONE_FOLDER, window->zone, (last + 3) * DAY_SECONDS, &zone) != ZONE_OK) {
        spans->failed = true;
        return;
    }
    for (int64_t day = first; day <= last && !spans->failed; day++) {
        int weekday = (int)((day + 3) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        struct span span = {zone_moment(&zone, day * DAY_SECONDS + window->from * 60),
                            zone_moment(&zone, day * DAY_SECONDS + window->to * 60)};
        if (window->days >> weekday & 1 && span.begin < span.end) /* both may lie where clocks are put forward */
            add_span(spans, span);
    }
    zone_clear(&zone);
}

static int by_begin(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Begin, end, begin, …, from the spans that end after `from`; at `until`, or earlier, the last of them begins, so that
 * who learns of no later moments keeps the rule in force. */
static void add_moments(struct reader *reader, struct spans *spans, int64_t from, int64_t until, struct rule *rule) {
    uint32_t count = 0, first = 0;
    qsort(spans->list, spans->count, sizeof(*spans->list), by_begin);
    for (size_t i = 0; i < spans->count;) {
        struct span span = spans->list[i];
        for (i++; i < spans->count && spans->list[i].begin <= span.end; i++)
            if (spans->list[i].end > span.end)
                span.end = spans->list[i].end;
        if (span.end <= from || span.begin >= until)
            continue;
        uint32_t at = ruleset_add_list(reader->builder, (uint32_t)(span.begin > 1 ? span.begin : 1));
        first = count++ ? first : at;
        if (span.end < until) {
            ruleset_add_list(reader->builder, (uint32_t)span.end);
            count++;
        }
    }
    if (count % 2 == 0) {
        uint32_t at = ruleset_add_list(reader->builder, (uint32_t)until);
        first = count++ ? first : at;
    }
    rule->when_first = first;
    rule->when_count = count;
}

static void make_moments(struct reader *reader, const struct when_window *windows, int count, struct rule *rule) {
    int64_t day = (int64_t)(reader->now_s / DAY_SECONDS);
    int64_t from = day / SPAN_DAYS * SPAN_DAYS - BEFORE_DAYS, until = from + BEFORE_DAYS + SPAN_DAYS + YEAR_DAYS;
    struct spans spans = {0};
    int64_t end = until * DAY_SECONDS < UINT32_MAX ? until * DAY_SECONDS : UINT32_MAX;
    for (int i = 0; i < count; i++)
        add_window(&spans, &windows[i], from - 2, until + 1);
    if (spans.failed)
        reader->join->failed = true;
    else if (spans.count)
        add_moments(reader, &spans, from > 0 ? from * DAY_SECONDS : 0, end, rule);
    free(spans.list);
}

/* ----------------------------------------------------------------------------------------------------- words */

/* "mon-wed,sat": runs of days; nothing for all of them. */
static size_t print_days(uint8_t days, char *text) {
    size_t at = 0;
    if (days == 0x7f)
        return 0;
    for (int day = 0; day < 7; day++) {
        if (!(days >> day & 1))
            continue;
        int last = day;
        while (last < 6 && days >> (last + 1) & 1)
            last++;
        at += (size_t)sprintf(text + at, "%s%s", at ? "," : "", day_names[day]);
        if (last > day)
            at += (size_t)sprintf(text + at, "%s%s", last > day + 1 ? "-" : ",", day_names[last]);
        day = last;
    }
    return at + (size_t)sprintf(text + at, " ");
}

static void print_window(const struct when_window *window, char *text, size_t size) {
    char days[40] = "", times[40] = "";
    int to = window->to > DAY_MINUTES ? window->to - DAY_MINUTES : window->to;
    print_days(window->days, days);
    if (window->from || window->to != DAY_MINUTES)
        snprintf(times, sizeof(times), "%02d:%02d-%02d:%02d ", window->from / 60, window->from % 60, to / 60, to % 60);
    snprintf(text, size, "%s%s%s", days, times, window->zone);
}

static ruleset_string words_of(struct reader *reader, const struct when_window *windows, int count) {
    char text[WORDS_MAX] = "";
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        char one[200];
        print_window(&windows[i], one, sizeof(one));
        if (at + strlen(one) + sizeof(", …") > sizeof(text)) {
            sprintf(text + at, ", …");
            break;
        }
        at += (size_t)sprintf(text + at, "%s%s", i ? ", " : "", one);
    }
    return reader_add(reader, text);
}

/* ------------------------------------------------------------------------------------------------- the field */

/* Rules that say the same share their moments. */
static bool find_moments(struct reader *reader, const char *text, struct rule *rule) {
    int64_t first = join_find(reader, NAME_WHEN, text), count = join_find(reader, NAME_WHEN_COUNT, text);
    if (first < 0 || count < 0)
        return false;
    rule->when_first = (uint32_t)first;
    rule->when_count = (uint32_t)count;
    return true;
}

static void take_windows(struct reader *reader, const cJSON *node, const struct when_window *windows, int count,
                         struct rule *rule) {
    struct place_text place;
    char *text = cJSON_PrintUnformatted(node);
    rule->when = words_of(reader, windows, count);
    rule->requires |= RULE_FEATURE_WHEN;
    if (text && !find_moments(reader, text, rule)) {
        make_moments(reader, windows, count, rule);
        join_define(reader, NAME_WHEN, text, node, rule->when_first, &place);
        join_define(reader, NAME_WHEN_COUNT, text, node, rule->when_count, &place);
    }
    reader->join->failed |= !text;
    cJSON_free(text);
}

void read_when(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct when_window windows[WINDOWS_MAX];
    struct rule *rule = &((struct rule_record *)record)->rule;
    const cJSON *one;
    int count = 0, size = cJSON_IsArray(node) ? cJSON_GetArraySize(node) : 1;
    bool good = true;
    if (size < 1 || size > WINDOWS_MAX || (!cJSON_IsArray(node) && !cJSON_IsObject(node))) {
        reader_expected(reader, path, node,
                        "{\"days\": …, \"from\": \"22:00\", \"to\": \"06:00\", \"tz\": \"Europe/Berlin\"}, or a list "
                        "of 1 to %d of them",
                        WINDOWS_MAX);
        return;
    }
    if (cJSON_IsObject(node))
        good = read_window(reader, path, node, &windows[count++]);
    else
        cJSON_ArrayForEach(one, node) {
            struct path here = {path, NULL, count};
            good &= read_window(reader, &here, one, &windows[count++]);
        }
    if (!good)
        return;
    take_windows(reader, node, windows, count, rule);
    if (!rule->when_count && !reader->join->failed)
        reader_error(reader, path, node, "is not in force at any time of the next year");
}
