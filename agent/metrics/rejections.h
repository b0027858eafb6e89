/* Rejections that clients were told an id of, taken out of the apps' rings and kept in memory for `weir why`. */
#ifndef WEIR_AGENT_REJECTIONS_H
#define WEIR_AGENT_REJECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/layout.h"

struct agent;
struct app;

struct rejection {
    uint64_t key;    /* whose: the hash seed of the app's counters file */
    uint64_t number; /* of that file */
    struct layout_rejection record;
    /* The resource's figures of that second; `second` 0: it has not ended yet. */
    uint64_t second;
    uint32_t pass, block, exception, in_flight;
    float rt_ms;
};

struct rejections { /* of all apps together, the newest; an agent that nobody is rejected under pays nothing for it */
    struct rejection *list;
    uint64_t next; /* how many there have been */
};

void rejections_begin(struct app *); /* what is in the ring already is taken up: an earlier agent's clients may ask */
void rejections_take(struct app *);
void rejections_second_ended(struct app *); /* and the figures are of it */
/* NULL: unknown, or too long ago. */
const struct rejection *rejections_find(const struct agent *, const struct app *, uint64_t number);
/* The newest one of the second that ended with that rule, resource and origin; NULL: none. */
const struct rejection *rejections_example(const struct app *, const struct layout_hit *);
void rejections_close(struct rejections *);

#endif
