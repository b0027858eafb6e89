/* Bar A6: goodput, latency and CPU over time, with and without overload protection, on the server of overload_model.h.
 *
 *     overload_sim [PICTURE.svg]
 *
 * Prints a table, draws the picture, and exits with 1 if protection does not do what the bar says. */
#include <stdio.h>

#include "overload_model.h"

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
    const char *colour;
} runs[] = {{"off", -1, "#b0b0b0"},
            {"cpu", ADAPTIVE_CPU, "#0060c0"},
            {"delay", ADAPTIVE_DELAY, "#209020"}};
enum { RUNS = sizeof(runs) / sizeof(*runs) };
static struct model_result results[RUNS];

static void curve(FILE *out, const struct model_result *result, const char *colour, double y0, double height,
                  int what) {
    fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='1.5' points='", colour);
    for (unsigned i = 0; i < result->bins_count && i * MODEL_BIN_MS / 1000.0 < LENGTH; i++) {
        double value = what == 0 ? result->bins[i].good * 1000 / MODEL_BIN_MS / MODEL_CAPACITY : result->bins[i].cpu;
        fprintf(out, "%.1f,%.1f ", 60 + i * MODEL_BIN_MS / 1000.0 * 9,
                y0 + height - (value > 1.2 ? 1.2 : value) / 1.2 * height);
    }
    fprintf(out, "'/>\n");
}

static void draw(const char *path) {
    static const char *titles[] = {"good answers, as a share of the capacity", "CPU use (target of \"cpu\": 0.9)"};
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        return;
    }
    fprintf(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' width='720' height='460' font-family='sans-serif' font-size='12'>\n"
        "<rect width='720' height='460' fill='white'/>\n");
    for (int panel = 0; panel < 2; panel++) {
        double y0 = 40 + panel * 210;
        fprintf(out, "<text x='60' y='%.0f'>%s; load %g x, then %g x from %g s to %g s</text>\n", y0 - 8, titles[panel],
                CALM, STORM, BEGINS, ENDS);
        for (int k = 0; k <= 5; k++)
            fprintf(out,
                    "<line x1='60' x2='690' y1='%.1f' y2='%.1f' stroke='#ddd'/><text x='30' y='%.1f'>%.1f</text>\n",
                    y0 + 160 - k * 26.667, y0 + 160 - k * 26.667, y0 + 164 - k * 26.667, k * 0.2);
        for (int k = 0; k < RUNS; k++)
            curve(out, &results[k], runs[k].colour, y0, 160, panel);
    }
    for (int k = 0; k < RUNS; k++)
        fprintf(out, "<text x='%d' y='450' fill='%s'>%s</text>\n", 60 + k * 90, runs[k].colour, runs[k].name);
    fprintf(out, "</svg>\n");
    fclose(out);
}

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

int main(int argc, char **argv) {
    static struct model_result calm;
    double best = 0, unloaded, good, cpu, least, most;
    for (busy_load = 0.5; busy_load <= 1.0; busy_load += 0.05) {
        model_run(-1, TARGET, steady, 40, 5, 35, &calm);
        model_mean(&calm, 5, 35, &good, &cpu, &least, &most);
        best = good > best ? good : best;
    }
    busy_load = 0.1;
    model_run(-1, TARGET, steady, 40, 5, 35, &calm);
    unloaded = model_percentile_ms(&calm, 0.99);
    printf("capacity %.0f/s, best goodput without overload %.0f/s, p99 unloaded %.0f ms; from %g s to %g s the load is "
           "%g times the capacity\n\n",
           MODEL_CAPACITY, best, unloaded, BEGINS, ENDS, STORM);
    for (int k = 0; k < RUNS; k++)
        model_run(runs[k].algorithm, TARGET, storm, LENGTH, BEGINS + 5, ENDS, &results[k]);
    printf("%6s", "second");
    for (int k = 0; k < RUNS; k++)
        printf(" | %-8s good/s cpu  in flight", runs[k].name);
    printf("\n");
    for (unsigned second = 0; second < LENGTH; second += second >= BEGINS - 1 && second < BEGINS + 10 ? 1 : 5) {
        printf("%6u", second);
        for (int k = 0; k < RUNS; k++) {
            const struct model_bin *bin = &results[k].bins[second * 1000 / MODEL_BIN_MS];
            printf(" | %15.0f %4.2f %9u", (bin[0].good + bin[1].good), (bin[0].cpu + bin[1].cpu) / 2, bin[1].in_flight);
        }
        printf("\n");
    }
    bool met = true;
    for (int k = 0; k < RUNS; k++) {
        model_mean(&results[k], BEGINS + 5, ENDS, &good, &cpu, &least, &most);
        double p99 = model_percentile_ms(&results[k], 0.99);
        printf("\n%s\n", runs[k].name);
        bool cpu_run = runs[k].algorithm == ADAPTIVE_CPU;
        bool ok;
        if (runs[k].algorithm < 0) {
            ok = judge("goodput against the best: it collapses", good / best, 0, 0.2);
        } else {
            ok = judge("goodput against the best", good / best, cpu_run ? 0.9 : 0.8, 1.2);
            ok &= judge("p99 of admitted requests against unloaded", p99 / unloaded, 0, 5);
        }
        if (cpu_run) {
            ok &= judge("CPU, mean after 5 s", cpu, TARGET - 0.05, TARGET + 0.05);
            steadiness(&results[k], &least, &most);
            ok &= judge("CPU, least of any 4 s after 5 s", least, TARGET - 0.1, 1);
            ok &= judge("CPU, most of any 4 s after 5 s", most, 0, TARGET + 0.09);
        }
        model_mean(&results[k], ENDS + 5, LENGTH - 1, &good, &cpu, &least, &most);
        if (runs[k].algorithm >= 0)
            ok &= judge("goodput after the storm, as a share of the load", good / (CALM * MODEL_CAPACITY), 0.97, 1.03);
        met &= ok;
    }
    if (argc > 1)
        draw(argv[1]);
    return !met;
}
