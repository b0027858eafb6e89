/* Queueing delay: what waits to be read (waiting.h), and what waits within the application (backlog.h). */
#include <check.h>
#include <string.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/backlog.h"
#include "rules/engine/limiters/waiting.h"
#include "tests/unit/suite.h"

#define MS 1000000ull
#define TARGET (20 * MS)
#define INTERVAL (100 * MS)

static struct waiting waiting;
static uint64_t now;

static void begin(void) {
    memset(&waiting, 0, sizeof(waiting));
    now = START;
}

/* One request in each ms, all of which have waited so long. */
static bool wait_for(uint64_t ms, uint64_t waited_ms) {
    bool sheds = false;
    for (uint64_t end = now + ms * MS; now < end; now += MS) {
        waiting_note(&waiting, now, waited_ms * MS, INTERVAL);
        sheds = waiting_sheds(&waiting, now);
    }
    return sheds;
}

START_TEST(test_bursts_are_no_overload) {
    begin();
    ck_assert(!wait_for(5000, 20));
    for (int i = 0; i < 20; i++) {
        ck_assert(!wait_for(140, 300)); /* long, but in less than two intervals */
        ck_assert(!wait_for(160, 19));
    }
    ck_assert(!wait_for(5000, 99)); /* always, but less than an interval */
}
END_TEST

/* Not first come, first served: some are read at once, however many wait. */
START_TEST(test_some_have_always_waited) {
    begin();
    bool sheds = false;
    for (int i = 0; i < 200; i++) {
        sheds |= wait_for(2, 0);
        sheds |= wait_for(3, 700);
    }
    ck_assert(sheds);
    begin();
    for (int i = 0; i < 1000; i++) {
        ck_assert(!wait_for(3, 0)); /* and these are a few that had bad luck */
        ck_assert(!wait_for(2, 700));
    }
}
END_TEST

/* A pause of two seconds at half the capacity: what came meanwhile is worked off in another two. */
START_TEST(test_what_is_worked_off_is_none) {
    begin();
    for (uint64_t waited = 2000; waited > 0; waited--)
        ck_assert_msg(!wait_for(1, waited / 2), "at %d ms", (int)waited / 2);
    begin();
    bool sheds = false;
    for (uint64_t waited = 100; waited < 200; waited += 2) /* a tenth more comes than is served */
        sheds |= wait_for(20, waited);
    ck_assert(sheds);
}
END_TEST

START_TEST(test_lasting_queues_are) {
    begin();
    wait_for(10, 0);
    ck_assert(!wait_for(180, 100));
    ck_assert(wait_for(100, 100));
    ck_assert(wait_for(900, 0)); /* short again for the moment */
    ck_assert(!wait_for(300, 0));
    ck_assert(!wait_for(150, 100)); /* from the beginning again */
    ck_assert(wait_for(200, 100));
    for (int i = 0; i < 30; i++) {
        ck_assert(wait_for(800, 15));
        waiting_over(&waiting, now); /* as long as one is over its threshold now and then */
    }
}
END_TEST

START_TEST(test_thresholds_go_by_priority_then_luck) {
    uint64_t last = 0;
    for (unsigned priority = PRIORITY_LOW; priority <= PRIORITY_CRITICAL; priority++)
        for (double luck = 0; luck <= 1; luck += 0.125) {
            uint64_t threshold = waiting_threshold_ns(TARGET, priority, luck);
            ck_assert_uint_ge(threshold, last);
            last = threshold;
        }
    ck_assert_uint_eq(waiting_threshold_ns(TARGET, PRIORITY_LOW, 0), 5 * MS);
    ck_assert_uint_eq(waiting_threshold_ns(TARGET, PRIORITY_NORMAL, 1), 25 * MS);
    ck_assert_uint_eq(waiting_threshold_ns(TARGET, PRIORITY_CRITICAL, 0), 40 * MS);
    ck_assert_uint_eq(waiting_threshold_ns(TARGET, 99, 0), 10 * MS);
}
END_TEST

/* A server whose requests share its time: of n in flight each takes n times as long as one alone (`own_ms`); `rate` of
 * them are done in a second, as many as come while there is no limit. */
static struct backlog backlog;
static double in_flight;

