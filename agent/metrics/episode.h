/* An episode of overload protection, from the event that a process wrote: figures that are in bounds, and words. */
#ifndef WEIR_AGENT_METRICS_EPISODE_H
#define WEIR_AGENT_METRICS_EPISODE_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/layout.h"

enum episode_stage { STAGE_BEGAN, STAGE_GOES_ON, STAGE_OVER };

struct episode {
    enum episode_stage stage;
    bool known;     /* the figures are; an older library leaves them out, and whether the rule simulates */
    bool simulated; /* nothing is rejected */
    /* As in layout.h; -1: not known.  `rejected`: 0…1. */
    double cpu, delay_ms, rejected, goodput_before, goodput, lasted_s;
};

/* Of an EVENT_ADAPTIVE, whatever a process wrote there.  Pure. */
struct episode episode_read(const struct layout_event *);
/* "began", "goes-on", "over": for JSON and the journal. */
const char *episode_stage_word(enum episode_stage);
/* "overload began (rule adaptive): requests wait 130 ms, …".  Returns its length. */
size_t episode_text(const struct episode *, const char *rule, char *text, size_t size);

#endif
