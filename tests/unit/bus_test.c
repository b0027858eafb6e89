/* agent/core/bus and its subscribers: a new one is one line, each sees every event, in the order of their table; events
 * in words. */
#include <stdio.h>
#include <string.h>

#include "agent/core/bus.h"
#include "agent/metrics/event_log.h"
#include "agent/metrics/ring.h"
#include "tests/unit/suite.h"

struct seen {
    const struct bus *bus; /* to publish in its turn; or NULL */
    enum bus_kind kinds[8];
    size_t count;
    char name[32];
};

static char order[64];

static void note(void *context, const struct bus_event *event) {
    struct seen *seen = context;
    seen->kinds[seen->count++] = event->kind;
    strcat(order, seen->name);
    if (seen->bus && event->kind == BUS_RULES_CHANGED)
        bus_publish(seen->bus, &(struct bus_event){.kind = BUS_GUARD_FAILED, .error = -1});
}

START_TEST(a_subscriber_is_one_line) {
    struct seen first = {.name = "a"}, second = {.name = "b"};
    struct bus bus = {0};
    order[0] = 0;
    ck_assert(bus_subscribe(&bus, (struct bus_subscriber){"first", note, &first}));
    bus_publish(&bus, &(struct bus_event){.kind = BUS_APP_OFF, .app = "shop"});
    ck_assert(bus_subscribe(&bus, (struct bus_subscriber){"second", note, &second}));
    bus_publish(&bus, &(struct bus_event){.kind = BUS_APP_ON, .app = "shop"});
    ck_assert_uint_eq(first.count, 2);
    ck_assert_uint_eq(second.count, 1);
    ck_assert_int_eq(second.kinds[0], BUS_APP_ON);
    ck_assert_str_eq(order, "aab");
}
END_TEST

START_TEST(a_subscriber_publishes_in_its_turn) {
    struct bus bus = {0};
    struct seen first = {.name = "a", .bus = &bus}, second = {.name = "b"};
    order[0] = 0;
    bus_subscribe(&bus, (struct bus_subscriber){"first", note, &first});
    bus_subscribe(&bus, (struct bus_subscriber){"second", note, &second});
    bus_publish(&bus, &(struct bus_event){.kind = BUS_RULES_CHANGED});
    ck_assert_str_eq(order, "aabb");
    ck_assert_int_eq(second.kinds[0], BUS_GUARD_FAILED);
    ck_assert_int_eq(second.kinds[1], BUS_RULES_CHANGED);
}
END_TEST

START_TEST(room_for_so_many) {
    struct bus bus = {0};
    struct seen seen = {.name = ""};
    for (int i = 0; i < BUS_SUBSCRIBERS_MAX; i++)
        ck_assert(bus_subscribe(&bus, (struct bus_subscriber){"one", note, &seen}));
    ck_assert(!bus_subscribe(&bus, (struct bus_subscriber){"one too many", note, &seen}));
}
END_TEST

START_TEST(kinds_have_names) {
    for (int i = 0; i < BUS_KINDS_COUNT; i++) {
        ck_assert_ptr_nonnull(bus_kind_name((enum bus_kind)i));
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(bus_kind_name((enum bus_kind)i), bus_kind_name((enum bus_kind)k));
    }
}
END_TEST

static int logged_level;
static char logged[256];

static void take_line(void *context, int level, const char *line) {
    (void)context;
    logged_level = level;
    snprintf(logged, sizeof logged, "%s", line);
}

START_TEST(events_in_words) {
    const struct log log = {take_line, NULL, NULL};
    struct event_log event_log;
    struct bus bus = {0};
    event_log_open(&event_log, &log);
    bus_subscribe(&bus, (struct bus_subscriber){"log", event_log_take, &event_log});
    struct bus_event event = {.kind = BUS_PROCESS_GONE, .app = "shop"};
    event.process.pid = 7;
    event.process.slot = 3;
    event.process.program = "";
    bus_publish(&bus, &event);
    ck_assert_str_eq(logged, "shop: process 7 gone (unknown program, slot 3)");
    ck_assert_int_eq(logged_level, LOG_LEVEL_INFO);
    event = (struct bus_event){.kind = BUS_GUARD_LIMITS, .app = "shop"};
    event.guard.resource = "tcp::80";
    event.guard.by = BUS_BY_NOTHING;
    event.guard.why = "no BPF";
    bus_publish(&bus, &event);
    ck_assert_str_eq(logged, "shop: tcp::80 is not limited: no BPF");
    ck_assert_int_eq(logged_level, LOG_LEVEL_WARNING);
    event.guard.by = BUS_BY_KERNEL;
    bus_publish(&bus, &event);
    ck_assert_int_eq(logged_level, LOG_LEVEL_INFO);
    logged[0] = 0;
    bus_publish(&bus, &(struct bus_event){.kind = BUS_SECOND}); /* nothing for a log */
    ck_assert_str_eq(logged, "");
    event_log_close(&event_log);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ rings */

enum { SLOTS = 8 };
static uint64_t taken[64], taken_count, unwritten;

static bool take_slot(void *context, uint64_t number) {
    (void)context;
    if (number == unwritten)
        return false;
    taken[taken_count++] = number;
    return true;
}

START_TEST(rings_wait_once_for_a_writer) {
    struct ring ring = {0};
    unwritten = 2;
    taken_count = 0;
    ck_assert_uint_eq(ring_read(&ring, 4, SLOTS, take_slot, NULL), 0);
    ck_assert_uint_eq(taken_count, 2); /* 0 and 1 */
    ck_assert_uint_eq(ring_read(&ring, 4, SLOTS, take_slot, NULL), 0);
    ck_assert_uint_eq(taken_count, 3); /* its writer is taken for dead */
    ck_assert_uint_eq(taken[2], 3);
    unwritten = UINT64_MAX;
    ck_assert_uint_eq(ring_read(&ring, 4 + SLOTS + 5, SLOTS, take_slot, NULL), 5);
    ck_assert_uint_eq(taken_count, 3 + SLOTS);
    ck_assert_uint_eq(taken[3], 9);
    ck_assert_uint_eq(ring_read(&ring, 1, SLOTS, take_slot, NULL), 0); /* the count went back: scribbled on */
    ck_assert_uint_eq(taken[taken_count - 1], 0);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_test(all, a_subscriber_is_one_line);
    tcase_add_test(all, a_subscriber_publishes_in_its_turn);
    tcase_add_test(all, room_for_so_many);
    tcase_add_test(all, kinds_have_names);
    tcase_add_test(all, events_in_words);
    tcase_add_test(all, rings_wait_once_for_a_writer);
    return suite_run("bus", all, NULL);
}
