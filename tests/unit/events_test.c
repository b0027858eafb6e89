/* The event log: rejections summed up and bounded (metrics/blocked), lines as they are read back whatever is in the
 * file (metrics/event_lines), the files themselves (metrics/event_store), and limits in words. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/metrics/blocked.h"
#include "agent/metrics/event_record.h"
#include "agent/metrics/event_store.h"
#include "agent/metrics/limit_text.h"
#include "rules/rule.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

/* ---------------------------------------------------------------------------------------------------------- blocked */

static struct {
    enum bus_kind kind;
    uint64_t count;
    uint32_t seconds, rules;
    char resource[64], id[24];
} seen[512];
static size_t seen_count;

static void see(void *context, const struct bus_event *event) {
    (void)context;
    ck_assert_uint_lt(seen_count, sizeof seen / sizeof *seen);
    seen[seen_count].kind = event->kind;
    seen[seen_count].count = event->blocked.count;
    seen[seen_count].seconds = event->blocked.seconds;
    seen[seen_count].rules = event->blocked.rules;
    snprintf(seen[seen_count].resource, sizeof seen->resource, "%s", event->blocked.resource);
    snprintf(seen[seen_count].id, sizeof seen->id, "%s", event->blocked.id);
    seen_count++;
}

static struct bus_event rejections(const char *resource, uint64_t count, const char *id) {
    struct bus_event event = {.kind = BUS_REJECTIONS, .app = "shop"};
    event.rejections.count = count;
    event.rejections.resource = resource;
    event.rejections.rule = "r";
    event.rejections.example = id;
    event.rejections.caller = "192.0.2.7";
    event.rejections.limit_app = event.rejections.origin = event.rejections.trace = "";
    event.rejections.reason = REASON_FLOW;
    return event;
}

static void add(struct blocked *blocked, const char *resource, uint64_t count, const char *id) {
    struct bus_event event = rejections(resource, count, id);
    blocked_add(blocked, &event);
}

START_TEST(the_first_at_once_then_sums) {
    struct blocked blocked = {.period_s = 10, .lines_max = 5, .rows_max = 4};
    seen_count = 0;
    add(&blocked, "GET:/a", 3, "");
    add(&blocked, "GET:/a", 2, "3F-K7QM"); /* another caller of the same second */
    blocked_due(&blocked, 100, false, see, NULL);
    ck_assert_uint_eq(seen_count, 1);
    ck_assert_uint_eq(seen[0].count, 5);
    ck_assert_uint_eq(seen[0].seconds, 1);
    ck_assert_str_eq(seen[0].id, "3F-K7QM");
    for (uint64_t second = 101; second < 110; second++) {
        add(&blocked, "GET:/a", 7, "");
        blocked_due(&blocked, second, false, see, NULL);
    }
    ck_assert_uint_eq(seen_count, 1);
    blocked_due(&blocked, 110, false, see, NULL);
    ck_assert_uint_eq(seen_count, 2);
    ck_assert_uint_eq(seen[1].count, 63);
    ck_assert_uint_eq(seen[1].seconds, 10);
    blocked_due(&blocked, 120, false, see, NULL); /* quiet: forgotten */
    ck_assert_uint_eq(blocked.count, 0);
    add(&blocked, "GET:/a", 1, "");
    blocked_due(&blocked, 121, false, see, NULL);
    ck_assert_uint_eq(seen_count, 3);
    blocked_close(&blocked);
}
END_TEST

