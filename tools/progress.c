#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/output.h"
#include "tools/text.h"

enum { FIRST_MS = 2000, AGAIN_MS = 200, BAR_LEAST = 10, BAR_MOST = 40 };

static int64_t now_of_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

bool progress_is_due(const struct progress *self, int64_t now_ms) {
    return now_ms - self->begun_ms >= FIRST_MS && (!self->drawn_ms || now_ms - self->drawn_ms >= AGAIN_MS);
}

enum { BAR_TEXT_MAX = BAR_MOST + 8 };

/* "[####......]  " in so many columns, or nothing where they are too few. */
static void bar(double share, size_t columns, char ret_text[static BAR_TEXT_MAX]) {
    size_t length = columns > BAR_MOST + 4 ? BAR_MOST : columns > 4 ? columns - 4 : 0;
    ret_text[0] = '\0';
    if (length < BAR_LEAST)
        return;
    ret_text[0] = '[';
    for (size_t i = 0; i < length; i++)
        ret_text[1 + i] = (double)i < share * (double)length ? '#' : '.';
    memcpy(ret_text + 1 + length, "]  ", sizeof "]  ");
}

/* Of a task that goes on as fast as it did; "" while that says nothing yet. */
static void time_left(double share, int64_t elapsed_ms, char *ret_text, size_t size) {
    double left_s = share > 0 ? (double)elapsed_ms / 1000 * (1 - share) / share : 0;
    ret_text[0] = '\0';
    if (share > 0.01 && left_s < 60)
        snprintf(ret_text, size, "%.0f s left", left_s);
    else if (share > 0.01)
        snprintf(ret_text, size, "%.0f min left", left_s / 60);
}

void progress_text(const struct progress *self, int64_t now_ms, uint64_t done, uint64_t total, size_t width,
                   char ret_text[static PROGRESS_TEXT_MAX]) {
    char what[PROGRESS_TEXT_MAX / 2], left[40], marks[BAR_TEXT_MAX];
    double share = total ? (double)(done < total ? done : total) / (double)total : 0;
    snprintf(what, sizeof what, "%s", self->what);
    text_clean(what);
    ret_text[0] = '\0';
    if (text_columns(what) + sizeof "  100 %" > width)
        return;
    if (!total) {
        snprintf(ret_text, PROGRESS_TEXT_MAX, "%s: %" PRIu64 " %s", what, done, self->unit);
    } else {
        time_left(share, now_ms - self->begun_ms, left, sizeof left);
        size_t others = text_columns(what) + sizeof "  100 %    59 min left";
        bar(share, width > others ? width - others : 0, marks);
        snprintf(ret_text, PROGRESS_TEXT_MAX, "%s  %s%.0f %%  %s", what, marks, 100 * share, left);
    }
    size_t columns;
    ret_text[text_within(ret_text, width - 1, &columns)] = '\0';
}

void progress_begin(struct progress *self, const char *what, const char *unit, bool quiet) {
    *self = (struct progress){.what = what, .unit = unit, .on = !quiet && output_transient_is_possible()};
    if (self->on)
        self->begun_ms = now_of_clock();
}

void progress_step(struct progress *self, uint64_t done, uint64_t total) {
    char text[PROGRESS_TEXT_MAX];
    int64_t now_ms = self->on ? now_of_clock() : 0;
    if (!self->on || !progress_is_due(self, now_ms))
        return;
    self->drawn_ms = now_ms;
    progress_text(self, now_ms, done, total, (size_t)output_width(stderr), text);
    output_transient(text);
}

void progress_end(struct progress *self) {
    if (self->on)
        output_transient(NULL);
    self->on = false;
}
