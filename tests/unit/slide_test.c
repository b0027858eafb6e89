/* The sliding window in a word: strict in every interval, fair in the long run, whatever stands in the word. */
#include <check.h>
#include <stdlib.h>

#include "rules/engine/limiters/slide.h"
#include "tests/unit/suite.h"

/* In loops: an assertion that holds costs a system call. */
#define must(condition, ...) ((condition) ? (void)0 : ck_abort_msg(__VA_ARGS__))

static const uint64_t SECOND = 1000000000u, START = 1700000000ull * 1000000000u + 123456789;

static uint64_t random_state = 88172645463325252ull;
static uint64_t random_number(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state;
}

/* Requests at random distances, `load` times the threshold on average in bursts of up to `burst`; exact bookkeeping. */
static void check_strict(double threshold, double load, unsigned burst, double least) {
    enum { INTERVALS = 20, PASSES = 100000 };
    static uint64_t passed[PASSES];
    struct slide slide = slide_of(threshold, 5 * SECOND, true);
    uint64_t word = 0, now = START, wait, before, after;
    double mean = 5e9 / (threshold * load) * (1 + burst) / 2;
    size_t count = 0, first = 0;
    while (now < START + INTERVALS * 5 * SECOND && count < PASSES) {
        now += (uint64_t)((double)(random_number() % 2000001) / 1e6 * mean);
        for (uint64_t k = 1 + random_number() % burst; k > 0 && count < PASSES; k--)
            if (slide_take(&word, &slide, 1, now, &wait, &before, &after))
                passed[count++] = now;
            else {
                uint64_t copy = word;
                must(wait > 0 && wait <= 2 * slide.interval_ns, "%g: wait %g", threshold, (double)wait);
                must(slide_take(&copy, &slide, 1, now + wait, &wait, &before, &after), "%g: not after the wait",
                     threshold);
            }
    }
    for (size_t i = 0; i < count; i++) {
        while (passed[i] - passed[first] >= 5 * SECOND)
            first++;
        must((double)(i - first + 1) < threshold + 1, "%g at load %g: %zu in an interval", threshold, load,
             i - first + 1);
    }
    double share = (double)count / (threshold * INTERVALS);
    must(share >= least, "%g at load %g, bursts of %u: only %.3f", threshold, load, burst, share);
}

START_TEST(test_strict_and_fair) {
    static const double thresholds[] = {0.3, 1, 2, 2.5, 7, 10, 16, 17, 32, 33, 50, 64, 100, 1000, 4095, 4096};
    for (size_t i = 0; i < sizeof(thresholds) / sizeof(*thresholds); i++) {
        double most = thresholds[i];
        check_strict(most, 4, 1, most <= 2.5 ? 0.75 : most <= 16 ? 0.92 : most <= 32 ? 0.91 : 0.84);
        check_strict(most, 1.2, 1, 0.6);
        check_strict(most, 10, 20, most <= 16 ? 0.4 : most <= 32 ? 0.85 : 0.82);
        check_strict(most, 0.3, 3, 0);
    }
}
END_TEST

/* A client that keeps to nine tenths of its threshold, evenly, is not rejected. */
START_TEST(test_what_keeps_to_it_passes) {
    static const uint32_t thresholds[] = {1, 3, 10, 20, 30, 50, 100, 500, 5000};
    for (size_t i = 0; i < sizeof(thresholds) / sizeof(*thresholds); i++) {
        struct slide slide = slide_of(thresholds[i], 5 * SECOND, true);
        double share = thresholds[i] <= 30 ? 0.93 : 0.84;
        uint64_t word = 0, wait, before, after;
        for (unsigned k = 0; k < 20 * thresholds[i]; k++)
            must(slide_take(&word, &slide, 1, START + (uint64_t)(k * 5e9 / (thresholds[i] * share)), &wait, &before,
                            &after),
                 "%u, request %u", thresholds[i], k);
    }
}
END_TEST

/* Whatever a word holds, after an interval and a tick it is like a new one; merging never loses what counts. */
START_TEST(test_any_word) {
    static const uint32_t thresholds[] = {1, 5, 20, 200, 100000};
    for (unsigned i = 0; i < 200000; i++) {
        struct slide slide = slide_of(thresholds[i % 5], SECOND, true);
        uint64_t word = random_number(), other = random_number(), now = START + random_number() % SECOND;
        if (i % 3)
            word |= 1ull << 63;
        uint64_t a = slide_at(&slide, word, now), b = slide_at(&slide, other, now);
        uint64_t both = slide_larger(&slide, a, b);
        uint32_t one = slide_used(&slide, a), two = slide_used(&slide, b);
        uint32_t most = one > two ? one : two;
        must(slide_used(&slide, both) >= (most < slide.most ? most : slide.most), "word %u", i);
        must(!slide_used(&slide, slide_at(&slide, a, now + 3 * SECOND)), "word %u", i);
        uint64_t wait, before, after;
        if (slide_take(&word, &slide, 1, now, &wait, &before, &after))
            must(slide_used(&slide, slide_at(&slide, word, now)) >= (1), "word %u", i);
        must(slide_take(&word, &slide, 1, now + 4 * SECOND, &wait, &before, &after), "word %u", i);
    }
}
END_TEST

/* An edited threshold neither gives back what was used nor takes more; and back. */
START_TEST(test_edits) {
    uint64_t word = 0, wait, before, after;
    static const uint32_t thresholds[] = {10, 25, 60, 100000, 60, 25, 10};
    unsigned passed = 0;
    for (size_t i = 0; i < 7; i++) {
        struct slide slide = slide_of(thresholds[i], 60 * SECOND, true);
        while (passed < 70 && slide_take(&word, &slide, 1, START + i, &wait, &before, &after))
            passed++;
        ck_assert_uint_eq(passed, i < 3 ? thresholds[i] : 70);
    }
}
END_TEST

/* Costs, and thresholds that no word can hold in one. */
START_TEST(test_large) {
    uint64_t word = 0, wait, before, after;
    struct slide slide = slide_of(100, SECOND, false);
    ck_assert(slide_take(&word, &slide, 60, START, &wait, &before, &after));
    ck_assert(!slide_take(&word, &slide, 60, START, &wait, &before, &after) && wait);
    ck_assert(slide_take(&word, &slide, 60, START + wait, &wait, &before, &after));
    ck_assert(!slide_take(&word, &slide, 101, START + 9 * SECOND, &wait, &before, &after) && !wait);
    slide = slide_of(5e6, SECOND, true);
    ck_assert_uint_le(slide.most, SLIDE_MOST);
    ck_assert_double_eq_tol((double)slide.most / (double)slide.interval_ns, 5e6 / 1e9, 1e-6);
    slide = slide_of(1e300, SECOND, true);
    ck_assert_uint_ge(slide.interval_ns, 1);
    slide = slide_of(1e-300, SECOND, true);
    word = 0;
    ck_assert(slide_take(&word, &slide, 1, START, &wait, &before, &after));
    ck_assert(!slide_take(&word, &slide, 1, START + 1000000 * SECOND, &wait, &before, &after));
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("slide");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_strict_and_fair);
    tcase_add_test(tests, test_what_keeps_to_it_passes);
    tcase_add_test(tests, test_any_word);
    tcase_add_test(tests, test_edits);
    tcase_add_test(tests, test_large);
    return suite_run("slide", tests, NULL);
}