START_TEST(what_is_beyond_is_one_line) {
    struct blocked blocked = {.period_s = 10, .lines_max = 2, .rows_max = 4};
    uint64_t all = 0;
    char name[32];
    seen_count = 0;
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "GET:/%d", i);
        add(&blocked, name, 100, "");
    }
    blocked_due(&blocked, 100, false, see, NULL);
    ck_assert_uint_eq(seen_count, 3);
    ck_assert_int_eq(seen[2].kind, BUS_BLOCKED_MORE);
    ck_assert_uint_eq(seen[2].rules, 7);
    for (size_t i = 0; i < seen_count; i++)
        all += seen[i].count;
    ck_assert_uint_eq(all, 900); /* none is lost */
    add(&blocked, "GET:/0", 4, "");
    blocked_due(&blocked, 0, true, see, NULL); /* the end */
    ck_assert_uint_eq(seen_count, 4);
    ck_assert_uint_eq(seen[3].count, 4);
    blocked_close(&blocked);
}
END_TEST

START_TEST(a_clock_set_back_delays_nothing) {
    struct blocked blocked = {.period_s = 300, .lines_max = 2, .rows_max = 4};
    seen_count = 0;
    add(&blocked, "GET:/a", 1, "");
    blocked_due(&blocked, 1000000, false, see, NULL);
    add(&blocked, "GET:/a", 1, "");
    blocked_due(&blocked, 1000, false, see, NULL);
    ck_assert_uint_eq(seen_count, 2);
    blocked_close(&blocked);
}
END_TEST

static uint64_t left_out;

static void see_left_out(void *context, const struct bus_event *event) {
    (void)context;
    ck_assert_int_eq(event->kind, BUS_EVENTS_LEFT_OUT);
    left_out = event->count;
}

START_TEST(so_many_events_in_a_second) {
    struct event_gate gate = {0};
    int passed = 0;
    for (int i = 0; i < EVENT_GATE_MOST + 9; i++)
        passed += event_gate_passes(&gate);
    ck_assert_int_eq(passed, EVENT_GATE_MOST);
    event_gate_next(&gate, see_left_out, NULL);
    ck_assert_uint_eq(left_out, 9);
    ck_assert(event_gate_passes(&gate));
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ lines */

#define FIRST "{\"seq\":1,\"time\":10.5,\"kind\":\"rules.published\",\"app\":\"shop\",\"text\":\"x\"}\n"
#define SECOND "{\"seq\":2,\"time\":11,\"kind\":\"circuit\",\"app\":\"other\",\"text\":\"x\"}\n"

START_TEST(torn_lines_are_passed_over) {
    static const char *const between[] = {"",
                                          "\n",
                                          "{\"seq\":9,\"ti\n",
                                          "garbage\n",
                                          "[1,2]\n",
                                          "{\"seq\":-1,\"time\":1}\n",
                                          "{\"seq\":1e300,\"time\":1}\n",
                                          "{\"time\":1}\n",
                                          "{\"seq\":\"7\",\"time\":1}\n",
                                          "{} {}\n",
                                          "\xff\xfe\n"};
    char text[512];
    struct event_line line;
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) {
        int length = snprintf(text, sizeof text, FIRST "%s" SECOND "{\"seq\":3,\"time\":12,\"ki", between[i]);
        size_t at = 0;
        ck_assert(event_lines_next(text, (size_t)length, &at, &line));
        ck_assert_uint_eq(line.number, 1);
        ck_assert(line.time == 10.5);
        ck_assert_msg(event_lines_next(text, (size_t)length, &at, &line), "%zu", i);
        ck_assert_uint_eq(line.number, 2);
        ck_assert(!event_lines_next(text, (size_t)length, &at, &line)); /* half a line */
    }
}
END_TEST

START_TEST(lines_by_kind_app_and_time) {
    static const struct {
        struct event_filter filter;
        bool first, second;
    } rows[] = {{{0, 0, "", ""}, true, true},           {{1, 0, "", ""}, false, true},
                {{0, 10.6, "", ""}, false, true},       {{0, 0, "shop", ""}, true, false},
                {{0, 0, "sho", ""}, false, false},      {{0, 0, "", "rules"}, true, false},
                {{0, 0, "", "rule"}, false, false},     {{0, 0, "", "circuit,rules.published"}, true, true},
                {{0, 0, "", ",,circuit"}, false, true}, {{0, 0, "shop", "circuit"}, false, false}};
    static const char text[] = FIRST SECOND;
    struct event_line one, two;
    size_t at = 0;
    ck_assert(event_lines_next(text, sizeof text - 1, &at, &one) && event_lines_next(text, sizeof text - 1, &at, &two));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(event_lines_match(&one, &rows[i].filter) == rows[i].first, "%zu", i);
        ck_assert_msg(event_lines_match(&two, &rows[i].filter) == rows[i].second, "%zu", i);
    }
}
END_TEST

