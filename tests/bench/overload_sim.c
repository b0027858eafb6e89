/* Bar A6: goodput, latency and CPU over time, with and without overload protection, on the servers of overload_model.h.
 *
 *     overload_sim
 *     overload_sim LANES SERVICE_us REJECT_us off|cpu|delay RATE:SECONDS...
 *
 * Without arguments: prints a table for an event loop and one for a server with a pool of threads, and exits with 1 if
 * protection does not do what the bar says. With: the course of a load (requests a second) on a server of one core, a
 * line for each quarter of a second, `OFFERED GOOD REJECTED`, by when requests arrived. */
#include <stdio.h>

#include "tests/bench/overload_model.h"

enum { STEPS = 64 };
static const double CALM = 0.6, STORM = 3.0, BEGINS = 10, ENDS = 50, LENGTH = 70, TARGET = 0.9;

static double storm(double second) {
    return second >= BEGINS && second < ENDS ? STORM : CALM;
}
static double busy_load;
static double steady(double second) {
    (void)second;
    return busy_load;
}

static const struct {
    const char *name;
    int algorithm;
} runs[] = {{"off", -1}, {"cpu", ADAPTIVE_CPU}, {"delay", ADAPTIVE_DELAY}};
enum { RUNS = sizeof(runs) / sizeof(*runs) };
static struct model_result results[RUNS];

static bool judge(const char *what, double value, double low, double high) {
    bool met = value >= low && value <= high;
    printf("  %-52s %8.2f   (%g to %g) %s\n", what, value, low, high, met ? "ok" : "MISSED");
    return met;
}

/* Oscillation would show in means over some seconds; half a second of random arrivals varies by itself. */
static void steadiness(const struct model_result *result, double *ret_least, double *ret_most) {
    double good, cpu, least, most;
    *ret_least = 1;
    *ret_most = 0;
    for (double second = BEGINS + 5; second + 4 <= ENDS; second += 0.5) {
        model_mean(result, second, second + 4, &good, &cpu, &least, &most);
        *ret_least = cpu < *ret_least ? cpu : *ret_least;
        *ret_most = cpu > *ret_most ? cpu : *ret_most;
    }
}

static void table(void) {
    printf("%6s", "second");
    for (int k = 0; k < RUNS; k++)
        printf(" | %-8s good/s cpu  in flight", runs[k].name);
    printf("\n");
    for (unsigned second = 0; second < LENGTH; second += second >= BEGINS - 1 && second < BEGINS + 10 ? 1 : 5) {
        printf("%6u", second);
        for (int k = 0; k < RUNS; k++) {
            double good, cpu, least, most;
            model_mean(&results[k], second, second + 1, &good, &cpu, &least, &most);
            printf(" | %15.0f %4.2f %9u", good, cpu, results[k].bins[second * 1000 / MODEL_BIN_MS].in_flight);
        }
        printf("\n");
    }
}

static bool protects(int k, double best, double unloaded_ms) {
    double good, cpu, least, most;
    model_mean(&results[k], BEGINS + 5, ENDS, &good, &cpu, &least, &most);
    printf("\n%s\n", runs[k].name);
    if (runs[k].algorithm < 0)
        return judge("goodput against the best: it collapses", good / best, 0, 0.2);
    bool ok = judge("goodput against the best", good / best, 0.85, 1.2);
    ok &= judge("p99 of admitted requests, of what it may be",
                model_percentile_ms(&results[k], 0.99) / (unloaded_ms > 20 ? 5 * unloaded_ms : 100), 0, 1);
    if (runs[k].algorithm == ADAPTIVE_CPU) {
        ok &= judge("CPU, mean after 5 s", cpu, TARGET - 0.05, TARGET + 0.05);
        steadiness(&results[k], &least, &most);
        ok &= judge("CPU, least of any 4 s after 5 s", least, TARGET - 0.1, 1);
        ok &= judge("CPU, most of any 4 s after 5 s", most, 0, TARGET + 0.09);
    }
    model_mean(&results[k], ENDS + 5, LENGTH - 1, &good, &cpu, &least, &most);
    return ok &
           judge("goodput after the storm, as a share of the load", good / (CALM * results[k].capacity), 0.97, 1.03);
}

static bool server(const char *name, const struct model_server *server) {
    static struct model_result calm;
    double best = 0, good, cpu, least, most;
    for (busy_load = 0.5; busy_load <= 1.0; busy_load += 0.05) {
        model_run(server, -1, TARGET, steady, 40, 5, 35, &calm);
        model_mean(&calm, 5, 35, &good, &cpu, &least, &most);
        best = good > best ? good : best;
    }
    busy_load = 0.1;
    model_run(server, -1, TARGET, steady, 40, 5, 35, &calm);
    double unloaded = model_percentile_ms(&calm, 0.99);
    printf(
        "\n%s: capacity %.0f/s, best goodput without overload %.0f/s, p99 unloaded %.0f ms; from %g s to %g s the load "
        "is %g times the capacity\n\n",
        name, calm.capacity, best, unloaded, BEGINS, ENDS, STORM);
    for (int k = 0; k < RUNS; k++)
        model_run(server, runs[k].algorithm, TARGET, storm, LENGTH, BEGINS + 5, ENDS, &results[k]);
    table();
    bool met = true;
    for (int k = 0; k < RUNS; k++)
        met &= protects(k, best, unloaded);
    return met;
}

static struct { double rate, ends; } steps[STEPS];
static int steps_count;
static double capacity;

static double given(double second) {
    int i = 0;
    while (i < steps_count - 1 && second >= steps[i].ends)
        i++;
    return steps[i].rate / capacity;
}

static int course(int argc, char **argv) {
    struct model_server like = {1, (unsigned)atoi(argv[1]), 511, atof(argv[2]) * 1000, atof(argv[3]) * 1000, false};
    int k = 0;
    while (k < RUNS && strcmp(argv[4], runs[k].name))
        k++;
    for (int i = 5; i < argc && steps_count < STEPS; i++, steps_count++) {
        double seconds;
        if (sscanf(argv[i], "%lf:%lf", &steps[steps_count].rate, &seconds) != 2)
            return 2;
        steps[steps_count].ends = seconds + (steps_count ? steps[steps_count - 1].ends : 0);
    }
    if (k == RUNS || !steps_count || !like.lanes || like.lanes > MODEL_LANES || like.service_ns <= 0)
        return 2;
    capacity = 1e9 / like.service_ns;
    double length = steps[steps_count - 1].ends;
    model_run(&like, runs[k].algorithm, 0.95, given, length, 0, length, &results[0]);
    for (unsigned i = 0; i < length * 1000 / MODEL_BIN_MS; i++)
        printf("%.0f %.0f %.0f\n", results[0].bins[i].offered, results[0].bins[i].good, results[0].bins[i].rejected);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 5)
        return course(argc, argv);
    bool loop = server("event loop", &MODEL_LOOP), pool = server("pool of threads", &MODEL_POOL);
    return !(loop && pool);
}