static bool serve(double seconds, double offered, double capacity, double own_ms) {
    bool limited = false;
    for (uint64_t end = now + (uint64_t)(seconds * 1e9); now < end;) {
        double limit = backlog_limit(&backlog, now), done = in_flight < 1 ? 0 : capacity / 1000;
        for (double come = offered / 1000; come > 0; come--) {
            double one = come < 1 ? come : 1;
            if (limit > 0 && in_flight + 1 > limit)
                backlog_over(&backlog, now);
            else
                in_flight += one;
        }
        done = done > in_flight ? in_flight : done;
        in_flight -= done;
        static double due;
        double busy = capacity * own_ms / 1000, latency_ms = own_ms * (in_flight > busy ? in_flight / busy : 1);
        for (due += done; due >= 1; due--)
            if (backlog_done(&backlog, now, 7, (uint64_t)(latency_ms * 1e6), true, INTERVAL, INTERVAL))
                backlog_step(&backlog, now, (uint32_t)in_flight, TARGET, INTERVAL);
        limited |= backlog_limit(&backlog, now) > 0;
        now += MS;
    }
    return limited;
}

static void begin_backlog(void) {
    memset(&backlog, 0, sizeof(backlog));
    in_flight = 0;
    now = START;
}

START_TEST(test_what_waits_within_is_limited) {
    begin_backlog();
    ck_assert(!serve(10, 150, 200, 5));
    ck_assert(serve(3, 400, 200, 5));
    for (int i = 0; i < 20; i++) { /* 5 ms of its own, a tolerance, and the target */
        ck_assert(serve(1, 400, 200, 5));
        ck_assert_msg(in_flight >= 3 && in_flight <= 9, "%g in flight", in_flight);
    }
    ck_assert(serve(2, 100, 200, 5));
    ck_assert(!serve(10, 100, 200, 5)); /* over a second after the last that was rejected */
}
END_TEST

START_TEST(test_a_load_that_was_there_from_the_beginning) {
    begin_backlog();
    ck_assert(serve(5, 400, 200, 5));
    ck_assert_msg(in_flight <= 40, "%g in flight", in_flight);
    for (int i = 0; i < 600; i++) { /* nothing is learnt in overload that lasts */
        ck_assert(serve(1, 400, 200, 5));
        ck_assert_msg(in_flight <= 40, "%g in flight after %d s", in_flight, i);
    }
}
END_TEST

START_TEST(test_a_slow_dependency_is_no_queue) {
    begin_backlog();
    ck_assert(!serve(10, 100, 1000, 50));
    unsigned limited = 0;
    for (int i = 0; i < 120; i++) /* each takes half a second now, however many there are */
        limited += serve(1, 100, 1000, 500);
    ck_assert_msg(limited <= 12, "limited in %u of 120 seconds", limited);
}
END_TEST

START_TEST(test_errors_are_no_success) {
    begin_backlog();
    for (unsigned i = 0; i < 1000; i++) /* answered at once, with an error: no latency to compare with */
        backlog_done(&backlog, now += MS, 7, 100000, false, INTERVAL, INTERVAL);
    for (unsigned i = 0; i < 1000; i++)
        if (backlog_done(&backlog, now += MS, 7, 300 * MS, true, INTERVAL, INTERVAL))
            backlog_step(&backlog, now, 100, TARGET, INTERVAL);
    ck_assert(!(backlog_limit(&backlog, now) > 0));
}
END_TEST

/* Any bytes at all, as another process of the app may leave them. */
START_TEST(test_spoilt_words) {
    static const unsigned char with[] = {0xff, 0x7f, 0x80, 0x01};
    for (unsigned i = 0; i < sizeof(with); i++) {
        begin_backlog();
        memset(&backlog, with[i], sizeof(backlog));
        memset(&waiting, with[i], sizeof(waiting));
        for (unsigned k = 0; k < 5000; k++) {
            now += MS;
            waiting_note(&waiting, now, 30 * MS, INTERVAL);
            if (backlog_done(&backlog, now, k, 5 * MS, true, INTERVAL, INTERVAL))
                backlog_step(&backlog, now, 5, TARGET, INTERVAL);
            double limit = backlog_limit(&backlog, now);
            ck_assert(limit >= 0 && limit <= 1e12);
        }
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("delay");
    tcase_add_test(tests, test_bursts_are_no_overload);
    tcase_add_test(tests, test_some_have_always_waited);
    tcase_add_test(tests, test_what_is_worked_off_is_none);
    tcase_add_test(tests, test_lasting_queues_are);
    tcase_add_test(tests, test_thresholds_go_by_priority_then_luck);
    tcase_add_test(tests, test_what_waits_within_is_limited);
    tcase_add_test(tests, test_a_load_that_was_there_from_the_beginning);
    tcase_add_test(tests, test_a_slow_dependency_is_no_queue);
    tcase_add_test(tests, test_errors_are_no_success);
    tcase_add_test(tests, test_spoilt_words);
    return suite_run("delay", tests, NULL);
}