START_TEST(kinds_and_groups) {
    char groups[512];
    ck_assert(event_record_is_kind("circuit", 7) && event_record_is_kind("rules", 5) &&
              event_record_is_kind("rules.lifted", 12) && event_record_is_kind("blocked,x", 7));
    ck_assert(!event_record_is_kind("rule", 4) && !event_record_is_kind("", 0) && !event_record_is_kind("second", 6));
    event_record_groups(groups, sizeof groups);
    ck_assert_ptr_nonnull(strstr(groups, "circuit"));
    ck_assert_ptr_eq(strstr(strstr(groups, "rules") + 1, "rules"), NULL);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ files */

static char folder[FOLDER_MAX];
static int directory;

static void set_up(void) {
    folder_make(folder);
    directory = open(folder, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(directory, 0);
}

static void tear_down(void) {
    close(directory);
    folder_remove(folder);
}

static void put_app(struct event_store *store, enum bus_kind kind) {
    event_store_take(store, &(struct bus_event){.kind = kind, .app = "shop"});
}

/* How many there are by this filter, and the newest number. */
static size_t stored(const struct event_store *store, const char *kinds, uint64_t most, uint64_t *ret_last) {
    struct json_writer w = json_writer_growing(64 << 20);
    const struct event_filter filter = {0, 0, "", kinds};
    size_t length, count = 0;
    json_open(&w, NULL);
    event_store_read(store, &filter, most, &w);
    json_close(&w);
    char *text = json_finish(&w, &length);
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; (at = strstr(at, "\"seq\":")); at++)
        count++;
    *ret_last = strtoull(strstr(text, "\"last\":") + 7, NULL, 10);
    free(text);
    return count;
}

START_TEST(numbers_go_on_after_a_torn_line) {
    struct event_store store;
    uint64_t last;
    event_store_open(&store, directory, NULL, 1 << 20);
    put_app(&store, BUS_APP_OFF);
    put_app(&store, BUS_APP_ON);
    event_store_close(&store);
    char path[FOLDER_PATH_MAX];
    folder_path(folder, EVENT_STORE_FILE, path);
    FILE *file = fopen(path, "a");
    fputs("{\"seq\":3,\"time\":1764", file); /* killed in the middle */
    fclose(file);
    event_store_open(&store, directory, NULL, 1 << 20);
    put_app(&store, BUS_APP_OFF);
    ck_assert_uint_eq(stored(&store, "", 0, &last), 3);
    ck_assert_uint_eq(last, 3);
    ck_assert_uint_eq(stored(&store, "app.on", 0, &last), 1);
    ck_assert_uint_eq(stored(&store, "", 2, &last), 2);
    event_store_close(&store);
}
END_TEST

START_TEST(the_newest_of_a_damaged_log) {
    struct event_store store;
    uint64_t last;
    char path[FOLDER_PATH_MAX];
    folder_path(folder, EVENT_STORE_FILE, path);
    FILE *file = fopen(path, "w");
    for (const char *number = "123453545"; *number; number++) /* a part of it is there again */
        fprintf(file, "{\"seq\":%c,\"time\":1764000000,\"level\":\"notice\",\"kind\":\"app.on\",\"app\":\"shop\"}\n",
                *number);
    fclose(file);
    event_store_open(&store, directory, NULL, 1 << 20);
    ck_assert_uint_eq(stored(&store, "", 0, &last), 5);
    ck_assert_uint_eq(stored(&store, "", 4, &last), 4);
    ck_assert_uint_eq(last, 5);
    event_store_close(&store);
}
END_TEST

START_TEST(two_files_of_bounded_size) {
    struct event_store store;
    uint64_t last;
    event_store_open(&store, directory, NULL, 2000);
    for (int i = 0; i < 190; i++)
        put_app(&store, BUS_APP_OFF);
    size_t count = stored(&store, "", 0, &last);
    ck_assert_uint_eq(last, 190);
    ck_assert(count >= 10 && count < 60);
    event_store_close(&store);
    struct stat status;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fstatat(directory, i ? EVENT_STORE_FILE : EVENT_STORE_BEFORE, &status, 0), 0);
        ck_assert_int_le(status.st_size, 2000);
        ck_assert_int_eq(status.st_mode & 07777 & ~0640, 0);
    }
}
END_TEST

