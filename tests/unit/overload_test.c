/* Bar A6 on the simulated servers of tests/bench: three times the capacity for 40 s, protected in each of the two ways,
 * an event loop and a pool of threads. On a made-up clock: the same figures in every run. */
#include <check.h>

#include "tests/bench/overload_model.h"
#include "tests/unit/suite.h"

static const struct {
    const struct model_server *server;
    int algorithm;
} CASES[] = {{&MODEL_LOOP, ADAPTIVE_CPU},
             {&MODEL_LOOP, ADAPTIVE_DELAY},
             {&MODEL_POOL, ADAPTIVE_CPU},
             {&MODEL_POOL, ADAPTIVE_DELAY}};
enum { CASES_COUNT = sizeof(CASES) / sizeof(*CASES) };

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
    model_run(_i ? &MODEL_POOL : &MODEL_LOOP, -1, 0.9, storm, 40, 15, 40, &result);
    model_mean(&result, 15, 39, &good, &cpu, &least, &most);
    ck_assert(good < 0.2 * result.capacity);
}
END_TEST

START_TEST(test_goodput_and_latency_with) {
    const struct model_server *server = CASES[_i].server;
    model_run(server, -1, 0.9, quiet, 40, 5, 35, &result);
    double unloaded = model_percentile_ms(&result, 0.99);
    model_run(server, CASES[_i].algorithm, 0.9, storm, 70, 15, 50, &result);
    model_mean(&result, 15, 50, &good, &cpu, &least, &most);
    ck_assert_msg(good > 0.75 * result.capacity, "%g of %g good answers a second", good, result.capacity);
    double bar = 5 * unloaded > 100 ? 5 * unloaded : 100;
    ck_assert_msg(model_percentile_ms(&result, 0.99) <= bar, "p99 %g ms", model_percentile_ms(&result, 0.99));
    if (CASES[_i].algorithm == ADAPTIVE_CPU) {
        ck_assert_msg(cpu > 0.85 && cpu < 0.95, "CPU %g", cpu);
        for (double second = 15; second <= 46; second++) { /* no oscillation */
            model_mean(&result, second, second + 4, &good, &cpu, &least, &most);
            ck_assert_msg(cpu > 0.8 && cpu < 0.99, "CPU %g around second %g", cpu, second);
        }
    }
    double rejected = 0;
    for (unsigned i = 52 * 1000 / MODEL_BIN_MS; i < 69 * 1000 / MODEL_BIN_MS; i++)
        rejected += result.bins[i].rejected;
    ck_assert_msg(rejected == 0, "%g rejected later than 2 s after the storm", rejected);
}
END_TEST

START_TEST(test_no_dips_without_overload) {
    model_run(CASES[_i].server, CASES[_i].algorithm, 0.9, calm, 120, 0, 120, &result);
    for (unsigned i = 0; i < 119 * 1000 / MODEL_BIN_MS; i++)
        ck_assert_msg(result.bins[i].rejected == 0, "bin %u: %g of %g rejected", i, result.bins[i].rejected,
                      result.bins[i].offered);
}
END_TEST

START_TEST(test_settles_at_any_load) {
    static const double loads[] = {1.2, 2, 5, 10};
    for (unsigned k = 0; k < 4; k++) {
        any_load = loads[k];
        model_run(&MODEL_POOL, ADAPTIVE_CPU, 0.8, any, 60, 20, 60, &result);
        model_mean(&result, 25, 59, &good, &cpu, &least, &most);
        ck_assert_msg(cpu > 0.75 && cpu < 0.85, "CPU %g at %g times the capacity", cpu, loads[k]);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("overload");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, test_it_collapses_without, 0, 2);
    tcase_add_loop_test(tests, test_goodput_and_latency_with, 0, CASES_COUNT);
    tcase_add_loop_test(tests, test_no_dips_without_overload, 0, CASES_COUNT);
    tcase_add_test(tests, test_settles_at_any_load);
    return suite_run("overload", tests, NULL);
}
