/* The sliding window: never above, nearly all of it used, whatever the offsets. */
#include <check.h>

#include "engine_fixture.h"
#include "rules/engine/limiters/window.h"
#include "tests/unit/suite.h"

static struct window *new_window(void) {
    return aligned_alloc(64, sizeof(struct window));
}

/* Arrivals at random moments with a mean gap; every admitted one is kept, and no interval holds more than the limit. */
static uint64_t run(uint64_t interval, uint32_t limit, uint64_t gap, unsigned events, bool give_back, uint64_t seed,
                    uint64_t *ret_time) {
    static uint64_t admitted[400000];
    struct window *window = memset(new_window(), 0, sizeof(*window));
    struct window_clock clock;
    uint64_t now = START, first = 0;
    uint32_t count = 0, oldest = 0;
    window_clock_init(&clock, interval, WINDOW_TICKS);
    for (unsigned i = 0; i < events; i++) {
        now += fixture_random(&seed) % (2 * gap + 1);
        uint32_t tick, left;
        if (!window_take(window, &clock, now, limit, 1, (unsigned)(seed >> 40), &tick, &left))
            continue;
        if (give_back && fixture_random(&seed) % 4 == 0) {
            window_return(window, tick, 1, (unsigned)(seed >> 40));
            continue;
        }
        admitted[count++] = now;
        while (admitted[oldest] + interval <= now)
            oldest++;
        ck_assert_msg(count - oldest <= limit, "%u in an interval of %llu ns, limit %u", count - oldest,
                      (unsigned long long)interval, limit);
        first = first ? first : now;
    }
    free(window);
    *ret_time = now - first;
    return count;
}

START_TEST(test_never_above) {
    static const uint32_t limits[] = {1, 2, 7, 100, 1000, 20000};
    for (unsigned i = 0; i < 6; i++) {
        uint64_t time;
        run(SECOND, limits[i], SECOND / limits[i] / 3 + 1, 200000, false, 42 + i, &time);
        run(SECOND, limits[i], SECOND / limits[i] / 3 + 1, 200000, true, 43 + i, &time);
        run(50 * MS, limits[i], 50 * MS / limits[i] / 20 + 1, 200000, true, 44 + i, &time);
    }
}
END_TEST

START_TEST(test_nearly_all_used_under_excess) {
    static const uint32_t limits[] = {10, 100, 1000};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t time, count = run(SECOND, limits[i], SECOND / limits[i] / 20, 300000, false, 99 + i, &time);
        ck_assert_msg((double)count >= 0.98 * limits[i] * ((double)time / SECOND), "%llu of %f",
                      (unsigned long long)count, limits[i] * ((double)time / SECOND));
    }
}
END_TEST

START_TEST(test_everything_given_back_is_there_again) {
    struct window *window = memset(new_window(), 0, sizeof(*window));
    struct window_clock clock;
    uint32_t tick, left;
    window_clock_init(&clock, SECOND, WINDOW_TICKS);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert(window_take(window, &clock, START + i * 100000, 5, 1, i, &tick, &left));
        window_return(window, tick, 1, i);
    }
    for (unsigned i = 0; i < 5; i++)
        ck_assert(window_take(window, &clock, START + 200 * MS, 5, 1, i, &tick, &left));
    ck_assert(!window_take(window, &clock, START + 200 * MS, 5, 1, 0, &tick, &left));
    free(window);
}
END_TEST

START_TEST(test_damaged_words_do_no_harm) {
    struct window_clock clock;
    uint64_t seed = 7;
    window_clock_init(&clock, SECOND, WINDOW_TICKS);
    for (unsigned round = 0; round < 2000; round++) {
        struct window *window = new_window();
        uint32_t tick, left;
        for (size_t i = 0; i < sizeof(*window) / 8; i++)
            ((uint64_t *)window)[i] = fixture_random(&seed);
        if (round & 1) /* close to the present, too */
            window->head = (uint64_t)(window_tick(&clock, START) + (uint32_t)(seed % 200) - 100) << 32 | (seed & 7);
        for (unsigned i = 0; i < 20; i++)
            window_take(window, &clock, START + i * 50 * MS, 3, 1, i, &tick, &left);
        ck_assert(window_take(window, &clock, START + 200 * SECOND, 3, 1, 0, &tick, &left));
        free(window);
    }
}
END_TEST

START_TEST(test_retry_is_when_something_becomes_free) {
    struct window *window = memset(new_window(), 0, sizeof(*window));
    struct window_clock clock;
    uint32_t tick, left;
    window_clock_init(&clock, SECOND, WINDOW_TICKS);
    ck_assert(window_take(window, &clock, START, 1, 1, 0, &tick, &left));
    uint64_t now = START + 300 * MS;
    ck_assert(!window_take(window, &clock, now, 1, 1, 0, &tick, &left));
    uint64_t wait = window_retry_ns(window, &clock, now);
    ck_assert(wait >= 690 * MS && wait <= 730 * MS);
    ck_assert(window_take(window, &clock, now + wait, 1, 1, 0, &tick, &left));
    free(window);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("window");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_never_above);
    tcase_add_test(tests, test_nearly_all_used_under_excess);
    tcase_add_test(tests, test_everything_given_back_is_there_again);
    tcase_add_test(tests, test_damaged_words_do_no_harm);
    tcase_add_test(tests, test_retry_is_when_something_becomes_free);
    return suite_run("window", tests, NULL);
}
