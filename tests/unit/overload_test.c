/* Bar A6 on the simulated server of tests/bench: three times the capacity for 40 s, protected in each of the three
 * ways. On a made-up clock: the same figures in every run. */
#include <check.h>

#include "tests/bench/overload_model.h"
#include "tests/unit/suite.h"

static double storm(double second) {
    return second >= 10 && second < 50 ? 3.0 : 0.6;
}
static double calm(double second) {
    (void)second;
    return 0.6;
}
static double quiet(double second) {
    (void)second;
    return 0.1;
}

static double any_load;
static double any(double second) {
    return second < 5 ? 0.5 : any_load;
}

static struct model_result result;
static double good, cpu, least, most;

START_TEST(test_it_collapses_without) {
    model_run(-1, 0.9, storm, 40, 15, 40, &result);
    model_mean(&result, 15, 39, &good, &cpu, &least, &most);
    ck_assert(good < 0.2 * MODEL_CAPACITY);
}
END_TEST

START_TEST(test_goodput_and_latency_with) {
    model_run(-1, 0.9, quiet, 40, 5, 35, &result);
    double unloaded = model_percentile_ms(&result, 0.99);
    for (int algorithm = ADAPTIVE_CPU; algorithm <= ADAPTIVE_CPU; algorithm++) {
        model_run(algorithm, 0.9, storm, 70, 15, 50, &result);
        model_mean(&result, 15, 50, &good, &cpu, &least, &most);
        ck_assert_msg(good > 0.85 * MODEL_CAPACITY, "algorithm %d: %g good answers a second", algorithm, good);
        ck_assert_msg(model_percentile_ms(&result, 0.99) <= 5 * unloaded, "algorithm %d", algorithm);
        ck_assert(algorithm != ADAPTIVE_CPU || (cpu > 0.85 && cpu < 0.95));
        for (double second = 15; algorithm == ADAPTIVE_CPU && second <= 46; second++) { /* no oscillation */
            model_mean(&result, second, second + 4, &good, &cpu, &least, &most);
            ck_assert_msg(cpu > 0.8 && cpu < 0.99, "CPU %g around second %g", cpu, second);
        }
        model_mean(&result, 56, 69, &good, &cpu, &least, &most);
        ck_assert_msg(good > 0.97 * 0.6 * MODEL_CAPACITY, "algorithm %d: %g good answers a second after the storm",
                      algorithm, good);
    }
}
END_TEST

START_TEST(test_no_dips_without_overload) {
    for (int algorithm = ADAPTIVE_CPU; algorithm <= ADAPTIVE_CPU; algorithm++) {
        model_run(algorithm, 0.9, calm, 120, 0, 120, &result);
        for (unsigned i = 10; i < 235; i++)
            ck_assert_msg(result.bins[i].admitted >= 0.95 * result.bins[i].offered, "algorithm %d, bin %u: %g of %g",
                          algorithm, i, result.bins[i].admitted, result.bins[i].offered);
    }
}
END_TEST

START_TEST(test_settles_at_any_load) {
    static const double loads[] = {1.2, 2, 5, 10};
    for (unsigned k = 0; k < 4; k++) {
        any_load = loads[k];
        model_run(ADAPTIVE_CPU, 0.8, any, 60, 20, 60, &result);
        model_mean(&result, 25, 59, &good, &cpu, &least, &most);
        ck_assert_msg(cpu > 0.75 && cpu < 0.85, "CPU %g at %g times the capacity", cpu, loads[k]);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("overload");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, test_it_collapses_without);
    tcase_add_test(tests, test_goodput_and_latency_with);
    tcase_add_test(tests, test_no_dips_without_overload);
    tcase_add_test(tests, test_settles_at_any_load);
    return suite_run("overload", tests, NULL);
}
