#include "agent/metrics/episode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static double bounded(double value, double most) {
    return value >= 0 && value <= most ? value : -1; /* no number is neither */
}

struct episode episode_read(const struct layout_event *e) {
    struct layout_episode said = e->episode;
    enum episode_stage stage = e->to == 0 ? STAGE_OVER : e->from == 0 ? STAGE_BEGAN : STAGE_GOES_ON;
    if (e->figures_of != (uint32_t)e->sequence)
        return (struct episode){stage, false, false, -1, -1, -1, -1, -1, -1};
    return (struct episode){.stage = stage,
                            .known = true,
                            .simulated = e->simulated == 1,
                            .cpu = bounded(said.cpu, 100),
                            .delay_ms = bounded(said.delay_ms, 1e7),
                            .rejected = bounded(e->value, 1),
                            .goodput_before = bounded(said.goodput_before, 1e9),
                            .goodput = bounded(said.goodput, 1e9),
                            .lasted_s = bounded(said.lasted_s, 1e9)};
}

const char *episode_stage_word(enum episode_stage stage) {
    static const char *const words[] = {"began", "goes-on", "over"};
    return words[stage];
}

struct out {
    char *text;
    size_t size, length;
    const char *comma; /* before the next figure */
};

static void add(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct out *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(out->text + out->length, out->size - out->length, format, arguments);
    va_end(arguments);
    if (n > 0)
        out->length += (size_t)n;
    if (out->length >= out->size)
        out->length = out->size - 1;
}

/* A figure that is known, behind those before it. */
static void add_figure(struct out *out, double value, const char *before, const char *after) {
    if (value < 0)
        return;
    add(out, value < 9.95 ? "%s%s%.2g%s" : "%s%s%.0f%s", out->comma, before, value, after);
    out->comma = ", ";
}

static void add_begin(struct out *out, const struct episode *episode, const char *rule) {
    static const char *const words[] = {"began", "goes on", "over"};
    bool timed = episode->lasted_s >= 0 && episode->stage != STAGE_BEGAN;
    add(out, "overload %s", words[episode->stage]);
    if (timed)
        add(out, episode->lasted_s < 9.95 ? " after %.2g s" : " after %.0f s", episode->lasted_s);
    add(out, " (rule %s%s)", rule, episode->simulated ? ", simulated" : "");
}

size_t episode_text(const struct episode *episode, const char *rule, char *text, size_t size) {
    struct out out = {text, size, 0, ": "};
    double share = episode->rejected, cpu = episode->cpu;
    add_begin(&out, episode, rule);
    add_figure(&out, episode->delay_ms, "requests wait ", " ms");
    if (episode->stage != STAGE_BEGAN)
        add_figure(&out, share < 0 ? share : share * 100, "",
                   episode->simulated ? " % would be rejected" : " % rejected");
    add_figure(&out, episode->goodput, "", " answered a second");
    if (episode->stage != STAGE_BEGAN)
        add_figure(&out, episode->goodput_before, "", " before");
    if (cpu >= 0)
        add(&out, "%sCPU %.0f %%", out.comma, cpu * 100);
    return out.length;
}