START_TEST(a_log_that_cannot_be_written) {
    struct event_store store;
    uint64_t last;
    ck_assert_int_eq(mkdirat(directory, EVENT_STORE_FILE, 0700), 0);
    event_store_open(&store, directory, NULL, 2000);
    put_app(&store, BUS_APP_OFF);
    ck_assert_uint_eq(stored(&store, "", 0, &last), 0);
    ck_assert_int_eq(unlinkat(directory, EVENT_STORE_FILE, AT_REMOVEDIR), 0);
    put_app(&store, BUS_APP_OFF);
    ck_assert_uint_eq(stored(&store, "", 0, &last), 1);
    event_store_close(&store);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ words */

START_TEST(limits_in_words) {
    static const struct {
        uint8_t of;
        double limit;
        uint64_t interval_ns;
        const char *text;
        double counted;
        const char *counted_text;
    } rows[] = {
        {LIMIT_RATE, 20, 1000000000, "limit 20 a second", 20, "20 had passed"},
        {LIMIT_RATE, 1000000, 86400000000000, "limit 1000000 in 86400 s", 3, "3 had passed"},
        {LIMIT_IN_FLIGHT, 8, 0, "limit 8 in flight", 8, "8 were in flight"},
        {LIMIT_CPU, 0.9, 0, "limit of CPU use 90 %", 0.931, "CPU 93.1 %"},
        {LIMIT_CPU, 0.9, 0, "limit of CPU use 90 %", -1, ""},
        {LIMIT_ADAPTIVE_DELAY, 14.25, 0, "in overload, this caller's requests may wait 14 ms", 271.6,
         "it had waited 272 ms to be read"},
        {LIMIT_ADAPTIVE_DELAY, 4.567, 0, "in overload, this caller's requests may wait 4.6 ms", -1, ""},
        {LIMIT_ADAPTIVE_IN_FLIGHT, 17, 0,
         "in overload, limit 17 in flight for this caller, as requests queue in the app", 18, "18 were in flight"},
        {LIMIT_ALL_RT, 50, 0, "limit of the mean latency 50 ms", 71.25, "mean latency 71.25 ms"},
        {LIMIT_BLACK_LIST, 0, 0, "the caller is on the rule's list", 0, ""},
        {LIMIT_UNKNOWN, 5, 0, "limit 5", 7, ""},
        {250, 5, 0, "limit 5", 7, ""},
    };
    char text[128];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        limit_text(rows[i].of, rows[i].limit, rows[i].interval_ns, text, sizeof text);
        ck_assert_str_eq(text, rows[i].text);
        limit_counted_text(rows[i].of, rows[i].counted, text, sizeof text);
        ck_assert_str_eq(text, rows[i].counted_text);
    }
    for (unsigned of = 0; of < 256; of++)
        ck_assert_uint_gt(limit_text((uint8_t)of, 1e308, UINT64_MAX, text, 16), 0);
}
END_TEST

