#include "agent/process/saturation.h"

#include <stddef.h>
#include <string.h>

static const double ENDLESS = 1e6; /* CPUs */

static bool is_known(double value) {
    return value >= 0 && value < ENDLESS; /* false for NaN */
}

static double at_most_1(double value) {
    return value < 1 ? value : 1;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

/* 0 up to `from`, 1 from `to` on, and evenly between the two, so that no step makes a controller swing. */
static double ramp(double value, double from, double to) {
    return value <= from ? 0 : value >= to ? 1 : (value - from) / (to - from);
}

double saturation_of_process(const struct saturation_process *of) {
    double most = is_known(of->busy) ? at_most_1(of->busy) : -1;
    if (!of->one_at_a_time)
        return most;
    /* A thread that waits for its turn sleeps; what its threads ran and waited for a CPU together is the turns' time.
     */
    if (is_known(of->used))
        most = larger(most, at_most_1(of->used));
    return is_known(of->wanted) ? larger(most, at_most_1(of->wanted)) : most;
}

/* From 1 - (1 - mean) for one thread to 1 - (1 - mean)^2 where there is one more for every CPU. */
static double serving_of(const struct saturation_app *of) {
    double mean = at_most_1(of->serving);
    double more = is_known(of->wanted) && of->could > 0 ? ramp(of->wanted, 1, 1 + of->could) : 0;
    return mean + more * mean * (1 - mean);
}

double saturation_of_app(const struct saturation_app *of) {
    double used = is_known(of->used) && is_known(of->could) && of->could > 0 ? at_most_1(of->used / of->could) : -1;
    double most = used;
    /* Bursts are held back, too, in a program that is idle in between; at its quota it is near it on the whole. */
    if (used >= 0 && is_known(of->throttled))
        most = used + (1 - used) * ramp(used, 0.5, 0.8) * at_most_1(of->throttled);
    if (is_known(of->serving))
        most = larger(most, serving_of(of));
    if (is_known(of->pressure))
        most = larger(most, ramp(of->pressure, 0.9, 1) * at_most_1(of->pressure));
    if (is_known(of->pressure) && is_known(of->turns))
        most = larger(most, at_most_1(of->turns + of->pressure));
    return most;
}

bool saturation_one_at_a_time(const char *program) {
    static const char *const names[] = {"python", "pypy", "ruby", "gunicorn", "uvicorn", "uwsgi", "puma"};
    const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program + (*program == '[');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}
