/* The picture of `weir top`: how it is sorted, filtered and scrolled, what keys do to that, and its text.  No terminal,
 * no clock: time, width and height are given. */
#ifndef WEIR_TOOLS_TOP_VIEW_H
#define WEIR_TOOLS_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "tools/top_rows.h"

struct cJSON;

enum { TOP_FILTER_MAX = 64 /* bytes with the NUL */ };

struct top_view {
    const struct top_kind *kind;
    int column; /* sorted by, or TOP_USUAL */
    bool reverse;
    char filter[TOP_FILTER_MAX]; /* "": all rows */
    bool typing;                 /* the filter, at present */
    bool paused, help, quit;
    size_t first, page; /* the first row shown, and how many are, when it was drawn last */
};

/* What there is to show. */
struct top_metrics {
    const struct cJSON *apps; /* of all agents, or those of the app asked for */
    const char *app;          /* asked for, or NULL */
    double second;            /* Unix: the metrics are about it */
    size_t agents;            /* that answered */
    const char *trouble;      /* why another one did not, or "" */
};

/* What a key (its bytes) does.  True: other metrics are needed, as it is about another kind now. */
bool top_view_key(struct top_view *, const char *bytes, size_t length);

/* The rows, for `weir top --once`: with what is to be said of apps above them.  `width` 0 = any. */
void top_view_print(const struct top_view *, const struct top_metrics *, FILE *, int width, bool colour);
/* The whole screen: a head, the apps, the rows from view->first on (corrected where there are fewer), and the keys in
 * the last line.  `now` is Unix time. */
void top_view_draw(struct top_view *, const struct top_metrics *, time_t now, FILE *, int width, int height,
                   bool colour);

#endif