START_TEST(sums_in_words) {
    struct event_record record;
    struct bus_event event = {.kind = BUS_BLOCKED, .app = "shop"};
    event.blocked.count = 312;
    event.blocked.seconds = 10;
    event.blocked.resource = "GET:/sea\nrch\xc2\x9b";
    event.blocked.rule = "search";
    event.blocked.id = "3F-K7QM";
    event.blocked.caller = "192.0.2.7";
    event.blocked.limit = 20;
    event.blocked.interval_ns = 1000000000;
    event.blocked.limit_of = LIMIT_RATE;
    event.blocked.reason = REASON_FLOW;
    ck_assert(event_record_make(&event, &record));
    ck_assert_str_eq(record.kind, "blocked");
    ck_assert_str_eq(record.text, "GET:/sea\\x0arch\\xc2\\x9b: 312 rejected in 10 s by rule search (flow, limit 20 a "
                                  "second), last id 3F-K7QM, caller 192.0.2.7");
    event.blocked.rule = "a\xe2\x80\xae\xe2\x80\xa8\xe5\x95\x86"; /* right to left, a line's end, a letter */
    ck_assert(event_record_make(&event, &record));
    ck_assert_ptr_nonnull(strstr(record.text, "rule a\\xe2\\x80\\xae\\xe2\\x80\\xa8\xe5\x95\x86 ("));
    event.blocked.id = event.blocked.caller = event.blocked.rule = "";
    ck_assert(event_record_make(&event, &record));
    ck_assert_ptr_nonnull(strstr(record.text, "312 rejected in 10 s by a rule that is gone (flow)"));
    event.blocked.rule = "adaptive"; /* each caller has its own limit */
    event.blocked.reason = REASON_ADAPTIVE;
    event.blocked.id = "3F-K7QM";
    event.blocked.limit = 41.3752;
    event.blocked.limit_of = LIMIT_ADAPTIVE_DELAY;
    ck_assert(event_record_make(&event, &record));
    ck_assert_ptr_nonnull(
        strstr(record.text, "(adaptive, in overload; the last one's caller may wait 41 ms), last id"));
    event.blocked.limit_of = LIMIT_ADAPTIVE_IN_FLIGHT;
    event.blocked.limit = 17;
    ck_assert(event_record_make(&event, &record));
    ck_assert_ptr_nonnull(strstr(record.text, "(adaptive, in overload; the last one's limit was 17 in flight)"));
}
END_TEST

/* Every kind that is said has an id of its own. */
START_TEST(message_ids_differ) {
    static const enum bus_kind said[] = {BUS_APP_OFF, BUS_APP_ON, BUS_STATES_LOST, BUS_BLOCKED_MORE,
                                         BUS_EVENTS_LEFT_OUT};
    struct event_record one, two;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        for (size_t k = 0; k < i; k++) {
            ck_assert(event_record_make(&(struct bus_event){.kind = said[i], .app = ""}, &one));
            ck_assert(event_record_make(&(struct bus_event){.kind = said[k], .app = ""}, &two));
            ck_assert_uint_eq(strlen(one.message_id), 32);
            ck_assert_str_ne(one.message_id, two.message_id);
        }
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, the_first_at_once_then_sums);
    tcase_add_test(all, what_is_beyond_is_one_line);
    tcase_add_test(all, a_clock_set_back_delays_nothing);
    tcase_add_test(all, so_many_events_in_a_second);
    tcase_add_test(all, torn_lines_are_passed_over);
    tcase_add_test(all, lines_by_kind_app_and_time);
    tcase_add_test(all, kinds_and_groups);
    tcase_add_test(all, numbers_go_on_after_a_torn_line);
    tcase_add_test(all, the_newest_of_a_damaged_log);
    tcase_add_test(all, two_files_of_bounded_size);
    tcase_add_test(all, a_log_that_cannot_be_written);
    tcase_add_test(all, limits_in_words);
    tcase_add_test(all, sums_in_words);
    tcase_add_test(all, message_ids_differ);
    return suite_run("events", all, NULL);
}
