/* Totals of a replay: by resource, by rule, by reason. */
#ifndef WEIR_TOOLS_REPLAY_SUMMARY_H
#define WEIR_TOOLS_REPLAY_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/replay/trace.h"

struct summary_row {
    char *name; /* NULL = free */
    size_t length;
    uint64_t hash;
    uint64_t entries, passed, blocked, waited, exits, errors;
    uint64_t wait_ns, rt_ms;
};
struct summary_table { /* open addressing, at most half full */
    struct summary_row *rows;
    size_t size, count;
};
struct summary {
    struct summary_table resources, rules, reasons;
    uint64_t events, simulated;
    bool failed; /* no memory: the totals are not complete */
};

struct summary_row *summary_row(struct summary *, struct summary_table *, const char *name, size_t length);
void summary_print(const struct summary *);
void summary_free(struct summary *);

#endif
